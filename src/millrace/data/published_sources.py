"""Files as MNIST, CIFAR and their relatives are published, as sources of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from millrace.data.cifar import CLASSES, COARSE_CLASSES, FINE_CLASSES, is_cifar100, read_cifar, read_cifar100
from millrace.data.idx import read_idx
from millrace.data.memory import ArraySource
from millrace.ir.errors import ArgumentError, FileError


def idx_source(
    images_path: str | Path, labels_path: str | Path | None = None, classes: Sequence[str] = (),
    name: str | None = None,
) -> ArraySource:  # fmt: skip
    """Pictures of an idx file in memory, in the dtype of the file: [height, width, 1], and the label of each, int32[].

    images_path: an array [pictures, height, width] (it gets a channel axis), or of any other rank. labels_path: whole
    numbers [pictures], or None. classes: what the labels are called; () for the numbers themselves.

    Raises FileError for a file that is missing, damaged or holds no labels, DataError for unequal lengths.
    Source: LeCun, Cortes and Burges, The MNIST database, "File formats".
    """
    images = read_idx(Path(images_path))
    x = images[..., None] if images.ndim == 3 else images
    name = name or Path(images_path).name
    if labels_path is None:
        return ArraySource(x, None, name)
    labels = read_idx(Path(labels_path))
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FileError(
            f"{labels_path} holds {labels.dtype} {list(labels.shape)}, expected whole numbers [pictures]: is it the "
            "file of labels?"
        )
    named = tuple(classes) or tuple(map(str, range(int(labels.max()) + 1 if labels.size else 0)))
    return ArraySource(x, labels.astype(np.int32), name, named)


def cifar_source(
    paths: str | Path | Sequence[str | Path], fine: bool = True, name: str | None = None
) -> ArraySource:  # fmt: skip
    """Pictures of CIFAR-10 or CIFAR-100 in memory, uint8 [32, 32, 3], and the label of each, int32[].

    paths: one file of the binary version or several, all of one kind, which their lengths tell. fine: of CIFAR-100,
    the 100 classes rather than the 20.

    Raises FileError for a file that is missing, damaged or of another kind than the first.
    Source: Krizhevsky, CIFAR-10 and CIFAR-100, binary versions.
    """
    files = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
    if not files:
        raise ArgumentError("the list of files is empty: give those of CIFAR-10 or CIFAR-100.")
    kinds = [is_cifar100(file) for file in files]
    if len(set(kinds)) > 1:
        other = files[kinds.index(not kinds[0])]
        raise FileError(
            f"{files[0]} is of CIFAR-{100 if kinds[0] else 10}, but {other} is not: give files of one kind."
        )
    classes: Sequence[str]
    if kinds[0]:
        parts = [(x, small if fine else large) for x, large, small in map(read_cifar100, files)]
        classes = FINE_CLASSES if fine else COARSE_CLASSES
    else:
        parts, classes = [read_cifar(file) for file in files], CLASSES
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return ArraySource(x, y.astype(np.int32), name or f"CIFAR-{100 if kinds[0] else 10}", classes)
