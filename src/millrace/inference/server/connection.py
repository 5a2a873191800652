"""A connection to the server: HTTP/1.1 by uvicorn, with limits on time and size that uvicorn does not have.

uvicorn waits for ever for the headers of a request, reads for ever what remains of a request that was answered already,
and waits for ever for a client that does not fetch its answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from millrace.inference.server.limits import HEADERS

if TYPE_CHECKING:
    from millrace.inference.server.app import Service

SLOW = "the first line and headers of the request took longer than {:g} s to arrive."


def connection_class(service: Service) -> type[H11Protocol]:
    """The class of a server's connections."""

    class Connection(Guarded):
        guarded = service

    return Connection


class Guarded(H11Protocol):
    """Closes a connection whose client takes longer than the time limit to send headers or to fetch its answer.

    What a client still sends of a request that was refused is read and thrown away, up to twice what a request may
    have: closing at once would destroy the answer on its way to the client.
    """

    guarded: Service
    drained = 0
    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.guarded.limits.connections:
            self.refuse(503, "connections", "too many connections: try again later.")
        else:
            self.watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self.unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.in_request:
            self.unwatch()
            return
        if self.conn.their_state is h11.SEND_BODY:  # answered already
            self.drained += len(data)
            if self.drained > 2 * self.guarded.limits.max_bytes:
                self.transport.abort()
        else:
            self.drained = 0
        if self.deadline is None:
            self.watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        unread = not self.in_request and self.conn.their_state is h11.SEND_BODY
        if self.deadline is None and (unread or self.transport.get_write_buffer_size()):
            self.watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unwatch()

    @property
    def in_request(self) -> bool:
        """Whether a request is being answered; its body has time limits of its own."""
        return self.cycle is not None and not self.cycle.response_complete

    def watch(self) -> None:
        self.unwatch()
        self.deadline = self.loop.call_later(self.guarded.limits.timeout, self.too_slow)

    def unwatch(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def too_slow(self) -> None:
        self.deadline = None
        begun = bool(self.conn.trailing_data[0])
        if self.in_request or self.transport.get_write_buffer_size():
            self.transport.abort()  # `close` would wait until the client takes what is written
        elif not begun or self.conn.our_state is not h11.IDLE:
            self.transport.close()
        else:
            self.refuse(408, "slow", SLOW.format(self.guarded.limits.timeout))

    def shutdown(self) -> None:
        """For a graceful stop: a connection on which a request has begun to arrive stays, to answer it with 503."""
        if self.in_request or not self.conn.trailing_data[0]:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, or has too many headers."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        if status == 431:
            return self.refuse(431, "too_large", f"a request has at most {HEADERS:,} bytes of headers.")
        self.refuse(status if status in (400, 501) else 400, "malformed", f"this is no HTTP/1.1 request ({error}).")

    def refuse(self, status: int, reason: str, message: str) -> None:
        """Answer before there is a request, and close."""
        self.unwatch()
        metrics = self.guarded.metrics
        metrics.requests.labels("none", str(status)).inc()
        metrics.rejected.labels(reason).inc()
        if self.in_request:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": message}).encode()
            headers: list[tuple[Any, Any]] = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
            if status == 503:
                headers.append((b"retry-after", b"1"))
            response = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
