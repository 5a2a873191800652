"""A predictor as an ONNX model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

import millrace
from millrace.inference.onnx import (  # noqa: F401 - each registers its translations
    export_elementwise,
    export_index,
    export_logic,
    export_loops,
    export_normalization,
    export_products,
    export_reductions,
    export_shapes,
    export_windows,
)
from millrace.inference.onnx.about import KEY
from millrace.inference.onnx.export_forms import Form, channels_last
from millrace.inference.onnx.export_loops import described
from millrace.inference.onnx.export_sheet import Sheet
from millrace.inference.onnx.export_table import UnexportedError, exports
from millrace.inference.onnx.tensors import onnx_dtype
from millrace.inference.predictor import Predictor
from millrace.ir.core import Node
from millrace.ir.leaves import Constant
from millrace.ir.state import Read
from millrace.ir.types import FLOATS
from millrace.training.checkpoint import write_whole

# The oldest opset with everything: operators on bits and sums into places came with 18. ONNX Runtime has it since 1.14
# (2023), and the version of the file's form that belongs to it is 8.
OPSET, IR_VERSION = 18, 8
LIMIT = 2**31 - 1  # bytes that a file of protocol buffers may have
MARGIN = 2**20  # of them for nodes and names


@exports(Read)
def read(sheet: Sheet, node: Node) -> Form:
    variable: Any = node.op.variable  # type: ignore[attr-defined]
    stored = variable.dtype not in ("float32", "float64") and (variable.dtype in FLOATS or variable.dtype == "int8")
    return Form(variable.shape, array=variable.numpy(), label=variable.name, stored=stored)


@exports(Constant)
def constant(sheet: Sheet, node: Node) -> Form:
    array = node.op.literal.array  # type: ignore[attr-defined]
    label = f"{node.layer}/constant".strip("/") if array.ndim else ""
    return Form(array.shape, array=array, label=label)


def to_onnx(predictor: Predictor) -> ModelProto:
    """A predictor as an `onnx.ModelProto`: opset 18, with its weights, and with an open batch where it has one.

    Inputs and outputs have the predictor's names, weights those of its variables, open dimensions their own, such as
    batch. Convolutions and what stands between them have channels first, as ONNX has; the file's inputs and outputs are
    as the predictor's, channels last. `metadata_props["millrace"]` holds `predictor.about` as JSON.

    Raises UnexportedError for a node that ONNX cannot say, with its layer and line, for a graph that changes
    variables, and for a model above 2 GB.
    Source: Open Neural Network Exchange, operator schemas of opset 18; IR version 8.
    """
    graph = predictor.graph
    if graph.updates:
        names = ", ".join(repr(variable.name) for variable in graph.updates)
        raise UnexportedError(
            f"an ONNX model keeps nothing from one call to the next, and this graph changes {names} in each: make the "
            "layer that remembers with stateful=False, and give its state as an input."
        )
    sheet = Sheet()
    inputs, outputs = [port.name for port in predictor.inputs], [port.name for port in predictor.outputs]
    for name in outputs:
        if name in inputs:
            raise UnexportedError(f"an input and an output are both called {name!r}: give one another name.")
    sheet.taken.update(inputs, outputs)
    for name, value in zip(inputs, graph.inputs, strict=True):
        sheet.forms[value] = Form(tuple(value.shape), {channels_last(value.ndim): name})
        sheet.given.append((name, tuple(value.shape)))
    sheet.write(graph.outputs)
    for name, value in zip(outputs, graph.outputs, strict=True):
        sheet.named(sheet.read(value), name)
    sheet.prune()
    size = sum(array.nbytes for array in sheet.initializers.values())
    if size > LIMIT - MARGIN:
        raise UnexportedError(
            f"the weights take {size:,} bytes, and an ONNX file holds 2 GB: keep them in bfloat16 or int8, or save the "
            "predictor as a file of Millrace's own."
        )
    made = helper.make_graph(
        sheet.nodes, predictor.about.name or "model",
        [described(port.name, port.type) for port in predictor.inputs],
        [described(port.name, port.type) for port in predictor.outputs],
        [tensor(name, array) for name, array in sheet.initializers.items()],
    )  # fmt: skip
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="millrace",
        producer_version=millrace.__version__,
    )  # fmt: skip
    helper.set_model_props(model, {KEY: json.dumps(asdict(predictor.about), sort_keys=True)})
    return model


def save_onnx(predictor: Predictor, path: str | Path) -> None:
    """Write a predictor as an ONNX file, all of it or none.

    Raises UnexportedError as `to_onnx`, FileError where it cannot be written.
    """
    write_whole(Path(path), to_onnx(predictor).SerializeToString())


def tensor(name: str, array: np.ndarray) -> TensorProto:
    """An array as an initializer."""
    whole = np.ascontiguousarray(array)
    return TensorProto(name=name, data_type=onnx_dtype(array.dtype.name), dims=array.shape, raw_data=whole.tobytes())
