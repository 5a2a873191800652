"""Operations that set values in proportion to their neighbours, in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.inference.onnx.export_forms import Form, channels_first
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import exports
from millrace.ir.core import Node, Value
from millrace.ir.state import Read
from millrace.ops.arithmetic import Add, Multiply, Subtract
from millrace.ops.elementwise import Rsqrt
from millrace.ops.normalization import LocalResponseNormalization
from millrace.ops.shape import Broadcast
from millrace.ops.softmax import LogSoftmax, Softmax


@exports(Softmax, LogSoftmax)
def softmax(sheet: Sheet, node: Node) -> Form:
    (x,) = node.inputs
    order = sheet.best_order(x)
    made = sheet.through(node.op.name, [sheet.read(x, order)], x.dtype, axis=order.index(x.ndim - 1))
    return sheet.made(node.outputs[0], made, order)


@exports(LocalResponseNormalization)
def local_response_normalization(sheet: Sheet, node: Node) -> Form | None:
    """ONNX's LRN, as PyTorch and Caffe have it: its alpha is n times the paper's.

    Of an even number of neighbours ONNX counts the odd one above, Millrace below: then the sums are written out. So
    they are in float64, which no runtime has an LRN for.
    """
    op: Any = node.op
    (x,) = node.inputs
    if op.n % 2 == 0 or x.ndim < 2 or x.dtype == "float64":
        return None
    own = (0, x.ndim - 1, *range(1, x.ndim - 1))
    apart = (0, *range(3, 3 + x.ndim - 4), x.ndim - 1, 1, 2) if x.ndim > 4 else own  # groups of channels
    sizes = tuple(x.shape[axis] for axis in apart)
    before = x.shape[:1] + sizes[1:]
    name = sheet.read(x, apart)
    if x.ndim > 4:
        batch: Any = 1
        for size in sizes[: x.ndim - 3]:
            batch = batch * size
        flat = (batch, *sizes[x.ndim - 3 :])
    else:
        flat = (*sizes, *(1,) * (4 - x.ndim))
    name = sheet.reshaped(name, before, flat)
    settings = {"size": op.n, "alpha": float(op.alpha * op.n), "beta": float(op.beta), "bias": float(op.k)}
    name = sheet.through("LRN", [name], x.dtype, **settings)
    return sheet.made(node.outputs[0], sheet.reshaped(name, flat, before), apart)


@exports(Multiply)
def product(sheet: Sheet, node: Node) -> Form:
    """A product, or the batch normalization that it begins."""
    return batch_normalization(sheet, node) or sheet.pointwise(node, "Mul")


def batch_normalization(sheet: Sheet, node: Node) -> Form | None:
    """x factor + (offset - mean factor) with factor = scale / sqrt(variance + epsilon), as one node."""
    found = sheet.bias_after(node)
    for x, other in (node.inputs, node.inputs[::-1]):
        if found is None or not isinstance(other.op, Broadcast) or other.op.axes != (x.ndim - 1,) or x.ndim < 2:
            continue
        add, shift = found
        factor = other.node.inputs[0]
        parts = factor_parts(sheet, factor)
        if parts is None or not isinstance(shift.op, Subtract) or x.dtype not in ("float32", "float64"):
            continue
        offset, product = shift.node.inputs
        means = [value for value in product.node.inputs if value is not factor]
        if not isinstance(product.op, Multiply) or len(means) != 1 or sheet.form(x).at_hand() is None:
            continue
        scale, variance, epsilon = parts
        order = channels_first(x.ndim)
        ones = sheet.array(np.ones(x.shape[-1], x.dtype), f"{node.layer}/ones")
        names = [sheet.read(scale) if scale is not None else ones]
        names += [sheet.read(value) for value in (offset, means[0], variance)]
        made = sheet.node("BatchNormalization", sheet.read(x, order), *names, epsilon=epsilon)
        form = sheet.made(add.outputs[0], made, order)
        sheet.forms[add.outputs[0]] = form
        return form
    return None


def factor_parts(sheet: Sheet, factor: Value) -> tuple[Value | None, Value, float] | None:
    """Scale, variance and epsilon of scale / sqrt(variance + epsilon); no scale where it is 1."""
    operands = list(factor.node.inputs) if isinstance(factor.op, Multiply) else [factor]
    roots = [value for value in operands if isinstance(value.op, Rsqrt)]
    if len(roots) != 1 or not isinstance(roots[0].node.inputs[0].op, Add):
        return None
    scale = next((value for value in operands if value is not roots[0]), None)
    variance, epsilon = roots[0].node.inputs[0].node.inputs
    known = sheet.form(epsilon).array
    if not isinstance(variance.op, Read) or known is None or known.size == 0 or np.ptp(known) != 0:
        return None
    return scale, variance, float(known.reshape(-1)[0])
