"""The operators of values and variables, so that mathematics is written as mathematics."""

from __future__ import annotations

from typing import Any

from millrace.functional import arithmetic, products, shaping
from millrace.ir.core import Expression, Value
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Placeholder
from millrace.ir.printing import formula


def _swapped(function: Any) -> Any:
    return lambda self, other: function(other, self)


def shown(value: Value) -> str:
    """At the prompt: the value itself where nothing is open, else its type and its mathematics."""
    is_open = any(isinstance(node.op, Placeholder) for node in topological([value]))
    if is_open:
        return f"<{value.type}: {formula(value)}>"
    return repr(Graph([], [value]).evaluate([])[0])


def install() -> None:
    """Give values and variables Python's operators; called once, by the package."""
    table: dict[str, Any] = {
        "__neg__": arithmetic.negative, "__abs__": arithmetic.abs, "__invert__": arithmetic.logical_not,
        "__lt__": arithmetic.less, "__le__": arithmetic.less_equal, "__gt__": arithmetic.greater,
        "__ge__": arithmetic.greater_equal, "__getitem__": shaping.getitem,
        "T": property(shaping.transpose), "reshape": lambda self, *s: shaping.reshape(self, s if len(s) != 1 else s[0]),
    }  # fmt: skip
    both = {
        "add": arithmetic.add, "sub": arithmetic.subtract, "mul": arithmetic.multiply,
        "truediv": arithmetic.divide, "pow": arithmetic.power, "matmul": products.matmul,
        "and": arithmetic.logical_and, "or": arithmetic.logical_or, "xor": arithmetic.logical_xor,
    }  # fmt: skip
    for name, function in both.items():
        table[f"__{name}__"], table[f"__r{name}__"] = function, _swapped(function)
    for name, function in table.items():
        setattr(Expression, name, function)
    Value.__repr__ = shown  # type: ignore[method-assign,assignment]
    Value.__str__ = formula  # type: ignore[method-assign,assignment]
