"""Keras 3 on the backend that its environment names: its users' `train_on_batch` and `predict_on_batch`.

No seed is set: `keras.utils.set_random_seed` imports TensorFlow, which nobody needs who has Keras on JAX.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from benchmarks.contenders.inputs import LEARNING_RATE, MOMENTUM, examples
from benchmarks.contenders.keras_networks import network


class Training:
    def __init__(self, model: Any, task: Any):
        chosen = task.workload.network
        self.model, self.arrays = model, examples(task.workload)
        self.parameters = count(model)
        optimizer = (
            keras.optimizers.Adam(LEARNING_RATE)
            if chosen.optimizer == "adam"
            else keras.optimizers.SGD(LEARNING_RATE, MOMENTUM, weight_decay=chosen.weight_decay or None)
        )
        jit: Any = task.options.get("jit", "auto")
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit)

    def run(self, steps: int) -> float:
        for _ in range(steps):
            loss = self.model.train_on_batch(*self.arrays)
        return float(np.ravel(loss)[0])


class Prediction:
    def __init__(self, model: Any, task: Any):
        self.model = model
        self.x, _ = examples(task.workload)
        self.parameters = count(model)
        model.compile(jit_compile=task.options.get("jit", "auto"))

    def run(self, steps: int) -> float:
        for _ in range(steps):
            out = np.asarray(self.model.predict_on_batch(self.x))
        return float(out.sum(axis=-1).mean())


def count(model: Any) -> int:
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def build(task: Any) -> Any:
    return (Training if task.workload.training else Prediction)(network(task.workload.network), task)
