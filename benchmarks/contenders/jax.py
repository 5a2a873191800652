"""Plain JAX at its default flags: one jitted step that is given its weights' memory, without any library."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders.inputs import LEARNING_RATE, MOMENTUM, examples
from benchmarks.contenders.jax_networks import network


def adam(weights: Any, gradients: Any, slots: Any, count: Any) -> tuple[Any, Any]:
    """Kingma and Ba 2015, algorithm 1."""
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, slots[0], gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, slots[1], gradients)
    rate = LEARNING_RATE * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
    return jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v), (m, v)


def sgd(weight_decay: float, weights: Any, gradients: Any, slots: Any, count: Any) -> tuple[Any, Any]:
    """With momentum and weight decay."""
    (v,) = slots
    v = jax.tree.map(lambda v, g, w: MOMENTUM * v + g + weight_decay * w, v, gradients, weights)
    return jax.tree.map(lambda w, v: w - LEARNING_RATE * v, weights, v), (v,)


class Training:
    def __init__(self, task: Any):
        chosen, dtype = task.workload.network, task.workload.dtype
        net = network(chosen)
        self.arrays: Any = examples(task.workload)
        if task.option("resident"):
            self.arrays = jax.device_put(self.arrays)
        weights, statistics = net.start()
        self.parameters = count(weights)
        update, slots = (adam, 2) if chosen.optimizer == "adam" else (partial(sgd, chosen.weight_decay), 1)

        def loss(weights: Any, statistics: Any, x: Any, y: Any, key: Any) -> Any:
            weights = jax.tree.map(lambda w: w.astype(dtype), weights)
            scores, statistics = net.apply(weights, statistics, x.astype(dtype), key, True)
            right = jnp.take_along_axis(jax.nn.log_softmax(scores.astype(jnp.float32)), y[:, None], axis=1)
            return -right.mean(), statistics

        @partial(jax.jit, donate_argnums=0)
        def step(state: Any, x: Any, y: Any) -> Any:
            weights, statistics, slots, count, key = state
            key, own = jax.random.split(key)
            (value, statistics), gradients = jax.value_and_grad(loss, has_aux=True)(weights, statistics, x, y, own)
            weights, slots = update(weights, gradients, slots, count + 1)
            return (weights, statistics, slots, count + 1, key), value

        zeros = tuple(jax.tree.map(jnp.zeros_like, weights) for _ in range(slots))
        self.step, self.state = step, (weights, statistics, zeros, jnp.zeros(()), jax.random.key(0))

    def run(self, steps: int) -> float:
        for _ in range(steps):
            self.state, loss = self.step(self.state, *self.arrays)
        jax.block_until_ready(self.state)
        return float(loss)


class Prediction:
    def __init__(self, task: Any):
        net = network(task.workload.network)
        self.x, _ = examples(task.workload)
        self.weights, self.statistics = net.start()
        self.parameters = count(self.weights)
        key = jax.random.key(0)  # prediction draws nothing
        self.function = jax.jit(lambda w, s, x: jax.nn.softmax(net.apply(w, s, x, key, False)[0]))

    def run(self, steps: int) -> float:
        for _ in range(steps):
            out = np.asarray(self.function(self.weights, self.statistics, self.x))
        return float(out.sum(axis=-1).mean())


def count(weights: Any) -> int:
    return sum(w.size for w in jax.tree.leaves(weights))


def build(task: Any) -> Any:
    return (Training if task.workload.training else Prediction)(task)
