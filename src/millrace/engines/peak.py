"""What this machine can do at best, measured now: arithmetic by matrix products, memory by passing over an array."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.engines.function import engine_named, function
from millrace.ir.core import functional
from millrace.ir.leaves import Placeholder
from millrace.ir.state import Variable, snapshot
from millrace.ir.types import TensorType

SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (256, 4096, 4096))  # rows, inner, columns
SECONDS = 0.4  # for each shape: enough calls to meet one that nothing disturbs
SQUARE = (8192, 8192)  # float32, 256 MiB: far more than a processor's caches hold
GPU_SHAPES = ((8192, 8192, 8192), (16384, 16384, 16384))  # so large that starting a call counts for nothing
GPU_SQUARE = (16384, 16384)


@dataclass(frozen=True)
class Peak:
    """The best of a machine: floating-point operations and bytes of memory traffic a second."""

    flops: float
    bandwidth: float

    def seconds(self, flop: float, size: float) -> float:
        """The least time for so much arithmetic and so many bytes, one hidden behind the other: the roofline.

        Source: Williams, Waterman and Patterson 2009.
        """
        return max(flop / self.flops, size / self.bandwidth)


def measured(dtype: str = "float32") -> Peak:
    """The peak with the compiler on this machine: the fastest call of several products, and of a pass over memory."""
    return Peak(best_product(dtype), memory())


def best_product(dtype: str = "float32") -> float:
    """Floating-point operations a second of the best of several matrix products, of "float32" or "bfloat16"."""
    return max(product(shape, dtype) for shape in (SHAPES if is_processor() else GPU_SHAPES))


def is_processor() -> bool:
    return engine_named("xla").platform == "cpu"


def product(shape: tuple[int, int, int], dtype: str) -> float:
    """Floating-point operations a second of one shape of matrix product."""
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    x, y = (Placeholder(name, TensorType(dtype, size))() for name, size in (("x", shape[:2]), ("y", shape[1:])))
    arrays = [on_device(rng.random(v.shape, np.float32).astype(dtype)) for v in (x, y)]
    multiply = function([x, y], functional().matmul(x, y), engine="xla")
    return 2.0 * rows * inner * columns / fastest(lambda: multiply(*arrays))


def memory() -> float:
    """Bytes a second: an array that is read and written in its place, as an optimizer does with weights."""
    square = SQUARE if is_processor() else GPU_SQUARE
    held = Variable(np.ones(square, np.float32), "peak/memory", trainable=False)
    step = function([], (), {held: functional().negative(held)}, engine="xla")

    def call() -> Any:
        step()
        with snapshot([held]) as buffers:
            return buffers[0]

    return 2.0 * 4 * square[0] * square[1] / fastest(call)


def on_device(array: np.ndarray) -> Any:
    """The array where the compiler's programs find it without a copy."""
    x = Placeholder("x", TensorType.of(array))()
    return function([x], functional().negative(x), engine="xla")(array)


def fastest(call: Callable[[], Any]) -> float:
    """The seconds of the fastest of many calls, the first ones left out."""
    call().block_until_ready()
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        started = time.perf_counter()
        call().block_until_ready()
        best = min(best, time.perf_counter() - started)
    return best
