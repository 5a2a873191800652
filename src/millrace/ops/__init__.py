"""The vocabulary: one class an operation, one file a family. Importing this registers every operation."""

from typing import TYPE_CHECKING, Any

from millrace.ops import (
    arithmetic,
    averaging,
    compare,
    contract,
    convolution,
    crops,
    elementwise,
    index,
    layer_normalization,
    mixing,
    normalization,
    once,
    pooling,
    random,
    reduce,
    scan,
    shape,
    sharding,
    softmax,
    stages,
    weights,
)

__all__ = [
    "arithmetic",
    "averaging",
    "compare",
    "contract",
    "convolution",
    "crops",
    "elementwise",
    "index",
    "layer_normalization",
    "mixing",
    "normalization",
    "once",
    "pooling",
    "random",
    "reduce",
    "scan",
    "shape",
    "sharding",
    "softmax",
    "stages",
    "weights",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module 'millrace.ops' has no attribute {name!r}")
        raise AttributeError(
            f"millrace.ops has no {name!r}: it holds the classes of operations. What Keras has in ops stands in "
            "millrace itself, as far as it is there: mr.matmul, mr.softmax."
        )
