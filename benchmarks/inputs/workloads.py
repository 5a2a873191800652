"""What is read: arrays in memory, folders of JPEG files, packed records; and how it is laid out for all contenders."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import split

MEMORY, FOLDER, PACKED = "memory", "folder", "packed"
REPEATS = 4  # copies of each picture of a small folder, so that an epoch has several batches


@dataclass(frozen=True)
class InputWorkload:
    """One epoch of a data set, shuffled, in batches of uint8 images with labels on the host.

    kind: MEMORY, FOLDER or PACKED. data: where it lies below MILLRACE_DATA. size: of the images, [size, size, 3]; 0
    where they are taken as they are. flat: a folder without classes, which is made one with a class a picture.
    """

    name: str
    kind: str
    data: str
    batch: int
    size: int = 0
    flat: bool = False

    @property
    def about(self) -> str:
        if self.kind == MEMORY:
            return f"{self.data}, training images in memory, shuffled, batch {self.batch}, uint8 and labels"
        if self.kind == PACKED:
            return f"{self.data}, packed at {self.size} pixels, shuffled, batch {self.batch}, uint8 and labels"
        repeated = f", each {REPEATS} times" if self.flat else ""
        return (
            f"{self.data}{repeated}, JPEG files decoded, shorter side to {self.size}, centre crop, shuffled, batch "
            f"{self.batch}, uint8 and labels"
        )


EVERY = [
    InputWorkload("memory", MEMORY, "fashion_mnist", 128),
    InputWorkload("originals256", FOLDER, "imagenet_samples", 64, 256, flat=True),
    InputWorkload("imagenette256", FOLDER, "imagenette/train", 64, 256),
    InputWorkload("imagenette224", FOLDER, "imagenette/train", 64, 224),
    InputWorkload("packed256", PACKED, "imagenet_samples", 64, 256, flat=True),
]
WORKLOADS = {workload.name: workload for workload in EVERY}


@dataclass(frozen=True)
class Task:
    """What a contender is asked to do.  root: the data set's folder. options: those of its roster entry."""

    workload: InputWorkload
    root: Path
    options: dict[str, Any]

    def option(self, name: str, default: Any = None) -> Any:
        return self.options.get(name, default)


def wanted(patterns: str | None) -> list[InputWorkload]:
    """The workloads that patterns mean, in the order of the list.  Raises ValueError for a pattern that means none."""
    names: set[str] = set()
    for pattern in split(patterns or "*"):
        found = {one.name for one in EVERY if fnmatchcase(one.name, pattern)}
        if not found:
            raise ValueError(f"no workload is called {pattern!r}. There are: {', '.join(WORKLOADS)}.")
        names |= found
    return [one for one in EVERY if one.name in names]


def idx(path: Path) -> np.ndarray:
    """An array of an idx file, packed with gzip or not."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:  # type: ignore[operator]
        content = file.read()
    shape = np.frombuffer(content, ">u4", content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape).copy()


def arrays(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training images [images, height, width, 1] uint8 and labels [images] int32 of a data set in idx files."""
    images, labels = (sorted(root.glob(f"train-{what}-idx*"))[0] for what in ("images", "labels"))
    return idx(images)[..., None], idx(labels).astype(np.int32)


def files(root: Path) -> tuple[list[str], list[int]]:
    """The pictures of a folder with one folder a class, by name, and the number of each one's class."""
    paths, labels = [], []
    for label, inner in enumerate(sorted(one for one in root.iterdir() if one.is_dir())):
        found = sorted(str(one) for one in inner.iterdir())
        paths += found
        labels += [label] * len(found)
    return paths, labels


def by_class(flat: Path, into: Path) -> Path:
    """Links to the pictures of a folder without classes: a folder for each, which holds it `REPEATS` times."""
    for picture in sorted(flat.iterdir()):
        if picture.suffix.lower() in (".jpeg", ".jpg"):
            inner = into / picture.stem
            inner.mkdir(parents=True)
            for n in range(REPEATS):
                os.symlink(picture.resolve(), inner / f"{n}{picture.suffix}")
    return into
