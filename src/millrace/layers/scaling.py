"""Layers that bring inputs to a scale: by numbers that are known, or measured on data, not learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.ir.bounds import check_elements
from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.errors import ArgumentError, DataError, ShapeError
from millrace.ir.state import Variable
from millrace.ir.types import TensorType
from millrace.layers.base import Layer
from millrace.layers.normalization import whole_axes

FEW = 64  # so many numbers are written into a layer's config; of more there is the shape, and the weights hold them
BLOCK = 256  # examples that statistics are gathered from at a time
EPSILON = 1e-7  # the least standard deviation that is divided by, as in Keras


class _Measured(Layer):
    """What keeps arrays that were measured on data: as weights that training leaves alone, saved with the model."""

    def array(self, value: Any, name: str) -> np.ndarray:
        """An argument as float32.  Raises ArgumentError that names it, unless it holds finite numbers."""
        if isinstance(value, Mapping) and set(value) == {"shape"}:  # a saved layer's: the numbers are in its weights
            check_elements(value["shape"], name)
            return np.zeros(value["shape"], np.float32)
        try:
            made = np.asarray(value)
            fine = made.dtype.kind in "iuf" and made.size > 0 and bool(np.isfinite(made).all())
        except ValueError:
            fine = False
        if not fine:
            shown = repr(value)
            shown = shown if len(shown) < 200 else f"{shown[:200]} ..."
            raise ArgumentError(f"{name} must hold finite numbers, as an array or nested lists; got {shown}.")
        self.arguments[name] = made.tolist() if made.size <= FEW else {"shape": list(made.shape)}
        return made.astype(np.float32)

    def keep(self, name: str, array: np.ndarray) -> Variable:
        return self.add_weight(name, array.shape, array, trainable=False)


class Rescaling(Layer):
    """Every number times `scale` plus `offset`: Rescaling(1 / 255) brings bytes to 0 ... 1.

    Any shape, kept; whole numbers become float32. scale, offset: a number, or one for each place of the last axis.
    It does the same in training and after.

    Raises ArgumentError for what holds no finite numbers.  Source: Keras Rescaling.
    """

    supports_masking = True

    def __init__(self, scale: Any, offset: Any = 0.0, **common: Any):
        super().__init__(**common)
        self.scale, self.offset = self._numbers(scale, "scale"), self._numbers(offset, "offset")

    def _numbers(self, value: Any, name: str) -> np.ndarray:
        if isinstance(value, np.ndarray):
            value = self.arguments[name] = value.tolist()
        several = value if isinstance(value, (list, tuple)) and value else [value]
        return np.array([finite(one, name) for one in several], np.float32).reshape(np.shape(value))

    def call(self, x: Value) -> Value:
        for name, numbers in (("scale", self.scale), ("offset", self.offset)):
            if numbers.ndim and numbers.shape != x.shape[-1:]:
                raise ShapeError(f"{name} holds {len(numbers)} numbers, but the last axis of {x.type} has others.")
        wide = mr.cast(x, wide_enough(x))
        return in_dtype_of(x, wide * self.scale + self.offset)


class MeanSubtraction(_Measured):
    """x less a mean: for each pixel [height, width, channels], as AlexNet's, or for each channel [channels].

    Images [batch, height, width, channels], or any shape whose end the mean has; kept. Whole numbers become float32.
    `MeanSubtraction(x_train.mean(0))` is AlexNet's, `MeanSubtraction(x_train.mean((0, 1, 2)))` one for each channel.
    It does the same in training and after. The mean is a weight that is not trained, so a file of the model holds it.

    Raises ArgumentError for what holds no finite numbers, ShapeError for a mean of another shape.
    Source: Krizhevsky et al. 2012, section 2.
    """

    def __init__(self, mean: Any, **common: Any):
        super().__init__(**common)
        self._mean = self.array(mean, "mean")

    def build(self, x: TensorType) -> None:
        shape = self._mean.shape
        if shape and (len(shape) >= x.ndim or shape != x.shape[x.ndim - len(shape) :]):
            raise ShapeError(
                f"the mean has shape {list(shape)}, an example of {x} has {list(x.shape[1:])}: give one for each of "
                "its numbers, one for each channel, or a single number."
            )
        self.mean = self.keep("mean", self._mean)

    def call(self, x: Value) -> Value:
        wide = mr.cast(x, wide_enough(x))
        return in_dtype_of(x, wide - self.mean.value)


class Normalization(_Measured):
    """Brought to mean 0 and variance 1 with statistics of the data: (x - mean) / sqrt(variance).

    Any shape, kept; whole numbers become float32. Every position along `axis`, one axis or several, has a mean and a
    variance; None: one for all. Give both, or call `adapt(data)` before or after the layer is applied; without either
    they are 0 and 1. It does the same in training and after. invert: back to the scale of the data. The statistics are
    weights that are not trained, so a file of the model holds them.

    Raises ArgumentError where one of mean and variance is missing or below 0, ShapeError where they do not fit.
    Source: Keras Normalization.
    """

    supports_masking = True

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **common: Any
    ):  # fmt: skip
        super().__init__(**common)
        self.axis = () if axis is None else whole_axes(axis)
        self.invert = invert
        if (mean is None) != (variance is None):
            raise ArgumentError(f"give both mean and variance, or neither: mean={mean!r}, variance={variance!r}.")
        self._given: tuple[np.ndarray, np.ndarray] | None = None
        if mean is not None:
            self._given = self.array(mean, "mean"), self.array(variance, "variance")
            if (self._given[1] < 0).any():
                raise ArgumentError(f"variance must not be below 0, got {variance!r}.")

    def kept_axes(self, shape: tuple[Any, ...], what: Any) -> tuple[int, ...]:
        """The axes whose positions have statistics of their own, counted from 0."""
        if not all(-len(shape) <= a < len(shape) for a in self.axis) or 0 in (a % len(shape) for a in self.axis):
            shown = self.arguments.get("axis", -1)
            raise ShapeError(f"axis={shown!r} does not fit {what}: it counts its axes, and may not be the batch's, 0.")
        return tuple(sorted({a % len(shape) for a in self.axis}))

    def build(self, x: TensorType) -> None:
        self._axes = self.kept_axes(x.shape, x)
        sizes = tuple(x.shape[a] for a in self._axes)
        if any(isinstance(size, Dim) for size in sizes):
            raise ShapeError(f"Normalization needs known sizes along axis={self.axis}, got {x}.")
        given = self._given or (np.zeros(sizes, np.float32), np.ones(sizes, np.float32))
        try:
            mean, variance = (np.broadcast_to(array, sizes) for array in given)
        except ValueError:
            raise ShapeError(
                f"mean and variance have shapes {[list(a.shape) for a in given]}, but along axis={self.axis} {x} has "
                f"{list(sizes)}."
            ) from None
        self.mean, self.variance = self.keep("mean", mean), self.keep("variance", variance)

    def adapt(self, data: Any) -> None:
        """Take the mean and the variance of data, an array [examples, ...], without its axes but `axis`.

        An array that lies in a file (a memory map) is read block by block.
        Raises DataError for what is empty, not numbers or not finite, ShapeError where it does not fit the layer.
        """
        array = data if hasattr(data, "dtype") else np.asarray(data)
        if array.dtype.kind not in "biuf" or not array.ndim or not array.size:
            raise DataError(f"adapt takes an array of numbers [examples, ...], got {array.dtype}{list(array.shape)}.")
        kept = self.kept_axes(array.shape, f"data of shape {list(array.shape)}")
        others = tuple(a for a in range(array.ndim) if a not in kept)
        count = array.size / np.prod([array.shape[a] for a in kept], dtype=np.float64)
        blocks = [slice(n, n + BLOCK) for n in range(0, len(array), BLOCK)]
        mean = sum(np.asarray(array[b], np.float64).sum(others) for b in blocks) / count
        apart = mean.reshape([array.shape[a] if a in kept else 1 for a in range(array.ndim)])
        variance = sum(np.square(np.asarray(array[b], np.float64) - apart).sum(others) for b in blocks) / count
        if not np.isfinite(variance).all():
            raise DataError("adapt was given numbers that are NaN or infinite.")
        found = np.asarray(mean, np.float32), np.asarray(variance, np.float32)
        if self.built:
            for variable, made in zip((self.mean, self.variance), found, strict=True):
                variable.check(made)
            for variable, made in zip((self.mean, self.variance), found, strict=True):
                variable.assign(made)
        self._given = found

    def call(self, x: Value) -> Value:
        wide = mr.cast(x, wide_enough(x))
        shape = [size if a in self._axes else 1 for a, size in enumerate(x.shape)]
        mean = mr.reshape(self.mean.value, shape)
        deviation = mr.maximum(mr.sqrt(mr.reshape(self.variance.value, shape)), EPSILON)
        return in_dtype_of(x, wide * deviation + mean if self.invert else (wide - mean) / deviation)


def finite(value: Any, name: str) -> float:
    """A number that is neither infinite nor NaN.  Raises ArgumentError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise ArgumentError(f"{name} must be a finite number, got {value!r}.")
    return float(value)


def wide_enough(x: Value) -> str:
    """The dtype in which numbers can be computed with: float32, or float64 as it comes."""
    return "float64" if x.dtype == "float64" else "float32"


def in_dtype_of(x: Value, result: Value) -> Value:
    """A result in the dtype of the floating-point numbers that it was made from; of whole numbers as it is."""
    return mr.cast(result, x.dtype) if x.type.is_float else result
