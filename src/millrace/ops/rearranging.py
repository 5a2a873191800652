"""Rewrites of operations that only move numbers: what moves nothing is dropped, what moves twice moves once."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.rewrite import simplification
from millrace.ops.arithmetic import Add
from millrace.ops.shape import Broadcast, Concatenate, Pad, Reshape, Reverse, Size, Slice, Transpose


@simplification("reshape to the same shape = x", Reshape)
def reshape_same(mr: Any, op: Reshape, x: Value) -> Value | None:
    """A reshape that changes nothing is dropped."""
    return x if x.shape == op.shape else None


@simplification("reshape of reshape = one reshape", Reshape)
def reshape_twice(mr: Any, op: Reshape, x: Value) -> Value | None:
    """Only the last of several shapes matters."""
    return op(x.node.inputs[0]) if isinstance(x.op, Reshape) else None


@simplification("transpose that moves nothing = x", Transpose)
def transpose_nothing(mr: Any, op: Transpose, x: Value) -> Value | None:
    """A permutation that keeps every axis is dropped."""
    return x if op.axes == tuple(range(x.ndim)) else None


@simplification("transpose of transpose = one transpose", Transpose)
def transpose_twice(mr: Any, op: Transpose, x: Value) -> Value | None:
    """Two permutations are one."""
    if not isinstance(x.op, Transpose):
        return None
    inner = x.op.axes
    return Transpose(tuple(inner[axis] for axis in op.axes))(x.node.inputs[0])


@simplification("broadcast to the same shape = x", Broadcast)
def broadcast_nothing(mr: Any, op: Broadcast, x: Value) -> Value | None:
    """A broadcast that repeats nothing is dropped."""
    return x if x.shape == op.shape else None


@simplification("reverse of reverse = x", Reverse)
def reverse_twice(mr: Any, op: Reverse, x: Value) -> Value | None:
    """Reversing the same axes twice restores the order."""
    return x.node.inputs[0] if isinstance(x.op, Reverse) and set(x.op.axes) == set(op.axes) else None


@simplification("slice of everything = x", Slice)
def slice_everything(mr: Any, op: Slice, x: Value) -> Value | None:
    """A slice that keeps every element is dropped."""
    whole = all(a == 0 for a in op.start) and op.stop == x.shape and all(s == 1 for s in op.step)
    return x if whole else None


@simplification("concatenate of one = x", Concatenate)
def concatenate_one(mr: Any, op: Concatenate, *inputs: Value) -> Value | None:
    """One value alone is not concatenated."""
    return inputs[0] if len(inputs) == 1 else None


@simplification("sum of pads that tile = concatenate", Add)
def sum_of_tiles(mr: Any, op: Add, x: Value, y: Value) -> Value | None:
    """What fills one axis part by part, zeros elsewhere, is put together in place of added: the gradient of a split."""
    terms: list[tuple[Pad, Value]] = []
    stack = [y, x]
    while stack:
        value = stack.pop()
        pad = value.op
        if isinstance(pad, Add):
            stack.extend(reversed(value.node.inputs))
        elif isinstance(pad, Pad) and pad.fill == 0 and not any(pad.interior):
            terms.append((pad, value.node.inputs[0]))
        else:
            return None
    moved = {axis for pad, _ in terms for axis, n in enumerate(pad.low) if n or pad.high[axis]}
    if len(moved) != 1:
        return None
    (axis,) = moved
    terms.sort(key=lambda term: term[0].low[axis])
    reached = 0
    for pad, part in terms:
        size = part.shape[axis]
        if not isinstance(size, int) or pad.low[axis] != reached:
            return None
        reached += size
    return Concatenate(axis)(*(part for _, part in terms)) if reached == x.shape[axis] else None


@simplification("size of a number = a constant", Size)
def size_known(mr: Any, op: Size) -> Value | None:
    """A dimension that is a number is a constant."""
    return None if isinstance(op.of, Dim) else mr.constant(np.int32(op.of))
