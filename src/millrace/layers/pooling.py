"""Pooling layers: each window of space becomes one number; the number of channels stays."""

from __future__ import annotations

from typing import Any, ClassVar

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.layers.base import Layer, whole_each


class _Pooling(Layer):
    rank: ClassVar[int]

    def __init__(self, pool_size: Any = 2, strides: Any = None, padding: Any = "valid", name: str | None = None):
        super().__init__(name)
        self.pool_size = whole_each(pool_size, self.rank, "pool_size")
        self.strides = self.pool_size if strides is None else whole_each(strides, self.rank, "strides")
        self.padding = padding


class _MaxPooling(_Pooling):
    def call(self, x: Value) -> Value:
        return mr.max_pool(x, self.pool_size, self.strides, self.padding)


class _AveragePooling(_Pooling):
    def call(self, x: Value) -> Value:
        return mr.average_pool(x, self.pool_size, self.strides, self.padding)


class MaxPooling1D(_MaxPooling):
    """The greatest of each window of steps: [batch, steps, channels].  Source: Keras MaxPooling1D."""

    rank = 1


class MaxPooling2D(_MaxPooling):
    """The greatest of each window of an image.

    Input [batch, height, width, channels], output [batch, out height, out width, channels]. Windows that
    overlap (strides below pool_size) are AlexNet's. The gradient goes to the first greatest element.

    Raises ArgumentError for a size below 1, ShapeError where the window is larger than the padded input.
    Source: Keras MaxPooling2D; Krizhevsky et al. 2012, section 3.4.
    """

    rank = 2


class MaxPooling3D(_MaxPooling):
    """The greatest of each window of a volume: [batch, depth, height, width, channels].  Source: Keras."""

    rank = 3


class AveragePooling1D(_AveragePooling):
    """The mean of each window of steps; padding does not count.  Source: Keras AveragePooling1D."""

    rank = 1


class AveragePooling2D(_AveragePooling):
    """The mean of each window of an image; padding does not count.  Source: Keras AveragePooling2D."""

    rank = 2


class AveragePooling3D(_AveragePooling):
    """The mean of each window of a volume; padding does not count.  Source: Keras AveragePooling3D."""

    rank = 3
