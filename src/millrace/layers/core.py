"""Layers that every network has: dense ones, activations, and changes of shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.dims import Dim, product, same
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.activations import activation
from millrace.layers.arguments import whole, whole_each
from millrace.layers.base import Layer
from millrace.layers.sharding import mesh_axis, own_channels, seen, split_weights

_activation = activation


class _Affine(Layer):
    """x @ kernel + bias over the last axis: what a neuron and a layer of them share."""

    supports_masking = True
    shard: str | None = None  # the mesh axis over which units are split

    def _set(
        self, activation: Any, use_bias: bool, kernel_initializer: Any, bias_initializer: Any, kernel_regularizer: Any,
        bias_regularizer: Any,
    ) -> None:  # fmt: skip
        self.activation, self.use_bias = _activation(activation), use_bias
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer

    def add_weights(self, x: TensorType, units: tuple[int, ...]) -> None:
        if x.ndim < 1 or isinstance(x.shape[-1], Dim):
            raise ShapeError(
                f"{type(self).__name__} takes [batch, ..., D] with a known D, got {x}. Flatten() or a fixed size helps."
            )
        shape = (x.shape[-1], *units)
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight("bias", units, self.bias_initializer, regularizer=self.bias_regularizer)

    def call(self, x: Value) -> Value:
        out = own_channels(self.shard, mr.matmul(seen(self.shard, x), self.kernel))
        return self.activation(out if self.bias is None else out + self.bias)


class Dense(_Affine):
    """Every output sees every input: out = activation(x @ kernel + bias).

    Input [batch, ..., D] with any number of leading axes, none too; output [batch, ..., units]. kernel [D,
    units], bias [units]: D * units + units parameters, whatever the batch size. shard: the axis of a mesh over whose
    devices the units are split; each sees the whole input.

    Raises ArgumentError for units below 1 or an unknown activation, ShapeError for an unknown last axis.
    Source: Keras Dense; Goodfellow et al. 2016, chapter 6.
    """

    def __init__(
        self, units: int, activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, bias_regularizer: Any = None,
        shard: str | None = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.units, self.shard = whole(units, "units"), mesh_axis(shard)
        self._set(
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer
        )  # fmt: skip

    def build(self, x: TensorType) -> None:
        self.add_weights(x, (self.units,))
        split_weights(self.shard, self.kernel, self.bias)


class Neuron(_Affine):
    """One neuron: out = activation(w . x + b), a number for each example.

    Input [batch, ..., D], or [D] alone; output without the last axis, so [D] gives one scalar. kernel [D],
    bias []: D + 1 parameters. `Dense(units)` is `units` of these side by side.

    Raises as Dense.  Source: Rosenblatt 1958; Goodfellow et al. 2016, section 6.1.
    """

    def __init__(
        self, activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, bias_regularizer: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self._set(
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer
        )  # fmt: skip

    def build(self, x: TensorType) -> None:
        self.add_weights(x, ())

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Value | None:
        return masks[0] if inputs[0].ndim > 2 else None  # [batch, D]: no steps are left


class Activation(Layer):
    """Apply a function to every element: Activation("relu").  Source: Keras Activation."""

    supports_masking = True

    def __init__(self, activation: Any, **common: Any):
        super().__init__(**common)
        self.activation = _activation(activation)

    def call(self, x: Value) -> Value:
        return self.activation(x)


class Identity(Layer):
    """x itself: a place with a name.  Source: Keras Identity."""

    supports_masking = True

    def call(self, x: Value) -> Value:
        return x


class Flatten(Layer):
    """All numbers of an example in one row: [batch, ...] to [batch, D].  Source: Keras Flatten."""

    def call(self, x: Value) -> Value:
        size = product(x.shape[1:])
        if isinstance(size, Dim):
            raise ShapeError(f"Flatten needs known sizes after the batch, got {x.type}.")
        return mr.reshape(x, (x.shape[0], size))


class Reshape(Layer):
    """Each example under another shape: [batch, ...] to [batch, *target_shape].  Source: Keras Reshape."""

    def __init__(self, target_shape: Any, **common: Any):
        super().__init__(**common)
        sizes = list(target_shape) if isinstance(target_shape, (list, tuple)) else []
        fine = sizes and all(
            isinstance(size, int) and not isinstance(size, bool) and (size > 0 or size == -1) for size in sizes
        )
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
        elif not same(product(tuple(sizes)), product(x.shape[1:])):
            raise ShapeError(
                f"target_shape={self.target_shape} holds {product(tuple(sizes))} numbers, an example of {x.type} "
                f"{product(x.shape[1:])}. One -1 takes what is left."
            )
        return mr.reshape(x, (x.shape[0], *sizes))


class Permute(Layer):
    """The axes of an example in another order, counted from 1: Permute((2, 1)).  Source: Keras Permute."""

    def __init__(self, dims: Any, **common: Any):
        super().__init__(**common)
        self.dims = tuple(dims) if isinstance(dims, (list, tuple)) else ()
        whole_ones = all(isinstance(n, int) and not isinstance(n, bool) for n in self.dims)
        if not whole_ones or sorted(self.dims) != list(range(1, len(self.dims) + 1)) or not self.dims:
            raise ArgumentError(f"dims must name each axis of an example once, from 1 on, e.g. (2, 1); got {dims!r}.")

    def call(self, x: Value) -> Value:
        if x.ndim != len(self.dims) + 1:
            raise ShapeError(f"dims={self.dims} orders {len(self.dims)} axes, but an example of {x.type} has others.")
        return mr.transpose(x, (0, *self.dims))


class RepeatVector(Layer):
    """Each example n times, as steps: [batch, D] to [batch, n, D].  Source: Keras RepeatVector."""

    def __init__(self, n: int, **common: Any):
        super().__init__(**common)
        self.n = whole(n, "n")

    def call(self, x: Value) -> Value:
        if x.ndim != 2:
            raise ShapeError(f"RepeatVector takes [batch, D], got {x.type}.")
        return mr.broadcast_to(mr.expand_dims(x, 1), (x.shape[0], self.n, x.shape[1]))


class _Enlarged(Layer):
    """What is put around images, or cut off them: sizes for each side of height and width."""

    def _sides(self, value: Any, name: str) -> tuple[tuple[int, int], ...]:
        pair = (value, value) if isinstance(value, int) else value
        fine = isinstance(pair, (list, tuple)) and len(pair) == 2
        sides = [tuple(side) if isinstance(side, (list, tuple)) else (side, side) for side in pair] if fine else []
        if not fine or not all(len(s) == 2 for s in sides):
            raise ArgumentError(
                f"{name} must be a number, one each for height and width, or ((top, bottom), (left, right)); "
                f"got {value!r}."
            )
        return tuple((whole(a, name, 0), whole(b, name, 0)) for a, b in sides)

    def check(self, x: Value) -> None:
        if x.ndim != 4:
            raise ShapeError(f"{type(self).__name__} takes [batch, height, width, channels], got {x.type}.")


class ZeroPadding2D(_Enlarged):
    """Zeros around an image: [batch, height, width, channels].  Source: Keras ZeroPadding2D."""

    def __init__(self, padding: Any = (1, 1), **common: Any):
        super().__init__(**common)
        self.padding = self._sides(padding, "padding")

    def call(self, x: Value) -> Value:
        self.check(x)
        return mr.pad(x, ((0, 0), *self.padding, (0, 0)))


class Cropping2D(_Enlarged):
    """The rim of an image cut off: [batch, height, width, channels].  Source: Keras Cropping2D."""

    def __init__(self, cropping: Any = (1, 1), **common: Any):
        super().__init__(**common)
        self.cropping = self._sides(cropping, "cropping")

    def call(self, x: Value) -> Value:
        self.check(x)
        for axis, (before, after) in enumerate(self.cropping, 1):
            size = x.shape[axis]
            if not isinstance(size, int) or before + after >= size:
                raise ShapeError(f"cropping={self.cropping} leaves nothing of axis {axis} of {x.type}.")
            x = mr.slice_axis(x, axis, before, size - after)
        return x


class UpSampling2D(Layer):
    """Each pixel repeated: [batch, height, width, channels] enlarged by `size`.  Source: Keras UpSampling2D."""

    def __init__(self, size: Any = (2, 2), **common: Any):
        super().__init__(**common)
        self.size = whole_each(size, 2, "size")

    def call(self, x: Value) -> Value:
        if x.ndim != 4:
            raise ShapeError(f"UpSampling2D takes [batch, height, width, channels], got {x.type}.")
        b, h, w, c = x.shape
        a, d = self.size
        grid = mr.broadcast_to(mr.reshape(x, (b, h, 1, w, 1, c)), (b, h, a, w, d, c))
        return mr.reshape(grid, (b, h * a, w * d, c))
