"""The examples that all contenders are given: host arrays of the dtype that the network takes."""

from __future__ import annotations

import numpy as np

from benchmarks.workloads import Workload

# So small that the network stays as it began: what is measured is the step, not how the numbers change.
LEARNING_RATE = 1e-5
MOMENTUM = 0.9


def examples(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """x [batch, ...] float32, channels last, and class numbers y [batch] int32."""
    random = np.random.default_rng(0)
    x = random.standard_normal((workload.batch, *workload.network.shape), np.float32)
    return x, random.integers(0, workload.network.classes, workload.batch, np.int32)
