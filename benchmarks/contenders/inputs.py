"""The examples that all contenders are given: host arrays of the dtype that the network takes."""

from __future__ import annotations

import numpy as np

from benchmarks.workloads import Workload

# So small that the network stays as it began: what is measured is the step, not how the numbers change.
LEARNING_RATE = 1e-5
MOMENTUM = 0.9


def examples(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """x [batch, ...] float32, channels last, or whole numbers from 1 on; and class numbers y [batch] int32."""
    random, shape = np.random.default_rng(0), (workload.batch, *workload.network.shape)
    below = workload.network.below
    x = random.integers(1, below, shape, np.int32) if below else random.standard_normal(shape, np.float32)
    return x, random.integers(0, workload.network.classes, workload.batch, np.int32)
