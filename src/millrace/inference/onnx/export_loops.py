"""A loop over time, in ONNX: Scan, whose body sees the values of the graph around it."""

from __future__ import annotations

from typing import Any

from onnx import helper

from millrace.inference.onnx.export_forms import Form, channels_last
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import exports
from millrace.inference.onnx.tensors import onnx_dtype
from millrace.ir.core import Node
from millrace.ir.dims import Dim
from millrace.ops.scan import Scan


@exports(Scan)
def scan(sheet: Sheet, node: Node) -> list[Form]:
    op: Any = node.op
    n, m = op.carries, op.carries + op.sequences
    body, graph = Sheet(sheet), op.graph
    inputs = []
    for value in graph.inputs[:m]:
        name = body.unique(f"{node.layer}/{value.op.label}".strip("/"))
        body.forms[value] = Form(tuple(value.shape), {channels_last(value.ndim): name})
        inputs.append(described(name, value.type))
    for value, outside in zip(graph.inputs[m:], node.inputs[m:], strict=True):
        body.forms[value] = constant_of(sheet, outside)
    sequences = [sheet.read(value) for value in node.inputs[n:m]]
    if not sequences:  # ONNX counts steps by what it walks along
        sequences = [sheet.counted(op.length)]
        inputs.append(helper.make_tensor_value_info(body.unique("step"), onnx_dtype("int64"), []))
    body.write(graph.outputs)
    names = [body.named(body.read(value)) for value in graph.outputs]
    outputs = [described(name, value.type) for name, value in zip(names, graph.outputs, strict=True)]
    inner = helper.make_graph(body.nodes, body.unique(f"{node.layer}/body".strip("/")), inputs, outputs)
    way = int(op.reverse)
    stacked = {"scan_output_directions": [way] * (len(names) - n)} if len(names) > n else {}
    made = sheet.nodes_of(
        "Scan", [*(sheet.read(value) for value in node.inputs[:n]), *sequences], len(node.outputs), body=inner,
        num_scan_inputs=len(sequences), scan_input_directions=[way] * len(sequences), **stacked,
    )  # fmt: skip
    return [sheet.made(value, name) for value, name in zip(node.outputs, made, strict=True)]


def constant_of(sheet: Sheet, outside: Any) -> Form:
    """What every step sees: the value of the graph around, read there."""
    form = sheet.form(outside)
    if form.array is not None:  # a form of the body's own: where it is repeated there, it is not outside
        return Form(form.shape, array=form.array, label=form.label, stored=form.stored)
    return Form(
        tuple(outside.shape),
        make=lambda order: sheet.read(outside, order),
        orders=lambda: sheet.form(outside).at_hand(),
    )


def described(name: str, type: Any) -> Any:
    """A tensor's name and type as ONNX has them; open dimensions by their names."""
    return helper.make_tensor_value_info(
        name, onnx_dtype(type.dtype), [str(size) if isinstance(size, Dim) else size for size in type.shape]
    )
