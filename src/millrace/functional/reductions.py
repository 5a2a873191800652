"""Reductions under NumPy's names: `axis` counts from either end or is None for all, `keepdims` keeps size 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.functional.arithmetic import (
    add,
    as_float,
    divide,
    exp,
    isfinite,
    log,
    sqrt,
    square,
    stop_gradient,
    subtract,
    where,
)  # fmt: skip
from millrace.functional.convert import Like, as_value, cast, normal_axes, normal_axis
from millrace.ir.core import Value
from millrace.ops import reduce
from millrace.ops.shape import Broadcast, Reshape

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


def argmax(x: Like, axis: int = -1) -> Value:
    """The position of the first greatest element along an axis, int32.  Source: NumPy argmax."""
    x = as_value(x)
    return reduce.ArgMax(normal_axis(axis, x.ndim))(x)


def argmin(x: Like, axis: int = -1) -> Value:
    """The position of the first least element along an axis, int32.  Source: NumPy argmin."""
    x = as_value(x)
    return reduce.ArgMin(normal_axis(axis, x.ndim))(x)


def cumsum(x: Like, axis: int = -1, reverse: bool = False) -> Value:
    """The running sum along an axis.  Source: NumPy cumsum."""
    x = _numbers(x)
    return reduce.CumulativeSum(normal_axis(axis, x.ndim), reverse)(x)


def var(x: Like, axis: Axis = None, keepdims: bool = False) -> Value:
    """The variance: the mean squared distance from the mean (divided by n).  Source: NumPy var."""
    x = as_float(x)
    return mean(square(subtract(x, mean(x, axis, keepdims=True))), axis, keepdims)


def std(x: Like, axis: Axis = None, keepdims: bool = False) -> Value:
    """The standard deviation, the root of the variance.  Source: NumPy std."""
    return sqrt(var(x, axis, keepdims))


def logsumexp(x: Like, axis: Axis = None, keepdims: bool = False) -> Value:
    """log(sum(exp(x))) without overflow.  Source: SciPy logsumexp."""
    x = as_float(x)
    axes = normal_axes(axis, x.ndim)
    largest = stop_gradient(max(x, axes, keepdims=True))
    largest = where(isfinite(largest), largest, 0.0)  # all -inf: there is nothing to shift
    total = add(log(sum(exp(subtract(x, largest)), axes, keepdims=True)), largest)
    return total if keepdims else Reshape(tuple(s for a, s in enumerate(x.shape) if a not in axes))(total)


def count_nonzero(x: Like, axis: Axis = None) -> Value:
    """The number of elements that are not zero, int32.  Source: NumPy count_nonzero."""
    x = as_value(x)
    return sum(cast(x if x.dtype == "bool" else cast(x, "bool"), "int32"), axis)


def average(x: Like, weights: Like) -> Value:
    """The mean of all elements, each counted by its weight.  Source: NumPy average."""
    x, weights = as_float(x), as_float(weights)
    return divide(sum(x * weights), sum(weights))
