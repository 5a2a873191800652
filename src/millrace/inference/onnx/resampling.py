"""Resizing one axis, as numbers known now: which elements each new one is made of, and by what weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Value

FEW = 4  # elements up to which each is gathered by itself; more go through a matrix product

Kernel = Callable[[np.ndarray], np.ndarray]  # the weight of an element, by its distance


@dataclass(frozen=True)
class Axis:
    """How one axis is resized.

    size and out: its elements before and after. scale: out / size, or what a model gives instead, which may differ a
    little. roi: the part of the axis that is shown, from 0 to 1, where coordinates are those of tf_crop_and_resize.
    """

    size: int
    out: int
    scale: float
    exact: bool = False  # whether scale is out / size
    roi: tuple[float, float] = (0.0, 1.0)

    def places(self, mode: str) -> np.ndarray | None:
        """Where each new element lies among the old: float64[out]; None for an unknown coordinate_transformation_mode.

        Source: ONNX Resize-19, coordinate_transformation_mode.
        """
        at = np.arange(self.out, dtype=np.float64)
        length, last = self.scale * self.size if not self.exact else float(self.out), self.size - 1
        centred = self._back(at + 0.5) - 0.5
        if mode == "asymmetric":
            return self._back(at)
        if mode == "align_corners":
            return np.zeros(self.out) if length == 1 else at * last / (length - 1)
        if mode == "half_pixel":
            return centred
        if mode == "pytorch_half_pixel":
            return centred if self.out > 1 else np.zeros(self.out)
        if mode == "half_pixel_symmetric":
            return centred + self.size / 2 * (1 - self.out / length)
        if mode == "tf_half_pixel_for_nn":
            return self._back(at + 0.5)
        if mode == "tf_crop_and_resize":
            start, end = self.roi
            step = (end - start) * last / (length - 1) if length > 1 else 0.0
            return start * last + at * step if length > 1 else np.full(self.out, 0.5 * (start + end) * last)
        return None

    def _back(self, at: np.ndarray) -> np.ndarray:
        """New coordinates as old ones; by whole numbers where the scale is one of two sizes, so that none is off.

        A scale that a model gives is a float32, and so is what runtimes divide by it: halves stay halves.
        """
        if self.exact:
            return at * self.size / self.out
        return (at.astype(np.float32) / np.float32(self.scale)).astype(np.float64)

    @property
    def squeeze(self) -> float:
        """How much wider kernels are that look at all elements (antialias): 1 / scale where it is below 1."""
        return max(1.0, self.size / self.out if self.exact else 1 / self.scale)


ROUNDINGS: dict[str, Kernel] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def triangle(distance: np.ndarray) -> np.ndarray:
    """Linear interpolation."""
    return np.maximum(1 - np.abs(distance), 0)


def near(d: Any, a: float) -> Any:
    """The weight in cubic convolution of an element at distance d, up to 1.  Source: Keys 1981, equation 4."""
    return ((a + 2) * d - (a + 3)) * d * d + 1


def far(d: Any, a: float) -> Any:
    """The same at distances from 1 to 2; a stands for the -1/2 of the equation."""
    return ((d - 5) * d + 8) * d * a - 4 * a


def cubic(a: float) -> Kernel:
    """Cubic convolution."""

    def kernel(distance: np.ndarray) -> np.ndarray:
        d = np.abs(distance)
        return np.where(d <= 1, near(d, a), np.where(d < 2, far(d, a), 0.0))

    return kernel


@dataclass(frozen=True)
class Taps:
    """Each new element as a weighted sum of old ones: which [out, taps], and weights [out, taps]."""

    which: np.ndarray
    weights: np.ndarray

    @staticmethod
    def nearest(places: np.ndarray, size: int, rounding: Kernel) -> Taps:
        which = np.clip(rounding(places), 0, size - 1).astype(np.int32)[:, None]
        return Taps(which, np.ones(which.shape))

    @staticmethod
    def blended(places: np.ndarray, size: int, kernel: Kernel, reach: int, squeeze: float, inside: bool) -> Taps:
        """By a kernel that reaches so far, made wider by `squeeze`; beyond the ends stands the last element.

        inside: elements beyond the ends do not count instead.
        """
        steps = int(np.ceil(reach * squeeze))
        which = np.floor(places).astype(np.int64)[:, None] + np.arange(1 - steps, steps + 1)
        weights = kernel((which - places[:, None]) / squeeze)
        if inside:
            weights = np.where((which >= 0) & (which < size), weights, 0.0)
        total = weights.sum(1, keepdims=True)
        weights = weights / np.where(total == 0, 1.0, total)
        used = np.any(weights != 0, axis=0)
        return Taps(np.clip(which[:, used], 0, size - 1).astype(np.int32), weights[:, used])

    def applied(self, mr: Any, x: Value, axis: int) -> Value:
        """x with an axis resized."""
        count, size = self.which.shape[1], x.shape[axis]
        if count == 1 and np.array_equal(self.which[:, 0], np.arange(size)):
            return x
        if count == 1 and bool(np.all(self.weights == 1)):
            return mr.take(x, self.which[:, 0], axis)
        weights = self.weights.astype(x.dtype)
        if count > FEW:
            matrix = np.zeros((size, len(self.which)), np.float64)
            np.add.at(matrix, (self.which, np.arange(len(self.which))[:, None]), self.weights)
            return mr.moveaxis(mr.matmul(mr.moveaxis(x, axis, -1), matrix.astype(x.dtype)), -1, axis)
        total = None
        shape = (-1, *(1,) * (x.ndim - axis - 1))
        for tap in range(count):
            part = mr.multiply(mr.take(x, self.which[:, tap], axis), weights[:, tap].reshape(shape))
            total = part if total is None else mr.add(total, part)
        return total  # type: ignore[return-value]
