"""Comparison, logic and bits, choosing between values, and converting their dtype, in ONNX."""

from __future__ import annotations

from millrace.inference.onnx.export_dtypes import work_dtype
from millrace.inference.onnx.export_forms import Form, Order
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import exports
from millrace.ir.core import Node, Op
from millrace.ir.types import HALVES
from millrace.ops import compare
from millrace.ops.compare import Cast, IsFinite, Select, ShiftLeft, ShiftRight

COMPARISONS: dict[type[Op], str] = {
    compare.Equal: "Equal", compare.NotEqual: "Equal", compare.Less: "Less", compare.LessEqual: "LessOrEqual",
    compare.Greater: "Greater", compare.GreaterEqual: "GreaterOrEqual",
}  # fmt: skip
LOGIC: dict[type[Op], str] = {compare.And: "And", compare.Or: "Or", compare.Xor: "Xor", compare.Not: "Not"}


@exports(*COMPARISONS)
def comparison(sheet: Sheet, node: Node) -> Form:
    op_type, dtype = COMPARISONS[type(node.op)], node.inputs[0].dtype
    work = work_dtype(op_type, dtype)

    def compared(x: str, y: str) -> str:
        made = sheet.node(op_type, sheet.cast(x, dtype, work), sheet.cast(y, dtype, work))
        return sheet.node("Not", made) if isinstance(node.op, compare.NotEqual) else made

    return sheet.pointwise(node, write=compared)


@exports(*LOGIC)
def logic(sheet: Sheet, node: Node) -> Form:
    prefix = "" if node.inputs[0].dtype == "bool" else "Bitwise"
    op_type = prefix + LOGIC[type(node.op)]
    if not prefix:
        return sheet.pointwise(node, write=lambda *names: sheet.node(op_type, *names))
    return sheet.pointwise(node, op_type)


@exports(ShiftLeft, ShiftRight)
def shift(sheet: Sheet, node: Node) -> Form:
    direction = "LEFT" if isinstance(node.op, ShiftLeft) else "RIGHT"
    return sheet.pointwise(node, write=lambda x, y: sheet.node("BitShift", x, y, direction=direction))


@exports(IsFinite)
def is_finite(sheet: Sheet, node: Node) -> Form:
    """|x| < infinity, which NaN is not either."""
    dtype = node.inputs[0].dtype
    work = "float32" if dtype in HALVES else dtype

    def compared(x: str) -> str:
        return sheet.node("Less", sheet.node("Abs", sheet.cast(x, dtype, work)), sheet.number(float("inf"), work))

    return sheet.pointwise(node, write=compared)


@exports(Select)
def select(sheet: Sheet, node: Node) -> Form:
    dtype = node.outputs[0].dtype
    work = work_dtype("Where", dtype)

    def chosen(order: Order) -> str:
        condition, x, y = (sheet.read(value, order, thin=True) for value in node.inputs)
        made = sheet.node("Where", condition, sheet.cast(x, dtype, work), sheet.cast(y, dtype, work))
        return sheet.cast(made, work, dtype)

    return sheet.anywhere(node, chosen)


@exports(Cast)
def cast(sheet: Sheet, node: Node) -> Form:
    before, after = node.inputs[0].dtype, node.outputs[0].dtype
    return sheet.pointwise(node, write=lambda x: sheet.cast(x, before, after))
