"""Convolution and pooling, in ONNX, which has channels first."""

from __future__ import annotations

import math
from typing import Any

from millrace.inference.onnx.export_dtypes import work_dtype
from millrace.inference.onnx.export_forms import Form, Order, channels_first, channels_last, ordered
from millrace.inference.onnx.export_shapes import padded
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import exports, refused
from millrace.ir.core import Node
from millrace.ops.averaging import AveragePool, AveragePoolGradient, WindowSum
from millrace.ops.convolution import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from millrace.ops.pooling import MaxPool, MaxPoolGather, MaxPoolGradient


def pads(padding: Any) -> list[int]:
    """All low ends, then all high ends."""
    return [low for low, _ in padding] + [high for _, high in padding]


def kernel_order(rank: int) -> Order:
    """[*kernel, channels / groups, filters] as ONNX has it: [filters, channels / groups, *kernel]."""
    return (rank + 1, rank, *range(rank))


def slid(sheet: Sheet, node: Node, op_type: str, **more: Any) -> list[Form] | Form:
    """A convolution or a transposed one, with the vector that is added to it."""
    op: Any = node.op
    x, kernel = node.inputs
    rank, dtype = op.rank, x.dtype
    found = sheet.bias_after(node)
    values = [(x, channels_first(x.ndim)), (kernel, kernel_order(rank))]
    if found is not None:
        values.append((found[1], channels_last(1)))
    made = sheet.through(
        op_type, [sheet.read(value, order) for value, order in values], dtype,
        kernel_shape=[int(size) for size in kernel.shape[:rank]], strides=list(op.strides), dilations=list(op.dilation),
        group=op.groups, pads=pads(op.padding), **more,
    )  # fmt: skip
    form = sheet.made(node.outputs[0], made, channels_first(x.ndim))
    if found is not None:
        sheet.forms[found[0].outputs[0]] = form
    return form


@exports(Convolution)
def convolution(sheet: Sheet, node: Node) -> Any:
    return slid(sheet, node, "Conv")


@exports(ConvolutionInputGradient)
def transposed_convolution(sheet: Sheet, node: Node) -> Any:
    """What a window that did not fit left over at the end comes back as output_padding."""
    op: Any = node.op
    kernel = node.inputs[1]
    rest = []
    for axis, size in enumerate(op.spatial):
        reach = (int(kernel.shape[axis]) - 1) * op.dilation[axis] + 1
        rest.append((size + sum(op.padding[axis]) - reach) % op.strides[axis])
    more = {"output_padding": rest} if any(rest) else {}
    return slid(sheet, node, "ConvTranspose", **more)


@exports(AveragePoolGradient, ConvolutionKernelGradient, MaxPoolGradient, MaxPoolGather)
def of_training(sheet: Sheet, node: Node) -> Form:
    raise refused(node, "it belongs to a gradient, and a model in use computes none")


def pooled(sheet: Sheet, node: Node, op_type: str, **more: Any) -> Form:
    op: Any = node.op
    (x,) = node.inputs
    order = channels_first(x.ndim)
    made = sheet.through(
        op_type, [sheet.read(x, order)], x.dtype, kernel_shape=list(op.window), strides=list(op.strides),
        pads=pads(op.padding), **more,
    )  # fmt: skip
    return sheet.made(node.outputs[0], made, order)


@exports(MaxPool)
def max_pool(sheet: Sheet, node: Node) -> Form:
    return pooled(sheet, node, "MaxPool")


@exports(AveragePool)
def average_pool(sheet: Sheet, node: Node) -> Form:
    return pooled(sheet, node, "AveragePool", count_include_pad=int(node.op.count_padding))  # type: ignore[attr-defined]


@exports(WindowSum)
def window_sum(sheet: Sheet, node: Node) -> Form:
    """An average with padding counted, times the elements of a window; two axes without windows come first."""
    op: Any = node.op
    (x,), (out,) = node.inputs, node.outputs
    still = [axis for axis in range(x.ndim) if (op.window[axis], op.strides[axis], op.padding[axis]) == (1, 1, (0, 0))]
    first = still[:1] + still[-1:] if len(still) > 1 else still
    order = (*first, *(axis for axis in range(x.ndim) if axis not in first))
    space = order[len(first) :]
    if not space:
        return sheet.form(x)
    if len(space) > 3:
        raise refused(node, f"it sums windows along {len(space)} axes, and runtimes pool along 3 at most")
    work = work_dtype("AveragePool", x.dtype)
    name = sheet.cast(sheet.read(x, order), x.dtype, work)
    new = sheet.ints(*range(2 - len(first)))
    if len(first) < 2:
        name = sheet.node("Unsqueeze", name, new)
    edges = [op.padding[axis] for axis in space]
    if any(edge >= op.window[axis] for axis in space for edge in op.padding[axis]):  # more than a pooling may have
        name = padded(sheet, name, [0, 0, *(low for low, _ in edges), 0, 0, *(high for _, high in edges)], 0.0, work)
        edges = [(0, 0)] * len(space)
    window, strides = list(ordered(op.window, space)), list(ordered(op.strides, space))
    name = sheet.node(
        "AveragePool", name, kernel_shape=window, strides=strides, pads=pads(edges), count_include_pad=1
    )  # fmt: skip
    name = sheet.node("Mul", name, sheet.number(math.prod(op.window), work))
    if len(first) < 2:
        name = sheet.node("Squeeze", name, new)
    return sheet.made(out, sheet.cast(name, work, x.dtype), order)
