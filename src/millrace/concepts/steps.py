"""Training steps as graphs, which the concepts about graphs count, draw and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from millrace import functional as mr
from millrace.explain.passes import OPTIMIZER, PASSES, owners, places
from millrace.ir.core import Node, layer_scope
from millrace.ir.graph import Graph
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.rewrite import simplify
from millrace.ir.state import Assign, Read, Variable
from millrace.models.digits import network
from millrace.training.model import Model

BATCH = 64
LEAVES = (Placeholder, Constant, Read)


def computing(graph: Graph) -> list[Node]:
    """The nodes that do arithmetic: not inputs, constants and variables, nor what only moves or repeats numbers."""
    return [node for node in graph.nodes if not isinstance(node.op, (*LEAVES, Assign)) and not node.op.moves]


@lru_cache
def digits_model() -> Model:
    """The network for digits, ready to be trained by gradient descent."""
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def digits_step(simple: bool = True) -> Graph:
    """One step of its training: loss, gradients and new weights, without what is only measured."""
    graph = digits_model().training_steps.unguarded
    return simplify(graph) if simple else graph


def passes_of(graph: Graph, model: Model) -> dict[str, int]:
    """How many of a step's nodes go forward, backward, and to the new weights."""
    found = places(graph, owners(model))
    own = set(computing(graph))
    return {kind: sum(place.kind == kind for node, place in found.items() if node in own) for kind in PASSES}


@dataclass(frozen=True)
class Levels:
    """Which nodes can run at the same time: those of a level need only earlier levels."""

    groups: Sequence[Sequence[Node]]

    @property
    def widest(self) -> int:
        """The most nodes of a level."""
        return max(len(group) for group in self.groups)

    @property
    def count(self) -> int:
        """The nodes of all levels."""
        return sum(len(group) for group in self.groups)


def levels(graph: Graph) -> Levels:
    """A graph's nodes by the longest way that leads to them."""
    depth: dict[Node, int] = {}
    groups: list[list[Node]] = []
    own = set(computing(graph))
    for node in graph.nodes:
        before = max((depth[x.node] for x in node.inputs), default=-1)
        depth[node] = before + (node in own)
        if node in own:
            if depth[node] == len(groups):
                groups.append([])
            groups[depth[node]].append(node)
    return Levels(groups)


def small_step(rate: float = 0.1) -> Graph:
    """Gradient descent on the squared error of the line w x + b, examples [batch]: the loss, and new w and b."""
    x, y = (mr.Input((), name=name) for name in ("x", "y"))
    w, b = Variable(np.float32(1.0), "w"), Variable(np.float32(0.0), "b")
    loss = mr.mean(mr.square(x * w + b - y))
    slopes = mr.gradients(loss, [w, b])
    with layer_scope(OPTIMIZER):
        updates = {v: v - rate * g for v, g in zip((w, b), slopes, strict=True)}
    return simplify(Graph((x, y), [loss], updates))
