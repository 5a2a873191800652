"""The vocabulary: one class an operation, one file a family. Importing this registers every operation."""

from typing import Any

from millrace.ops import (
    arithmetic,
    compare,
    contract,
    convolution,
    crops,
    elementwise,
    index,
    mixing,
    normalization,
    once,
    pooling,
    random,
    reduce,
    scan,
    shape,
    sharding,
    stages,
    weights,
)

__all__ = [
    "arithmetic",
    "compare",
    "contract",
    "convolution",
    "crops",
    "elementwise",
    "index",
    "mixing",
    "normalization",
    "once",
    "pooling",
    "random",
    "reduce",
    "scan",
    "shape",
    "sharding",
    "stages",
    "weights",
]


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"millrace.ops has no {name!r}: it holds the classes of operations. What Keras has in ops "
        f"stands in millrace itself: look for mr.{name}."
    )
