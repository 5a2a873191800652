"""Arguments checked where they are given: what is wrong is said with the argument's name and value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from millrace.ir.errors import ArgumentError


def flag(value: Any, name: str) -> bool:
    """True or False.  Raises ArgumentError that names the argument."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def whole(value: Any, name: str, least: int = 1) -> int:
    """A whole number that is large enough.  Raises ArgumentError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return int(value)


def whole_each(value: Any, rank: int, name: str, least: int = 1) -> tuple[int, ...]:
    """One whole number for all axes, or one for each."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
    if len(values) != rank:
        raise ArgumentError(f"{name} must be one whole number or {rank} of them, got {value!r}.")
    return tuple(whole(v, name, least) for v in values)


def axis_number(value: Any, name: str = "axis") -> int:
    """A whole number that counts axes from either end.  Raises ArgumentError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentError(f"{name} must be a whole number, got {value!r}.")
    return value


def number(
    value: Any, name: str, low: float, high: float = math.inf, open_high: bool = False, open_low: bool = False
) -> float:
    """A number within bounds.  Raises ArgumentError that names the argument."""
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    fine = fine and low <= value <= high and not (open_low and value == low) and not (open_high and value == high)
    if not fine:
        bounds = f"above {low:g}" if open_low else f"of at least {low:g}"
        if high < math.inf:
            bounds += f" and {'below' if open_high else 'at most'} {high:g}"
        raise ArgumentError(f"{name} must be a number {bounds}, got {value!r}.")
    return float(value)
