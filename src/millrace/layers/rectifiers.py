"""Rectifiers: layers that keep what is above 0, and differ in what they make of the rest.

| below 0 | layer |
|---|---|
| 0 | ReLU |
| a small share of it | LeakyReLU |
| a share of it that is learned | PReLU |
| a curve down to -alpha | ELU |
"""

from __future__ import annotations

from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.arguments import number
from millrace.layers.base import Layer


class ReLU(Layer):
    """max(x, 0), number by number. Any shape, kept; no parameters. `Activation("relu")` with the choices of Keras.

    max_value: where the output ends, None for nowhere. Up to `threshold` the output is negative_slope *
    (x - threshold). The gradient at the threshold is that of the left side.

    Raises ArgumentError for a number below 0.
    Source: Keras ReLU; Nair and Hinton 2010; Krizhevsky et al. 2012, section 3.1.
    """

    supports_masking = True

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **common: Any
    ):
        super().__init__(**common)
        self.max_value = None if max_value is None else number(max_value, "max_value", 0)
        self.negative_slope, self.threshold = (
            number(negative_slope, "negative_slope", 0),
            number(threshold, "threshold", 0),
        )

    def call(self, x: Value) -> Value:
        return mr.relu(x, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """x where above 0, else negative_slope * x. Any shape, kept; no parameters.

    The gradient below 0 and at 0 is negative_slope. Keras's layer has 0.3, its activation "leaky_relu" 0.2, and
    PyTorch 0.01.

    Raises ArgumentError for a slope below 0.  Source: Keras LeakyReLU; Maas et al. 2013.
    """

    supports_masking = True

    def __init__(self, negative_slope: float = 0.3, **common: Any):
        super().__init__(**common)
        self.negative_slope = number(negative_slope, "negative_slope", 0)

    def call(self, x: Value) -> Value:
        return mr.leaky_relu(x, self.negative_slope)


class PReLU(Layer):
    """x where above 0, else alpha * x with an alpha that is learned. Any shape, kept.

    alpha [...], one number for each of an example's, or for each channel of images with shared_axes=(1, 2): the axes
    over which one alpha serves all, counted from 1, as 0 is the batch.

    Raises ArgumentError for an axis that x does not have, ShapeError for one of unknown size that is not shared.
    Source: Keras PReLU; He et al. 2015.
    """

    supports_masking = True

    def __init__(
        self, alpha_initializer: Any = "zeros", alpha_regularizer: Any = None, shared_axes: Any = None, **common: Any
    ):
        super().__init__(**common)
        self.alpha_initializer, self.alpha_regularizer = alpha_initializer, alpha_regularizer
        axes = shared_axes if isinstance(shared_axes, (list, tuple)) else () if shared_axes is None else (shared_axes,)
        if not all(isinstance(axis, int) and not isinstance(axis, bool) and axis > 0 for axis in axes):
            raise ArgumentError(
                f"shared_axes must be axes of an example, counted from 1, e.g. (1, 2) for images; got {shared_axes!r}."
            )
        self.shared_axes = tuple(axes)

    def build(self, x: TensorType) -> None:
        beyond = [axis for axis in self.shared_axes if axis >= x.ndim]
        if beyond:
            raise ArgumentError(f"shared_axes={self.shared_axes} names axis {beyond[0]}, which {x} does not have.")
        shape = [1 if axis in self.shared_axes else size for axis, size in enumerate(x.shape[1:], 1)]
        unknown = [axis for axis, size in enumerate(shape, 1) if isinstance(size, Dim)]
        if unknown:
            raise ShapeError(
                f"PReLU learns a number for each place, and axis {unknown[0]} of {x} has no known size: share it, "
                f"shared_axes={(*self.shared_axes, *unknown)}."
            )
        self.alpha = self.add_weight("alpha", shape, self.alpha_initializer, regularizer=self.alpha_regularizer)

    def call(self, x: Value) -> Value:
        return mr.where(mr.greater(x, 0.0), x, self.alpha * x)


class ELU(Layer):
    """x where above 0, else alpha * (exp(x) - 1), which tends to -alpha. Any shape, kept; no parameters.

    Raises ArgumentError for an alpha below 0.  Source: Keras ELU; Clevert et al. 2016.
    """

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **common: Any):
        super().__init__(**common)
        self.alpha = number(alpha, "alpha", 0)

    def call(self, x: Value) -> Value:
        return mr.elu(x, self.alpha)
