"""A service on a socket: from the first connection to a graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from millrace.inference.server.app import READY, Service
from millrace.inference.server.connection import connection_class
from millrace.inference.server.limits import HEADERS
from millrace.ir.errors import ArgumentError

KEEP_ALIVE = 30  # seconds that a connection without a request stays open
SIGNALS = (signal.SIGINT, signal.SIGTERM)
AT_ONCE = 130  # exit code of a second Ctrl-C


def listening(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0 is any that is free.  Raises ArgumentError where it cannot be had."""
    if not 0 <= port <= 65535:
        raise ArgumentError(f"--port must be from 0 to 65535, got {port}.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no name"
        raise ArgumentError(f"--host {host!r} is no address of this machine ({why}).") from None
    family, kind, protocol, _, address = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(128)
    except OSError as error:
        made.close()
        raise ArgumentError(
            f"port {port} of {host} cannot be had ({error.strerror}): give another --port, or 0 for any that is free."
        ) from None
    return made


def address_of(bound: socket.socket) -> str:
    """Where a listening socket is reached from this machine."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def run(service: Service, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, then let the requests under way end.

    While programs are compiled the server is there, and not ready; on_ready is called when it is. A second signal ends
    the process at once. Raises what the model raises at its first batches.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what goes wrong is logged by the service
    asyncio.run(_serve(Graceful(config_of(service), service), service, bound, on_ready))


def config_of(service: Service) -> uvicorn.Config:
    """A service's own protocol and limits, for uvicorn."""
    return uvicorn.Config(
        service.app, http=connection_class(service), ws="none", lifespan="off", loop="asyncio", log_config=None,
        access_log=False, proxy_headers=False, server_header=False, timeout_keep_alive=KEEP_ALIVE,
        h11_max_incomplete_event_size=HEADERS, timeout_graceful_shutdown=math.ceil(service.limits.timeout) + 1,
    )  # fmt: skip


async def _serve(server: Graceful, service: Service, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    async def warm() -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(service.batcher.worker, service.warm)
        except BaseException:
            server.should_exit = True
            raise
        if not server.should_exit:
            # what is here now stays: looking through all of it for garbage would stop every request for 60 ms and more
            gc.collect()
            gc.freeze()
            service.state = READY
            on_ready()

    warming = asyncio.create_task(warm())
    try:
        await server.serve(sockets=[bound])
    finally:
        service.close()
        if not warming.done():
            warming.cancel()
    if warming.done() and not warming.cancelled():
        warming.result()


class Graceful(uvicorn.Server):
    """uvicorn's server, which ends with exit code 0 when it is asked to, and at once when it is asked twice."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which would raise the signal again at the end and so end the process by it."""
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            print("millrace: ended at once.", file=sys.stderr, flush=True)
            os._exit(AT_ONCE)
        self.service.stop()
        self.should_exit = True
