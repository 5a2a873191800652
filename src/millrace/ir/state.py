"""Variables: named mutable state that every function over a graph shares.

A set of variables is read, and replaced, in one move under one lock, so nobody sees half of a step. A
reader that needs a set for longer takes a lease; a function that donates its buffers to the compiler
copies those that are leased first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Expression, Op, Value, outside_layers
from millrace.ir.dims import same, shape_text
from millrace.ir.errors import ArgumentError, DTypeError, MillraceError, ShapeError
from millrace.ir.types import TensorType, as_dtype, native
from millrace.ir.typeset import symbol

STATE_LOCK = threading.RLock()  # held while a set is read or replaced
STEP_LOCK = threading.RLock()  # held by a function that writes, from its reading to its writing
_leases: dict[object, list[Any]] = {}  # the buffers that each snapshot holds


class Variable(Expression):
    """Named mutable state with a fixed type: a weight, an optimizer slot, a counter.

    `initial` is an array (or number); `trainable` says whether optimizers update it. Behaves as a value
    in expressions: `x * w`.

    Raises ArgumentError for an empty name, DTypeError for a dtype that Millrace lacks.
    """

    def __init__(self, initial: Any, name: str = "variable", trainable: bool = True, dtype: str | None = None):
        try:
            array = native(np.array(initial, dtype=dtype))
        except ValueError:
            raise ShapeError(f"variable {name!r}: these are not numbers in rows of equal length.") from None
        # a copy: the caller's array stays the caller's
        if dtype is None and not hasattr(initial, "dtype"):
            array = array.astype({"float64": "float32", "int64": "int32"}.get(array.dtype.name, array.dtype))
        if not name:
            raise ArgumentError("a variable needs a name")
        self.name, self.trainable = name, trainable
        self.sharding: tuple[str | None, ...] = ()  # the axis of a mesh over which each of its axes is split
        self.type = TensorType.of(array)
        self._buffer: Any = array
        self._value: Value | None = None

    @classmethod
    def blank(cls, type: TensorType, name: str, trainable: bool = True) -> Variable:
        """A variable of this type that holds zeros, which take no memory until something is put in their place.

        Raises ShapeError for a type whose sizes are not all known, or beyond all memory.
        """
        if not type.is_concrete or type.size > 2**44:  # type: ignore[operator]
            raise ShapeError(f"variable {name!r} is {type}: its sizes must be known numbers that fit into memory.")
        made = cls(np.zeros((), type.dtype), name, trainable)
        made.type, made._buffer = type, np.broadcast_to(np.zeros((), type.dtype), type.shape)
        return made

    @property
    def value(self) -> Value:
        """The one value that stands for what a function reads before it writes."""
        if self._value is None:
            with outside_layers():  # several layers may share it
                self._value = Read(self)()
        return self._value

    def numpy(self) -> np.ndarray:
        """A copy of what the variable holds now."""
        with snapshot([self]) as (buffer,):
            return here(self, buffer)

    def assign(self, array: Any) -> None:
        """Replace what the variable holds, from outside any graph."""
        made = np.array(as_dtype(array, self.dtype, f"variable {self.name!r}"))  # a copy
        self.check(made)
        replace({self: made})

    def check(self, array: np.ndarray) -> None:
        if array.shape != self.shape:
            raise ShapeError(f"variable {self.name!r} is {self.type}; cannot hold shape {shape_text(array.shape)}.")

    def __repr__(self) -> str:
        return f"Variable({self.name!r}, {self.type})\n{self.numpy()}"

    def __str__(self) -> str:
        return self.name


def is_here(buffer: Any) -> bool:
    """Whether this process can read all of a buffer: none of its parts lies with other processes alone."""
    return bool(getattr(buffer, "is_fully_addressable", True) or buffer.is_fully_replicated)


def here(variable: Variable, buffer: Any) -> np.ndarray:
    """A copy of a variable's buffer.  Raises MillraceError where parts of it lie with other processes."""
    if not is_here(buffer):
        raise MillraceError(
            f"variable {variable.name!r} lies in parts with several processes, so that none can read it alone: keep "
            "the model with callbacks.Checkpoint, and read it from there."
        )
    return np.array(buffer)


class snapshot:  # lower case, as what is called for `with`; no generator, since each prediction takes one
    """A lease on one consistent set of buffers: nobody overwrites them until it ends."""

    __slots__ = ("variables",)

    def __init__(self, variables: Sequence[Variable]):
        self.variables = variables

    def __enter__(self) -> list[Any]:
        with STATE_LOCK:
            buffers = _leases[self] = buffers_of(self.variables)
        return buffers

    def __exit__(self, *error: object) -> None:
        del _leases[self]


def adopt(variables: Sequence[Variable], adopted: Callable[[Any], Any]) -> None:
    """Hold each variable in an engine's own form, so that no call has to bring it there; one after another."""
    with STATE_LOCK:
        for variable in variables:
            variable._buffer = adopted(variable._buffer)


def buffers_of(variables: Sequence[Variable]) -> list[Any]:
    """The buffers now. Call with STATE_LOCK held, and keep it until they have been handed on."""
    return [variable._buffer for variable in variables]


def is_leased(buffer: Any) -> bool:
    """Whether a snapshot holds this buffer, so that it must not be donated."""
    return bool(_leases) and any(buffer is held for buffers in tuple(_leases.values()) for held in buffers)


def replace(updates: Mapping[Variable, Any]) -> None:
    """Take new buffers for several variables in one move."""
    with STATE_LOCK:
        for variable, buffer in updates.items():
            variable._buffer = buffer


@dataclass(frozen=True)
class Read(Op):
    """What a variable holds before the function that reads it writes anything."""

    moves = True

    variable: Variable

    def infer(self) -> TensorType:
        return self.variable.type

    def notation(self) -> str:
        return self.variable.name

    def latex(self) -> str:
        return symbol(self.variable.name)


@dataclass(frozen=True)
class Assign(Op):
    """Give a variable a new value when the function ends; all assignments appear at once."""

    variable: Variable
    pure = False
    moves = True

    def infer(self, x: TensorType) -> TensorType:
        type = self.variable.type
        if x.dtype != type.dtype:
            raise DTypeError(f"variable {self.variable.name!r} is {type}, but its update is {x}.")
        if x.ndim != type.ndim or not all(same(a, b) for a, b in zip(x.shape, type.shape, strict=True)):
            raise ShapeError(f"variable {self.variable.name!r} is {type}, but its update is {x}.")
        return x

    def notation(self, x: str) -> str:
        return f"{self.variable.name} <- {x}"

    def latex(self, x: str) -> str:
        return rf"{symbol(self.variable.name)} \gets {x}"
