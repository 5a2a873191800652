"""Penalties on the size of weights or outputs, by Keras's names: training adds them to the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from millrace import functional as mr
from millrace.ir.core import Value, snake
from millrace.ir.errors import ArgumentError
from millrace.layers.arguments import number
from millrace.layers.identify import identified


class Regularizer:
    """A rule `regularizer(x) -> one number`. One of the user's own defines `call(x)`."""

    known: ClassVar[dict[str, type[Regularizer]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Regularizer.known[snake(cls.__name__).lower()] = cls

    def call(self, x: Value) -> Value:
        raise ArgumentError(f"regularizer {type(self).__name__} does not define call(self, x)")

    def __call__(self, x: Any) -> Value:
        return self.call(mr.as_value(x))

    def get_config(self) -> dict[str, Any]:
        return {"class_name": snake(type(self).__name__).lower(), "config": dict(vars(self))}


class L1L2(Regularizer):
    """l1 * sum |w| + l2 * sum w^2.  Source: Keras L1L2; Zou and Hastie 2005 (the elastic net)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1, self.l2 = number(l1, "l1", 0), number(l2, "l2", 0)

    def call(self, x: Value) -> Value:
        total = mr.constant(0.0)
        if self.l1:
            total = total + self.l1 * mr.sum(mr.abs(x))
        if self.l2:
            total = total + self.l2 * mr.sum(mr.square(x))
        return total


class L1(Regularizer):
    """l1 * sum |w|: drives weights that do little to exactly 0.  Source: Keras L1; Tibshirani 1996."""

    def __init__(self, l1: float = 0.01):
        self.l1 = number(l1, "l1", 0)

    def call(self, x: Value) -> Value:
        return self.l1 * mr.sum(mr.abs(x))


class L2(Regularizer):
    """l2 * sum w^2: keeps weights small, all of them.  Source: Keras L2; Hoerl and Kennard 1970."""

    def __init__(self, l2: float = 0.01):
        self.l2 = number(l2, "l2", 0)

    def call(self, x: Value) -> Value:
        return self.l2 * mr.sum(mr.square(x))


class OrthogonalRegularizer(Regularizer):
    """factor * the mean |cosine| between different rows (or columns) of a matrix, so that they differ.

    Source: Keras OrthogonalRegularizer.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows"):
        self.factor = number(factor, "factor", 0)
        if mode not in ("rows", "columns"):
            raise ArgumentError(f"mode must be 'rows' or 'columns', got {mode!r}.")
        self.mode = mode

    def call(self, x: Value) -> Value:
        if x.ndim != 2:
            raise ArgumentError(f"OrthogonalRegularizer takes a matrix, got {x.type}.")
        axis = 1 if self.mode == "rows" else 0
        unit = x * mr.rsqrt(mr.maximum(mr.sum(mr.square(x), axis, keepdims=True), 1e-12))
        rows = unit if self.mode == "rows" else mr.transpose(unit)
        n = rows.shape[0]
        cosines = mr.matmul(rows, mr.transpose(rows)) * (1.0 - mr.one_hot(mr.arange(n), n))
        return self.factor * 0.5 * mr.sum(mr.abs(cosines)) / max(n * (n - 1) / 2, 1.0)


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer  # Keras's second names for them

SHORT = {"L1": "l1", "L2": "l2", "L1L2": "l1l2", "l1_l2": "l1l2"}


def regularizer(identifier: Any) -> Callable[[Any], Value] | None:
    """A regularizer from its Keras name, its saved form, or one as it is; None for none.

    Raises ArgumentError for an unknown name.
    """
    if identifier is None or isinstance(identifier, Regularizer):
        return identifier
    if callable(identifier):
        return identifier
    return identified("regularizer", identifier, Regularizer, Regularizer.known, SHORT)
