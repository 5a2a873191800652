"""Making values: from arrays and numbers, of one dtype and one shape for operations that want that."""

from __future__ import annotations

import contextvars
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from millrace.ir.core import Value
from millrace.ir.dims import Dim, Size, dim, same, shape_text
from millrace.ir.errors import ArgumentError, DTypeError, ShapeError
from millrace.ir.leaves import Constant, Literal, Placeholder
from millrace.ir.state import Variable
from millrace.ir.types import FLOATS, HALVES, TensorType, dtype_name
from millrace.ops.compare import Cast
from millrace.ops.shape import Broadcast
from millrace.ops.shape import Size as SizeOp

Like = Any  # a Value, a Variable, an array, a number, or a nested list of numbers


_inputs = itertools.count()
_autocast: contextvars.ContextVar[str | None] = contextvars.ContextVar("autocast", default=None)


def Input(
    shape: Sequence[Size] | int,
    name: str | None = None,
    dtype: str = "float32",
    batch_size: int | None = None,
) -> Value:
    """A place where data enters: [batch, *shape], the batch dimension named `batch` unless given.

    shape: one example's, None where a size is known only when data arrives, such as the number of steps;
    a program is made ready for each size that comes. dtype: what the data is converted to.
    Raises ArgumentError for a size below 1, DTypeError for a dtype that Millrace lacks.
    Source: Keras Input.
    """
    if shape is None:
        raise ArgumentError("Input needs a shape, one example's, such as (28, 28, 1); () for a single number.")
    label = name or f"input_{next(_inputs)}"
    given = tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
    stem = re.sub(r"\W", "_", label if re.match(r"[A-Za-z_]", label) else f"input_{label}")
    sizes = tuple(
        dim(f"{stem}_length" if axis == 1 else f"{stem}_size{axis}") if size is None else size
        for axis, size in enumerate(given, 1)
    )
    for size in (*sizes, 1 if batch_size is None else batch_size):
        if not isinstance(size, Dim) and (not isinstance(size, (int, np.integer)) or size < 1):
            raise ArgumentError(f"Input shape {tuple(sizes)}: each size must be a whole number of at least 1.")
    type = TensorType(dtype, (dim("batch") if batch_size is None else batch_size, *sizes))
    return Placeholder(label, type)()


def constant(array: Any, dtype: str | None = None) -> Value:
    """A value that is known now. Python numbers become float32 or int32; arrays keep their dtype."""
    made = np.asarray(array, dtype=dtype)
    if dtype is None and not isinstance(array, (np.ndarray, np.generic)):
        made = made.astype({"float64": "float32", "int64": "int32"}.get(made.dtype.name, made.dtype))
    dtype_name(made.dtype)
    return Constant(Literal(made))()


def as_value(x: Like, dtype: str | None = None) -> Value:
    """x as a value of the graph: values pass, variables are read, numbers and arrays become constants."""
    if isinstance(x, Value):
        return x if dtype is None else cast(x, dtype)
    if isinstance(x, Variable):
        if dtype is None and x.dtype == "float32":
            dtype = _autocast.get()
        return as_value(x.value, dtype)
    if isinstance(x, Dim):
        return size(x, dtype or "int32")
    if isinstance(x, (bool, int, float, np.ndarray, np.generic, list, tuple)):
        return constant(x, dtype)
    raise ArgumentError(f"cannot make a value of {type(x).__name__}: pass a value, a variable, an array or a number.")


@contextmanager
def autocast(dtype: str | None) -> Iterator[None]:
    """Inside, expressions use float32 variables in another floating-point dtype, such as "bfloat16".

    The variables stay float32 and get float32 gradients, and updates of them too: this is mixed precision.
    `variable.value`, and `as_value(variable, "float32")`, are the variable as it is. None casts nothing, also
    inside another autocast.

    Raises DTypeError for what is no floating-point dtype.
    Source: Micikevicius et al. 2018, Mixed precision training, section 3.1; Keras mixed_bfloat16.
    """
    if dtype is not None and dtype_name(dtype) not in FLOATS:
        raise DTypeError(f"autocast takes a floating-point dtype ({', '.join(FLOATS)}) or None, got {dtype!r}.")
    token = _autocast.set(None if dtype is None else dtype_name(dtype))
    try:
        yield
    finally:
        _autocast.reset(token)


def cast(x: Like, dtype: str) -> Value:
    """x in another dtype.  Raises DTypeError for a dtype that Millrace lacks."""
    x, dtype = as_value(x), dtype_name(dtype)
    return x if x.dtype == dtype else Cast(dtype)(x)


def size(of: Size, dtype: str = "int32") -> Value:
    """A dimension as a number of the graph, e.g. the batch size."""
    return constant(np.asarray(of, dtype)) if isinstance(of, int) else cast(SizeOp(of)(), dtype)


