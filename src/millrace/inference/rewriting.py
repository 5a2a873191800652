"""A model's graph as it is used: without what only training does, with weights of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from millrace.inference.folding import folded
from millrace.ir.core import Node, Value
from millrace.ir.graph import Graph, again
from millrace.ir.leaves import Constant, Literal
from millrace.ir.rewrite import simplify
from millrace.ir.state import Read, Variable
from millrace.ir.text import Body
from millrace.ops.elementwise import StopGradient
from millrace.ops.once import Once
from millrace.ops.shape import Broadcast
from millrace.ops.weights import ExampleWeights
from millrace.training.model import Model


def in_use(model: Model, fold: bool = True) -> Graph:
    """What a model computes once its training is over, on copies of its weights; folded, where that is asked for."""
    form = model.form().for_use()
    graph = Graph(list(form.inputs), list(form.outputs), dict(form.updates))
    graph = simplify(detached(without_marks(simplify(graph))))
    return simplify(folded(graph)) if fold else graph


def without_marks(graph: Graph) -> Graph:
    """The graph without the operations that tell training and its speed something and leave numbers as they are."""

    def make(node: Node, inputs: tuple[Value, ...]) -> Any:
        op: Any = node.op
        if isinstance(op, (StopGradient, Once)):
            return inputs[0]
        if isinstance(op, ExampleWeights):
            return Broadcast(node.outputs[0].shape, ())(Constant(Literal(np.float32(1)))())
        bodies = {name: value for name, value in vars(op).items() if isinstance(value, Body)}
        bare = {name: Body(without_marks(body.graph)) for name, body in bodies.items()}
        changed = {name: body for name, body in bare.items() if body != bodies[name]}
        return again(node, replace(op, **changed) if changed else op, inputs)

    return graph.rebuild(make)


def detached(graph: Graph) -> Graph:
    """The same graph over variables of its own, which hold what the graph's hold now."""
    own = {variable: Variable(variable.numpy(), variable.name, variable.trainable) for variable in graph.variables}

    def make(node: Node, inputs: tuple[Value, ...]) -> Any:
        return own[node.op.variable].value if isinstance(node.op, Read) else again(node, node.op, inputs)

    values = graph.rebuild(make)
    updates = {own[variable]: value.node.inputs[0] for variable, value in values.updates.items()}
    return Graph(values.inputs, values.outputs, updates)
