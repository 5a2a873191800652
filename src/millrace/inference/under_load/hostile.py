"""Requests that no server should have to get, each with the statuses that are right for it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from millrace.inference.under_load.client import Connection, read_answer, request
from millrace.inference.under_load.probe import Probe

NONE = 0  # in place of a status: no answer, since the client has gone
DROP = 1.0  # seconds between the bytes of a slow sender
CHUNK = 65_536


@dataclass(frozen=True)
class Hostile:
    """What is sent, and which statuses are right."""

    name: str
    right: tuple[int, ...]
    send: Callable[[Connection, Probe, Random], Awaitable[int]]


async def whole(connection: Connection, content: bytes) -> int:
    return (await connection.ask(content)).status


async def malformed(connection: Connection, probe: Probe, rng: Random) -> int:
    """JSON with a piece missing, or lists in lists without end."""
    text = ("{" + probe.text).encode()
    cut = rng.randrange(1, len(text) - 1)
    body = rng.choice(
        [text[:cut], b"[" * 20_000, b'{"inputs": NaN}', b'{"inputs": [], "inputs": []}', b"\xff\xfe{}", b"null"]
    )
    return await whole(connection, request("POST", probe.target.path, body))


async def wrong_name(connection: Connection, probe: Probe, rng: Random) -> int:
    name = json.dumps(probe.target.inputs[0]["name"])
    return await whole(
        connection, request("POST", probe.target.path, ("{" + probe.text.replace(name, '"no"', 1)).encode())
    )


async def wrong_shape(connection: Connection, probe: Probe, rng: Random) -> int:
    told = json.loads("{" + probe.text)
    told["inputs"][0]["shape"] = rng.choice([[1], [2**62, 2**62], [-1], [], "1", [0, *told["inputs"][0]["shape"][1:]]])
    return await whole(connection, request("POST", probe.target.path, json.dumps(told).encode()))


async def wrong_data(connection: Connection, probe: Probe, rng: Random) -> int:
    told = json.loads("{" + probe.text)
    data = told["inputs"][0]["data"]
    data[rng.randrange(len(data))] = rng.choice([None, "1", [1], {}, 10**400])
    return await whole(connection, request("POST", probe.target.path, json.dumps(told).encode()))


async def unknown_model(connection: Connection, probe: Probe, rng: Random) -> int:
    return await whole(connection, request("POST", "/v2/models/no/infer", ("{" + probe.text).encode()))


async def wrong_method(connection: Connection, probe: Probe, rng: Random) -> int:
    return await whole(connection, request(rng.choice(["GET", "DELETE", "PUT"]), probe.target.path))


async def truncated(connection: Connection, probe: Probe, rng: Random) -> int:
    """A body that ends in the middle, with the connection."""
    content = probe.request("cut")
    _, writer = await connection.open()
    writer.write(content[: len(content) - rng.randrange(1, len(probe.text))])
    await writer.drain()
    connection.close()
    return NONE


async def oversized(connection: Connection, probe: Probe, rng: Random) -> int:
    """A body that says to be a terabyte."""
    head = request(
        "POST", probe.target.path, headers=[("Content-Length", str(10**12)), ("Content-Type", "application/json")]
    )
    status = await whole(connection, head)
    connection.close()
    return status


async def endless(connection: Connection, probe: Probe, rng: Random) -> int:
    """A body in chunks, without a length and without an end."""
    reader, writer = await connection.open()
    writer.write(request("POST", probe.target.path, headers=[("Transfer-Encoding", "chunked")]))
    piece = f"{CHUNK:x}\r\n".encode() + b" " * CHUNK + b"\r\n"
    answer = asyncio.ensure_future(read_answer(reader))
    try:
        while not answer.done():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
    except OSError:
        pass
    try:
        return (await answer).status
    finally:
        connection.close()


async def large_picture(connection: Connection, probe: Probe, rng: Random) -> int:
    """A picture whose header says 60,000 by 60,000 pixels."""
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    piece = (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + piece + b"\0" * 64).decode()
    entry = {"name": probe.target.inputs[0]["name"], "shape": [1], "datatype": "BYTES", "data": [data]}
    return await whole(connection, request("POST", probe.target.path, json.dumps({"inputs": [entry]}).encode()))


async def slow(connection: Connection, probe: Probe, rng: Random) -> int:
    """A byte a second, of the headers or of the body."""
    content = probe.request("slow")
    begun = content.index(b"\r\n\r\n") + 4 if rng.random() < 0.5 else 20
    reader, writer = await connection.open()
    writer.write(content[:begun])
    answer = asyncio.ensure_future(read_answer(reader))
    with contextlib.suppress(OSError):
        for place in range(begun, len(content) - 1):
            writer.write(content[place : place + 1])
            await writer.drain()
            if (await asyncio.wait([answer], timeout=DROP))[0]:
                break
    try:
        return (await answer).status
    finally:
        connection.close()


async def garbage(connection: Connection, probe: Probe, rng: Random) -> int:
    """Bytes that are no HTTP."""
    status = await whole(connection, b"\x16\x03\x01 " + rng.randbytes(40).replace(b"\n", b"") + b"\r\n\r\n")
    connection.close()
    return status


async def flood(connection: Connection, probe: Probe, rng: Random) -> int:
    """More headers than any client has."""
    headers = [(f"X-{n}", "x" * 60) for n in range(1000)]
    status = await whole(connection, request("GET", "/v2", headers=headers))
    connection.close()
    return status


KINDS = (
    Hostile("malformed JSON", (400,), malformed),
    Hostile("wrong input name", (400,), wrong_name),
    Hostile("wrong shape", (400,), wrong_shape),
    Hostile("wrong data", (400,), wrong_data),
    Hostile("unknown model", (404,), unknown_model),
    Hostile("wrong method", (405,), wrong_method),
    Hostile("body cut off", (NONE,), truncated),
    Hostile("a terabyte", (413,), oversized),
    Hostile("endless body", (413, NONE), endless),
    Hostile("slow sender", (408,), slow),
    Hostile("no HTTP", (400,), garbage),
    Hostile("header flood", (431,), flood),
)
PICTURE = Hostile("huge picture", (413,), large_picture)
RARE = {"endless body": 0.1, "slow sender": 0.5}  # how often in place of once: they take the client long


def kinds_for(probe: Probe) -> tuple[Hostile, ...]:
    """The kinds that fit a model."""
    return (*KINDS, PICTURE) if probe.target.takes_pictures else KINDS


def plan(count: int, share: float, kinds: tuple[Hostile, ...], seed: int) -> list[Hostile | None]:
    """Which of so many requests are hostile, and how; None for a good one."""
    rng = Random(seed)
    made: list[Hostile | None] = [None] * count
    for place in rng.sample(range(count), round(share * count)):
        (made[place],) = rng.choices(kinds, [RARE.get(kind.name, 1.0) for kind in kinds])
    return made
