"""ONNX models checked by ONNX, and run by ONNX Runtime."""

import onnx
import onnxruntime

from millrace.inference.onnx.exporting import to_onnx


def session(model):
    """ONNX Runtime on a model that the checker has passed, with all of its optimizations."""
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(predictor, arrays, model=None):
    """What ONNX Runtime makes of a predictor's model."""
    started = session(model or to_onnx(predictor))
    given = dict(zip((port.name for port in predictor.inputs), arrays, strict=True))
    return started.run([port.name for port in predictor.outputs], given)


def operators(model):
    return [node.op_type for node in model.graph.node]
