"""ONNX's GridSample and AffineGrid: images read at places that are computed from data."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from millrace.inference.onnx.import_shapes import MOST_COUNTED
from millrace.inference.onnx.resampling import far, near
from millrace.inference.onnx.translating import Call, translates
from millrace.inference.onnx.windows import channels_first, channels_last, known_space
from millrace.ir.core import Value

Corner = tuple[Value, Value]  # which element along one axis, and its weight
MODES = {"linear": "linear", "bilinear": "linear", "nearest": "nearest", "cubic": "cubic", "bicubic": "cubic"}


@translates("AffineGrid")
def affine_grid(mr: Any, call: Call) -> Value:
    """theta [batch, axes, axes + 1] times each place of an image, last axis first: [batch, *space, axes]."""
    theta, sizes = call.value(0), call.sizes(1, "size")
    if theta.ndim != 3 or len(sizes) != theta.shape[1] + 2 or not all(isinstance(size, int) for size in sizes[2:]):
        raise call.refused(f"its theta {theta.type} does not fit its size {sizes}, whose space has to be known")
    space: list[int] = [int(size) for size in sizes[2:]]  # type: ignore[arg-type]
    if max(prod(space), *space) > MOST_COUNTED:
        raise call.refused(f"its size {sizes} has more than {MOST_COUNTED} places")
    aligned = bool(call.attribute("align_corners", 0))
    steps = [np.linspace(-1, 1, n) if aligned else (2 * np.arange(n) + 1) / n - 1 for n in space]
    places = np.stack([*np.meshgrid(*steps, indexing="ij")[::-1], np.ones(space)], -1)
    flat = mr.matmul(places.reshape(-1, len(space) + 1).astype(theta.dtype), mr.swapaxes(theta, 1, 2))
    return mr.reshape(flat, (theta.shape[0], *space, len(space)))


@translates("GridSample")
def grid_sample(mr: Any, call: Call) -> Value:
    """X [batch, channels, *space] read at grid [batch, *out, axes of space], from -1 to 1, last axis first."""
    x, grid = call.value(0), call.value(1)
    sizes = known_space(call, x)
    mode, padding = call.attribute("mode", "linear"), call.attribute("padding_mode", "zeros")
    if mode not in MODES or padding not in ("zeros", "border", "reflection"):
        raise call.refused(f"mode={mode!r} or padding_mode={padding!r} is not known")
    if grid.ndim != x.ndim or grid.shape[-1] != len(sizes):
        raise call.refused(f"its grid {grid.type} does not fit its input {x.type}")
    aligned = bool(call.attribute("align_corners", 0))
    along = []
    for axis, size in enumerate(sizes):
        number = len(sizes) - 1 - axis
        part = mr.squeeze(mr.slice_axis(grid, grid.ndim - 1, number, number + 1), grid.ndim - 1)
        place = _pixels(mr, part, size, aligned)
        along.append(_corners(mr, place, size, MODES[mode], padding, aligned))
    return channels_first(mr, _gathered(mr, channels_last(mr, x), sizes, along))


def _pixels(mr: Any, place: Value, size: int, aligned: bool) -> Value:
    """From -1 to 1 as positions; aligned: -1 and 1 are the middles of the outer elements, else their far edges."""
    if aligned:
        return mr.multiply(mr.add(place, 1.0), (size - 1) / 2)
    return mr.multiply(mr.subtract(mr.multiply(mr.add(place, 1.0), float(size)), 1.0), 0.5)


def _corners(mr: Any, place: Value, size: int, mode: str, padding: str, aligned: bool) -> list[Corner]:
    """The elements along one axis that count for each place."""
    if mode == "cubic":
        first = mr.floor(place)
        return [
            _element(mr, _inside(mr, mr.add(first, float(n)), size, padding, aligned), size, weight)
            for n, weight in zip(range(-1, 3), _cubic_weights(place - first), strict=True)
        ]
    place = _inside(mr, place, size, padding, aligned)
    if mode == "nearest":
        return [_element(mr, mr.round(place), size, mr.ones_like(place))]
    first = mr.floor(place)
    share = mr.subtract(place, first)
    return [
        _element(mr, first, size, mr.subtract(1.0, share)),
        _element(mr, mr.add(first, 1.0), size, share),
    ]


def _inside(mr: Any, place: Value, size: int, padding: str, aligned: bool) -> Value:
    """Places beyond the ends brought to them (border), or mirrored there (reflection)."""
    if padding == "reflection":
        low, width = (0.0, float(size - 1)) if aligned else (-0.5, float(size))
        if width == 0:
            return mr.zeros_like(place)
        distance = mr.abs(mr.subtract(place, low))
        turns = mr.multiply(mr.floor(mr.multiply(distance, 0.5 / width)), 2 * width)
        place = mr.add(mr.subtract(width, mr.abs(mr.subtract(mr.subtract(distance, turns), width))), low)
    return place if padding == "zeros" else mr.clip(place, 0.0, float(size - 1))


def _element(mr: Any, which: Value, size: int, weight: Value) -> Corner:
    """An element, and its weight: 0 outside."""
    there = mr.logical_and(mr.greater_equal(which, 0.0), mr.less_equal(which, float(size - 1)))
    return mr.cast(mr.where(there, which, 0.0), "int32"), mr.where(there, weight, 0.0)


def _cubic_weights(t: Value, a: float = -0.75) -> list[Value]:
    """The weights of the elements before, at, after and two after a place, t behind the second."""
    return [far(t + 1.0, a), near(t, a), near(1.0 - t, a), far(2.0 - t, a)]


def _gathered(mr: Any, x: Value, sizes: list[int], along: list[list[Corner]]) -> Value:
    """The weighted sum over all corners: [batch, *out, channels] from x [batch, *space, channels]."""
    total_size = int(np.prod(sizes))
    flat = mr.reshape(x, (x.shape[0] * total_size, x.shape[-1]))
    batch = mr.multiply(mr.iota(along[0][0][0].shape, 0), total_size)
    total = None
    for corner in product(*along):
        which, weight = mr.zeros_like(batch), None
        for (position, share), size in zip(corner, sizes, strict=True):
            which = mr.add(mr.multiply(which, size), position)
            weight = share if weight is None else mr.multiply(weight, share)
        part = mr.multiply(mr.take(flat, mr.add(batch, which)), mr.expand_dims(weight, -1))
        total = part if total is None else mr.add(total, part)
    return total  # type: ignore[return-value]
