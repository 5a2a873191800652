"""A formula as a person types it, such as `mean(tanh(w*x)**2)`, read into a graph; nothing in it is run as Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from keyword import iskeyword
from typing import Any

import numpy as np

from millrace import functional
from millrace.ir.core import Value
from millrace.ir.dims import dim, from_ast, shape_text
from millrace.ir.errors import ArgumentError, MillraceError, ShapeError
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.ir.work import elements as size_of

LONGEST = 1000  # characters of a formula
LARGEST = 10_000  # numbers in one name, so that its gradient can be tried out

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: functional.add, ast.Sub: functional.subtract, ast.Mult: functional.multiply,
    ast.Div: functional.divide, ast.Pow: functional.power, ast.MatMult: functional.matmul,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: functional.less, ast.LtE: functional.less_equal, ast.Gt: functional.greater,
    ast.GtE: functional.greater_equal, ast.Eq: functional.equal, ast.NotEq: functional.not_equal,
}  # fmt: skip
WITH_STATE = ("random_", "dropout", "next_state", "mixup", "pca_color", "training_only")
OF_GRAPHS = (
    "Input",
    "as_value",
    "autocast",
    "constant",
    "example_weights",
    "gradients",
    "scan",
    "shard",
    "size",
    "vjp",
)
FUNCTIONS = {
    name: getattr(functional, name)
    for name in functional.__all__
    if not name.startswith(WITH_STATE) and name not in OF_GRAPHS
}
ELSEWHERE = {  # what other languages call it
    "ln": "log", "pow": "power", "sqr": "square", "fabs": "abs", "logistic": "sigmoid", "swish": "silu",
    "mse": "mean", "concat": "concatenate",
}  # fmt: skip
OF_NUMBERS = tuple(f"millrace.functional.{file}" for file in ("arithmetic", "activations"))


@dataclass(frozen=True)
class Expression:
    """A formula: its text, its value, and the names in it, in the order in which they stand there."""

    text: str
    value: Value
    names: Mapping[str, Value]


def read(text: str) -> Expression:
    """The graph of a formula.

    Names become inputs of float64. A name is a vector [n] unless its shape is stated behind it: `w[]` is one number,
    `W[m, n] @ x` a matrix on a vector; once is enough. Functions are Millrace's own, with their options, as in
    `sum(x, axis=0)`; numbers, + - * / ** @, comparisons and parentheses mean what they mean in Python.

    Raises ArgumentError for anything else: what it is, and where it stands.
    """
    return _Reader(" ".join(text.split())).expression()


SHAPELESS = "A name without a shape is a vector [n]: state another behind it, as in W[m, n] @ x + b[m]"


class _Reader:
    def __init__(self, text: str):
        self.text = text
        self.added: list[int] = []  # where `[]` became `[()]`, for Python's parser
        self.names: dict[str, Value] = {}

    def expression(self) -> Expression:
        if not self.text:
            raise ArgumentError('there is nothing to differentiate: give a formula such as "mean(tanh(w*x)**2)".')
        if len(self.text) > LONGEST:
            raise ArgumentError(f"a formula has at most {LONGEST} characters here, this one has {len(self.text)}.")
        if "^" in self.text:
            at, mended = self.text.index("^"), self.text.replace("^", "**")
            raise self.wrong(f"a power is written with **: {mended}", at, at + 1)
        tree = self.parsed()
        shapes = self.shapes(tree)
        functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions]
        sizes = {
            id(name) for node in ast.walk(tree) if isinstance(node, ast.Subscript) for name in ast.walk(node.slice)
        }
        for name in sorted((node for node in found if id(node) not in sizes), key=lambda node: node.col_offset):
            type = TensorType("float64", shapes.get(name.id, (dim("n"),)))
            self.names.setdefault(name.id, Placeholder(name.id, type)())
        self.shapeless = any(name not in shapes for name in self.names)
        value = self.value(tree)
        if not isinstance(value, Value) or not self.names:
            raise ArgumentError(f"{self.text} has no names in it: there is nothing to differentiate by.")
        return Expression(self.text, value, self.names)

    def parsed(self) -> ast.expr:
        source = re.sub(r"\[\s*\]", "[()]", self.text)
        shift = 0
        for empty in re.finditer(r"\[\s*\]", self.text):
            self.added.append(empty.start() + 1 + shift)
            shift += 4 - len(empty[0])
        try:
            return ast.parse(source, mode="eval").body
        except SyntaxError as error:
            at = self.column((error.offset or 1) - 1)
            raise self.wrong(f"this is no formula ({error.msg}){self.times_forgotten()}", at, at + 1) from None
        except (RecursionError, MemoryError, ValueError):
            raise ArgumentError(f"{self.text[:40]}... is nested too deeply to be read.") from None

    def times_forgotten(self) -> str:
        """How to write a product that has no sign, such as 2w or w x; "" where there is none."""
        found = re.search(r"(?<![\w.])(?:(\d+\.?\d*) ?|([^\W\d]\w*) )(?![eE]\d)([^\W\d]\w*)", self.text)
        if found is None or iskeyword(found[2] or "") or iskeyword(found[3]):
            return ""
        return f": write {found[1] or found[2]}*{found[3]}"

    def shapes(self, tree: ast.expr) -> dict[str, tuple[Any, ...]]:
        """The shapes that are stated behind names."""
        stated: dict[str, tuple[Any, ...]] = {}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Subscript):
                continue
            if not isinstance(node.value, ast.Name):
                raise self.refused(node, "[...] states the shape of a name, as in w[n]; it takes nothing out")
            sizes = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            try:
                shape = tuple(from_ast(size) for size in sizes)
                type = TensorType("float64", shape)
            except MillraceError:
                raise self.refused(node.slice, "a shape is made of whole numbers and names, as in x[n, 3]") from None
            if any(isinstance(size, int) and size < 1 for size in shape):
                raise self.refused(node.slice, "each size is at least 1")
            if type.is_concrete and size_of(type) > LARGEST:
                raise self.refused(node.slice, f"a name has at most {LARGEST} numbers here")
            if stated.setdefault(node.value.id, shape) != shape:
                before = shape_text(stated[node.value.id])
                raise self.refused(node, f"{node.value.id} is {before} before and {shape_text(shape)} here")
        return stated

    def value(self, tree: ast.expr) -> Any:
        match tree:
            case ast.Constant(value=(bool() | int() | float() | str() | None) as constant):
                return constant
            case ast.Name(id=name):
                return self.names[name]
            case ast.Subscript(value=ast.Name(id=name)):
                return self.names[name]
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return tuple(self.value(item) for item in items)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.value(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self.value(operand)
                return -inner if isinstance(inner, (int, float)) else self.applied(functional.negative, tree, inner)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return self.binary(tree, type(op), self.value(left), self.value(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
                return self.applied(COMPARISONS[type(op)], tree, self.value(left), self.value(right))
            case ast.Call(func=ast.Name(id=name)):
                return self.called(tree, name)
            case ast.Call(func=ast.Constant(value=int() | float()) | ast.BinOp()):
                factor, rest = self.source(tree.func), ", ".join(self.source(x) for x in tree.args)
                factor = f"({factor})" if isinstance(tree.func, ast.BinOp) else factor
                raise self.refused(tree, f"a product is written with *: {factor}*({rest})")
        raise self.refused(tree, "a formula is made of names, numbers, + - * / ** @, comparisons and functions")

    def binary(self, tree: ast.expr, operator: type[ast.operator], left: Any, right: Any) -> Any:
        numbers = [isinstance(x, (int, float)) for x in (left, right)]
        if all(numbers):  # as float64, so that 9**9**9 is too large at once and not for ever
            with np.errstate(all="ignore"):
                plain = {
                    ast.Add: np.add,
                    ast.Sub: np.subtract,
                    ast.Mult: np.multiply,
                    ast.Div: np.divide,
                    ast.Pow: np.power,
                }
                if operator not in plain:
                    raise self.refused(tree, "@ is for vectors and matrices")
                return float(plain[operator](np.float64(left), np.float64(right)))
        return self.applied(OPERATORS[operator], tree, left, right)

    def called(self, tree: ast.Call, name: str) -> Any:
        function = FUNCTIONS.get(name)
        if function is None:
            near = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name, FUNCTIONS, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`millrace explain` lists all functions"
            known = "is no function of numbers alone" if name in functional.__all__ else "is no function of Millrace"
            raise self.refused(tree.func, f"{name} {known}; {hint}")
        if any(isinstance(argument, ast.Starred) for argument in tree.args) or any(
            k.arg is None for k in tree.keywords
        ):
            raise self.refused(tree, "* and ** before an argument mean nothing here")
        given = [self.value(argument) for argument in tree.args]
        if name in ("max", "min") and len(given) > 1 and isinstance(given[1], Value):
            raise self.refused(tree, self.of_two(name, tree.args))
        if (
            name == "softmax_cross_entropy"
            and len(given) > 1
            and isinstance(given[1], Value)
            and given[1].type.is_float
        ):
            raise self.refused(
                tree, "it takes class numbers, and names are floats here: write -sum(y*log_softmax(x)), y being one-hot"
            )
        if function.__module__ in OF_NUMBERS and all(type(x) in (int, float) for x in given):
            given = [np.float64(x) for x in given]  # exp(2) in the precision of everything else
        options = {keyword.arg: self.value(keyword.value) for keyword in tree.keywords if keyword.arg}
        return self.applied(function, tree, *given, **options)

    def of_two(self, name: str, arguments: list[ast.expr]) -> str:
        """How the greater or lesser of two is written: max is that of one array, as in NumPy."""
        word, (first, second) = ("greatest", "least")[name == "min"], [self.source(x) for x in arguments[:2]]
        other = f", or relu({second})" if name == "max" and first in ("0", "0.0") else ""
        return f"{name} is the {word} number of one array: write {name}imum({second}, {first}){other}"

    def source(self, tree: ast.expr) -> str:
        """A part of the formula as it was typed."""
        return ast.unparse(tree).replace("[()]", "[]")

    def applied(self, function: Callable[..., Any], tree: ast.expr, *given: Any, **options: Any) -> Value:
        try:
            made = function(*given, **options)
        except MillraceError as error:
            hint = f". {SHAPELESS}" if isinstance(error, ShapeError) and self.shapeless else ""
            why = str(error.args[0]).splitlines()[0].rstrip(".").replace("mr.", "")  # a formula says cast, not mr.cast
            raise self.refused(tree, why + hint) from None
        except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise self.refused(tree, f"{function.__name__} does not take this: {error}") from None
        if not isinstance(made, Value):
            raise self.refused(tree, f"{function.__name__} gives several results; a formula has one")
        return made

    def refused(self, tree: ast.expr, why: str) -> ArgumentError:
        end = tree.end_col_offset if tree.end_col_offset is not None else tree.col_offset + 1
        source = re.sub(r"\[\s*\]", "[()]", self.text).encode()  # Python counts bytes
        start, stop = (self.column(len(source[:at].decode(errors="ignore"))) for at in (tree.col_offset, end))
        return self.wrong(why, start, stop)

    def column(self, at: int) -> int:
        """A column of what Python read, in the formula as it was typed."""
        return at - sum(min(2, max(0, at - added)) for added in self.added)

    def wrong(self, why: str, start: int, stop: int) -> ArgumentError:
        marks = "^" * max(1, min(stop, len(self.text)) - start)
        return ArgumentError(f"at character {start + 1}: {why}\n  {self.text}\n  {' ' * start}{marks}")
