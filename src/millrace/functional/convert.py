"""Making values: from arrays and numbers, of one dtype and one shape for operations that want that."""

from __future__ import annotations

import contextvars
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
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
    """A value that is known now. Python numbers become float32 or int32; arrays keep their dtype.

    Raises DTypeError for a Python number that the dtype does not hold, ShapeError for rows of unequal length.
    """
    try:
        made = np.asarray(array, dtype=None if dtype is None else dtype_name(dtype))
    except OverflowError:
        raise DTypeError(f"{_short(array)} does not fit {_held(dtype_name(dtype))}: choose a wider dtype.") from None
    except ValueError as error:
        raise ShapeError(f"these are not numbers in rows of equal length: {_short(array)} ({error}).") from None
    if dtype is None and not isinstance(array, (np.ndarray, np.generic)):
        if (
            made.dtype == "int64"
            and made.size
            and not (in_range(made.min(), "int32") and in_range(made.max(), "int32"))
        ):
            raise DTypeError(f"{_short(array)} does not fit {_held('int32')}: pass dtype='int64'.")
        made = made.astype({"float64": "float32", "int64": "int32"}.get(made.dtype.name, made.dtype))
    dtype_name(made.dtype)
    return Constant(Literal(made))()


def in_range(number: Any, dtype: str) -> bool:
    """Whether a dtype of whole numbers reaches as far as a number; every other dtype does."""
    return dtype in FLOATS or dtype == "bool" or np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def _held(dtype: str) -> str:
    return dtype if dtype in FLOATS else f"{dtype}, which holds {np.iinfo(dtype).min} to {np.iinfo(dtype).max}"


def _short(array: Any) -> str:
    text = " ".join(repr(array).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


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
    """A dimension as a number of the graph, e.g. the batch size; NumPy's size counts an array's elements.

    Raises ArgumentError for what is no dimension: `size(x.type.size)` is the number of elements of a value x.
    """
    if isinstance(of, Dim):
        return cast(SizeOp(of)(), dtype)
    if isinstance(of, bool) or not isinstance(of, (int, np.integer)):
        raise ArgumentError(
            f"size takes one dimension, such as x.shape[0], got {_short(of)}. The number of elements of a value x is "
            "size(x.type.size)."
        )
    return constant(int(of), dtype)


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
        kinds = {type(x) for x in xs}
        dtype = "float32" if float in kinds else "bool" if kinds == {bool} else "int32"
    else:
        dtype = strong[0].dtype
        for x in strong[1:]:
            dtype = promoted(dtype, x.dtype)
        if dtype not in FLOATS and any(isinstance(x, float) for x in xs if is_weak(x)):
            dtype = "float32"
        elif dtype == "bool" and any(is_weak(x) and not isinstance(x, bool) for x in xs):
            dtype = "int32"
    for x in xs:
        if is_weak(x) and not in_range(x, dtype):
            wider = "int32" if in_range(x, "int32") else "int64" if in_range(x, "int64") else "float64"
            raise DTypeError(
                f"{x} does not fit {_held(dtype)}. A bare number takes the dtype of what it meets: convert that first, "
                f"as in mr.cast(x, {wider!r})."
            )
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


def as_shape(shape: Sequence[Size] | Size, name: str = "shape") -> tuple[Size, ...]:
    """One size, or several, as a tuple.  Raises ArgumentError for what is neither whole number nor dimension."""
    sizes = shape if isinstance(shape, (list, tuple, range, np.ndarray)) else (shape,)
    for one in sizes:
        if isinstance(one, bool) or not isinstance(one, (int, np.integer, Dim)):
            raise ArgumentError(
                f"{name} must be a whole number or a dimension, or several in a tuple, got {_short(shape)}."
            )
    return tuple(one if isinstance(one, Dim) else int(one) for one in sizes)


def broadcast_to(x: Like, shape: Sequence[Size] | Size) -> Value:
    """x repeated to a shape by NumPy's rule.  Source: NumPy broadcast_to."""
    x, shape = as_value(x), as_shape(shape)
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
    return tuple(range(ndim)) if axis is None else tuple(sorted(listed_axes(axis, ndim, name)))


def listed_axes(axis: int | Sequence[int], ndim: int, name: str = "axis") -> tuple[int, ...]:
    """Axes as numbers from 0, in the order given.  Raises ShapeError for one out of range or named twice."""
    axes = tuple(axis) if isinstance(axis, Iterable) else (axis,)
    for a in axes:
        if isinstance(a, bool) or not isinstance(a, (int, np.integer)):
            raise ArgumentError(f"{name} must be a whole number, or several, got {_short(axis)}.")
        if not -ndim <= a < ndim:
            there = f"{ndim} axes: use {-ndim} to {ndim - 1}" if ndim else "a single number, which has no axes"
            raise ShapeError(f"{name} {a} is out of range for {there}.")
    result = tuple(int(a) % ndim for a in axes)
    if len(set(result)) != len(result):
        raise ShapeError(f"{name} {axis} names an axis twice.")
    return result


def normal_axis(axis: int, ndim: int, name: str = "axis") -> int:
    """One axis as a number from 0.  Raises ArgumentError for several or None, ShapeError for one out of range."""
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise ArgumentError(f"{name} must be one whole number, got {_short(axis)}.")
    return listed_axes(axis, ndim, name)[0]


def full(shape: Sequence[Size] | Size, fill_value: Like, dtype: str = "float32") -> Value:
    """The same number everywhere, float32 unless a dtype is given.  Source: NumPy full."""
    return broadcast_to(as_value(fill_value, dtype_name(dtype)), as_shape(shape))


def zeros(shape: Sequence[Size] | Size, dtype: str = "float32") -> Value:
    """Zeros.  Source: NumPy zeros."""
    return full(shape, 0, dtype)


def ones(shape: Sequence[Size] | Size, dtype: str = "float32") -> Value:
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
