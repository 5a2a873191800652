"""Numbers within bounds, checked where they are given."""

from __future__ import annotations

import math
from typing import Any

from millrace.ir.errors import ArgumentError


def number(value: Any, name: str, low: float, high: float = float("inf"), open_high: bool = False) -> float:
    """A number within bounds.  Raises ArgumentError that names the argument."""
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    fine = fine and low <= value <= high
    if not fine or (open_high and value == high):
        bounds = f"at least {low:g}" + (
            f" and {'below' if open_high else 'at most'} {high:g}" if high < float("inf") else ""
        )
        raise ArgumentError(f"{name} must be a number of {bounds}, got {value!r}.")
    return float(value)
