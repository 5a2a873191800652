"""ONNX's operations on images whose result has another size: resized, cut, or surrounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.inference.onnx.import_elementwise import wide
from millrace.inference.onnx.import_shapes import MOST_COUNTED, limited
from millrace.inference.onnx.resampling import ROUNDINGS, Axis, Taps, cubic, triangle
from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value
from millrace.ir.dims import Dim, Size


@translates("Resize")
def resize(mr: Any, call: Call) -> Value:
    """X with each axis resized by scales, or to sizes, which are known when the model is read."""
    x = call.value(0)
    if call.opset < 11:
        return _resized(mr, call, x, _scaled(call, x, range(x.ndim), 1), simple=True)
    axes = [int(a) % x.ndim for a in call.attribute("axes") or range(x.ndim)]
    by_sizes = call.has(3) and _count(call, 3) > 0
    resized = _sized(call, x, axes) if by_sizes else _scaled(call, x, axes, 2)
    return _resized(mr, call, x, _shown(call, x, axes, resized), simple=False)


@translates("Upsample")
def upsample(mr: Any, call: Call) -> Value:
    """X with each axis resized by scales; Resize took its place in opset 10."""
    x = call.value(0)
    return _resized(mr, call, x, _scaled(call, x, range(x.ndim), 1), simple=True)


Axes = dict[int, Axis]


def _count(call: Call, index: int) -> Any:
    given = call.inputs[index]
    return given.type.size if isinstance(given, Value) else given.size  # type: ignore[union-attr]


def _scaled(call: Call, x: Value, axes: Any, index: int) -> Axes:
    """The axes that scales change. A size that is open can only stay."""
    scales = call.known(index, "scales").reshape(-1) if call.has(index) else np.array(call.attribute("scales") or ())
    if len(scales) != len(axes):
        raise call.refused(
            f"its scales {scales.tolist()} must be {len(axes)}, one for each axis of {x.type} it resizes"
        )
    made = {}
    for axis, scale in zip(axes, (float(s) for s in scales), strict=True):
        if not 0 < scale <= MOST_COUNTED:
            raise call.refused(f"its scales {scales.tolist()} must be above 0 and at most {MOST_COUNTED}")
        if scale != 1 or call.attribute("coordinate_transformation_mode") == "tf_crop_and_resize":
            size = _known_size(call, x, axis, scale == 1)
            if size is not None:
                made[axis] = Axis(size, int(np.floor(np.float32(size) * np.float32(scale))), scale)  # as runtimes do
    return made


def _known_size(call: Call, x: Value, axis: int, stays: bool) -> int | None:
    size = x.shape[axis]
    if isinstance(size, int):
        return size
    if stays:
        return None
    raise call.refused(f"it resizes axis {axis} of {x.type}, whose size is known only when data arrives")


def _sized(call: Call, x: Value, axes: list[int]) -> Axes:
    """The axes that sizes change, by the policy for aspect ratios."""
    sizes = call.sizes(3, "sizes")
    if len(sizes) != len(axes):
        raise call.refused(f"its sizes {sizes} must be {len(axes)}, one for each axis of {x.type} it resizes")
    policy = call.attribute("keep_aspect_ratio_policy", "stretch")
    if policy not in ("stretch", "not_larger", "not_smaller"):
        raise call.refused(f"keep_aspect_ratio_policy={policy!r} is none of stretch, not_larger, not_smaller")
    made = {}
    for axis, out in zip(axes, sizes, strict=True):
        size = _known_size(call, x, axis, out == x.shape[axis])
        if size is not None:
            if isinstance(out, Dim) or out < 1:
                raise call.refused(f"it resizes axis {axis} of {x.type} to {out}, which is no size known now")
            made[axis] = Axis(size, out, out / size, exact=True)
    if policy == "stretch" or not made:
        return made
    scale = (min if policy == "not_larger" else max)(axis.scale for axis in made.values())
    return {axis: Axis(given.size, int(np.floor(scale * given.size + 0.5)), scale) for axis, given in made.items()}


def _shown(call: Call, x: Value, axes: list[int], resized: Axes) -> Axes:
    """The axes with the parts of them that tf_crop_and_resize shows."""
    if call.attribute("coordinate_transformation_mode") != "tf_crop_and_resize":
        return resized
    roi = call.known(1, "roi").reshape(-1)
    if len(roi) != 2 * len(axes):
        raise call.refused(f"its roi {roi.tolist()} must be {2 * len(axes)} numbers: the starts, then the ends")
    parts = {axis: (float(roi[n]), float(roi[n + len(axes)])) for n, axis in enumerate(axes)}
    if any(axis not in resized and part != (0.0, 1.0) for axis, part in parts.items()):
        raise call.refused(f"its roi cuts an axis of {x.type} whose size is known only when data arrives")
    return {axis: Axis(a.size, a.out, a.scale, a.exact, parts[axis]) for axis, a in resized.items()}


def _resized(mr: Any, call: Call, x: Value, axes: Axes, simple: bool) -> Value:
    """x resized, one axis after another. simple: as before opset 11."""
    mode = call.attribute("mode", "nearest")
    coordinates = "asymmetric" if simple else call.attribute("coordinate_transformation_mode", "half_pixel")
    dtype = x.dtype
    if mode != "nearest":
        if not x.type.is_float and mode == "cubic":
            raise call.refused(f"mode='cubic' of {x.type} may leave the dtype's range: resize floats")
        x = wide(mr, x)
    limited(call, [axes[n].out if n in axes else size for n, size in enumerate(x.shape)], dtype)
    for axis, given in axes.items():
        if not 1 <= given.out <= MOST_COUNTED:
            raise call.refused(f"it brings axis {axis} of {x.type} to {given.out}: 1 to {MOST_COUNTED} are possible")
        places = given.places(coordinates)
        if places is None:
            raise call.refused(f"coordinate_transformation_mode={coordinates!r} is not known")
        x = _taps(call, mode, given, places, simple).applied(mr, x, axis)
        if coordinates == "tf_crop_and_resize":
            outside = ((places < 0) | (places > given.size - 1)).reshape(-1, *(1,) * (x.ndim - axis - 1))
            x = mr.where(outside, float(call.attribute("extrapolation_value", 0.0)), x) if outside.any() else x
    return mr.cast(x, dtype)


def _taps(call: Call, mode: str, axis: Axis, places: np.ndarray, simple: bool) -> Taps:
    if mode == "nearest":
        name = call.attribute("nearest_mode", "round_prefer_floor")
        name = name if not simple else "floor" if axis.scale >= 1 else "ceil"
        if name not in ROUNDINGS:
            raise call.refused(f"nearest_mode={name!r} is none of {', '.join(ROUNDINGS)}")
        return Taps.nearest(places, axis.size, ROUNDINGS[name])
    squeeze = axis.squeeze if call.attribute("antialias", 0) else 1.0
    inside = bool(call.attribute("exclude_outside", 0))
    if mode in ("linear", "bilinear"):
        return Taps.blended(places, axis.size, triangle, 1, squeeze, inside)
    if mode == "cubic":
        return Taps.blended(places, axis.size, cubic(float(call.attribute("cubic_coeff_a", -0.75))), 2, squeeze, inside)
    raise call.refused(f"mode={mode!r} is none of nearest, linear, cubic")


@translates("CenterCropPad")
def center_crop_pad(mr: Any, call: Call) -> Value:
    """The middle of x, cut where an axis is longer than wanted and surrounded by zeros where it is shorter."""
    x, wanted = call.value(0), call.sizes(1, "shape")
    axes = [int(a) % x.ndim for a in call.attribute("axes") or range(x.ndim)]
    if len(axes) != len(wanted):
        raise call.refused(f"its shape {wanted} must have {len(axes)} sizes, one for each of its axes {axes}")
    around: list[tuple[Size, Size]] = [(0, 0)] * x.ndim
    for axis, out in zip(axes, wanted, strict=True):
        size = x.shape[axis]
        if out == size:
            continue
        if not isinstance(size, int) or not isinstance(out, int):
            raise call.refused(f"it brings axis {axis} of {x.type} to {out}, and both have to be known")
        if out < size:
            first = (size - out) // 2
            x = mr.slice_axis(x, axis, first, first + out)
        else:
            around[axis] = ((out - size) // 2, out - size - (out - size) // 2)
    return mr.pad(x, around) if any(any(pair) for pair in around) else x
