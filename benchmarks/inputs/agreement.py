"""Whether contenders deliver the same: how many images, and how far their pixels are from Pillow's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs.pixels import exact_middle, picture
from benchmarks.inputs.serve import CHECKED
from benchmarks.inputs.workloads import MEMORY, InputWorkload, arrays, files

FAR = 2.0  # mean absolute difference from which on pixels are others


@dataclass(frozen=True)
class Expected:
    """What an epoch has: how many images, and the first ones with their labels, as Pillow makes them.

    images: [images, height, width, channels], once for each way to cut the middle out.
    """

    count: int
    images: tuple[np.ndarray, ...]
    labels: np.ndarray


def expected(workload: InputWorkload, root: Path) -> Expected:
    """Arrays as they are, or files decoded whole and resized by Pillow.

    The middle is cut out in two ways: as torchvision does, which rounds to whole pixels of the resized picture (half a
    pixel to either side is a mean difference of 2 in photographs), and without rounding.
    """
    if workload.kind == MEMORY:
        images, labels = arrays(root)
        return Expected(len(images), (images[:CHECKED],), labels[:CHECKED])
    paths, classes = files(root)
    made = [np.stack([cut(path, workload.size) for path in paths[:CHECKED]]) for cut in (picture, exact_middle)]
    return Expected(len(paths), tuple(made), np.array(classes[:CHECKED]))


def difference(images: np.ndarray, reference: np.ndarray) -> float:
    """Mean absolute difference of pixels 0 to 255; infinite where the shapes differ."""
    if images.shape != reference.shape or images.dtype != np.uint8:
        return float("inf")
    parts = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(images, reference, strict=True)]
    return float(np.mean(parts))


def doubts(name: str, found: Any, wanted: Expected, counts: Sequence[float], exact: bool) -> tuple[float, list[str]]:
    """The difference of a contender's pixels, and what speaks against its delivering the same as the others.

    found: its first "images" and "labels". counts: images of an epoch, in each round. exact: where nothing is decoded,
    so that any difference is a fault.
    """
    said = []
    away = min(difference(found["images"], images) for images in wanted.images)
    if (exact and away > 0) or away > FAR:
        said.append(f"{name}: pixels differ by {away:.2f} on average")
    if not np.array_equal(found["labels"], wanted.labels):
        said.append(f"{name}: other labels")
    if odd := [count for count in counts if count != wanted.count]:
        said.append(f"{name}: {odd[0]:g} images in an epoch, expected {wanted.count:,}")
    return away, said
