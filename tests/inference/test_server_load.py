"""A real server in a process of its own: under load, with hostile clients, and while it stops."""

import asyncio
import base64
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from millrace.inference import About, Predictor
from millrace.inference.under_load.client import Address, Connection
from millrace.inference.under_load.hostile import KINDS, PICTURE, kinds_for, plan
from millrace.inference.under_load.load import load
from millrace.inference.under_load.probe import probes_for, target_at
from millrace.models.digits import network

# A server of an untrained network of digits whose batches can be made slow, by a number of seconds.
SERVER = """
import sys, time
from millrace.inference import About, Predictor
from millrace.inference.server.app import Service
from millrace.inference.server.limits import Limits
from millrace.inference.server.running import address_of, listening, run
from millrace.inference.server.served import Served
from millrace.models.digits import network
import millrace as mr

class Slow(Predictor):
    def __call__(self, *arrays):
        time.sleep(float(sys.argv[1]))
        return super().__call__(*arrays)

mr.set_seed(0)
predictor = Slow.of(network(), About("digits", tuple("0123456789"), recipe="digits"), "numpy")
limits = Limits(max_batch=int(sys.argv[2]), timeout=float(sys.argv[3]), max_bytes=200_000)
bound = listening("127.0.0.1", 0)
run(Service(Served.of(predictor), limits), bound, lambda: print(address_of(bound), flush=True))
print("stopped", flush=True)
"""


class Running:
    """A server's process and its address."""

    def __init__(self, seconds=0.0, max_batch=8, timeout=1.0):
        command = [sys.executable, "-c", SERVER, str(seconds), str(max_batch), str(timeout)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.address = Address.of(self.process.stdout.readline().strip())

    def connect(self):
        return http.client.HTTPConnection(self.address.host, self.address.port, timeout=20)

    def raw(self, content):
        """Everything that comes back on a connection on which this was sent."""
        with socket.create_connection((self.address.host, self.address.port), timeout=20) as connection:
            connection.sendall(content)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        out, error = self.process.communicate()
        return out, error


@pytest.fixture(scope="module")
def server():
    running = Running()
    yield running
    running.process.send_signal(signal.SIGTERM)
    out, error = running.process.communicate(timeout=20)
    assert running.process.returncode == 0 and out.endswith("stopped\n") and error == ""


@pytest.fixture(scope="module")
def predictor():
    """The same network in this process."""
    import millrace as mr

    mr.set_seed(0)
    return Predictor.of(network(), About("digits"), "numpy")


BODY = json.dumps({"inputs": [{"name": "image", "shape": [1, 8, 8, 1], "datatype": "FP32", "data": [0.5] * 64}]})
PATH = "/v2/models/digits/infer"
JSON = {"Content-Type": "application/json"}


def test_another_http_client_gets_the_same_answer_on_a_connection_that_is_kept(server, predictor):
    connection = server.connect()
    want = predictor(np.full((1, 8, 8, 1), 0.5, np.float32))[0][0]
    for _ in range(3):
        connection.request("POST", PATH, BODY, JSON)
        answer = connection.getresponse()
        assert answer.status == 200
        np.testing.assert_allclose(json.loads(answer.read())["outputs"][0]["data"], want, rtol=1e-4, atol=1e-6)
    kept = connection.sock
    connection.request("POST", PATH, "{", JSON)
    answer = connection.getresponse()
    assert answer.status == 400 and "no JSON" in json.loads(answer.read())["error"]
    connection.request("HEAD", "/v2/health/live")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read() == b"" and connection.sock is kept
    connection.request("POST", PATH, iter([BODY[:40].encode(), BODY[40:].encode()]), JSON, encode_chunked=True)
    assert connection.getresponse().status == 200


def test_hundreds_of_requests_some_hostile_are_all_answered_right(server, predictor):
    async def go():
        connection = Connection(server.address)
        target = await target_at(connection, None)
        probes = await probes_for(target, 1, connection, predictor)
        connection.close()
        kinds = kinds_for(probes[0])
        assert {kind.name for kind in kinds} == {kind.name for kind in (*KINDS, PICTURE)}
        return await load(server.address, probes, 400, 16, 0.25, 3)

    outcome = asyncio.run(go())
    assert outcome.is_flawless, (outcome.statuses, outcome.lost, outcome.mixed, outcome.wrong, outcome.hostile)
    assert outcome.statuses == {200: 300} and sum(c.total() for c in outcome.hostile.values()) == 100
    assert len(outcome.hostile) >= 11 and len(outcome.latencies) == 300 and len(outcome.memory) > 2


def test_answers_that_are_wrong_or_belong_to_another_request_are_found(server, predictor):
    async def go():
        connection = Connection(server.address)
        target = await target_at(connection, "digits")
        probes = await probes_for(target, 1, connection, predictor)
        one = await connection.ask(probes[0].request("a"))
        connection.close()
        return [probes[0].is_right(one, "a"), probes[0].is_right(one, "b"), probes[1].is_right(one, "a")]

    assert asyncio.run(go()) == [True, False, False]


def test_what_is_no_http_is_answered_in_json_and_closed(server):
    answer = server.raw(b"GARBAGE\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    flood = b"GET /v2 HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 90) for n in range(300))
    assert server.raw(flood).startswith(b"HTTP/1.1 431 ")  # without an end
    assert server.raw(flood + b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_slow_senders_are_told_and_silent_ones_closed(server):
    started = time.monotonic()
    found = {}

    def send(name, content):
        if name != "second":
            found[name] = server.raw(content)
            return
        with socket.create_connection((server.address.host, server.address.port), timeout=20) as connection:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            first = b""
            while not first.endswith(b"true}"):
                first += connection.recv(65536)
            connection.sendall(content)
            found[name] = connection.recv(65536)  # the head alone, perhaps

    wire = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n".encode()
    threads = [threading.Thread(target=send, args=item) for item in
               {"headers": wire, "body": wire + b"\r\n{", "silent": b"", "second": wire}.items()]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[name].startswith(b"HTTP/1.1 408 ") for name in ("headers", "body", "second"))
    assert found["silent"] == b"" and time.monotonic() - started < 10


