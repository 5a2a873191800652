"""What a server takes, at most; and how a request beyond that, or a wrong one, is refused."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from millrace.ir.errors import ArgumentError
from millrace.layers.arguments import number, whole

HELD = 16  # largest requests that may be held in memory at once
HEADERS = 16_384  # bytes of a request's headers, at most
SHOWN = 60  # characters of what a client sent that an error quotes, at most


class Refusal(Exception):
    """An answer other than 200: its status, why in a word for the metrics, and what the client is told."""

    def __init__(self, status: int, reason: str, message: str):
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def malformed(message: str) -> Refusal:
    """A request that is wrong in itself, and would be so at any time."""
    return Refusal(400, "malformed", message)


def shown(given: object) -> str:
    """What a client sent, short enough to be quoted in an error."""
    text = repr(given[:SHOWN] if isinstance(given, (str, bytes, list)) else given)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


@dataclass(frozen=True)
class Limits:
    """max_batch: examples that are computed at once. max_queue: requests that may wait. max_bytes: of a request.

    max_pixels: of a picture. timeout: seconds that a request may take to arrive, and then to be answered.

    Raises ArgumentError for one that makes no sense.
    """

    max_batch: int = 32
    max_queue: int = 256
    max_bytes: int = 16_000_000
    max_pixels: int = 25_000_000
    timeout: float = 10.0

    def __post_init__(self) -> None:
        for name in ("max_batch", "max_queue", "max_bytes", "max_pixels"):
            whole(getattr(self, name), option(name))
        number(self.timeout, option("timeout"), 0, 86_400, open_low=True)
        if self.max_batch > 4096:
            raise ArgumentError(f"--max-batch must be at most 4,096, got {self.max_batch:,}.")

    @property
    def held_bytes(self) -> int:
        """Bytes of all requests under way, their bodies and the arrays made of them, at most."""
        return HELD * self.max_bytes

    @property
    def connections(self) -> int:
        """Connections at once, at most: some for each request that may wait."""
        return 2 * self.max_queue + 64

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of examples for which there is a program: 1, 2, 4 and so on to max_batch."""
        powers = [2**n for n in range(math.ceil(math.log2(self.max_batch)))]
        return (*powers, self.max_batch)


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


class Budget:
    """Bytes that requests under way may hold together; counted by several threads."""

    def __init__(self, limit: int):
        self.limit, self.held = limit, 0
        self.lock = threading.Lock()


class Share:
    """What one request holds of a budget; given back when its `with` ends."""

    def __init__(self, budget: Budget):
        self.budget, self.held, self.over = budget, 0, False

    def take(self, size: int) -> None:
        """Raises Refusal: 413 for more than one request may ever hold, 429 for more than is free now."""
        with self.budget.lock:
            self._take(size)

    def _take(self, size: int) -> None:
        if self.over:  # a thread that still reads what nobody waits for any more
            raise Refusal(504, "late", "the time to answer was over while the request was read.")
        if self.held + size > self.budget.limit:
            raise Refusal(
                413, "too_large",
                f"the request needs {self.held + size:,} bytes of memory, the limit is {self.budget.limit:,}: send "
                "fewer examples at once.",
            )  # fmt: skip
        if self.budget.held + size > self.budget.limit:
            raise Refusal(429, "busy", "too many large requests are under way: try again later.")
        self.held += size
        self.budget.held += size

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        with self.budget.lock:
            self.budget.held -= self.held
            self.held, self.over = 0, True
