"""Data sets by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.data.arrays import epoch_order
from millrace.data.cifar import CLASSES, read_cifar
from millrace.data.folder import files, published
from millrace.data.idx import read_idx
from millrace.ir.errors import FileError

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """Examples for training and for validation, and what the classes are called.

    x: an array, or a list of them for a network with several inputs. vocabulary: the words behind the
    numbers of x, where x is text.
    """

    name: str
    x_train: Any
    y_train: np.ndarray
    x_validation: Any
    y_validation: np.ndarray
    classes: tuple[str, ...]
    source: str
    vocabulary: tuple[str, ...] = ()


def digits(seed: int = 0) -> Dataset:
    """1,797 handwritten digits, 8x8 pixels from 0 to 1, every fifth (of an order by seed) held out.

    x [examples, 8, 8, 1] float32, y [examples] int32.
    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as it comes with
    scikit-learn.
    """
    from sklearn.datasets import load_digits  # takes most of a second: only who trains on it pays

    raw = load_digits()
    x = (raw.images[..., None] / 16).astype(np.float32)
    y = raw.target.astype(np.int32)
    order = epoch_order(len(x), seed, 0)
    held, kept = order[: len(x) // 5], order[len(x) // 5 :]
    return Dataset(
        "digits", x[kept], y[kept], x[held], y[held], tuple("0123456789"),
        "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, UCI 1998), from scikit-learn",
    )  # fmt: skip


def mnist() -> Dataset:
    """70,000 handwritten digits, 28x28 pixels from 0 (paper) to 1 (ink); the published 10,000 held out.

    x [examples, 28, 28, 1] float32, y [examples] int32.
    Raises FileError where MILLRACE_DATA lacks it (it says what to put where), or for a damaged file.
    Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits.
    """
    return _idx_pictures("mnist", tuple("0123456789"))


def fashion_mnist() -> Dataset:
    """70,000 pictures of clothes, 28x28 pixels from 0 (ground) to 1; the published 10,000 held out.

    x [examples, 28, 28, 1] float32, y [examples] int32.
    Raises FileError where MILLRACE_DATA lacks it (it says what to put where), or for a damaged file.
    Source: Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017.
    """
    return _idx_pictures("fashion_mnist", FASHION_CLASSES)


def cifar10() -> Dataset:
    """60,000 photographs of ten kinds of things, 32x32 pixels, red, green and blue from 0 to 1; 10,000 held out.

    x [examples, 32, 32, 3] float32, y [examples] int32.
    Raises FileError where MILLRACE_DATA lacks it (it says what to put where), or for a damaged file.
    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    parts = []
    for path in files("cifar10"):
        x, y = read_cifar(path)
        if len(x) != 10_000:
            raise FileError(f"{path} holds {len(x):,} pictures, expected 10,000: copy it anew.")
        parts.append((_unit(x), y.astype(np.int32)))
    *training, (x_test, y_test) = parts
    x_train, y_train = (np.concatenate(arrays) for arrays in zip(*training, strict=True))
    return Dataset("cifar10", x_train, y_train, x_test, y_test, CLASSES, published("cifar10").source)


def _unit(x: np.ndarray) -> np.ndarray:
    """Bytes as numbers from 0 to 1."""
    return x * np.float32(1 / 255)


def _idx_pictures(name: str, classes: tuple[str, ...]) -> Dataset:
    """Training and test pictures from four idx files."""
    arrays = []
    for n, path in enumerate(files(name)):
        count, sizes = (60_000, 10_000)[n // 2], ((28, 28), ())[n % 2]
        array = read_idx(path)
        if array.dtype != np.uint8 or array.shape != (count, *sizes):
            raise FileError(
                f"{path} holds {array.dtype} {list(array.shape)}, expected uint8 {[count, *sizes]}: is it the file of "
                "that name as published?"
            )
        if not sizes and array.max() >= len(classes):
            raise FileError(f"{path} holds the label {array.max()}, expected 0 to {len(classes) - 1}.")
        arrays.append(_unit(array)[..., None] if sizes else array.astype(np.int32))
    x_train, y_train, x_test, y_test = arrays
    return Dataset(name, x_train, y_train, x_test, y_test, classes, published(name).source)
