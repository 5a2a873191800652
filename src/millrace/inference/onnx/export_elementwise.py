"""Arithmetic and functions of each element by itself, in ONNX."""

from __future__ import annotations

from functools import partial
from typing import Any

from millrace.inference.onnx.export_forms import Form
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import exports, refused
from millrace.ir.core import Node, Op
from millrace.ir.types import HALVES
from millrace.ops import arithmetic, elementwise
from millrace.ops.elementwise import Expm1, IntegerPower, Log1p, StopGradient
from millrace.ops.once import Once
from millrace.ops.random import RandomBits, TrainingOnly
from millrace.ops.sharding import Shard

SAME: dict[type[Op], tuple[str, ...]] = {  # one ONNX operator after another
    elementwise.Exp: ("Exp",), elementwise.Log: ("Log",), elementwise.Sqrt: ("Sqrt",),
    elementwise.Rsqrt: ("Sqrt", "Reciprocal"), elementwise.Tanh: ("Tanh",), elementwise.Sigmoid: ("Sigmoid",),
    elementwise.Erf: ("Erf",), elementwise.Sin: ("Sin",), elementwise.Cos: ("Cos",), elementwise.Relu: ("Relu",),
    elementwise.Floor: ("Floor",), elementwise.Ceil: ("Ceil",), elementwise.Round: ("Round",),
    elementwise.Negative: ("Neg",), elementwise.Abs: ("Abs",), elementwise.Sign: ("Sign",),
    arithmetic.Add: ("Add",), arithmetic.Subtract: ("Sub",),
    arithmetic.Divide: ("Div",), arithmetic.Power: ("Pow",), arithmetic.Maximum: ("Max",),
    arithmetic.Minimum: ("Min",),
}  # fmt: skip


@exports(*SAME)
def same(sheet: Sheet, node: Node) -> Form:
    return sheet.pointwise(node, *SAME[type(node.op)])


@exports(StopGradient, Once, Shard)
def itself(sheet: Sheet, node: Node) -> Form:
    return sheet.form(node.inputs[0])


@exports(TrainingOnly)
def training_only(sheet: Sheet, node: Node) -> Form:
    return sheet.form(node.inputs[1])  # by itself it is the second; a model in use has lost it


def written(sheet: Sheet, node: Node, write: Any) -> Form:
    """An element's new value by several nodes, in float32 where it has 16 bits."""
    dtype = node.inputs[0].dtype
    work = "float32" if dtype in HALVES else dtype

    def made(x: str) -> str:
        return sheet.cast(write(sheet.cast(x, dtype, work), partial(sheet.number, dtype=work)), work, dtype)

    return sheet.pointwise(node, write=made)


@exports(IntegerPower)
def integer_power(sheet: Sheet, node: Node) -> Form:
    exponent: int = node.op.exponent  # type: ignore[attr-defined]

    def power(x: str, number: Any) -> str:
        if exponent == 1:
            return x
        if exponent == -1:
            return sheet.node("Reciprocal", x)
        return sheet.node("Mul", x, x) if exponent == 2 else sheet.node("Pow", x, number(exponent))

    return written(sheet, node, power)


@exports(Expm1)
def expm1(sheet: Sheet, node: Node) -> Form:
    """(exp(x) + 1) tanh(x / 2), which is exact for small x as exp(x) - 1 is not."""

    def made(x: str, number: Any) -> str:
        half = sheet.node("Tanh", sheet.node("Mul", x, number(0.5)))
        return sheet.node("Mul", sheet.node("Add", sheet.node("Exp", x), number(1)), half)

    return written(sheet, node, made)


@exports(Log1p)
def log1p(sheet: Sheet, node: Node) -> Form:
    """log(u) x / (u - 1) with u = 1 + x as it was rounded: exact for small x.

    Source: Goldberg 1991, What every computer scientist should know about floating-point arithmetic, theorem 4.
    """

    def made(x: str, number: Any) -> str:
        one = number(1)
        u = sheet.node("Add", x, one)
        log = sheet.node("Log", u)
        small = sheet.node("Mul", log, sheet.node("Div", x, sheet.node("Sub", u, one)))
        near = sheet.node("Where", sheet.node("Equal", u, one), x, small)
        return sheet.node("Where", sheet.node("Greater", x, one), log, near)

    return written(sheet, node, made)


@exports(RandomBits)
def random_bits(sheet: Sheet, node: Node) -> Form:
    raise refused(
        node,
        "ONNX has no generator that gives Millrace's numbers, so that the file would answer otherwise; what only "
        "training draws, such as dropout, is gone from a Predictor",
    )
