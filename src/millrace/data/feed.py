"""An input region that runs: threads that make batches ahead of the step that takes them."""

from __future__ import annotations

import threading
import time

from millrace.data.queue import BoundedQueue, Ended, Levels
from millrace.data.rows import Batched, Batches, retold


class Feed:
    """Batches in their order, from batch `step` of `epoch` on to the end of epoch `epochs` - 1.

    region: what messages call it. capacity: batches made ahead, at most. workers: threads that make them; with 0 each
    batch is made when it is taken. Neither changes what a batch holds, nor their order.
    """

    def __init__(
        self, batches: Batches, region: str, capacity: int, workers: int, epoch: int = 0, step: int = 0,
        epochs: int = 1,
    ):  # fmt: skip
        self.batches, self.region = batches, region
        self.first = epoch * batches.count + step
        self.queue = BoundedQueue(capacity, max(epochs * batches.count - self.first, 0))
        self.threads = [
            threading.Thread(target=self._work, name=f"{region} {n}", daemon=True) for n in range(workers)
        ]  # fmt: skip
        try:
            for thread in self.threads:
                thread.start()
        except BaseException:  # there are no more threads
            self.cancel()
            raise

    @property
    def levels(self) -> Levels:
        return self.queue.levels

    def take(self) -> Batched:
        """The next batch.

        Raises Ended after the last one, and the error that stopped the region, with its name, in place of the batch
        that could not be made.
        """
        if not self.threads:
            started = time.perf_counter()
            self._make(self.queue.reserve())
            self.levels.waited += time.perf_counter() - started
        return self.queue.take()

    def cancel(self) -> None:
        """Stop the threads, whatever they do, and wait until they have."""
        self.queue.cancel()
        for thread in self.threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()

    def _work(self) -> None:
        try:
            while True:
                self._make(self.queue.reserve())
        except Ended:
            return

    def _make(self, number: int) -> None:
        epoch, step = divmod(self.first + number, self.batches.count)
        try:
            self.queue.put(number, self.batches.make(epoch, step))
        except BaseException as error:
            where = f"the region {self.region!r} failed at batch {step + 1} of epoch {epoch + 1}"
            self.queue.fail(number, failure(error, where))


def failure(error: BaseException, where: str) -> BaseException:
    """An error that says where it happened; what stops the process as a whole stays as it is."""
    if not isinstance(error, Exception):
        return error
    made = retold(error, where)
    made.__cause__ = error
    return made
