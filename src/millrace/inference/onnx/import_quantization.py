"""ONNX's whole numbers of 8 and 16 bits that stand for floats: x = (q - zero point) * scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.inference.onnx.import_elementwise import wide
from millrace.inference.onnx.import_windows import convolved_whole, exact_in
from millrace.inference.onnx.tensors import dtype_asked
from millrace.inference.onnx.translating import Call, translates
from millrace.inference.onnx.windows import channels_first
from millrace.ir.core import Value

QUANTIZED = ("uint8", "int8", "uint16", "int16")


def _along(mr: Any, call: Call, given: Value, x: Value) -> Value:
    """A scale or zero point shaped to meet x: one for all, for each position along an axis, or for each block of it."""
    if given.ndim == 0 or given.type.size == 1:
        return mr.reshape(given, ())
    axis, block = int(call.attribute("axis", 1)), int(call.attribute("block_size", 0) or 0)
    if not -x.ndim <= axis < x.ndim:
        raise call.refused(f"axis={axis} is none of its input {x.type}")
    axis %= x.ndim
    size = x.shape[axis]
    if block:
        if given.ndim != x.ndim or not isinstance(size, int):
            raise call.refused(
                f"block_size={block} takes scales of {x.ndim} axes and a known axis {axis}: {given.type}"
            )
        return mr.take(given, np.arange(size) // block, axis)
    if given.ndim != 1 or given.shape[0] != size:
        raise call.refused(
            f"its scale or zero point {given.type} has not one number for each of axis {axis} of {x.type}"
        )
    return mr.reshape(given, tuple(size if a == axis else 1 for a in range(x.ndim)))


def _rounded(mr: Any, x: Value, zero: Value | None, dtype: str) -> Value:
    """The nearest whole numbers, halves to even ones, plus the zero point, kept within the dtype."""
    whole = mr.round(x)
    whole = whole if zero is None else mr.add(whole, mr.cast(zero, x.dtype))
    limits = np.iinfo(dtype)
    return mr.cast(mr.clip(whole, float(limits.min), float(limits.max)), dtype)


@translates("QuantizeLinear")
def quantize_linear(mr: Any, call: Call) -> Value:
    """round(x / y_scale) + y_zero_point."""
    x = call.value(0)
    zero = call.inputs[2] if call.has(2) else None
    asked = dtype_asked(call, "output_dtype", "uint8")
    dtype = asked if zero is None else zero.dtype
    if str(dtype) not in QUANTIZED:
        raise call.refused(f"it quantizes to dtype {dtype}, which is none of {', '.join(QUANTIZED)}")
    scale = _along(mr, call, call.value(1), x)
    inner = mr.cast(x, "float16") if dtype_asked(call, "precision", "float32") == "float16" else wide(mr, x)
    scaled = wide(mr, mr.divide(inner, mr.cast(scale, inner.dtype)))
    return _rounded(mr, scaled, _along(mr, call, call.value(2), x) if zero is not None else None, str(dtype))


@translates("DequantizeLinear")
def dequantize_linear(mr: Any, call: Call) -> Value:
    """(x - x_zero_point) * x_scale."""
    x, scale = call.value(0), call.value(1)
    dtype = dtype_asked(call, "output_dtype", scale.dtype)
    inner = x
    if call.has(2):
        zero = _along(mr, call, call.value(2), x)
        inner = mr.subtract(*(v if v.type.is_float else mr.cast(v, "int32") for v in (x, zero)))
    return mr.cast(mr.multiply(wide(mr, inner), wide(mr, _along(mr, call, scale, x))), dtype)


@translates("DynamicQuantizeLinear")
def dynamic_quantize_linear(mr: Any, call: Call) -> tuple[Value, Value, Value]:
    """x in uint8, the scale and the zero point that spread its range, with 0 in it, over 0 to 255."""
    x = call.value(0)
    low, high = mr.minimum(mr.min(x), 0.0), mr.maximum(mr.max(x), 0.0)
    scale = mr.divide(mr.subtract(high, low), 255.0)
    empty = mr.equal(scale, 0.0)  # x is all zeros
    by = mr.where(empty, 1.0, scale)
    zero = _rounded(mr, mr.divide(mr.negative(low), by), None, "uint8")
    return _rounded(mr, mr.divide(x, by), zero, "uint8"), scale, zero


@translates("MatMulInteger")
def matmul_integer(mr: Any, call: Call) -> Value:
    """A [..., M, K] and B [..., K, N] less their zero points, for each row of A and column of B; int32."""
    return _whole_product(mr, call, (0, 2), (1, 3))


def _whole_product(mr: Any, call: Call, a: tuple[int, int], b: tuple[int, int]) -> Value:
    """The matrix product of whole numbers, exact: int32[..., M, N]. Computed in floats that hold every sum."""
    left, right = call.value(a[0]), call.value(b[0])
    terms = left.shape[-1]
    dtype = exact_in(terms) if isinstance(terms, int) else "int32"
    x, y = mr.cast(left, dtype), mr.cast(right, dtype)
    if call.has(a[1]):
        x = mr.subtract(x, _of_rows(mr, mr.cast(call.value(a[1]), dtype)))
    if call.has(b[1]):
        y = mr.subtract(y, mr.cast(call.value(b[1]), dtype))
    return mr.cast(mr.matmul(x, y), "int32")


def _of_rows(mr: Any, given: Value) -> Value:
    """What belongs to each row of a matrix, shaped to meet it: [M] -> [M, 1]."""
    return mr.expand_dims(given, -1) if given.ndim == 1 else given


@translates("QLinearMatMul")
def qlinear_matmul(mr: Any, call: Call) -> Value:
    """The product of two quantized matrices, quantized: a, scale, zero point; b, scale, zero point; y's."""
    total = mr.cast(_whole_product(mr, call, (0, 2), (3, 5)), "float32")
    scale_a, scale_b, scale_y = (wide(mr, call.value(n)) for n in (1, 4, 6))
    scaled = mr.multiply(total, mr.divide(mr.multiply(_of_rows(mr, scale_a), scale_b), _of_rows(mr, scale_y)))
    return _rounded(mr, scaled, _of_rows(mr, call.value(7)), call.value(7).dtype)


@translates("QLinearConv")
def qlinear_conv(mr: Any, call: Call) -> Value:
    """The convolution of quantized x and w, quantized: x, scale, zero point; w, scale, zero point; y's; B."""
    total = convolved_whole(mr, call, (0, 2), (3, 5))  # [batch, *out, filters]
    if call.has(8):
        total = mr.add(total, call.value(8))
    scale_x, scale_w, scale_y = (wide(mr, call.value(n)) for n in (1, 4, 6))
    scaled = mr.multiply(mr.cast(total, "float32"), mr.divide(mr.multiply(scale_x, scale_w), scale_y))
    return channels_first(mr, _rounded(mr, scaled, call.value(7), call.value(7).dtype))
