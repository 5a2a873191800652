"""Millrace as its users have it: what `model.fit` and `model.predict` call for each batch."""

from __future__ import annotations

from typing import Any

import numpy as np

import millrace as mr
from benchmarks.contenders.inputs import LEARNING_RATE, MOMENTUM, examples
from benchmarks.contenders.millrace_networks import network
from millrace.inference.predictor import Predictor
from millrace.training.step import predict_function


class Training:
    """The compiled training step, on the arrays that `fit` would hand it; if asked, they lie on the device already."""

    def __init__(self, model: Any, workload: Any, resident: bool = False):
        x, y = examples(workload)
        chosen = workload.network
        optimizer = (
            mr.optimizers.Adam(LEARNING_RATE)
            if chosen.optimizer == "adam"
            else mr.optimizers.SGD(LEARNING_RATE, MOMENTUM, weight_decay=chosen.weight_decay or None)
        )
        model.compile(optimizer, "sparse_categorical_crossentropy")
        self.parameters = count(model)
        self.step = model.training_steps.train
        ones = np.ones(workload.batch, np.float32)  # each example counts, and each is real
        self.arrays: Any = (x, y, ones, ones)
        if resident:
            import jax

            self.arrays = jax.device_put(self.arrays)

    def run(self, steps: int) -> float:
        for _ in range(steps):
            loss = self.step(*self.arrays)
        return float(loss)  # waits for the whole last step: it is one program, whose results are there together


class Prediction:
    """The function that `predict` calls for each batch; each result is waited for."""

    def __init__(self, model: Any, workload: Any):
        self.x, _ = examples(workload)
        self.parameters = count(model)
        self.function = predict_function(model.form(), None)

    def run(self, steps: int) -> float:
        for _ in range(steps):
            out = [np.asarray(part) for part in self.function(self.x)]
        return float(out[0].sum(axis=-1).mean())


class Exported(Prediction):
    """What `inference.Predictor` calls for each batch: the graph with normalization folded into the weights."""

    def __init__(self, model: Any, workload: Any):
        super().__init__(model, workload)
        self.function = Predictor.of(model).function


class WholePredict(Prediction):
    """`model.predict` itself, with its checks of x and its batches."""

    def __init__(self, model: Any, workload: Any):
        super().__init__(model, workload)
        self.model, self.batch = model, workload.batch

    def run(self, steps: int) -> float:
        for _ in range(steps):
            out = self.model.predict(self.x, batch_size=self.batch)
        return float(out.sum(axis=-1).mean())


def count(model: Any) -> int:
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def build(task: Any) -> Any:
    mr.set_seed(0)
    if task.workload.dtype == "bfloat16":
        mr.set_dtype_policy("mixed_bfloat16")
    model = network(task.workload.network)
    if task.workload.training:
        return Training(model, task.workload, task.option("resident"))
    kind = WholePredict if task.option("whole") else Exported if task.option("predictor") else Prediction
    return kind(model, task.workload)
