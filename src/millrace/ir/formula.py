"""A definition by index, as text that people read, LaTeX that typesets, and loops that run.

The text is one equation in Python's own syntax: `out[i, j] = sum(x[i, k] * y[k, j] for k in range(3))`.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


def product(values: Any) -> Any:
    """The product of an iterable, started from its first element so that dtypes stay."""
    result: Any = 1
    for value in values:
        result = result * value
    return result


def first_argmax(values: Any) -> int:
    items = list(values)
    return max(range(len(items)), key=items.__getitem__)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": math.exp, "log": math.log, "log1p": math.log1p, "expm1": math.expm1, "sqrt": math.sqrt,
    "tanh": math.tanh, "sigmoid": _sigmoid, "erf": math.erf, "sin": math.sin, "cos": math.cos,
    "floor": math.floor, "ceil": math.ceil, "round": round, "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0), "isfinite": math.isfinite,
    "sum": sum, "max": max, "min": min, "product": product, "any": any, "all": all,
    "argmax": first_argmax, "argmin": lambda v: first_argmax(-x for x in v), "range": range,
}  # fmt: skip


class Reading:
    """An operand as a formula reads it: x[i, j], and `outside` where an index leaves the array."""

    def __init__(self, array: np.ndarray, outside: Any):
        self.array, self.outside, self.shape = array, outside, array.shape

    def __getitem__(self, index: Any) -> Any:
        index = index if isinstance(index, tuple) else (index,)
        inside = all(0 <= i < n for i, n in zip(index, self.array.shape, strict=True))
        if not inside and self.outside is None:
            raise IndexError(f"formula reads {index} of an array of shape {self.array.shape}")
        return self.array[tuple(index)].item() if inside else self.outside


@dataclass(frozen=True)
class Formula:
    """An equation `out[...] = ...`; `outside` names operands that read as a value beyond their edge."""

    text: str
    outside: Mapping[str, float] = field(default_factory=dict)
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        notes = [f"{name} is {value:g} outside its range" for name, value in self.outside.items()]
        return self.text + (f"   ({', '.join(notes)})" if notes else "")

    def latex(self) -> str:
        """The equation for a typesetter."""
        left, right = self.text.split(" = ", 1)
        return f"{_latex(ast.parse(left, mode='eval').body)} = {_latex(ast.parse(right, mode='eval').body)}"

    def evaluate(self, shape: tuple[int, ...], dtype: str, operands: Mapping[str, np.ndarray]) -> np.ndarray:
        """The output, one element at a time by plain loops: slow, and plainly what is written."""
        left, right = self.text.split(" = ", 1)
        names = re.findall(r"\w+", left)[1:]
        code = compile(right, "<formula>", "eval")
        scope: dict[str, Any] = {**FUNCTIONS, **self.functions}
        scope |= {name: Reading(array, self.outside.get(name)) for name, array in operands.items()}
        out = np.empty(shape, dtype)
        for index in itertools.product(*(range(n) for n in shape)):
            out[index] = eval(code, {**scope, **dict(zip(names, index, strict=True))})
        return out


LATEX_FUNCTIONS = {"exp", "log", "tanh", "sin", "cos", "max", "min"}
LATEX_BINARY = {ast.Add: "{} + {}", ast.Sub: "{} - {}", ast.Mult: r"{} \, {}", ast.Div: r"\frac{{{}}}{{{}}}",
                ast.Pow: "{}^{{{}}}", ast.FloorDiv: r"\lfloor {} / {} \rfloor", ast.Mod: r"{} \bmod {}",
                ast.BitXor: r"{} \oplus {}", ast.BitAnd: r"{} \,\&\, {}", ast.BitOr: r"{} \,|\, {}",
                ast.RShift: r"{} \gg {}", ast.LShift: r"{} \ll {}"}  # fmt: skip
LATEX_COMPARE = {ast.Eq: "=", ast.NotEq: r"\ne", ast.Lt: "<", ast.LtE: r"\le", ast.Gt: ">", ast.GtE: r"\ge"}
LATEX_FOLDS = {"sum": r"\sum", "product": r"\prod", "max": r"\max", "min": r"\min", "any": r"\bigvee",
               "all": r"\bigwedge", "argmax": r"\arg\max", "argmin": r"\arg\min"}  # fmt: skip


def _latex(tree: ast.expr) -> str:
    match tree:
        case ast.Constant(value=value):
            return (
                rf"\infty{value}"
                if value in (math.inf,)
                else f"{value:g}"
                if isinstance(value, (int, float)) and not isinstance(value, bool)
                else repr(value)
            )
        case ast.Name(id=name):
            return name if len(name) == 1 else rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}"
        case ast.Subscript(value=value, slice=index):
            return f"{_latex(value)}_{{{_latex(index)}}}"
        case ast.Tuple(elts=items):
            return ",".join(_latex(item) for item in items)
        case ast.UnaryOp(op=op, operand=operand):
            sign = {ast.USub: "-", ast.Not: r"\neg ", ast.Invert: r"\sim "}.get(type(op), "+")
            return sign + _latex_in_sum(operand)
        case ast.BinOp(left=left, op=op, right=right):
            pattern = LATEX_BINARY[type(op)]
            if isinstance(op, (ast.Mult, ast.Sub)):
                return pattern.format(_latex_in_sum(left), _latex_in_sum(right))
            base = (
                _latex(left)
                if not isinstance(op, ast.Pow) or isinstance(left, (ast.Name, ast.Subscript))
                else (rf"\left({_latex(left)}\right)")
            )
            return pattern.format(base, _latex(right))
        case ast.Compare(left=left, ops=ops, comparators=rest):
            return _latex(left) + "".join(
                f" {LATEX_COMPARE[type(o)]} {_latex(r)}" for o, r in zip(ops, rest, strict=True)
            )
        case ast.BoolOp(op=op, values=values):
            return (r" \land " if isinstance(op, ast.And) else r" \lor ").join(_latex(v) for v in values)
        case ast.IfExp(test=test, body=body, orelse=other):
            return (
                rf"\begin{{cases}} {_latex(body)} & {_latex(test)} \\ {_latex(other)} & \text{{else}} "
                r"\end{cases}"
            )
        case ast.Call(func=ast.Name(id=name), args=[ast.GeneratorExp(elt=element, generators=loops)]):
            below = ",".join(_latex(loop.target) for loop in loops)
            return rf"{LATEX_FOLDS[name]}_{{{below}}} {_latex(element)}"
        case ast.Call(func=ast.Name(id="sqrt"), args=[argument]):
            return rf"\sqrt{{{_latex(argument)}}}"
        case ast.Call(func=ast.Name(id=name), args=arguments):
            called = rf"\{name}" if name in LATEX_FUNCTIONS else rf"\operatorname{{{name}}}"
            return rf"{called}\left({', '.join(_latex(a) for a in arguments)}\right)"
    return rf"\text{{{ast.unparse(tree)}}}"


def _latex_in_sum(tree: ast.expr) -> str:
    text = _latex(tree)
    loose = isinstance(tree, ast.BinOp) and isinstance(tree.op, (ast.Add, ast.Sub))
    return rf"\left({text}\right)" if loose or isinstance(tree, ast.Compare) else text


def indices(prefix: str, count: int) -> list[str]:
    """Index names: i, j, k, l ... or prefix0, prefix1 ... where they run out."""
    letters = {"i": "ijklmn", "p": "pqrstu"}.get(prefix, "")
    return list(letters[:count]) if count <= len(letters) else [f"{prefix}{n}" for n in range(count)]


def at(name: str, index: list[str]) -> str:
    """`name[i, j]`; a scalar reads as `name[()]`."""
    return f"{name}[{', '.join(index)}]" if index else f"{name}[()]"


ATOM, POWER, PRODUCT, MATRIX_PRODUCT, SUM, COMPARISON = range(6)


class Term(str):
    """Printed mathematics that knows how tightly it holds together, so that parentheses can be spared."""

    level: int

    def __new__(cls, text: str, level: int = ATOM) -> Term:
        term = super().__new__(cls, text)
        term.level = level
        return term


def within(text: str, level: int) -> str:
    """`text` as an operand where `level` is the loosest that needs no parentheses."""
    return f"({text})" if getattr(text, "level", ATOM) > level else str(text)
