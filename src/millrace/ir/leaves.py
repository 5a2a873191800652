"""Where values enter a graph: inputs and constants."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Op
from millrace.ir.formula import SUM, Term
from millrace.ir.types import TensorType, is_float_array, native, widened
from millrace.ir.typeset import symbol


@dataclass(frozen=True)
class Placeholder(Op):
    """An open input: its value arrives when a function is called."""

    moves = True

    label: str
    type: TensorType

    def infer(self) -> TensorType:
        return self.type

    def notation(self) -> str:
        return self.label

    def latex(self) -> str:
        return symbol(self.label)


class Literal:
    """An array as an attribute: immutable, compared and hashed by content."""

    __slots__ = ("array", "digest")

    def __init__(self, array: Any):
        self.array = native(np.array(array))  # a copy, made read-only
        self.array.flags.writeable = False
        content = np.ascontiguousarray(self.array).tobytes()
        header = f"{self.array.dtype}{self.array.shape}".encode()
        self.digest = hashlib.sha256(header + content).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def is_short(self) -> bool:
        return self.array.size <= 16

    def __repr__(self) -> str:
        """Inline where it is short; by hash where it is long, the content kept beside the text."""
        type = f"{self.array.dtype.name!r}, {self.array.shape}"
        if not self.is_short:
            return f"literal({type}, sha256={self.digest!r})"
        return f"literal({type}, {widened(self.array).ravel().tolist()!r})"


@dataclass(frozen=True)
class Constant(Op):
    """A value that is known when the graph is built."""

    moves = True

    literal: Literal

    def infer(self) -> TensorType:
        return TensorType.of(self.literal.array)

    def notation(self) -> str:
        array = widened(self.literal.array)
        if array.size and bool((array == array.ravel()[0]).all()):
            array = array.ravel()[0]
        if array.ndim == 0:
            shown = f"{array:.6g}" if is_float_array(array) else str(array)
            return Term(shown, SUM) if shown.startswith("-") else shown
        return (
            np.array2string(array, separator=", ", threshold=6, precision=4)
            if array.size <= 6
            else (f"constant{list(array.shape)}")
        )
