"""Reductions along axes, positions of extremes, running sums, and what normalizes an axis to one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value
from millrace.ir.dims import product
from millrace.ir.types import HALVES

Function = Callable[..., Value]


def _reduction(name: str) -> Callable[[Function], Function]:
    """A reduction of a value in float32 or wider: `function(mr, x, axes)` keeps the axes with size 1."""

    def register(function: Function) -> Function:
        @translates(name)
        def translated(mr: Any, call: Call) -> Value:
            x, axes = call.value(0), call.numbers(1, "axes")
            if not axes:
                axes = [] if call.attribute("noop_with_empty_axes", 0) else list(range(x.ndim))
            axes = sorted({axis % x.ndim if -x.ndim <= axis < x.ndim else axis for axis in axes})
            wide = mr.cast(x, "float32") if x.dtype in HALVES and name not in ("ReduceMax", "ReduceMin") else x
            made = mr.cast(function(mr, wide, axes), x.dtype)
            return made if call.attribute("keepdims", 1) else mr.squeeze(made, axes)

        return function

    return register


def _float(mr: Any, x: Value) -> Value:
    return x if x.type.is_float else mr.cast(x, "float64")


@_reduction("ReduceSum")
def _sum(mr: Any, x: Value, axes: list[int]) -> Value:
    return mr.sum(x, axes, keepdims=True)


@_reduction("ReduceMean")
def _mean(mr: Any, x: Value, axes: list[int]) -> Value:
    return mr.mean(_float(mr, x), axes, keepdims=True)


@_reduction("ReduceProd")
def _prod(mr: Any, x: Value, axes: list[int]) -> Value:
    return mr.prod(x, axes, keepdims=True)


@_reduction("ReduceL1")
def _l1(mr: Any, x: Value, axes: list[int]) -> Value:
    return mr.sum(mr.abs(x), axes, keepdims=True)


@_reduction("ReduceL2")
def _l2(mr: Any, x: Value, axes: list[int]) -> Value:
    return mr.sqrt(mr.sum(mr.square(_float(mr, x)), axes, keepdims=True))


@_reduction("ReduceSumSquare")
def _sum_square(mr: Any, x: Value, axes: list[int]) -> Value:
    return mr.sum(x * x, axes, keepdims=True)


@_reduction("ReduceLogSum")
def _log_sum(mr: Any, x: Value, axes: list[int]) -> Value:
    return mr.log(mr.sum(_float(mr, x), axes, keepdims=True))


@_reduction("ReduceLogSumExp")
def _log_sum_exp(mr: Any, x: Value, axes: list[int]) -> Value:
    if any(x.shape[axis] == 0 for axis in axes):
        return mr.full(tuple(1 if a in axes else s for a, s in enumerate(x.shape)), -math.inf, _float(mr, x).dtype)
    return mr.logsumexp(_float(mr, x), axes, keepdims=True)


def _extreme(mr: Any, x: Value, axes: list[int], greatest: bool) -> Value:
    """The greatest or least; of no elements the least or greatest that the dtype has."""
    if any(x.shape[axis] == 0 for axis in axes):
        limits: Any = (-math.inf, math.inf) if x.type.is_float else (False, True)
        if x.type.is_integer:
            limits = int(np.iinfo(x.dtype).min), int(np.iinfo(x.dtype).max)
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        return mr.full(shape, limits[0] if greatest else limits[1], x.dtype)
    if x.dtype == "bool":
        return (mr.any if greatest else mr.all)(x, axes, keepdims=True)
    return (mr.max if greatest else mr.min)(x, axes, keepdims=True)


@_reduction("ReduceMax")
def _max(mr: Any, x: Value, axes: list[int]) -> Value:
    return _extreme(mr, x, axes, True)


@_reduction("ReduceMin")
def _min(mr: Any, x: Value, axes: list[int]) -> Value:
    return _extreme(mr, x, axes, False)


@translates("ArgMax", "ArgMin")
def position(mr: Any, call: Call) -> Value:
    """Positions are int64; of several the first, or the last where that is asked for."""
    x, axis, function = call.value(0), call.attribute("axis", 0), getattr(mr, call.op_type.lower())
    last = bool(call.attribute("select_last_index", 0))
    found = mr.cast(function(mr.flip(x, axis) if last else x, axis, bool(call.attribute("keepdims", 1))), "int64")
    if not last:
        return found
    return mr.size(x.shape[axis], "int64") - 1 - found


@translates("CumSum")
def running_sum(mr: Any, call: Call) -> Value:
    """With each element or, where exclusive, with what comes before it."""
    x, axis = call.value(0), int(call.known(1, "axis").reshape(-1)[0])
    total = mr.cumsum(x, axis, bool(call.attribute("reverse", 0)))
    return total - x if call.attribute("exclusive", 0) else total


@translates("CumProd")
def running_product(mr: Any, call: Call) -> Value:
    """With each element or, where exclusive, of what comes before it: step after step."""
    x, axis = call.value(0), int(call.known(1, "axis").reshape(-1)[0])
    exclusive, backwards = bool(call.attribute("exclusive", 0)), bool(call.attribute("reverse", 0))

    def step(state: Value, factor: Value) -> tuple[Value, Value]:
        product = state * factor
        return product, state if exclusive else product

    moved = mr.moveaxis(x, axis, 0)
    made = mr.scan(step, mr.full(moved.shape[1:], 1, x.dtype), moved, reverse=backwards)[1]
    return mr.moveaxis(made, 0, axis)


@translates("Softmax", "LogSoftmax", "Hardmax")
def normalized(mr: Any, call: Call) -> Value:
    """Along one axis; before version 13 along all axes from that one on, as if they were one."""
    x = call.value(0)
    axis = call.attribute("axis", -1 if call.opset >= 13 else 1)
    function = {"Softmax": mr.softmax, "LogSoftmax": mr.log_softmax, "Hardmax": _hardmax(mr)}[call.op_type]
    if call.opset >= 13:
        return function(x, axis)
    axis = axis + x.ndim if axis < 0 else axis
    flat = mr.reshape(x, (*x.shape[:axis], product(x.shape[axis:])))
    return mr.reshape(function(flat, -1), x.shape)


def _hardmax(mr: Any) -> Function:
    def hardmax(x: Value, axis: int) -> Value:
        shape = tuple(size if n == axis % x.ndim else 1 for n, size in enumerate(x.shape))
        places = mr.iota(shape, axis % x.ndim)
        return mr.cast(mr.equal(places, mr.argmax(x, axis, keepdims=True)), x.dtype)

    return hardmax


@translates("TopK")
def top(mr: Any, call: Call) -> Any:
    """The k greatest or least, in order: each element's rank is the number of those before it.

    All pairs along the axis are compared, in memory n^2 for an axis of n.
    """
    x, axis = call.value(0), call.attribute("axis", -1)
    count = int(call.known(1, "k").reshape(-1)[0]) if call.has(1) else int(call.attribute("k"))
    moved = mr.moveaxis(x, axis, -1)
    size = moved.shape[-1]
    if not isinstance(size, int) or size > 4096 or not 0 <= count <= size:
        raise call.refused(f"it takes the {count} greatest of {size}: Millrace compares all pairs, of 4096 at most")
    if not count:
        empty = mr.slice_axis(x, axis % x.ndim, 0, 0)
        return empty, mr.cast(empty, "int64")
    mine, other = mr.expand_dims(moved, -1), mr.expand_dims(moved, -2)
    better = mr.greater(other, mine) if call.attribute("largest", 1) else mr.less(other, mine)
    earlier = mr.constant(np.arange(size)[None, :] < np.arange(size)[:, None])
    rank = mr.sum(mr.cast(mr.logical_or(better, mr.logical_and(mr.equal(other, mine), earlier)), "int32"), -1)
    wanted = mr.equal(mr.expand_dims(rank, -2), mr.constant(np.arange(count, dtype=np.int32)[:, None]))
    positions = mr.argmax(mr.cast(wanted, "int32"), -1)
    chosen = mr.sum(mr.where(wanted, mr.expand_dims(moved, -2), mr.zeros_like(mr.expand_dims(moved, -2))), -1)
    return mr.moveaxis(chosen, -1, axis), mr.moveaxis(mr.cast(positions, "int64"), -1, axis)
