"""What a value is: a dtype and a shape whose dimensions may have names."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes  # registers bfloat16 with NumPy
import numpy as np

from millrace.ir.dims import Dim, Size, bind, from_ast, product, shape_text
from millrace.ir.errors import DTypeError, GraphError, ShapeError
from millrace.ir.syntax import expression

HALVES = ("float16", "bfloat16")  # stored in 16 bits; arithmetic on them is done in float32
FLOATS = (*HALVES, "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *UNSIGNED, *SIGNED, *FLOATS)


def dtype_name(dtype: Any) -> str:
    """The canonical name of a dtype given as a name, a NumPy dtype or a scalar type."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        raise DTypeError(f"dtype {name!r} is not one of Millrace's: {', '.join(DTYPES)}.")
    return name


@dataclass(frozen=True)
class TensorType:
    """A dtype and a shape, e.g. float32[batch, 28, 28, 1]."""

    dtype: str
    shape: tuple[Any, ...]  # of Size: whole numbers, and dimensions with names

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_name(self.dtype))
        shape = tuple(size if isinstance(size, Dim) else int(size) for size in self.shape)
        object.__setattr__(self, "shape", shape)
        for size in shape:
            if isinstance(size, int) and size < 0:
                raise ShapeError(f"a dimension cannot be negative: {shape_text(shape)}")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Size:
        """The number of elements."""
        return product(self.shape)

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS

    @property
    def is_integer(self) -> bool:
        return self.dtype in SIGNED or self.dtype in UNSIGNED

    @property
    def is_concrete(self) -> bool:
        """Whether no dimension is a name."""
        return all(isinstance(size, int) for size in self.shape)

    def __getitem__(self, axis: Any) -> Any:
        """A size by axis, so that a type reads like its shape: x[-1]."""
        return self.shape[axis]

    def with_shape(self, *shape: Size) -> TensorType:
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: str) -> TensorType:
        return TensorType(dtype, self.shape)

    def bind(self, sizes: Mapping[str, int]) -> TensorType:
        return TensorType(self.dtype, tuple(bind(size, sizes) for size in self.shape))

    def __str__(self) -> str:
        return f"{self.dtype}{shape_text(self.shape)}"

    @staticmethod
    def of(array: Any) -> TensorType:
        return TensorType(array.dtype.name, array.shape)

    @staticmethod
    def parse(text: str) -> TensorType:
        match = re.fullmatch(r"\s*(\w+)\[(.*)\]\s*", text)
        if not match:
            raise GraphError(f"not a type: {text[:200]!r}. A type reads like float32[batch, 10].")
        try:
            tree = expression(f"[{match[2]}]")
        except GraphError:
            tree = ast.Constant(None)
        if not isinstance(tree, ast.List):
            raise GraphError(f"not a type: {text[:200]!r}. A type reads like float32[batch, 10].")
        return TensorType(match[1], tuple(from_ast(item) for item in tree.elts))


def as_dtype(array: Any, dtype: str, what: str) -> np.ndarray:
    """An array in a dtype: floats may narrow, whole numbers only where all of them keep their values.

    Raises ShapeError for rows of unequal length, DTypeError where numbers would be lost; `what` names it.
    """
    try:
        made = np.asarray(array)
    except ValueError as error:
        raise ShapeError(f"{what}: these are not numbers in rows of equal length ({error}).") from None
    if made.dtype == dtype and made.dtype.isnative:
        return made
    if is_float_array(made) and dtype in FLOATS:
        with np.errstate(over="ignore"):
            return made.astype(dtype)
    if made.dtype.kind in "iub" and dtype != "bool":
        with np.errstate(all="ignore"):
            converted = made.astype(dtype)
            kept = bool((converted.astype(made.dtype) == made).all())
        signs = made.dtype.kind != "i" or dtype not in UNSIGNED or bool((made >= 0).all())
        positive = made.dtype.kind != "u" or dtype not in SIGNED or bool((converted >= 0).all())
        if kept and signs and positive:
            return converted
        raise DTypeError(f"{what} is {dtype}; some of these numbers do not fit it.")
    raise DTypeError(f"{what} takes {dtype}, got {made.dtype}. Convert with array.astype({dtype!r}).")


def is_float_array(array: Any) -> bool:
    """Whether an array holds floating-point numbers: bfloat16 counts, which NumPy itself takes for raw bytes."""
    return array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16


def widened(array: np.ndarray) -> np.ndarray:
    """Numbers of 16 bits as float32, in which arithmetic on them is done; every other array as it is."""
    return array.astype(np.float32) if array.dtype.name in HALVES else array


def native(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
