"""Small ONNX models for tests, and what ONNX Runtime makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

KINDS = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL, "int32": TensorProto.INT32}
node = helper.make_node


def port(name: str, shape: Any, dtype: str = "float32") -> Any:
    """An input or an output; None in a shape is a size without a name, a shape of None is no shape."""
    return helper.make_tensor_value_info(name, KINDS[dtype], shape)


def tensor(name: str, array: Any, dtype: str | None = None) -> TensorProto:
    made = np.asarray(array)
    made = made.astype(dtype or {"float64": "float32"}.get(made.dtype.name, made.dtype))
    return numpy_helper.from_array(made, name)


def model(nodes: Any, inputs: Any, outputs: Any, tensors: Any = (), opset: int = 17, **more: Any) -> ModelProto:
    """A model of nodes; outputs by name alone have no type."""
    ports = [helper.make_empty_tensor_value_info(o) if isinstance(o, str) else o for o in outputs]
    graph = helper.make_graph(list(nodes), "small", list(inputs), ports, list(tensors))
    imports = more.pop("opset_imports", [helper.make_opsetid("", opset)])
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **more)


def runtime(proto: ModelProto, *arrays: np.ndarray) -> list[np.ndarray]:
    """The outputs by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    made: list[np.ndarray] = session.run(None, dict(zip(names, arrays, strict=True)))
    return made