def test_a_body_that_is_too_large_gets_its_answer_though_it_is_sent_to_the_end(server):
    connection = server.connect()
    connection.request("POST", PATH, b" " * 300_000, JSON)
    answer = connection.getresponse()
    assert answer.status == 413 and "200,000 bytes" in json.loads(answer.read())["error"]
    connection.request("POST", PATH, BODY, JSON)  # on the same connection
    assert connection.getresponse().status == 200


def test_a_graceful_stop_answers_what_was_accepted():
    running = Running(seconds=0.15, max_batch=2, timeout=20.0)
    statuses, threads = [], []
    idle = running.connect()
    idle.connect()

    def ask():
        connection = running.connect()
        connection.request("POST", PATH, BODY, JSON)
        statuses.append(connection.getresponse().status)

    try:
        for _ in range(12):
            threads.append(threading.Thread(target=ask))
            threads[-1].start()
        time.sleep(0.4)  # all have arrived, some are computed: six batches take 0.9 s
        assert len(statuses) < 12
        running.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(20)
        assert statuses == [200] * 12
        assert running.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            running.connect().connect()
    finally:
        out, error = running.end()
    assert out == "stopped\n" and error == ""


def test_a_second_ctrl_c_ends_at_once():
    running = Running(seconds=0.7, max_batch=1, timeout=30.0)
    try:
        connections = [running.connect() for _ in range(8)]
        for connection in connections:
            connection.request("POST", PATH, BODY, JSON)
        time.sleep(0.2)
        started = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(5) == 130 and time.monotonic() - started < 3
    finally:
        out, error = running.end()
    assert out == "" and error == "millrace: ended at once.\n"


def test_a_plan_is_the_same_for_a_seed_and_has_its_share_of_hostile_requests():
    made = plan(1000, 0.1, KINDS, 7)
    assert made == plan(1000, 0.1, KINDS, 7) != plan(1000, 0.1, KINDS, 8)
    assert sum(kind is not None for kind in made) == 100 and plan(10, 0, KINDS, 0) == [None] * 10


@pytest.mark.slow
def test_ten_thousand_requests_a_tenth_hostile_lose_nothing_and_leave_memory_flat(predictor):
    running = Running(max_batch=32, timeout=5.0)

    async def go():
        connection = Connection(running.address)
        probes = await probes_for(await target_at(connection, None), 1, connection, predictor)
        connection.close()
        return [await load(running.address, probes, 10_000, 32, 0.1, seed) for seed in range(2)]

    try:
        first, second = asyncio.run(go())
    finally:
        running.end()
    assert first.is_flawless and second.is_flawless
    assert second.memory[-1] < 1.05 * first.memory[-1]


def test_base64_is_what_pictures_are_sent_as(server):
    from millrace.inference.server.command import stroke

    data = [base64.b64encode(stroke()).decode()]
    told = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": data}]}
    connection = server.connect()
    connection.request("POST", PATH, json.dumps(told), JSON)
    assert connection.getresponse().status == 200
