"""Layers that bring several values together, and the shortcut around a block."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.dims import same
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.layers.activations import activation as activation_named
from millrace.layers.arguments import axis_number
from millrace.layers.base import Layer
from millrace.layers.calls import call_of, common_mask, mask_of, set_mask


class _Merge(Layer):
    """Element by element, over two or more values whose shapes are the same or broadcast."""

    combine: ClassVar[Callable[[Any, Any], Value]]
    exactly: ClassVar[int | None] = None  # how many values it takes, None for two or more

    def call(self, *inputs: Value) -> Value:
        if len(inputs) != self.exactly if self.exactly else len(inputs) < 2:
            wanted = self.exactly or "two or more"
            raise ArgumentError(f"{type(self).__name__} takes a list of {wanted} values, got {len(inputs)}.")
        try:
            return functools.reduce(type(self).combine, inputs)
        except ShapeError:
            named = ", ".join(_named(x) for x in inputs)
            raise ShapeError(
                f"{type(self).__name__} takes values of one shape, got {named}. A Dense, Reshape or convolution of 1x1 "
                "brings one to the shape of the other."
            ) from None

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Value | None:
        return common_mask(masks)


def _named(x: Value) -> str:
    call = call_of(x)
    return f"{x.type} from {call.layer.name!r}" if call is not None else str(x.type)


class Add(_Merge):
    """The sum of several values, element by element: Add()([x, y]).  Source: Keras Add."""

    combine = staticmethod(mr.add)


class Subtract(_Merge):
    """The first value less the second.  Source: Keras Subtract."""

    combine = staticmethod(mr.subtract)
    exactly = 2


class Multiply(_Merge):
    """The product of several values, element by element, as a gate uses it.  Source: Keras Multiply."""

    combine = staticmethod(mr.multiply)


class Maximum(_Merge):
    """The greatest of several values, element by element.  Source: Keras Maximum."""

    combine = staticmethod(mr.maximum)


class Minimum(_Merge):
    """The least of several values, element by element.  Source: Keras Minimum."""

    combine = staticmethod(mr.minimum)


class Average(_Merge):
    """The mean of several values, element by element.  Source: Keras Average."""

    combine = staticmethod(mr.add)

    def call(self, *inputs: Value) -> Value:
        return super().call(*inputs) * (1 / len(inputs))


class Concatenate(Layer):
    """Values one after another along an axis, the last one unless given: Concatenate()([x, y]).

    Their other axes must agree.  Raises ShapeError where they do not.  Source: Keras Concatenate.
    """

    def __init__(self, axis: int = -1, **common: Any):
        super().__init__(**common)
        self.axis = axis_number(axis)

    def call(self, *inputs: Value) -> Value:
        if len(inputs) < 2:
            raise ArgumentError(f"Concatenate takes a list of two or more values, got {len(inputs)}.")
        try:
            return mr.concatenate(inputs, self.axis)
        except ShapeError:
            named = ", ".join(_named(x) for x in inputs)
            raise ShapeError(
                f"Concatenate(axis={self.axis}) takes values that agree in all other axes, got {named}."
            ) from None

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Value | None:
        along_time = self.axis in (1, 1 - inputs[0].ndim)
        if not along_time:
            return common_mask(masks)
        if all(mask is None for mask in masks):
            return None
        real = [mr.full(x.shape[:2], True, "bool") if m is None else m for x, m in zip(inputs, masks, strict=True)]
        return mr.concatenate(real, 1)


class Dot(Layer):
    """The sum of products over one axis of each of two values: Dot(axes=1)([x, y]).

    axes: one for both, or a pair; the batch axis runs along. normalize: divide both by their lengths first,
    which gives the cosine.  Source: Keras Dot.
    """

    def __init__(self, axes: Any, normalize: bool = False, **common: Any):
        super().__init__(**common)
        pair = (axes, axes) if isinstance(axes, int) and not isinstance(axes, bool) else axes
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(type(a) is int for a in pair):
            raise ArgumentError(f"axes must be a whole number or two of them, got {axes!r}.")
        self.axes, self.normalize = tuple(pair), bool(normalize)

    def call(self, x: Value, y: Value) -> Value:
        for axis, value in zip(self.axes, (x, y), strict=True):
            if not -value.ndim <= axis < value.ndim:
                raise ArgumentError(f"axes={self.axes}: {value.type} has no axis {axis}.")
        a, b = (axis % value.ndim for axis, value in zip(self.axes, (x, y), strict=True))
        if not a or not b:
            raise ArgumentError(f"axes={self.axes}: axis 0 is the batch, which runs along; sum over a later one.")
        if not same(x.shape[a], y.shape[b]):
            raise ShapeError(
                f"Dot(axes={self.axes}) sums over axes of one size, got {_named(x)} and {_named(y)}: their sizes there "
                f"are {x.shape[a]} and {y.shape[b]}."
            )
        if self.normalize:
            x, y = (
                v * mr.rsqrt(mr.maximum(mr.sum(mr.square(v), n, keepdims=True), 1e-12)) for v, n in ((x, a), (y, b))
            )
        letters = "abcdefgh"
        left = list(letters[1 : x.ndim])
        right = list("ijklmnop"[1 : y.ndim])
        right[b - 1] = left[a - 1]
        rest = [c for c in left if c != left[a - 1]] + [c for c in right if c != left[a - 1]]
        out = mr.einsum(f"z{''.join(left)},z{''.join(right)}->z{''.join(rest)}", x, y)
        return out if rest else mr.expand_dims(out, 1)


class Residual(Layer):
    """A block with a shortcut around it: out = activation(block(x) + shortcut(x)).

    block: a layer, a model, or a list of layers one after another. shortcut: the same for the way around,
    for where the block changes the shape; None hands x on as it is. activation: a name or a function.

        Residual([Conv2D(64, 3, padding="same", activation="relu"), Conv2D(64, 3, padding="same")], activation="relu")

    Raises ShapeError where block and shortcut make different shapes.
    Source: He et al. 2016, Deep Residual Learning, section 3.2.
    """

    def __init__(self, block: Any, shortcut: Any = None, activation: Any = None, **common: Any):
        super().__init__(**common)
        self.block, self.shortcut = _chain(block, "block"), _chain(shortcut, "shortcut")
        if not self.block:
            raise ArgumentError(f"block must hold at least one layer, got {block!r}.")
        self.activation = activation_named(activation)

    def call(self, x: Value, mask: Value | None = None) -> Value:
        set_mask(x, mask)  # the block's layers see it where x was converted too
        made, around = x, x
        for layer in self.block:
            made = layer(made)
        for layer in self.shortcut:
            around = layer(around)
        if made.shape != around.shape:
            raise ShapeError(
                f"the block makes {made.type}, but its shortcut {around.type}: they are added, so give a shortcut that "
                "makes the block's shape, e.g. shortcut=Conv2D(filters, 1, strides)."
            )
        out = self.activation(mr.add(made, around))
        set_mask(out, common_mask([mask_of(made), mask_of(around)]))
        return out

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> None:
        return None  # `call` knows what its layers made of it


def _chain(layers: Any, name: str) -> list[Layer]:
    chain = list(layers) if isinstance(layers, (list, tuple)) else [] if layers is None else [layers]
    for layer in chain:
        if not isinstance(layer, Layer):
            raise ArgumentError(f"{name} must be a layer or a list of layers, got {layer!r}.")
    return chain
