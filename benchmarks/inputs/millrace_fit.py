"""Millrace's input as `model.fit` has it: the region before the training step, with its queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import millrace as mr
from benchmarks.inputs.workloads import FOLDER, MEMORY, Task, arrays

CLASSES = 1000


class Region:
    """The training input of the program that `fit` runs, without the steps."""

    def __init__(self, task: Task):
        batch, size = task.workload.batch, task.workload.size
        given: tuple[Any, ...] = arrays(task.root) if task.workload.kind == MEMORY else (source(task),)
        shape = given[0].shape[1:] if task.workload.kind == MEMORY else (size, size, 3)
        model = mr.Sequential(
            [mr.layers.Input(shape, dtype="uint8"), mr.layers.GlobalAveragePooling2D(), mr.layers.Dense(CLASSES)]
        )
        model.compile("sgd", mr.losses.SparseCategoricalCrossentropy(from_logits=True))
        workers = task.option("workers")
        self.shuffled, self.ordinary = (
            model.program(*given, batch_size=batch, shuffle=shuffle, seed=0, workers=workers).training
            for shuffle in (True, False)
        )
        self.epoch = 0

    def run(self, epochs: int) -> int:
        """Take whole epochs, and give how many images they had."""
        feed = self.shuffled.start(self.epoch, 0, self.epoch + epochs)
        self.epoch += epochs
        taken = 0
        for _ in range(epochs * self.shuffled.batches.count):
            batch = feed.take()
            taken += batch.count - len(batch.broken)
        feed.cancel()
        return taken

    def ordered(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches in the order of the data: images and labels."""
        feed = self.ordinary.start()
        for _ in range(self.ordinary.batches.count):
            batch = feed.take()
            yield tuple(np.asarray(array)[: batch.count] for array in batch.arrays[:2])  # type: ignore[misc]


def source(task: Task) -> Any:
    return mr.data.ImageFolder(task.root) if task.workload.kind == FOLDER else mr.data.Packed(task.root)


def build(task: Task) -> Region:
    return Region(task)
