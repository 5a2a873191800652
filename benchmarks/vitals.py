"""What it costs that a training step measures its network: `python -m benchmarks.vitals [ROUNDS]`.

The same network compiled twice, with vitals and without, takes turns on one batch. What is compared is processor time,
of all threads together, since other programs on the machine disturb it less than the clock's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

import numpy as np

import millrace as mr
from millrace.models.cifar_quick import network as cifar_quick
from millrace.models.digits import network as digits

ROUNDS, SECONDS = 31, 0.1  # how often each takes its turn, and about how long a turn is
Shape = tuple[int, ...]


def mlp() -> Any:
    """784-512-512-10."""
    hidden = [mr.layers.Dense(512, "relu"), mr.layers.Dense(512, "relu")]
    return mr.Sequential([mr.Input((784,)), *hidden, mr.layers.Dense(10, "softmax")])


CASES: dict[str, tuple[Callable[[], Any], Shape, int]] = {
    "digits network, batch 64": (digits, (8, 8, 1), 64),
    "MLP 784-512-512-10, batch 128": (mlp, (784,), 128),
    "cifar_quick, batch 128": (cifar_quick, (32, 32, 3), 128),
}


def turn(build: Callable[[], Any], shape: Shape, batch: int, vitals: bool) -> Callable[[int], float]:
    """Steps on one batch: so many of them, and the processor time of one, in seconds."""
    mr.set_seed(0)
    model = build()
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], vitals=vitals)
    draw = np.random.default_rng(0)
    x, y = draw.random((batch, *shape), dtype=np.float32), draw.integers(0, 10, batch).astype(np.int32)
    weights = np.ones(batch, np.float32)
    step = model.training_steps.train

    def run(count: int) -> float:
        started = time.process_time()
        for _ in range(count):
            loss = step(x, y, weights, weights)
        float(loss)
        return (time.process_time() - started) / count

    run(3)
    return run


def main(rounds: int = ROUNDS) -> None:
    for name, (build, shape, batch) in CASES.items():
        without, with_vitals = (turn(build, shape, batch, vitals) for vitals in (False, True))
        count = max(int(SECONDS / without(3)), 3)
        ratios, same, times = [], [], []
        for _ in range(rounds):  # each of the two between two of the other
            before, measured, after = without(count), with_vitals(count), without(count)
            ratios.append(2 * measured / (before + after))
            same.append(after / before)
            times.append(before)
        low, _, high = quantiles(ratios, n=4)
        print(
            f"{name}: {median(times) * 1e3:.2f} ms of processor time a step; with vitals {median(ratios):.3f} times as "
            f"much (quartiles {low:.3f} to {high:.3f}; the same step against itself {median(same):.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
