"""Work on several threads whose results come in order, so that nothing depends on how many threads there are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from millrace.data.queue import BoundedQueue, Ended
from millrace.ir.errors import ArgumentError

T = TypeVar("T")
AHEAD = 4  # results for each thread that may wait to be taken


def in_order(make: Callable[[int], T], count: int, workers: int | None = None) -> Iterator[T]:
    """make(0), make(1), ... make(count - 1), made on threads, given in this order.

    workers: threads; None for one on each processor. An error of `make` is raised in the place of its result, and
    then, or when whoever takes the results leaves, the threads end.
    """
    threads_wanted = checked_workers(workers)
    queue = BoundedQueue(AHEAD * threads_wanted, count)

    def work() -> None:
        while True:
            try:
                number = queue.reserve()
            except Ended:
                return
            try:
                queue.put(number, make(number))
            except BaseException as error:
                queue.fail(number, error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(threads_wanted, count))]
    for thread in threads:
        thread.start()
    try:
        for _ in range(count):
            yield queue.take()
    finally:
        queue.cancel()
        for thread in threads:
            thread.join()


def checked_workers(workers: int | None) -> int:
    """How many threads to use.  Raises ArgumentError for fewer than one."""
    if workers is None:
        return cores()
    if workers < 1:
        raise ArgumentError(f"workers must be at least 1, got {workers}.")
    return workers


def cores() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
