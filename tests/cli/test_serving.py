"""`millrace serve` and `millrace bench-serve`, as their users meet them."""

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter

import pytest

from millrace.cli.bench_serve import Progress, flat, measured, show
from millrace.inference.under_load.load import Outcome


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a run of one neuron, runs/perceptron-1, trained for an epoch."""
    from millrace.cli.train import Settings, start_run

    folder = tmp_path_factory.mktemp("served")
    start_run("perceptron", Settings(epochs=1, engine="numpy", seed=0), folder / "runs")
    return folder


@pytest.fixture
def here(run, monkeypatch):
    monkeypatch.chdir(run)
    return run


def test_a_run_is_served_says_how_to_ask_it_and_ends_with_0(here):
    command = [sys.executable, "-m", "millrace", "serve", "runs/perceptron-1", "--port", "0", "--name", "odd one",
               "--host", "0.0.0.0", "--max-batch", "2", "--engine", "numpy"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ready."):
                break
        assert re.fullmatch(r"Serving odd one at http://127\.0\.0\.1:\d+", lines[0])
        assert lines[1] == "There is no authentication: whoever reaches this address can use the model."
        assert "input   image: FP32 [-1, 8, 8, 1], or BYTES [-1], each a picture" in lines
        assert max(len(line) for line in lines if not line.startswith("curl")) <= 80
        (curl,) = [line for line in lines if line.startswith("curl")]
        asked = shlex.split(curl)
        assert asked[1].endswith("/v2/models/odd%20one/infer")
        if shutil.which("curl"):
            answer = subprocess.run([*asked, "-s"], capture_output=True, text=True, timeout=20).stdout
            (output,) = json.loads(answer)["outputs"]
            assert output["datatype"] == "FP32" and output["shape"] == [1] and 0 <= output["data"][0] <= 1
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=20)
        assert process.returncode == 0 and out == "millrace: stopped, every request was answered.\n" and not error
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing does not exist"),
        (["runs/perceptron-1", "--port", "70000"], "--port must be from 0 to 65535"),
        (["runs/perceptron-1", "--host", "no such host"], "--host 'no such host' is no address"),
        (["runs/perceptron-1", "--host", "8.8.8.8"], "of 8.8.8.8 cannot be had"),
        (["runs/perceptron-1", "--max-batch", "0"], "--max-batch must be"),
        (["runs/perceptron-1", "--timeout", "0"], "--timeout must be"),
        (["runs/perceptron-1", "--name", "a/b"], "give --name"),
        (["runs/perceptron-1", "--engine", "nope"], "unknown engine 'nope'"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_is_open(millrace, here, arguments, said):
    _, error, code = millrace("serve", *arguments, *([] if "--port" in arguments else ["--port", "0"]))
    assert code == 2 and said in error and error.startswith("millrace: ")


def test_a_port_in_use_is_told(millrace, here):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        _, error, code = millrace("serve", "runs/perceptron-1", "--port", port)
    assert code == 2 and f"port {port} of 127.0.0.1 cannot be had (Address already in use)" in error


def test_a_model_is_put_under_load_with_and_without_batching(millrace, here):
    out, error, code = millrace("bench-serve", "runs/perceptron-1", "--requests", 60, "--concurrency", 4)
    assert (error, code) == ("", 0)
    rows = {line.split("│")[1].strip(): line for line in out.splitlines() if line.startswith("│")}
    assert (
        "60 x 200" in rows["statuses"] and rows["lost"].count(" 0") == 2 and rows["mixed up or wrong"].count(" 0") == 2
    )
    assert {"p50 ms", "p99 ms", "max ms", "requests/s", "at the end"} <= set(rows)
    assert "--max-batch 1" in out and "60 requests, 4 at a time, 0% of them hostile, seed 0" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing does not exist"),
        (["http://127.0.0.1:1"], "no server answers at http://127.0.0.1:1"),
        (["https://127.0.0.1:1"], "is no address of a server"),
        (["http://"], "is no address of a server"),
        (["runs/perceptron-1", "--requests", "0"], "--requests must be"),
        (["runs/perceptron-1", "--concurrency", "1000"], "--concurrency must be at most 256"),
        (["runs/perceptron-1", "--hostile", "2"], "--hostile must be a number"),
    ],
)
def test_what_cannot_be_put_under_load_is_told(millrace, here, arguments, said):
    _, error, code = millrace("bench-serve", *arguments)
    assert code == 2 and said in error


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"220 mail ready\r\n\r\n", "no server answers at http://127.0.0.1:{} (what it says is no HTTP)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "is no server of the Open Inference Protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "is no server of the Open Inference Protocol"),
    ],
)
def test_what_is_no_inference_server_is_told(millrace, answer, said):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        _, error, code = millrace("bench-serve", f"http://127.0.0.1:{port}")
        thread.join()
    assert code == 2 and said.format(port) in error


def test_lost_mixed_up_and_growing_are_not_flawless():
    outcome = Outcome(
        seconds=2.0, latencies=[0.001] * 98 + [0.1, 0.2], memory=[1e8, 2e8, 2.1e8, 3e8], processor=[1, 2, 3, 3]
    )
    outcome.statuses[200] = 100
    assert outcome.is_flawless
    rows = measured(outcome)
    assert rows["requests/s"] == "50" and rows["p50 ms"] == "1.00" and rows["max ms"] == "200.00"
    assert rows["its processor"] == "20.00 ms/request"
    assert rows["memory"] == "+50.0%" and flat([2e8, 2.01e8]) == "flat"
    for change in ({"lost": 1}, {"mixed": 1}):
        assert not Outcome(statuses=outcome.statuses, **change).is_flawless
    outcome.statuses[500] = 1
    assert not outcome.is_flawless


def test_it_is_told_how_far_it_is_and_that_slow_senders_take_longer(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress("batching", 2) as progress:
        progress.say("starting a server")
        progress(1)
        progress(0)
    lines = capsys.readouterr().err.split("\r\x1b[K")
    assert lines[1:] == [
        "batching: starting a server", "batching: 1 of 2 requests",
        "batching: all are sent, the slow senders among them are still at it", "",
    ]  # fmt: skip


def test_hostile_requests_of_both_servers_are_said_to_be_together(capsys):
    one = Outcome(seconds=1.0, latencies=[0.1], statuses=Counter({200: 1}), hostile={"no JSON": Counter({400: 2})})
    show({"batching": one, "--max-batch 1": one}, 3, 1, 0.5, 0)
    printed = capsys.readouterr().out
    assert "The hostile requests of all 2 measurements together:" in printed
    assert re.search(r"no JSON +│ +4 │ +400", printed)
    show({"http://127.0.0.1:1": one}, 3, 1, 0.5, 0)
    assert "together" not in capsys.readouterr().out
