"""The operators of values and variables, so that mathematics is written as mathematics."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.functional import arithmetic, products, shaping
from millrace.functional.convert import as_value
from millrace.ir.core import Expression, Value
from millrace.ir.errors import ArgumentError
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Placeholder
from millrace.ir.printing import formula
from millrace.ir.text import text


def _swapped(function: Any) -> Any:
    return lambda self, other: function(other, self)


def shown(value: Value) -> str:
    """At the prompt: the value itself where nothing is open, else its type and its mathematics."""
    nodes = topological([value])
    is_open = any(isinstance(n.op, Placeholder) or not n.outputs[0].type.is_concrete for n in nodes)
    is_open = is_open or any(n.op.name == "Size" and not isinstance(vars(n.op)["of"], int) for n in nodes)
    if is_open:
        return f"<{value.type}: {formula(value)}>"
    return repr(Graph([], [value]).evaluate([])[0])


def known_now(value: Any, dtype: Any = None, copy: Any = None) -> np.ndarray:
    """The array of an expression without open inputs, for NumPy and float().

    Raises ArgumentError for one that waits for an input.
    """
    value = as_value(value)
    for node in topological([value]):
        if isinstance(node.op, Placeholder) or not node.outputs[0].type.is_concrete:
            waits = f"input {node.op.label!r}" if isinstance(node.op, Placeholder) else f"the size of {value.type}"
            raise ArgumentError(f"{value.type} has no value yet: it waits for {waits}. Call it through mr.function.")
    return np.array(Graph([], [value]).evaluate([])[0], dtype=dtype)


def numpy_function(self: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Value:
    """np.exp(value) and array * value: the function of the same name, as a value of the graph."""
    function = getattr(arithmetic, NUMPY_NAMES.get(ufunc.__name__, ufunc.__name__), None)
    if method != "__call__" or options or function is None:
        raise ArgumentError(f"np.{ufunc.__name__} does not work on values of a graph: look for it in millrace.")
    return function(*inputs)


NUMPY_NAMES = {"absolute": "abs", "rint": "round", "invert": "logical_not", "true_divide": "divide"}
NUMPY_NAMES |= {"bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor"}


def install() -> None:
    """Give values and variables Python's operators; called once, by the package."""
    table: dict[str, Any] = {
        "__neg__": arithmetic.negative, "__abs__": arithmetic.abs, "__invert__": arithmetic.logical_not,
        "__lt__": arithmetic.less, "__le__": arithmetic.less_equal, "__gt__": arithmetic.greater,
        "__ge__": arithmetic.greater_equal, "__getitem__": shaping.getitem,
        "T": property(shaping.transpose), "reshape": lambda self, *s: shaping.reshape(self, s if len(s) != 1 else s[0]),
    }  # fmt: skip
    table |= {
        "__array__": known_now, "__float__": lambda self: float(known_now(self)),
        "__int__": lambda self: int(known_now(self)), "__array_ufunc__": numpy_function,
    }  # fmt: skip
    both = {
        "add": arithmetic.add, "sub": arithmetic.subtract, "mul": arithmetic.multiply,
        "truediv": arithmetic.divide, "pow": arithmetic.power, "matmul": products.matmul,
        "floordiv": arithmetic.floor_divide, "mod": arithmetic.remainder,
        "and": arithmetic.logical_and, "or": arithmetic.logical_or, "xor": arithmetic.logical_xor,
    }  # fmt: skip
    for name, function in both.items():
        table[f"__{name}__"], table[f"__r{name}__"] = function, _swapped(function)
    for name, function in table.items():
        setattr(Expression, name, function)
    Value.__repr__ = shown  # type: ignore[method-assign,assignment]
    Graph.__str__ = text  # type: ignore[method-assign,assignment]
    Value.__str__ = formula  # type: ignore[method-assign,assignment]
