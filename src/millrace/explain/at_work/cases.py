"""A case: something to explain, at work on something real. Its graph is built, printed, differentiated and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Node, Value, snake
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.layers import initializers
from millrace.layers.base import Layer

SEED = 0

Step = tuple[Mapping[str, Value], Mapping[str, Value]]  # what goes in and what comes out, by name


@dataclass(frozen=True, eq=False)
class Case:
    """One use of a subject.

    code: the line that a user types. inputs: real arrays, by the names under which the mathematics shows them. call:
    builds the outputs from them. real: what the inputs are, a key of the texts' table "input". notes: keys of the
    table "note", about what was set so that something is seen. layer: whose weights are counted. compare: whether the
    difference from the first input means something. step: builds one step of what runs a loop, for its mathematics.
    operation: the node that is explained, where it is an operation inside. outputs are named y, or as `named` says.
    """

    code: str
    inputs: Mapping[str, np.ndarray]
    call: Callable[..., Any]
    real: str
    notes: tuple[str, ...] = ()
    layer: Layer | None = None
    compare: bool = True
    step: Callable[[], Step] | None = field(default=None)
    named: tuple[str, ...] = ()

    @cached_property
    def values(self) -> list[Value]:
        """The inputs as open inputs of a graph."""
        return [Placeholder(name, TensorType.of(array))() for name, array in self.inputs.items()]

    @cached_property
    def outputs(self) -> dict[str, Value]:
        """What the subject makes of them, by name."""
        with seeded():
            if self.layer is not None:
                self.layer.set_name(snake(type(self.layer).__name__))  # what it draws depends on its name
            made = self.call(*self.values)
        several = [mr.as_value(x) for x in made] if isinstance(made, (list, tuple)) else [mr.as_value(made)]
        names = self.named or (("y",) if len(several) == 1 else tuple(f"y{n}" for n in range(len(several))))
        return dict(zip(names, several, strict=True))

    @cached_property
    def graph(self) -> Graph:
        return Graph(self.values, list(self.outputs.values()))

    @cached_property
    def results(self) -> dict[str, np.ndarray]:
        """The outputs as numbers, from the plainest interpreter."""
        made = self.graph.evaluate(list(self.inputs.values()))
        return dict(zip(self.outputs, made, strict=True))

    def node(self, operation: str) -> Node | None:
        """The first use of an operation in its graph."""
        nodes = topological(self.graph.outputs)
        return next((node for node in nodes if node.op.name == operation), None)


@contextmanager
def seeded() -> Iterator[None]:
    """Layers that are built inside draw what they would after `set_seed(0)`; the user's own seed stays."""
    before = initializers.current_seed()
    initializers.set_seed(SEED)
    try:
        yield
    finally:
        initializers.set_seed(before)


def numbers(value: Value, inputs: Sequence[Value], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """One value of a graph for concrete inputs."""
    return Graph(inputs, [value]).evaluate(arrays)[0]