def promoted(a: str, b: str) -> str:
    """The dtype of an operation on two: floats win over whole numbers, wide over narrow."""
    if a == b:
        return a
    if (a in FLOATS) != (b in FLOATS):
        return a if a in FLOATS else b
    if a in HALVES and b in HALVES:
        return "float32"  # neither holds all numbers of the other
    result = np.promote_types(a, b).name
    if (result in FLOATS) != (a in FLOATS):
        raise DTypeError(f"{a} and {b} have no common whole-number dtype: convert one with mr.cast.")
    return result


def is_weak(x: Like) -> bool:
    """Whether x is a bare Python number, which takes the dtype of what it meets."""
    return isinstance(x, (bool, int, float)) and not isinstance(x, np.generic)


def common_dtype(*xs: Like) -> list[Value]:
    """Values of one dtype."""
    strong = [as_value(x) for x in xs if not is_weak(x)]
    if not strong:
        dtype = "float32" if any(isinstance(x, float) for x in xs) else "int32"
    else:
        dtype = strong[0].dtype
        for x in strong[1:]:
            dtype = promoted(dtype, x.dtype)
        if dtype not in FLOATS and any(isinstance(x, float) for x in xs if is_weak(x)):
            dtype = "float32"
        elif dtype == "bool" and any(is_weak(x) and not isinstance(x, bool) for x in xs):
            dtype = "int32"
    return [as_value(x, dtype) for x in xs]


def broadcast_shapes(*shapes: tuple[Size, ...]) -> tuple[Size, ...]:
    """The shape that all broadcast to by NumPy's rule: aligned from the last axis, 1 stretches."""
    ndim = max((len(shape) for shape in shapes), default=0)
    out: list[Size] = []
    for position in range(-ndim, 0):
        sizes = [shape[position] for shape in shapes if len(shape) >= -position and shape[position] != 1]
        for other in sizes[1:]:
            if not same(sizes[0], other):
                shown = " and ".join(shape_text(shape) for shape in shapes)
                raise ShapeError(
                    f"cannot broadcast {shown} together: axis {position} is {sizes[0]} in one and {other} in another."
                )
        out.append(sizes[0] if sizes else 1)
    return tuple(out)


def broadcast_to(x: Like, shape: Sequence[Size]) -> Value:
    """x repeated to a shape by NumPy's rule.  Source: NumPy broadcast_to."""
    x, shape = as_value(x), tuple(shape)
    if x.shape == shape:
        return x
    if x.ndim > len(shape):
        raise ShapeError(f"cannot broadcast {x.type} to {shape_text(shape)}: it has more axes.")
    return Broadcast(shape, tuple(range(len(shape) - x.ndim, len(shape))))(x)


def together(*xs: Like) -> list[Value]:
    """Values of one dtype and one shape."""
    values = common_dtype(*xs)
    shape = broadcast_shapes(*(x.shape for x in values))
    return [broadcast_to(x, shape) for x in values]


def normal_axes(axis: int | Sequence[int] | None, ndim: int, name: str = "axis") -> tuple[int, ...]:
    """Axes as ascending numbers from 0; None means all.  Raises ShapeError for one out of range."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    for a in axes:
        if isinstance(a, bool) or not isinstance(a, (int, np.integer)):
            raise ArgumentError(f"{name} must be a whole number, several, or None, got {axis!r}.")
        if not -ndim <= a < ndim:
            raise ShapeError(f"{name} {a} is out of range for {ndim} axes: use {-ndim} to {ndim - 1}.")
    result = tuple(sorted(int(a) % ndim for a in axes))
    if len(set(result)) != len(result):
        raise ShapeError(f"{name} {axis} names an axis twice.")
    return result


def normal_axis(axis: int, ndim: int) -> int:
    return normal_axes(axis, ndim)[0]


def full(shape: Sequence[Size] | int, fill_value: float, dtype: str = "float32") -> Value:
    """The same number everywhere.  Source: NumPy full."""
    shape = (shape,) if isinstance(shape, (int, Dim)) else tuple(shape)
    return broadcast_to(constant(np.asarray(fill_value, dtype_name(dtype))), shape)


def zeros(shape: Sequence[Size] | int, dtype: str = "float32") -> Value:
    """Zeros.  Source: NumPy zeros."""
    return full(shape, 0, dtype)


def ones(shape: Sequence[Size] | int, dtype: str = "float32") -> Value:
    """Ones.  Source: NumPy ones."""
    return full(shape, 1, dtype)


def zeros_like(x: Like) -> Value:
    """Zeros of x's shape and dtype.  Source: NumPy zeros_like."""
    x = as_value(x)
    return full(x.shape, 0, x.dtype)


def ones_like(x: Like) -> Value:
    """Ones of x's shape and dtype.  Source: NumPy ones_like."""
    x = as_value(x)
    return full(x.shape, 1, x.dtype)
