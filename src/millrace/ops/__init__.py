"""The vocabulary: one class an operation, one file a family. Importing this registers every operation."""

from millrace.ops import (
    arithmetic,
    compare,
    contract,
    convolution,
    elementwise,
    index,
    normalization,
    pooling,
    random,
    reduce,
    scan,
    shape,
    weights,
)

__all__ = [
    "arithmetic",
    "compare",
    "contract",
    "convolution",
    "elementwise",
    "index",
    "normalization",
    "pooling",
    "random",
    "reduce",
    "scan",
    "shape",
    "weights",
]
