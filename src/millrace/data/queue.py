"""A bounded queue whose elements leave in their order, however many threads fill it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any


class Ended(Exception):
    """No element will come any more: the queue was closed and is empty, or it was cancelled."""


@dataclass
class Levels:
    """What a queue's taker saw: how full it was, and how long it waited for elements."""

    taken: int = 0
    ready: int = 0  # the sum of the elements that lay ready whenever one was taken
    empty: int = 0  # how often none did
    waited: float = 0.0  # seconds


class BoundedQueue:
    """Elements 0, 1, 2, ... from several threads, handed out in that order, at most `capacity` ahead.

    total: how many elements there will be; None where only `close` ends it.

    A thread reserves the number of the next element, makes it, and puts it; `reserve` holds it back while the queue
    is full, `take` waits for the next number. An error that is put in an element's place is raised to who takes it,
    and ends the queue. `close` says that no more elements will be reserved, `cancel` ends all at once and drops what
    is left; both may be called by anybody, more than once.
    """

    def __init__(self, capacity: int, total: int | None = None):
        self.capacity, self.total = capacity, total
        self.levels = Levels()
        self._changed = threading.Condition()
        self._reserved = self._taken = 0
        self._ready: dict[int, tuple[Any, BaseException | None]] = {}
        self._closed = self._cancelled = False

    def reserve(self) -> int:
        """The number of an element to make; waits while the queue is full.  Raises Ended where no more are wanted."""
        with self._changed:
            while not self._closing and self._reserved - self._taken >= self.capacity:
                self._changed.wait()
            if self._closing:
                raise Ended
            self._reserved += 1
            return self._reserved - 1

    def put(self, number: int, element: Any) -> None:
        """Element `number` is ready.  After cancel it is dropped."""
        self._put(number, element, None)

    def fail(self, number: int, error: BaseException) -> None:
        """Element `number` could not be made: who would take it gets the error, and no more are reserved."""
        self._put(number, None, error)
        self.close()

    def _put(self, number: int, element: Any, error: BaseException | None) -> None:
        with self._changed:
            if not self._cancelled:
                self._ready[number] = element, error
                if number == self._taken:
                    self._changed.notify_all()

    def take(self) -> Any:
        """The next element; waits for it.  Raises Ended where none will come, or the error that came in its place."""
        with self._changed:
            ready = self.ready
            started = time.perf_counter()
            while self._taken not in self._ready and not self._over:
                self._changed.wait()
            if self._taken not in self._ready:
                raise Ended
            levels = self.levels
            levels.taken, levels.ready, levels.empty = (
                levels.taken + 1,
                levels.ready + ready,
                levels.empty + (not ready),
            )
            levels.waited += time.perf_counter() - started if not ready else 0.0
            element, error = self._ready.pop(self._taken)
            self._taken += 1
            self._changed.notify_all()
        if error is not None:
            self.cancel()
            raise error
        return element

    @property
    def ready(self) -> int:
        """How many elements lie ready, one after another."""
        count = 0
        while self._taken + count in self._ready:
            count += 1
        return count

    @property
    def _closing(self) -> bool:
        return self._closed or self._cancelled or self._reserved == self.total

    @property
    def _over(self) -> bool:
        return self._cancelled or (self._closing and self._taken >= self._reserved)

    def close(self) -> None:
        """No more elements will be reserved; those that are can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """End at once: everybody who waits gets Ended, what is left is dropped."""
        with self._changed:
            self._cancelled = True
            self._ready.clear()
            self._changed.notify_all()
