"""Dimensions: integers, or integer polynomials over names such as `batch`, in normal form.

A name stands for a size of at least 1 that is known only when data arrives. `batch*28` is a
dimension; `batch*28 == batch*28` is decided by the normal form, and an equality that depends on the
value of a name raises a DimensionError instead of guessing.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any, Union

from millrace.ir.errors import DimensionError

Monomial = tuple[str, ...]  # names in alphabetical order, repeated for powers; () is the constant's
MOST_TERMS, MOST_FACTORS, MOST_ELEMENTS = 64, 64, 2**256  # of a dimension: no network comes near, a hostile text may


@dataclass(frozen=True)
class Dim:
    """A polynomial that is not constant: ((monomial, coefficient), ...), sorted, no zero coefficients."""

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: Size) -> Size:
        return _combine(self, other, 1)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return _combine(self, other, -1)

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        product: dict[Monomial, int] = {}
        if len(self.terms) * len(_terms(other)) > MOST_TERMS**2:
            raise _too_much()
        for left, a in self.terms:
            for right, b in _terms(other):
                key = tuple(sorted(left + right))
                product[key] = product.get(key, 0) + a * b
        return _normal(product)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        """The exact quotient; a DimensionError if there is none for every value of the names."""
        divisor = _terms(other)
        if len(divisor) != 1:
            if self == other:
                return 1
            raise DimensionError(f"cannot divide {self} by {other}: the result depends on the names' values")
        (names, coefficient), quotient = divisor[0], {}
        for monomial, c in self.terms:
            left = list(monomial)
            for name in names:
                if name not in left:
                    raise DimensionError(f"cannot decide whether {other} divides {self}")
                left.remove(name)
            if c % coefficient:
                raise DimensionError(f"cannot decide whether {other} divides {self}")
            quotient[tuple(left)] = c // coefficient
        return _normal(quotient)

    def __rfloordiv__(self, other: int) -> Size:
        if other == 0:
            return 0
        raise DimensionError(f"cannot decide whether {self} divides {other}")

    def __str__(self) -> str:
        parts: list[str] = []
        for monomial, c in sorted(self.terms, key=lambda term: (-len(term[0]), term[0])):
            factors = ([str(abs(c))] if abs(c) != 1 or not monomial else []) + list(monomial)
            parts.append(("-" if c < 0 else "+" if parts else "") + "*".join(factors))
        return "".join(parts)

    __repr__ = __str__

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for monomial, _ in self.terms for name in monomial)


Size = Union[int, Dim]  # noqa: UP007 - a runtime alias that isinstance and annotations share


def dim(name: str) -> Dim:
    """The dimension with this name."""
    if not name.isidentifier() or iskeyword(name) or name in ("inf", "nan"):
        raise DimensionError(f"{name!r} cannot name a dimension: use a Python identifier such as 'batch'")
    return Dim((((name,), 1),))


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    return size.terms if isinstance(size, Dim) else ((((), int(size)),) if size else ())


def _normal(terms: dict[Monomial, int]) -> Size:
    kept = tuple(sorted((m, c) for m, c in terms.items() if c))
    if len(kept) > MOST_TERMS or any(len(m) > MOST_FACTORS or abs(c) > MOST_ELEMENTS for m, c in kept):
        raise _too_much()
    if not kept:
        return 0
    return kept[0][1] if kept[0][0] == () and len(kept) == 1 else Dim(kept)


def _too_much() -> DimensionError:
    return DimensionError(f"a dimension has at most {MOST_TERMS} terms of {MOST_FACTORS} factors, and this has more.")


def _combine(a: Size, b: Size, sign: int) -> Size:
    if not isinstance(b, (int, Dim)):
        return NotImplemented
    total = dict(_terms(a))
    for monomial, c in _terms(b):
        total[monomial] = total.get(monomial, 0) + sign * c
    return _normal(total)


def same(a: Size, b: Size) -> bool:
    """Whether two dimensions are equal for every value of their names.

    Raises DimensionError where it depends on the value: names are at least 1, so `batch == 0` is
    decided and `batch == 3` is not.
    """
    if a == b:
        return True
    difference = a - b
    if isinstance(difference, int):
        return False
    for sign in (1, -1):
        least = sum(sign * c for _, c in difference.terms)  # every name at its least, 1
        if all(sign * c > 0 for monomial, c in difference.terms if monomial) and least > 0:
            return False
    raise DimensionError(
        f"cannot decide whether {a} equals {b}: that depends on the value of "
        f"{', '.join(sorted(difference.names))}. Make the two sizes agree for every value."
    )


def at_most(a: Size, b: Size) -> bool:
    """Whether a is surely not above b, whatever the names' values (each at least 1)."""
    rest = b - a
    if isinstance(rest, int):
        return rest >= 0
    growing = all(c >= 0 for monomial, c in rest.terms if monomial)
    return growing and sum(c for _, c in rest.terms) >= 0


def bind(size: Size, sizes: Mapping[str, int]) -> Size:
    """The dimension with known names replaced by their values."""
    if isinstance(size, int):
        return size
    total: Size = 0
    for monomial, c in size.terms:
        product: Size = c
        for name in monomial:
            product = product * (sizes[name] if name in sizes else dim(name))
        total = total + product
    return total


def solve(size: Size, value: int, sizes: dict[str, int]) -> bool:
    """Bind the one free name of `size` so that it equals `value`; whether they agree."""
    size = bind(size, sizes)
    if isinstance(size, int):
        return size == value
    constant = dict(size.terms).get((), 0)
    linear = [(m, c) for m, c in size.terms if m]
    if len(linear) != 1 or len(linear[0][0]) != 1:
        return True  # several unknowns: another input will bind them, and the caller checks again
    (name,), coefficient = linear[0]
    quotient, rest = divmod(value - constant, coefficient)
    if rest or quotient < 1:
        return False
    sizes[name] = quotient
    return True


def product(shape: tuple[Size, ...]) -> Any:
    """The number of elements of a shape."""
    total: Size = 1
    for size in shape:
        total = total * size
    return total


def from_ast(tree: ast.expr) -> Size:
    """A dimension from the syntax tree of its text: names, integers, + - and *."""
    match tree:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return dim(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return 0 - from_ast(operand)
        case ast.BinOp(left=left, op=(ast.Add() | ast.Sub() | ast.Mult()) as op, right=right):
            a, b = from_ast(left), from_ast(right)
            if isinstance(a, int) and isinstance(b, int) and max(abs(a), abs(b)) > MOST_ELEMENTS:
                raise _too_much()
            return a + b if isinstance(op, ast.Add) else a - b if isinstance(op, ast.Sub) else a * b
    raise DimensionError(f"not a dimension: {ast.unparse(tree)[:200]}")


def shape_text(shape: tuple[Size, ...]) -> str:
    return "[" + ", ".join(str(size) for size in shape) + "]"
