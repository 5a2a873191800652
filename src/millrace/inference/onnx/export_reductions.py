"""Folds over axes, positions of extremes, and the running sum, in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.inference.onnx.export_dtypes import work_dtype
from millrace.inference.onnx.export_forms import Form, Order
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import exports
from millrace.ir.core import Node, Op
from millrace.ops import reduce
from millrace.ops.reduce import CumulativeSum
from millrace.ops.shape import Reshape

FOLDS: dict[type[Op], str] = {
    reduce.Sum: "ReduceSum", reduce.Product: "ReduceProd", reduce.Max: "ReduceMax", reduce.Min: "ReduceMin",
    reduce.Mean: "ReduceMean", reduce.AllTrue: "ReduceMin", reduce.AnyTrue: "ReduceMax",
}  # fmt: skip
EXTREMES: dict[type[Op], str] = {reduce.ArgMax: "ArgMax", reduce.ArgMin: "ArgMin"}


def remaining(order: Order, axes: Order) -> Order:
    """The order of what is left without these axes."""
    kept = [axis for axis in order if axis not in axes]
    return tuple(sorted(kept).index(axis) for axis in kept)


@exports(*FOLDS)
def fold(sheet: Sheet, node: Node) -> Form:
    """Over axes in whichever order they stand; the axes stay where a reshape would put them back at once."""
    axes: Order = node.op.axes  # type: ignore[attr-defined]
    (x,), (out,) = node.inputs, node.outputs
    if not axes:
        return sheet.form(x)
    order, op_type = sheet.best_order(x), FOLDS[type(node.op)]
    after = sheet.only_user(out)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    keeps = after is not None and isinstance(after.op, Reshape) and after.op.shape == kept
    places = sheet.ints(*sorted(order.index(axis) for axis in axes))
    made = sheet.through(op_type, [sheet.read(x, order)], x.dtype, places, keepdims=int(keeps))
    if keeps and after is not None:
        sheet.forms[after.outputs[0]] = sheet.made(after.outputs[0], made, order)
    return sheet.made(out, made, remaining(order, axes))


@exports(*EXTREMES)
def extreme(sheet: Sheet, node: Node) -> Form:
    axis: int = node.op.axis  # type: ignore[attr-defined]
    (x,) = node.inputs
    order, op_type = sheet.best_order(x), EXTREMES[type(node.op)]
    name = sheet.cast(sheet.read(x, order), x.dtype, work_dtype(op_type, x.dtype))
    made = sheet.node(op_type, name, axis=order.index(axis), keepdims=0)
    return sheet.made(node.outputs[0], sheet.cast(made, "int64", "int32"), remaining(order, (axis,)))


@exports(CumulativeSum)
def cumulative_sum(sheet: Sheet, node: Node) -> Form:
    op: Any = node.op
    (x,) = node.inputs
    order = sheet.best_order(x)
    axis = sheet.array(np.array(order.index(op.axis), np.int64))
    made = sheet.through("CumSum", [sheet.read(x, order)], x.dtype, axis, reverse=int(op.reverse))
    return sheet.made(node.outputs[0], made, order)
