"""Layers that every network has."""

from __future__ import annotations

from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.dims import Dim, product
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.activations import activation
from millrace.layers.base import Layer, whole


class Dense(Layer):
    """Every output sees every input: out = activation(x @ kernel + bias).

    Input [batch, ..., D], output [batch, ..., units]. kernel [D, units], bias [units]: D * units + units
    parameters, whatever the batch size.

    Raises ArgumentError for units below 1 or an unknown activation, ShapeError for an unknown last axis.
    Source: Keras Dense; Goodfellow et al. 2016, chapter 6.
    """

    def __init__(
        self, units: int, activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", name: str | None = None, trainable: bool = True,
    ):  # fmt: skip
        super().__init__(name, trainable)
        self.units = whole(units, "units")
        self.activation = _activation(activation)
        self.use_bias, self.kernel_initializer, self.bias_initializer = use_bias, kernel_initializer, bias_initializer

    def build(self, x: TensorType) -> None:
        if x.ndim < 2 or isinstance(x.shape[-1], Dim):
            raise ShapeError(f"Dense takes [batch, ..., D] with a known D, got {x}. Add Flatten() before it.")
        self.kernel = self.add_weight("kernel", (x.shape[-1], self.units), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.units,), self.bias_initializer) if self.use_bias else None

    def call(self, x: Value) -> Value:
        out = mr.matmul(x, self.kernel)
        return self.activation(out + self.bias if self.bias is not None else out)


_activation = activation


class Activation(Layer):
    """Apply a function to every element: Activation("relu").  Source: Keras Activation."""

    def __init__(self, activation: Any, name: str | None = None):
        super().__init__(name)
        self.activation = _activation(activation)

    def call(self, x: Value) -> Value:
        return self.activation(x)


class Softmax(Layer):
    """Probabilities: positive numbers that sum to 1 along an axis.  Source: Keras Softmax."""

    def __init__(self, axis: int = -1, name: str | None = None):
        super().__init__(name)
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise ArgumentError(f"axis must be a whole number, got {axis!r}.")
        self.axis = axis

    def call(self, x: Value) -> Value:
        return mr.softmax(x, self.axis)


class Flatten(Layer):
    """All numbers of an example in one row: [batch, ...] to [batch, D].  Source: Keras Flatten."""

    def __init__(self, name: str | None = None):
        super().__init__(name)

    def call(self, x: Value) -> Value:
        size = product(x.shape[1:])
        if isinstance(size, Dim):
            raise ShapeError(f"Flatten needs known sizes after the batch, got {x.type}.")
        return mr.reshape(x, (x.shape[0], size))


class Reshape(Layer):
    """Each example under another shape: [batch, ...] to [batch, *target_shape].  Source: Keras Reshape."""

    def __init__(self, target_shape: Any, name: str | None = None):
        super().__init__(name)
        sizes = list(target_shape) if isinstance(target_shape, (list, tuple)) else []
        fine = sizes and all(isinstance(size, int) and (size > 0 or size == -1) for size in sizes)
        if not fine or sizes.count(-1) > 1:
            raise ArgumentError(f"target_shape must hold whole numbers above 0, or one -1, got {target_shape!r}.")
        self.target_shape = tuple(sizes)

    def call(self, x: Value) -> Value:
        sizes = list(self.target_shape)
        if -1 in sizes:
            rest, total = product(tuple(s for s in sizes if s != -1)), product(x.shape[1:])
            if isinstance(total, Dim) or total % rest:
                raise ShapeError(f"{total} numbers of an example do not fill {self.target_shape}.")
            sizes[sizes.index(-1)] = total // rest
        return mr.reshape(x, (x.shape[0], *sizes))
