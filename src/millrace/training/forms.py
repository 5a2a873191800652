"""The two forms of a model's one graph: as it is trained, and as it is used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millrace import functional as mr
from millrace.ir.core import Node, Value
from millrace.ir.dims import Size, same
from millrace.ir.errors import DimensionError
from millrace.ir.graph import Graph, again, rebuilt, topological
from millrace.ir.state import Read, Variable
from millrace.layers.base import Layer
from millrace.ops.compare import Cast
from millrace.ops.weights import ExampleWeights
from millrace.training.mixing import Mixing


@dataclass(frozen=True)
class Form:
    """A model's graph: outputs with the masks of their padded steps, updates of variables, and penalties.

    lasting: the variables that are updated in use as well, such as the state of a stateful layer.
    frozen: the running statistics of layers that are not trained.
    """

    inputs: Sequence[Value]
    outputs: Sequence[Value]
    masks: Sequence[Value | None] = ()
    updates: Mapping[Variable, Value] = field(default_factory=dict)
    penalties: Sequence[Value] = ()
    lasting: Collection[Variable] = ()
    frozen: Collection[Variable] = ()

    @property
    def mixing(self) -> Mixing | None:
        """How the examples are mixed with each other, as a MixUp layer does; only in training."""
        return Mixing.among(topological(self.outputs))

    def rebuilt(self, make: Callable[[Node, tuple[Value, ...]], Any], updates: Mapping[Variable, Value]) -> Form:
        """The same with `make(node, inputs)` in the place of each node, and these updates alone."""
        masks = [mask for mask in self.masks if mask is not None]
        nodes = Graph(self.inputs, [*self.outputs, *masks, *updates.values(), *self.penalties]).nodes
        new = rebuilt(nodes, make, {})
        return Form(
            self.inputs,
            [new[value] for value in self.outputs],
            [None if mask is None else new[mask] for mask in self.masks],
            {variable: new[value] for variable, value in updates.items()},
            [new[value] for value in self.penalties],
            self.lasting,
            self.frozen,
        )

    def for_use(self) -> Form:
        """With everything that only training does rewritten away, such as dropout."""
        return self.rebuilt(in_use, {v: value for v, value in self.updates.items() if v in self.lasting})

    def for_training(self, weights: Value) -> Form:
        """With the batch's example weights [batch] in place, and frozen statistics used instead of renewed."""

        def make(node: Node, given: tuple[Value, ...]) -> Any:
            if isinstance(node.op, ExampleWeights):
                return for_each(weights, node.outputs[0].shape[0])
            if any(variable_of(value) in self.frozen for value in node.inputs):
                return in_use(node, given)
            return again(node, node.op, given)

        return self.rebuilt(make, {v: value for v, value in self.updates.items() if v not in self.frozen})


def for_each(weights: Value, count: Size) -> Value:
    """A batch's weights for `count` rows: as they are, or each for all steps of its example (TimeDistributed)."""
    batch = weights.shape[0]
    try:
        steps = 1 if same(batch, count) else count // batch
    except DimensionError:  # rows that are not made of the batch's examples count alike
        return mr.ones((count,))
    if steps == 1:
        return weights
    return mr.reshape(mr.broadcast_to(mr.expand_dims(weights, 1), (batch, steps)), (count,))


def in_use(node: Node, given: tuple[Value, ...]) -> Any:
    """What stands for a node once training is over."""
    rest = node.op.inference(mr, *given)
    return rest if rest is not None else again(node, node.op, given)


def variable_of(value: Value) -> Variable | None:
    """The variable whose value this is, in whatever dtype."""
    while isinstance(value.op, Cast):
        value = value.node.inputs[0]
    return value.op.variable if isinstance(value.op, Read) else None


def frozen_statistics(layers: Sequence[Layer], outer: bool = False) -> set[Variable]:
    """What the layers with running statistics remember, where they or a layer around them are not trained."""
    found: set[Variable] = set()
    for layer in layers:
        frozen = outer or not layer.trainable
        if frozen and layer.freezes_statistics:
            found |= {v for v in layer.own if not v.trainable}
        found |= frozen_statistics(layer.sublayers, frozen)
    return found
