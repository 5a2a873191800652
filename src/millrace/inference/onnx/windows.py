"""How a window moves over space, as ONNX says it: pads, auto_pad, strides, dilations and ceil_mode as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.inference.onnx.translating import Call
from millrace.ir.core import Value

MOST_PLACES = 2**24  # of a window along an axis: what is larger cannot be meant


@dataclass(frozen=True)
class Span:
    """A window along one axis of space.

    size: the elements there are; before and after: the padding that counts as given; out: the number of positions;
    window, stride, dilation as ONNX's kernel_shape, strides and dilations.
    """

    size: int
    window: int
    stride: int
    dilation: int
    before: int
    after: int
    out: int

    @property
    def reach(self) -> int:
        """From a window's first element to its last."""
        return (self.window - 1) * self.dilation + 1

    @property
    def needed(self) -> tuple[int, int]:
        """(before, after): the padding that exactly these positions read; ceil_mode may read more than is given."""
        return self.before, max((self.out - 1) * self.stride + self.reach - self.size - self.before, 0)

    def counted(self, with_padding: bool) -> np.ndarray:
        """How many elements of each window lie inside, or inside or in the given padding: int64[out]."""
        first, last = (-self.before, self.size + self.after) if with_padding else (0, self.size)
        starts = np.arange(self.out) * self.stride - self.before
        before = np.clip(-((starts - first) // self.dilation), 0, self.window)  # elements of a window before `first`
        until = np.clip(-((starts - last) // self.dilation), 0, self.window)
        return until - before


def numbers(call: Call, name: str, rank: int, default: int) -> list[int]:
    """An attribute that has a whole number for each axis of space."""
    given = call.attribute(name)
    if not given:
        return [default] * rank
    if len(given) != rank:
        raise call.refused(f"{name}={list(given)} must have {rank} numbers, one for each axis of space")
    return [int(n) for n in given]


def space(call: Call, x: Value, most: int | None = None) -> tuple[Any, ...]:
    """The sizes of x [batch, channels, *space] along space, open ones too."""
    if x.ndim < 3 or (most is not None and x.ndim - 2 > most):
        known = f"1 to {most} axes" if most is not None else "at least one axis"
        raise call.refused(f"its input is {x.type}, and has to be [batch, channels, *space] with {known} of space")
    return x.shape[2:]


def known_space(call: Call, x: Value, most: int | None = None) -> list[int]:
    """The sizes of x along space, all known when the model is read."""
    sizes = space(call, x, most)
    if not all(isinstance(size, int) for size in sizes):
        raise call.refused(
            f"its input is {x.type}, and windows need sizes along space that are known when the model is read: name "
            "them, from_onnx(..., sizes={name: number}) or millrace import FILE OUT --sizes NAME=NUMBER, or write the "
            "model with fixed sizes; the batch may stay open"
        )
    return [int(size) for size in sizes]


def padding(call: Call, rank: int) -> tuple[list[int], list[int]]:
    """The pads attribute: before and after each axis of space."""
    pads = call.attribute("pads")
    if not pads:
        return [0] * rank, [0] * rank
    if len(pads) != 2 * rank or min(pads) < 0:
        raise call.refused(f"pads={list(pads)} must be {2 * rank} numbers of at least 0, two for each axis of space")
    return [int(n) for n in pads[:rank]], [int(n) for n in pads[rank:]]


def automatic(call: Call) -> str:
    """The auto_pad attribute: NOTSET, VALID, SAME_UPPER or SAME_LOWER."""
    how = call.attribute("auto_pad", "NOTSET") or "NOTSET"
    if how not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise call.refused(f"auto_pad={how!r} is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    return str(how)


def spans(call: Call, sizes: Sequence[int], windows: Sequence[int]) -> list[Span]:
    """The window of a convolution or pooling, axis by axis of space."""
    rank, how = len(sizes), automatic(call)
    strides, dilations = numbers(call, "strides", rank, 1), numbers(call, "dilations", rank, 1)
    low, high = padding(call, rank) if how == "NOTSET" else ([0] * rank, [0] * rank)
    if min((*strides, *dilations, *windows)) < 1:
        raise call.refused(
            f"kernel_shape={list(windows)}, strides={strides} and dilations={dilations} must be at least 1"
        )
    made = []
    for size, window, stride, dilation, before, after in zip(
        sizes, windows, strides, dilations, low, high, strict=True
    ):
        reach = (window - 1) * dilation + 1
        if how.startswith("SAME"):
            out = -(-size // stride)
            total = max((out - 1) * stride + reach - size, 0)
            before = total // 2 if how == "SAME_UPPER" else total - total // 2
            after = total - before
        else:
            out = _positions(size, before, after, reach, stride, bool(call.attribute("ceil_mode", 0)))
        if out < 1:
            raise call.refused(f"its window reaches over {reach} elements, but x with its padding has fewer: {sizes}")
        if out > MOST_PLACES:
            raise call.refused(f"its window has {out} places along an axis: {MOST_PLACES} at most are counted")
        made.append(Span(size, window, stride, dilation, before, after, out))
    return made


def _positions(size: int, before: int, after: int, reach: int, stride: int, ceil: bool) -> int:
    """How many windows there are; one that would start in the padding after x is none."""
    free = size + before + after - reach
    if not ceil or free < 0:
        return free // stride + 1
    out = -(-free // stride) + 1
    return out - 1 if (out - 1) * stride >= size + before else out


def channels_last(mr: Any, x: Value) -> Value:
    """[batch, channels, *space] -> [batch, *space, channels]."""
    return mr.moveaxis(x, 1, -1)


def channels_first(mr: Any, x: Value) -> Value:
    """[batch, *space, channels] -> [batch, channels, *space]."""
    return mr.moveaxis(x, -1, 1)


def along_channels(mr: Any, x: Value, ndim: int) -> Value:
    """[channels] shaped to meet [batch, channels, *space] of so many axes."""
    return mr.reshape(x, (-1, *(1,) * (ndim - 2)))
