"""Small helpers with which operations describe their samples, their bad inputs and their rewrites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from millrace.ir.core import Op, Value
from millrace.ir.dims import Size
from millrace.ir.leaves import Constant
from millrace.ir.types import TensorType


def uniform(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    low: float = -2.0,
    high: float = 2.0,
    dtype: str = "float32",
) -> np.ndarray:
    return np.asarray(rng.uniform(low, high, shape)).astype(dtype)


def distinct(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Values that differ by at least 0.1, so that a maximum has no ties nearby."""
    count = int(np.prod(shape))
    return (rng.permutation(count) * 0.1 - count * 0.05).reshape(shape).astype(dtype)


def tensor(dtype: str, *shape: Size) -> TensorType:
    return TensorType(dtype, shape)


def bad_types(op: Op, fragment: str, *types: TensorType) -> tuple[Callable[[], object], str]:
    """Input types that `op` must refuse with a message that contains `fragment`."""
    return (lambda: op.infer(*types)), fragment


def is_constant(value: Value, number: float) -> bool:
    """Whether a value is known to hold `number` everywhere, looking through Broadcast."""
    while value.op.name == "Broadcast":
        value = value.node.inputs[0]
    op: Any = value.op
    if not isinstance(op, Constant):
        return False
    array = op.literal.array
    return bool(array.size) and bool((array == number).all())
