"""Grain by itself: a MapDataset, read by threads or by processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import grain
import numpy as np
from absl import flags

from benchmarks.inputs.pixels import picture
from benchmarks.inputs.serve import descendants
from benchmarks.inputs.workloads import MEMORY, Task, arrays, files


class Examples:
    """Arrays as Grain's source: an example by its number."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        return self.x[n], self.y[n]


class Batches:
    """Whole batches by number, in an order drawn once."""

    def __init__(self, x: np.ndarray, y: np.ndarray, batch: int):
        self.x, self.y, self.batch = x, y, batch
        self.order = np.random.permutation(len(x))

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch)

    def __getitem__(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[n * self.batch : (n + 1) * self.batch]
        return self.x.take(rows, axis=0), self.y.take(rows)


class Decode:
    """A file's pixels and its label; a class, since worker processes get it by pickle."""

    def __init__(self, size: int):
        self.size = size

    def __call__(self, record: tuple[str, int]) -> tuple[np.ndarray, np.int32]:
        return picture(record[0], self.size), np.int32(record[1])


class Reader:
    """mode for arrays: "items" one by one, "gather" by batches of shuffled numbers, or "permutation"."""

    def __init__(self, task: Task):
        self.task, self.batch = task, task.workload.batch
        if task.workload.kind == MEMORY:
            self.x, self.y = arrays(task.root)
        else:
            self.records = list(zip(*files(task.root), strict=True))
        self.going: Any = None

    def dataset(self, shuffle: bool) -> Any:
        """Batches of one epoch, and of those after it, each in an order of its own."""
        mode = self.task.option("mode", "items")
        if self.task.workload.kind == MEMORY and mode == "permutation" and shuffle:
            return grain.MapDataset.source(Batches(self.x, self.y, self.batch))
        if self.task.workload.kind != MEMORY:
            made: Any = grain.MapDataset.source(self.records)
        elif mode == "gather" and shuffle:
            made = grain.MapDataset.range(len(self.x))
        else:
            made = grain.MapDataset.source(Examples(self.x, self.y))
        made = made.seed(0).shuffle() if shuffle else made
        if self.task.workload.kind != MEMORY:
            made = made.map(Decode(self.task.workload.size))
        made = made.batch(self.batch)
        if mode == "gather" and shuffle:
            made = made.map(lambda rows: (self.x.take(rows, axis=0), self.y.take(rows)))
        return made

    def reader(self, dataset: Any) -> Any:
        threads, processes = self.task.option("threads", 0), self.task.option("processes", 0)
        made = dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads))
        return made.mp_prefetch(grain.MultiprocessingOptions(num_workers=processes)) if processes else made

    def run(self, epochs: int) -> int:
        """Take whole epochs, and give how many images they had.

        Processes take seconds to start, so they go on from turn to turn, but rest between two: what they have ready at
        the end of one turn they have at the beginning of the next.
        """
        if not self.task.option("processes"):
            return sum(len(images) for _ in range(epochs) for images, _ in self.reader(self.dataset(shuffle=True)))
        signal_all(signal.SIGCONT)
        self.going = self.going or iter(self.reader(self.dataset(shuffle=True).repeat()))
        taken = sum(len(next(self.going)[0]) for _ in range(epochs * len(self.dataset(shuffle=True))))
        signal_all(signal.SIGSTOP)
        return taken

    def ordered(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches in the order of the data: images and labels."""
        yield from self.reader(self.dataset(shuffle=False))


def signal_all(number: signal.Signals) -> None:
    for pid in descendants(os.getpid()):
        os.kill(pid, number)


def build(task: Task) -> Reader:
    flags.FLAGS([""])  # Grain's processes read theirs
    return Reader(task)
