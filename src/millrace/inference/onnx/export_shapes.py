"""Operations that move elements and change none, in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.inference.onnx.export_dtypes import work_dtype
from millrace.inference.onnx.export_forms import Form, Order, Regrouping, channels_last, inverse, ordered
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import exports
from millrace.inference.onnx.export_writer import END
from millrace.ir.core import Node
from millrace.ir.dims import Dim
from millrace.ir.dims import Size as Dimension
from millrace.ops.shape import Broadcast, Concatenate, Pad, Reshape, Reverse, Size, Slice, Transpose


@exports(Broadcast)
def broadcast(sheet: Sheet, node: Node) -> Form:
    """Nothing yet: ONNX repeats by itself, so that it only counts which axes there are."""
    op: Any = node.op
    (x,) = node.inputs
    form = sheet.form(x)
    shape: list[Any] = [1] * len(op.shape)
    for axis, size in zip(op.axes, form.shape, strict=True):
        shape[axis] = size
    if form.array is not None:
        return Form(tuple(shape), array=form.array.reshape(shape), label=form.label, stored=form.stored)
    own = {axis: n for n, axis in enumerate(op.axes)}

    def inner(order: Order) -> Order:
        return tuple(own[axis] for axis in order if axis in own)

    def make(order: Order) -> str:
        name, given = sheet.read(x, inner(order), thin=True), inner(order)
        new = [n for n, axis in enumerate(order) if axis not in own]
        if not new:
            return name
        return sheet.node("Unsqueeze", name, sheet.ints(*new)) if given or x.ndim == 0 else name

    def orders() -> list[Order] | None:
        hand = sheet.form(x).at_hand()
        if hand is None or x.ndim < 2:
            return None
        if x.ndim == len(op.shape):
            return hand
        return [order for order in _usual(len(op.shape)) if inner(order) in hand]

    return Form(tuple(shape), make=make, orders=orders, node=node)


def _usual(ndim: int) -> list[Order]:
    """The orders that values mostly stand in."""
    first = [(0, ndim - 1, *range(1, ndim - 1))] if ndim > 2 else []
    return [channels_last(ndim), *first]


@exports(Reshape)
def reshape(sheet: Sheet, node: Node) -> Form:
    """As the tensor lies, in any order of axes that does not part what belongs together."""
    (x,), (out,) = node.inputs, node.outputs
    form = sheet.form(x)
    how = Regrouping.of(tuple(x.shape), tuple(out.shape))

    def make(order: Order) -> str | None:
        before = how.order_before(order, form.at_hand() or [])
        if before is None:
            return None
        return sheet.regrouped(sheet.read(x, before), ordered(x.shape, before), ordered(out.shape, order))

    def orders() -> list[Order] | None:
        hand = form.at_hand()
        if hand is None:
            return [channels_last(out.ndim)]
        return [order for given in hand if (order := how.order_after(given)) is not None]

    return Form(tuple(out.shape), make=make, orders=orders, node=node)


@exports(Transpose)
def transpose(sheet: Sheet, node: Node) -> Form:
    """Nothing yet: the same tensor, in another order of its axes."""
    axes: Order = node.op.axes  # type: ignore[attr-defined]
    (x,) = node.inputs
    form, back = sheet.form(x), inverse(axes)
    if form.array is not None:
        turned = ordered(form.shape, axes)
        return Form(turned, array=form.array.transpose(axes), label=form.label, stored=form.stored)

    def make(order: Order) -> str:
        return sheet.read(x, tuple(axes[axis] for axis in order), thin=True)

    def orders() -> list[Order] | None:
        hand = form.at_hand()
        return None if hand is None else [tuple(back[axis] for axis in order) for order in hand]

    return Form(ordered(form.shape, axes), make=make, orders=orders, node=node)


@exports(Concatenate)
def concatenate(sheet: Sheet, node: Node) -> Form:
    axis: int = node.op.axis  # type: ignore[attr-defined]
    order = sheet.best_order(*node.inputs)
    names = [sheet.read(value, order) for value in node.inputs]
    made = sheet.through("Concat", names, node.outputs[0].dtype, axis=order.index(axis))
    return sheet.made(node.outputs[0], made, order)


@exports(Slice)
def slice_(sheet: Sheet, node: Node) -> Form:
    op: Any = node.op
    (x,) = node.inputs
    order = sheet.best_order(x)
    name = sheet.read(x, order)
    cut = [
        axis for axis in order
        if (op.start[axis], op.step[axis]) != (0, 1) or op.stop[axis] != x.shape[axis]
    ]  # fmt: skip
    if not cut:
        return sheet.form(x)
    stop = [END if op.stop[axis] == x.shape[axis] and isinstance(x.shape[axis], Dim) else op.stop[axis] for axis in cut]
    bounds = [sheet.shape([op.start[axis] for axis in cut]), sheet.shape(stop)]
    axes, steps = sheet.ints(*(order.index(axis) for axis in cut)), [op.step[axis] for axis in cut]
    rest = [sheet.ints(*steps)] if set(steps) != {1} else []
    return sheet.made(node.outputs[0], sheet.through("Slice", [name], x.dtype, *bounds, axes, *rest), order)


@exports(Reverse)
def reverse(sheet: Sheet, node: Node) -> Form:
    axes: Order = node.op.axes  # type: ignore[attr-defined]
    (x,) = node.inputs
    if not axes:
        return sheet.form(x)
    order = sheet.best_order(x)
    places = [order.index(axis) for axis in axes]
    many = len(places)
    rest = [sheet.ints(*[-1] * many), sheet.ints(*[-END] * many), sheet.ints(*places), sheet.ints(*[-1] * many)]
    return sheet.made(node.outputs[0], sheet.through("Slice", [sheet.read(x, order)], x.dtype, *rest), order)


@exports(Pad)
def pad(sheet: Sheet, node: Node) -> Form:
    op: Any = node.op
    (x,), (out,) = node.inputs, node.outputs
    order = sheet.best_order(x)
    name, sizes = sheet.read(x, order), list(ordered(x.shape, order))
    for place, axis in enumerate(order):
        if op.interior[axis]:
            name = _spread(sheet, name, sizes, place, op.interior[axis], op.fill, x.dtype)
            sizes[place] += (x.shape[axis] - 1) * op.interior[axis] if x.shape[axis] != 0 else 0
    edges = [*ordered(op.low, order), *ordered(op.high, order)]
    if any(edge != 0 for edge in edges):
        name = padded(sheet, name, edges, op.fill, x.dtype)
    return sheet.made(out, name, order)


def padded(sheet: Sheet, name: str, edges: list[Dimension], fill: float, dtype: str) -> str:
    """A tensor with `fill` around it: edges are those at the low ends of all axes, then those at the high ends."""
    work = work_dtype("Pad", dtype)
    value = sheet.number(fill, work)
    made = sheet.node("Pad", sheet.cast(name, dtype, work), sheet.shape(edges), value, mode="constant")
    return sheet.cast(made, work, dtype)


def _spread(
    sheet: Sheet, name: str, sizes: list[Any], place: int, interior: int, fill: float, dtype: str
) -> str:  # fmt: skip
    """A tensor with `interior` of `fill` between neighbours along an axis: each gets them behind it, the last none."""
    wide = [*sizes[: place + 1], 1, *sizes[place + 1 :]]
    ends = [0] * (2 * len(wide))
    ends[len(wide) + place + 1] = interior
    name = padded(sheet, sheet.node("Unsqueeze", name, sheet.ints(place + 1)), list(ends), fill, dtype)
    wide[place + 1] = 1 + interior
    long = sizes[place] * (1 + interior)
    name = sheet.reshaped(name, wide, [*sizes[:place], long, *sizes[place + 1 :]])
    return sheet.through("Slice", [name], dtype, sheet.ints(0), sheet.ints(-interior), sheet.ints(place))


@exports(Size)
def size(sheet: Sheet, node: Node) -> Form:
    of: Dimension = node.op.of  # type: ignore[attr-defined]
    if not isinstance(of, Dim):
        return Form((), array=np.array(of, np.int32))
    return sheet.made(node.outputs[0], sheet.cast(sheet.scalar(of), "int64", "int32"))
