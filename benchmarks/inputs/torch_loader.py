"""PyTorch's DataLoader: with its defaults, and as who knows it well would write it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler, TensorDataset

from benchmarks.inputs.pixels import middle, opened, picture, scaled_sides
from benchmarks.inputs.workloads import MEMORY, Task, arrays, files


class Rows(Dataset[Any]):
    """Tensors whose rows are taken a batch at a time: through `__getitems__`, or with batches of numbers as index."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor):
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, torch.Tensor):  # a good deal faster than x[rows]
            return self.x.index_select(0, rows), self.y.index_select(0, rows)
        return self.x[rows], self.y[rows]

    __getitems__ = __getitem__


class Permutation:
    """A sampler of batches that keeps the numbers a tensor."""

    def __init__(self, count: int, batch: int):
        self.count, self.batch = count, batch

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(torch.randperm(self.count).split(self.batch))

    def __len__(self) -> int:
        return -(-self.count // self.batch)


class Pictures(Dataset[Any]):
    """torchvision's ImageFolder with Resize and CenterCrop, [size, size, 3] uint8.

    resize: "pillow" on the picture (transforms v1, or v2 on pictures), "tensor" on uint8 tensors (v2).
    """

    def __init__(self, task: Task):
        self.paths, self.labels = files(task.root)
        self.size, self.resize = task.workload.size, task.option("resize", "pillow")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, n: int) -> tuple[torch.Tensor, int]:
        if self.resize == "pillow":
            return torch.from_numpy(picture(self.paths[n], self.size)), self.labels[n]
        image = torch.from_numpy(np.array(opened(self.paths[n]))).permute(2, 0, 1)
        width, height = scaled_sides(image.shape[2], image.shape[1], self.size)
        if (height, width) != image.shape[1:]:
            image = torch.nn.functional.interpolate(
                image[None], (height, width), mode="bilinear", align_corners=False, antialias=True
            )[0]
        left, top = middle(width, height, self.size)
        return image[:, top : top + self.size, left : left + self.size].permute(1, 2, 0), self.labels[n]


def as_it_is(batch: Any) -> Any:
    return batch


def loader(task: Task, shuffle: bool) -> DataLoader[Any]:
    """The DataLoader of a contender; mode is "default", "getitems", "sampler" or "permutation" for tensors."""
    batch, workers = task.workload.batch, task.option("workers", 0)
    common: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    if task.workload.kind != MEMORY:
        return DataLoader(Pictures(task), batch, shuffle=shuffle, **common)
    x, y = (torch.from_numpy(array) for array in arrays(task.root))
    mode, rows = task.option("mode", "default"), Rows(x, y)
    if mode == "default":
        return DataLoader(TensorDataset(x, y), batch, shuffle=shuffle, **common)
    if mode == "getitems":
        return DataLoader(rows, batch, shuffle=shuffle, collate_fn=as_it_is, **common)
    numbers = RandomSampler(rows) if shuffle else SequentialSampler(rows)
    if mode == "sampler" or not shuffle:
        return DataLoader(rows, batch_size=None, sampler=BatchSampler(numbers, batch, False), **common)
    return DataLoader(rows, batch_size=None, sampler=Permutation(len(x), batch), **common)


class Loader:
    def __init__(self, task: Task):
        self.task, self.shuffled = task, loader(task, shuffle=True)

    def run(self, epochs: int) -> int:
        """Take whole epochs, and give how many images they had."""
        return sum(len(images) for _ in range(epochs) for images, _ in self.shuffled)

    def ordered(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches in the order of the data: images and labels."""
        for images, labels in loader(self.task, shuffle=False):
            yield images.numpy(), labels.numpy()


class ByHand(Loader):
    """No DataLoader at all: a permutation, and one call for each tensor and batch."""

    def __init__(self, task: Task):
        super().__init__(task)
        self.x, self.y = (torch.from_numpy(array) for array in arrays(task.root))

    def run(self, epochs: int) -> int:
        taken = 0
        for _ in range(epochs):
            for rows in torch.randperm(len(self.x)).split(self.task.workload.batch):
                images, _ = self.x.index_select(0, rows), self.y.index_select(0, rows)
                taken += len(images)
        return taken


def build(task: Task) -> Loader:
    return ByHand(task) if task.option("mode") == "hand" else Loader(task)
