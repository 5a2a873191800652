"""What is known beside a layer's values: the call that made one, the mask of its steps, the limit of its numbers."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ops.compare import Cast
from millrace.ops.shape import Reshape, Slice, Transpose


@dataclass(frozen=True)
class Call:
    """One use of a layer: the values that it was given and those that it made.

    The first `positional` inputs were given in order; `keywords` says which were given by name: a position
    among the inputs, several, or a plain setting.
    """

    layer: Any  # the Layer
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    positional: int = 1
    keywords: Mapping[str, Given] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What was given by name: values by their positions among a call's inputs, or a plain setting."""

    positions: int | tuple[int, ...] | None = None
    setting: Any = None

    def among(self, values: Sequence[Any]) -> Any:
        if self.positions is None:
            return self.setting
        return [values[n] for n in self.positions] if isinstance(self.positions, tuple) else values[self.positions]


_calls: weakref.WeakKeyDictionary[Value, Call] = weakref.WeakKeyDictionary()
_masks: weakref.WeakKeyDictionary[Value, Value] = weakref.WeakKeyDictionary()
_limits: weakref.WeakKeyDictionary[Value, tuple[int, str]] = weakref.WeakKeyDictionary()


def call_of(value: Value) -> Call | None:
    """The layer call that made a value, or None if no layer did."""
    return _calls.get(value)


def record(call: Call) -> None:
    """Remember which call made a layer's outputs."""
    _calls.update(dict.fromkeys(call.outputs, call))


def mask_of(value: Value) -> Value | None:
    """Which steps of a value are real and which only fill it up: bool [batch, steps], None if all are real.

    What is computed element by element from a masked value, such as `2 * x + 1`, has its mask too.
    """
    if value in _masks:
        return _masks[value]
    if call_of(value) is not None or not value.op.pointwise or value.ndim < 2:
        return None
    for x in value.node.inputs:
        mask = mask_of(x) if x.shape[:2] == value.shape[:2] else None
        if mask is not None:
            _masks[value] = mask
            return mask
    return None


def common_mask(masks: Sequence[Value | None]) -> Value | None:
    """True where all masks are, those that are None left out; None where there is none."""
    known = [mask for mask in masks if mask is not None]
    return functools.reduce(mr.logical_and, known) if known else None


def set_mask(value: Value, mask: Value | None) -> None:
    """Say which steps of a value are real."""
    if mask is not None:
        _masks[value] = mask


def limit_of(value: Value) -> tuple[int, str] | None:
    """Below what the numbers of a value must lie, and the layer that looks them up; None where any will do."""
    return _limits.get(value)


def limit_numbers(value: Value, limit: int, layer: str) -> None:
    """Say that a layer looks the numbers of a value up in a table of `limit` rows."""
    while isinstance(value.op, (Cast, Reshape, Slice, Transpose)):  # the same numbers, arranged anew
        value = value.node.inputs[0]
    known = _limits.get(value)
    if known is None or limit < known[0]:
        _limits[value] = (limit, layer)
