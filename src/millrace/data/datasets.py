"""Data sets by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from millrace.data.arrays import epoch_order


@dataclass(frozen=True)
class Dataset:
    """Examples for training and for validation, and what the classes are called."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    classes: tuple[str, ...]
    source: str


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
