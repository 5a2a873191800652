"""An HTTP/1.1 client on asyncio streams, small enough to load a server from one core."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from millrace.ir.errors import ArgumentError

PATIENCE = 60.0  # seconds after which an answer counts as lost


@dataclass(frozen=True)
class Address:
    """Where a server is."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Address:
        """Raises ArgumentError for what is no http address."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or 80
        except ValueError:
            host, port = None, 0
        if not host or parts.scheme != "http":
            raise ArgumentError(f"{text!r} is no address of a server: give one such as http://127.0.0.1:8000.")
        return cls(host, port)

    def __str__(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    closes: bool

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A connection that is kept; opened at its first request, and again where the server has closed it."""

    def __init__(self, address: Address):
        self.address = address
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.address.host, self.address.port)
        return self.streams

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None

    async def ask(self, request: bytes) -> Answer:
        """Send a whole request and read its answer.  Raises OSError, EOFError or TimeoutError where there is none."""
        reader, writer = await self.open()
        try:
            writer.write(request)
            async with asyncio.timeout(PATIENCE):
                answer = await read_answer(reader)
        except BaseException:
            self.close()
            raise
        if answer.closes:
            self.close()
        return answer


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Raises EOFError where the connection ends before the answer does, OSError for what is no HTTP."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status, length = int(first.split(" ")[1]), int(fields.get("content-length", "0"))
    except (ValueError, IndexError, asyncio.LimitOverrunError):
        raise OSError("what it says is no HTTP") from None
    body = await reader.readexactly(length)
    closes = fields.get("connection", "").lower() == "close" or "content-length" not in fields
    return Answer(status, body, closes)


def request(method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A whole request, as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: millrace"]
    if body:
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
