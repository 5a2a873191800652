"""ONNX Runtime on the file that Millrace exports, with the threads and optimizations that it chooses itself."""

from __future__ import annotations

from typing import Any

import onnxruntime

import millrace as mr
from benchmarks.contenders.inputs import examples
from benchmarks.contenders.millrace import count
from benchmarks.contenders.millrace_networks import network
from millrace.inference.onnx.exporting import to_onnx
from millrace.inference.predictor import Predictor


class Prediction:
    """One call of a session for each batch."""

    def __init__(self, model: Any, workload: Any):
        self.x, _ = examples(workload)
        self.parameters = count(model)
        predictor = Predictor.of(model)
        self.name = predictor.inputs[0].name
        content = to_onnx(predictor).SerializeToString()
        self.session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(self, steps: int) -> float:
        for _ in range(steps):
            (out,) = self.session.run(None, {self.name: self.x})
        return float(out.sum(axis=-1).mean())


def build(task: Any) -> Any:
    mr.set_seed(0)
    return Prediction(network(task.workload.network), task.workload)
