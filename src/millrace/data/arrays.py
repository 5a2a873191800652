"""Examples in memory, checked once; and the order of an epoch, which seed and epoch decide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from millrace.data.source import Source, Taken
from millrace.ir.dims import Dim, shape_text
from millrace.ir.errors import DataError
from millrace.ir.types import TensorType, is_float_array
from millrace.ops.random import threefry2x32


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of 0 ... count-1: a pure function of seed and epoch, the same for ever."""
    with np.errstate(over="ignore"):
        high, low = threefry2x32(
            np.uint32(seed), np.uint32(0x5EED), np.full(count, epoch, np.uint32), np.arange(count, dtype=np.uint32)
        )
    # By 16 bits at a time, the lowest first, which NumPy sorts in one pass: the order that sorting 64 bits gives, for
    # 60,000 records in half the time.
    order = np.arange(count)
    for word in (low, high):
        for shift in (0, 16):
            digit = (word >> np.uint32(shift)).astype(np.uint16)
            order = order[np.argsort(digit[order], kind="stable")]
    return order


def checked_array(array: Any, type: TensorType, name: str) -> np.ndarray:
    """Examples as an array of the input's dtype and shape.

    Raises DataError that says what is wrong and at which example.
    """
    if hasattr(array, "__next__"):
        raise DataError(f"{name} is a generator: give arrays, such as np.stack(list(...)), whose order fit decides.")
    if isinstance(array, (str, PurePath)):
        raise DataError(f"{name} is a path: open it first, as mr.data.open_source({str(array)!r}).")
    try:
        made = np.asarray(array)
    except ValueError:
        raise DataError(f"{name}: the examples have different shapes; give each the shape of one example.") from None
    if made.dtype == object or (made.dtype.kind not in "biu" and not is_float_array(made)):
        raise DataError(f"{name} holds {made.dtype}, not numbers: convert each example to numbers first.")
    if made.ndim == 0 or len(made) == 0:
        raise DataError(f"{name} is empty: there has to be an example.")
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


class Arrays(Source):
    """Arrays of equal length as a source: record n is row n of each.

    Raises DataError where their lengths differ.
    """

    def __init__(self, arrays: Sequence[np.ndarray], names: Sequence[str], name: str = "arrays"):
        self.arrays, self.name = tuple(arrays), name
        self.count = len(self.arrays[0])
        for array, called in zip(self.arrays, names, strict=True):
            if len(array) != self.count:
                raise DataError(
                    f"{names[0]} has {self.count} examples, but {called} has {len(array)}: give one for each."
                )
        self.elements = tuple(TensorType(array.dtype.name, array.shape[1:]) for array in self.arrays)

    def take(self, numbers: np.ndarray) -> Taken:
        return Taken(tuple(array.take(numbers, axis=0) for array in self.arrays))

    def run(self, first: int, last: int) -> Taken:
        """Rows that follow one another are not copied."""
        return Taken(tuple(array[first:last] for array in self.arrays))

    def record(self, number: int) -> str:
        return f"example {number}"
