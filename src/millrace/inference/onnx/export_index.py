"""Choosing elements by position, and counting positions, in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.inference.onnx.export_dtypes import work_dtype
from millrace.inference.onnx.export_forms import Form, channels_last
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import exports
from millrace.ir.core import Node, Value
from millrace.ir.dims import Dim, Size
from millrace.ops.crops import Crop
from millrace.ops.index import Iota, ScatterAdd, Take
from millrace.ops.weights import ExampleWeights


def place_dtype(positions: Value) -> str:
    """What ONNX may count places in: int32 or int64."""
    return positions.dtype if positions.dtype in ("int32", "int64") else "int64"


def inside(sheet: Sheet, positions: Value, size: Size) -> str:
    """Positions moved to the nearest end where they lie outside: int32 or int64."""
    dtype = place_dtype(positions)
    known = sheet.form(positions).array
    if known is not None and isinstance(size, int) and bool(((known >= 0) & (known < size)).all()):
        return sheet.cast(sheet.read(positions), positions.dtype, dtype)
    name = sheet.cast(sheet.read(positions), positions.dtype, dtype)
    if isinstance(size, int):
        last = sheet.number(size - 1, dtype)
    else:
        last = sheet.cast(sheet.node("Sub", sheet.scalar(size), sheet.number(1, "int64")), "int64", dtype)
    return sheet.node("Clip", name, sheet.number(0, dtype), last)


@exports(Take)
def take(sheet: Sheet, node: Node) -> Form:
    axis: int = node.op.axis  # type: ignore[attr-defined]
    x, positions = node.inputs
    order = sheet.best_order(x) if positions.ndim == 1 else channels_last(x.ndim)
    where = inside(sheet, positions, x.shape[axis])
    made = sheet.through("Gather", [sheet.read(x, order)], x.dtype, where, axis=order.index(axis))
    return sheet.made(node.outputs[0], made, order if positions.ndim == 1 else None)


@exports(ScatterAdd)
def scatter_add(sheet: Sheet, node: Node) -> Form:
    """With the axis first, as ScatterND has it."""
    axis: int = node.op.axis  # type: ignore[attr-defined]
    x, positions, updates = node.inputs
    order = (axis, *(a for a in range(x.ndim) if a != axis))
    places = tuple(range(axis, axis + positions.ndim))
    moved = (*places, *(a for a in range(updates.ndim) if a not in places))
    where = sheet.cast(inside(sheet, positions, x.shape[axis]), place_dtype(positions), "int64")
    index = sheet.node("Unsqueeze", where, sheet.ints(-1))
    work = work_dtype("Add", x.dtype)
    data, added = (
        sheet.cast(name, x.dtype, work) for name in (sheet.read(x, order), sheet.read(updates, moved))
    )  # fmt: skip
    made = sheet.node("ScatterND", data, index, added, reduction="add")
    return sheet.made(node.outputs[0], sheet.cast(made, work, x.dtype), order)


@exports(Iota)
def iota(sheet: Sheet, node: Node) -> Form:
    op: Any = node.op
    count: Size = op.shape[op.axis]
    shape: Any = tuple(count if axis == op.axis else 1 for axis in range(len(op.shape)))
    if not isinstance(count, Dim):
        return Form(shape, array=np.arange(count).astype(op.dtype).reshape(shape))
    name = sheet.cast(sheet.counted(count), "int64", op.dtype)
    return Form(shape, {channels_last(len(shape)): sheet.reshaped(name, [count], shape)})


@exports(ExampleWeights)
def example_weights(sheet: Sheet, node: Node) -> Form:
    return Form((1,), array=np.ones(1, np.float32))


@exports(Crop)
def crop(sheet: Sheet, node: Node) -> Form:
    """The rows and columns of each window as positions, and what stands there."""
    op: Any = node.op
    x, top, left = node.inputs
    index = []
    for positions, size, window, shape in (
        (top, x.shape[1], op.height, (op.height, 1)), (left, x.shape[2], op.width, (op.width,))
    ):  # fmt: skip
        first = sheet.cast(inside(sheet, positions, size - window + 1), "int32", "int64")
        first = sheet.node("Unsqueeze", first, sheet.ints(1, 2))
        index.append(sheet.node("Add", first, sheet.array(np.arange(window).reshape(shape))))
    whole = sheet.shape([x.shape[0], op.height, op.width])
    pairs = [sheet.node("Unsqueeze", sheet.node("Expand", name, whole), sheet.ints(-1)) for name in index]
    places = sheet.node("Concat", *pairs, axis=-1)
    return sheet.made(node.outputs[0], sheet.through("GatherND", [sheet.read(x)], x.dtype, places, batch_dims=1))
