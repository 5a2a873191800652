"""Named operations that are defined by other operations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from millrace.ir.core import Bad, Op, Samples, Value, functional
from millrace.ir.formula import Formula
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.ir.work import flop


class Composite(Op, abstract=True):
    """A named operation defined by `expand(mr, *inputs)`; type, value, gradient and lowering follow."""

    facets = ("expand", "formula", "samples", "errors")
    expand: Callable[..., Any]
    formula: Callable[..., Formula | None]
    samples: Callable[..., Samples]
    errors: Callable[..., Sequence[Bad]]

    def infer(self, *types: TensorType) -> Any:
        outputs = tuple(value.type for value in expansion(self, types).outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def evaluate(self, *arrays: np.ndarray) -> Any:
        outputs = expansion(self, tuple(TensorType.of(x) for x in arrays)).evaluate(arrays)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def gradient(self, mr: Any, g: Any, out: Any, *inputs: Value) -> Any:
        if len(set(inputs)) < len(inputs):  # a value given twice: each use has a gradient of its own
            inputs = tuple(mr.reshape(x, x.shape) for x in inputs)
        return mr.vjp(self.expand(mr, *inputs), inputs, g)

    def flop(self, *types: TensorType) -> int:
        return flop(expansion(self, types).nodes)

    def lower(self, low: Any, *arrays: Any) -> Any:
        outputs = low.run(expansion(self, tuple(TensorType.of(x) for x in arrays)), arrays)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


@functools.lru_cache(maxsize=4096)
def expansion(op: Composite, types: tuple[TensorType, ...]) -> Graph:
    """The graph that defines a composite for inputs of these types."""
    from millrace.ir.graph import Graph  # a graph is made of what is defined here

    values = tuple(Placeholder(f"x{n}", type)() for n, type in enumerate(types))
    outputs = op.expand(functional(), *values)
    return Graph(values, outputs if isinstance(outputs, tuple) else (outputs,))
