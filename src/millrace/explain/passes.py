"""The nodes of a training step by what they are for: which layer, and forward, backward or update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from millrace.ir.core import Node, Value
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.state import Assign, Read, Variable
from millrace.ir.work import bytes_touched, flop
from millrace.training.model import Model

PASSES = ("forward", "backward", "update")
OPTIMIZER, CHECK = "optimizer", "check"  # the scopes in which a training step changes weights
VITALS = "vitals"  # that of what is measured of the network; it looks at what lies in memory anyway
TOGETHER = {"training": "metrics", "penalties": "loss", "": "(no layer)"}  # what is shown under another name


@dataclass(frozen=True)
class Place:
    """Where a node belongs: a layer of the model (or loss, metrics, vitals, check, optimizer), and a pass."""

    layer: str
    kind: str


@dataclass(frozen=True)
class Work:
    """What one pass of one layer takes at the least: floating-point operations, and bytes of memory traffic."""

    flop: int
    size: int


def owners(model: Model) -> dict[Variable, str]:
    """The layer of each weight, and of what the optimizer remembers for it."""
    found = {variable: layer.name for layer in model.layers for variable in layer.weights}
    for variable, slots in model.optimizer.memory.items():
        if variable in found:
            found |= dict.fromkeys(slots.values(), found[variable])
    return found


def places(graph: Graph, owner: Mapping[Variable, str]) -> dict[Node, Place]:
    """For each node of a training step that computes: its layer and its pass. The first output is the loss.

    Forward is what the loss needs, and what else does not lead to new weights, such as metrics; update is what
    the optimizer and the check for infinities do, each weight's for its own layer; backward is the rest.
    """
    scopes = {node: node.layer.split("/")[0] for node in graph.nodes}
    forward = set(topological(graph.outputs[:1]))
    stepping = [node for node in graph.nodes if scopes[node] == OPTIMIZER]
    into = {x for node in stepping for x in node.inputs}
    checked = frozenset(v for node in graph.nodes if scopes[node] == CHECK for v in node.outputs)
    before = set(topological(into, stop=checked)) - forward

    given = frozenset(v for node in graph.nodes if scopes[node] != OPTIMIZER for v in node.outputs)
    of_layer: dict[Node, set[str]] = {}
    for variable, value in graph.updates.items():
        for node in topological(value.node.inputs, stop=given):
            of_layer.setdefault(node, set()).add(owner.get(variable, OPTIMIZER))

    found = {}
    for node in graph.nodes:
        scope = scopes[node]
        if isinstance(node.op, (Placeholder, Constant, Read)):
            continue
        if isinstance(node.op, Assign):
            found[node] = Place(owner.get(node.op.variable, TOGETHER.get(scope, scope)), "update")
        elif scope == OPTIMIZER:
            layers = of_layer.get(node, {OPTIMIZER})
            found[node] = Place(next(iter(layers)) if len(layers) == 1 else OPTIMIZER, "update")
        elif scope == CHECK:
            found[node] = Place(CHECK, "update")
        else:
            found[node] = Place(TOGETHER.get(scope, scope), "backward" if node in before else "forward")
    return found


def in_order(found: Mapping[Node, Place], model: Model) -> list[Place]:
    """Every place once: the model's layers in their order, what else there is, and what each training step has."""
    last = ("loss", "metrics", VITALS, CHECK, OPTIMIZER)
    there = dict.fromkeys(found.values())
    layers = dict.fromkeys([*(layer.name for layer in model.layers), *(p.layer for p in there if p.layer not in last)])
    return [Place(layer, kind) for layer in (*layers, *last) for kind in PASSES if Place(layer, kind) in there]


def work(graph: Graph, found: Mapping[Node, Place]) -> dict[Place, Work]:
    """What each place takes, in a graph whose dimensions have no names left."""
    groups: dict[Place, list[Node]] = {}
    needed: dict[Place, list[Value]] = {}
    lasting = [*graph.outputs, *graph.updates.values()]
    for node, place in found.items():
        groups.setdefault(place, []).append(node)
        lasting += (
            []
            if isinstance(node.op, Assign) or place.layer == VITALS
            else [x for x in node.inputs if found.get(x.node, place) != place]
        )
    for value in dict.fromkeys(lasting):
        if value.node in found:
            needed.setdefault(found[value.node], []).append(value)
    return {place: Work(flop(nodes), bytes_touched(nodes, needed.get(place, ()))) for place, nodes in groups.items()}
