"""Examples in memory: checked once, then handed out in batches in an order that seed and epoch decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.dims import Dim, shape_text
from millrace.ir.errors import ArgumentError, DataError
from millrace.ir.types import TensorType, is_float_array
from millrace.ops.random import threefry2x32


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of 0 ... count-1: a pure function of seed and epoch, the same for ever."""
    with np.errstate(over="ignore"):
        high, low = threefry2x32(
            np.uint32(seed), np.uint32(0x5EED), np.full(count, epoch, np.uint32), np.arange(count, dtype=np.uint32)
        )
    return np.argsort(high.astype(np.uint64) << np.uint64(32) | low, kind="stable")


@dataclass(frozen=True)
class Batch:
    """Arrays of one size for each batch: a short last one is filled up, and `weights` [batch] is 0 there."""

    arrays: tuple[np.ndarray, ...]
    weights: np.ndarray
    count: int  # how many examples are real


def checked_array(array: Any, type: TensorType, name: str) -> np.ndarray:
    """Examples as an array of the input's dtype and shape.

    Raises DataError that says what is wrong and at which example.
    """
    if hasattr(array, "__next__"):
        raise DataError(f"{name} is a generator: give arrays, such as np.stack(list(...)), whose order fit decides.")
    try:
        made = np.asarray(array)
    except ValueError:
        raise DataError(f"{name}: the examples have different shapes; give each the shape of one example.") from None
    if made.dtype == object or (made.dtype.kind not in "biu" and not is_float_array(made)):
        raise DataError(f"{name} holds {made.dtype}, not numbers: convert each example to numbers first.")
    if made.ndim == 0 or len(made) == 0:
        raise DataError(f"{name} is empty: there is nothing to learn from.")
    expected = type.shape[1:]
    if made.ndim == type.ndim + 1 and made.shape[-1] == 1:
        made = made[..., 0]  # labels as a column
    fits = made.ndim == type.ndim and all(
        isinstance(want, Dim) or want == got for want, got in zip(expected, made.shape[1:], strict=True)
    )
    if not fits:
        hint = ""
        if made.shape[1:] == expected[:-1] and expected and expected[-1] == 1:
            hint = " Add the channel axis: x[..., None]."
        elif made.ndim == type.ndim - 1:
            hint = " For one example alone give x[None]."
        raise DataError(
            f"{name} has examples of shape {shape_text(made.shape[1:])}, the model takes {shape_text(expected)}.{hint}"
        )
    if is_float_array(made):
        bad = ~np.isfinite(made).reshape(len(made), -1).all(axis=1)
        if bad.any():
            first = int(np.argmax(bad))
            raise DataError(
                f"{name} is NaN or infinite in {int(bad.sum())} of {len(made)} examples, the first is number {first}. "
                "Remove or mend them first."
            )
    return made


def checked_labels(array: np.ndarray, classes: int, name: str) -> np.ndarray:
    """Class numbers as int32.  Raises DataError for a label that is no class of the model."""
    if array.dtype.kind == "f" and not (array == np.floor(array)).all():
        raise DataError(
            f"{name} must hold class numbers 0 to {classes - 1}, but has fractions such as "
            f"{array[array != np.floor(array)][0]}."
        )
    low, high = array.min(), array.max()
    if low < 0 or high >= classes:
        worst = low if low < 0 else high
        where = int(np.argwhere(array.reshape(len(array), -1).astype(np.int64) == int(worst))[0][0])
        raise DataError(
            f"{name} holds the label {int(worst)} (example {where}), but the model has {classes} outputs: labels go "
            f"from 0 to {classes - 1}. Give the last layer more units or renumber the labels."
        )
    return array.astype(np.int32)


class Arrays:
    """Arrays of equal length, as batches.

    Raises DataError where their lengths differ.
    """

    def __init__(self, arrays: Sequence[np.ndarray], names: Sequence[str]):
        self.arrays = tuple(arrays)
        self.count = len(self.arrays[0])
        for array, name in zip(self.arrays, names, strict=True):
            if len(array) != self.count:
                raise DataError(
                    f"{names[0]} has {self.count} examples, but {name} has {len(array)}: give one for each."
                )

    def steps(self, batch_size: int) -> int:
        """The number of batches of an epoch, the last one perhaps short."""
        return -(-self.count // batch_size)

    def batches(self, batch_size: int, order: np.ndarray | None = None, first: int = 0) -> Iterator[Batch]:
        """Every example once, from batch number `first` on.

        A short last batch is filled with copies of its own examples, which do no harm to any arithmetic,
        and masked by zero weights: so one compiled program serves all.
        """
        if batch_size < 1:
            raise ArgumentError(f"batch_size must be at least 1, got {batch_size}.")
        for step in range(first, self.steps(batch_size)):
            start, stop = step * batch_size, min((step + 1) * batch_size, self.count)
            chosen: Any = slice(start, stop) if order is None else order[start:stop]
            weights = np.ones(batch_size, np.float32)
            if stop - start < batch_size:
                real = np.arange(start, stop) if order is None else chosen
                chosen = np.resize(real, batch_size)
                weights[stop - start :] = 0
            yield Batch(tuple(array[chosen] for array in self.arrays), weights, stop - start)
