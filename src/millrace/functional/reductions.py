"""Reductions under NumPy's names: `axis` counts from either end or is None for all, `keepdims` keeps size 1."""

from __future__ import annotations

import math
from builtins import all as every
from collections.abc import Sequence
from typing import Any

from millrace.functional.arithmetic import (
    add,
    as_float,
    divide,
    equal,
    exp,
    greater,
    isfinite,
    log,
    multiply,
    sqrt,
    square,
    stop_gradient,
    subtract,
    where,
)  # fmt: skip
from millrace.functional.convert import (
    Like,
    as_value,
    broadcast_to,
    cast,
    listed_axes,
    normal_axes,
    normal_axis,
    promoted,
)
from millrace.ir.core import Expression, Value
from millrace.ir.dims import same, shape_text
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import HALVES
from millrace.ops import reduce
from millrace.ops.shape import Broadcast, Reshape, Transpose

Axis = int | Sequence[int] | None


def _reduction(op: Any, name: str, prepare: Any = as_value) -> Any:
    def function(x: Like, axis: Axis = None, keepdims: bool = False) -> Value:
        x = prepare(x)
        axes = normal_axes(axis, x.ndim)
        return kept(op(axes)(x), x, axes) if keepdims else op(axes)(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = op.__doc__
    return function


def kept(reduced: Value, x: Value, axes: tuple[int, ...]) -> Value:
    """The reduced axes put back with size 1."""
    return Reshape(tuple(1 if axis in axes else size for axis, size in enumerate(x.shape)))(reduced)


def spread(g: Value, x: Value, axes: tuple[int, ...]) -> Value:
    """The reverse of a reduction: g repeated along the axes that were reduced, to x's shape."""
    return Broadcast(x.shape, tuple(axis for axis in range(x.ndim) if axis not in axes))(g)


def _numbers(x: Like) -> Value:
    x = as_value(x)
    return cast(x, "int32") if x.dtype == "bool" else x


sum = _reduction(reduce.Sum, "sum", _numbers)
prod = _reduction(reduce.Product, "prod", _numbers)
max = _reduction(reduce.Max, "max")
min = _reduction(reduce.Min, "min")
any = _reduction(reduce.AnyTrue, "any")
all = _reduction(reduce.AllTrue, "all")


def all_finite(x: Like) -> Value:
    """Whether no element is infinite or NaN: one bool.  Source: NumPy isfinite and all."""
    return reduce.AllFinite()(as_value(x))


mean = _reduction(reduce.Mean, "mean", as_float)


def argmax(x: Like, axis: int | None = -1, keepdims: bool = False) -> Value:
    """The position of the first greatest element along an axis, int32; among all elements in a row for None.

    The axis is the last one unless given, where NumPy's is None.  Source: NumPy argmax.
    """
    return _position(reduce.ArgMax, _numbers(x), axis, keepdims)


def argmin(x: Like, axis: int | None = -1, keepdims: bool = False) -> Value:
    """The position of the first least element along an axis, int32; among all elements in a row for None.

    The axis is the last one unless given, where NumPy's is None.  Source: NumPy argmin.
    """
    return _position(reduce.ArgMin, _numbers(x), axis, keepdims)


def _position(op: Any, x: Value, axis: int | None, keepdims: bool) -> Value:
    along = _along(x, axis)
    found = op(normal_axis(0 if axis is None else axis, along.ndim))(along)
    return kept(found, x, normal_axes(axis, x.ndim)) if keepdims else found


def _along(x: Value, axis: int | None) -> Value:
    """x itself where an axis is named, else all its elements in a row."""
    return Reshape((x.type.size,))(x) if axis is None else x


def cumsum(x: Like, axis: int | None = -1, reverse: bool = False) -> Value:
    """The running sum along an axis, of all elements in a row for None; from the end where `reverse`.

    The axis is the last one unless given, where NumPy's is None.  Source: NumPy cumsum.
    """
    x = _along(_numbers(x), axis)
    return reduce.CumulativeSum(normal_axis(0 if axis is None else axis, x.ndim), reverse)(x)


def var(x: Like, axis: Axis = None, keepdims: bool = False) -> Value:
    """The variance: the mean squared distance from the mean (divided by n).  Source: NumPy var."""
    x = as_float(x)
    return mean(square(subtract(x, mean(x, axis, keepdims=True))), axis, keepdims)


def std(x: Like, axis: Axis = None, keepdims: bool = False) -> Value:
    """The standard deviation, the root of the variance; its gradient is 0 where all elements are equal.

    Source: NumPy std.
    """
    variance = var(x, axis, keepdims)
    spread_out = greater(variance, 0.0)  # at 0 the root has no slope: it is not asked for one
    return where(spread_out, sqrt(where(spread_out, variance, 1.0)), variance)


def logsumexp(x: Like, axis: Axis = None, keepdims: bool = False) -> Value:
    """log(sum(exp(x))) without overflow; where all are -inf it is -inf, with gradient 0.  Source: SciPy logsumexp."""
    x = as_float(x)
    axes = normal_axes(axis, x.ndim)
    largest = stop_gradient(max(x, axes, keepdims=True))
    largest = where(isfinite(largest), largest, 0.0)  # all -inf: there is nothing to shift
    total = sum(exp(subtract(x, largest)), axes, keepdims=True)
    nothing = equal(total, 0.0)  # at 0 the logarithm has no slope: it is not asked for one
    total = where(nothing, -math.inf, add(log(where(nothing, 1.0, total)), largest))
    return total if keepdims else Reshape(tuple(s for a, s in enumerate(x.shape) if a not in axes))(total)


def count_nonzero(x: Like, axis: Axis = None, keepdims: bool = False) -> Value:
    """The number of elements that are not zero, int32.  Source: NumPy count_nonzero."""
    x = as_value(x)
    return sum(cast(x if x.dtype == "bool" else cast(x, "bool"), "int32"), axis, keepdims)


def average(x: Like, axis: Axis = None, weights: Like = None, keepdims: bool = False) -> Value:
    """The mean over axes, each element counted by its weight: sum(x * weights) / sum(weights); None counts all alike.

    weights: of x's shape, or of the sizes of the axes that `axis` names, in that order. Where they sum to 0 the result
    is NaN or infinite, where NumPy raises an error.

    Raises ShapeError for weights of another shape.  Source: NumPy average.
    """
    if isinstance(axis, Expression):
        raise ArgumentError("average takes an axis before the weights: name them, as in mr.average(x, weights=w).")
    if weights is None:
        return mean(x, axis, keepdims)
    x, weights = as_float(x), as_float(weights)
    dtype = promoted(x.dtype, weights.dtype)
    wide = "float32" if dtype in HALVES else dtype  # sums of 16 bits would overflow
    x, weights = cast(x, wide), cast(_weights_for(x, weights, axis), wide)
    return cast(divide(sum(multiply(x, weights), axis, keepdims), sum(weights, axis, keepdims)), dtype)


def _weights_for(x: Value, weights: Value, axis: Axis) -> Value:
    """Weights brought to x's shape."""
    if weights.ndim == x.ndim and every(same(a, b) for a, b in zip(weights.shape, x.shape, strict=True)):
        return weights
    if axis is None:
        raise ShapeError(
            f"average of {x.type} by weights {weights.type}: the shapes differ, so name the axis of the weights."
        )
    axes = listed_axes(axis, x.ndim)
    wanted = tuple(x.shape[a] for a in axes)
    if weights.ndim != len(axes) or not every(same(a, b) for a, b in zip(weights.shape, wanted, strict=True)):
        raise ShapeError(
            f"average of {x.type} over axis {axis} takes weights {shape_text(wanted)} or {shape_text(x.shape)}, "
            f"got {weights.type}."
        )
    order = tuple(sorted(range(len(axes)), key=axes.__getitem__))
    aligned = Reshape(tuple(size if a in axes else 1 for a, size in enumerate(x.shape)))(Transpose(order)(weights))
    return broadcast_to(aligned, x.shape)
