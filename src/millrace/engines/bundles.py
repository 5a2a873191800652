"""Which operations of a program run as one call: routines of Millrace's own, one after another.

A call of XLA's wakes threads and lets them sleep again. In a small program that takes as long as what they do. A bundle
(native/source/bundle.c) keeps them awake for all that its routines do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from millrace.engines.passes import may_pass, needed
from millrace.engines.recording import Recorder, Spot
from millrace.ir.core import Node, Value
from millrace.ir.graph import Graph
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.state import Assign, Read
from millrace.ir.work import elements

SMALL = 3e9  # floating point operations of a program, up to which its routines are bundled: 15 ms of two cores
LEFT = 0.05  # the part of them that may stay with XLA: its threads and the team's would be in each other's way
LITTLE = 2**22  # of them may stay in any case: it brings no threads to so little
LEAST = 2**14  # numbers that a bundle makes, or as much work

_least: ContextVar[int] = ContextVar("least", default=LEAST)


@contextmanager
def everything_bundled() -> Iterator[None]:
    """Inside, whatever routines can do is bundled, however little it is: to be examined."""
    token = _least.set(1)
    try:
        yield
    finally:
        _least.reset(token)


@dataclass
class Bundle:
    """Nodes that run as one call, in their order.

    kinds: of each node of the graph, as `kinds_of` has them. given: what others make. made: what others need.
    """

    nodes: list[Node]
    kinds: Mapping[Node, str]
    given: list[Value] = field(default_factory=list)
    made: list[Value] = field(default_factory=list)

    def needs(self, node: Node) -> Sequence[Value]:
        return needs(node, self.kinds)


def arranged(graph: Graph, platform: str) -> list[Node | Bundle]:
    """The nodes of a graph in an order in which they can be computed, with those that belong together as bundles."""
    total = flop(graph.nodes)
    if total > SMALL:
        return list(graph.nodes)
    kinds = worthwhile(graph, kinds_of(graph.nodes, platform))
    if flop([node for node in graph.nodes if not kinds[node]]) > max(LEFT * total, LITTLE) and _least.get() == LEAST:
        return list(graph.nodes)
    levels: dict[int, list[Node]] = {}
    late = lateness(
        graph.nodes, ends(graph), lambda node: needs(node, kinds), lambda a, b: bool(kinds[a]) != bool(kinds[b])
    )
    for node in graph.nodes:
        if kinds[node] and node in late:
            levels.setdefault(late[node], []).append(node)
    bundles = [Bundle(nodes, kinds) for nodes in levels.values() if work(nodes, kinds) >= _least.get()]
    unit_of: dict[Node, Any] = {node: node for node in graph.nodes}
    for bundle in bundles:
        unit_of |= dict.fromkeys(bundle.nodes, bundle)
        within = set(bundle.nodes)
        bundle.given = list(
            dict.fromkeys(x for node in bundle.nodes for x in bundle.needs(node) if x.node not in within)
        )
    order = in_order([unit_of[node] for node in ends(graph)], lambda unit: [unit_of[x.node] for x in _inputs(unit)])
    outside = {*graph.outputs, *graph.updates.values(), *(x for unit in order for x in _inputs(unit))}
    for bundle in bundles:
        bundle.made = [x for node in bundle.nodes for x in node.outputs if x in outside]
    return order


def _inputs(unit: Node | Bundle) -> Sequence[Value]:
    return unit.given if isinstance(unit, Bundle) else unit.inputs


def ends(graph: Graph) -> list[Node]:
    """The nodes for whose sake all others are there."""
    return list(dict.fromkeys(x.node for x in (*graph.outputs, *graph.updates.values())))


def kinds_of(nodes: Sequence[Node], platform: str) -> dict[Node, str]:
    """Of each node "pass", "routine" or "view", where it may be bundled, else ""."""
    kinds: dict[Node, str] = {}
    for node in nodes:
        if isinstance(node.op, (Placeholder, Constant, Read, Assign)):
            kinds[node] = ""
        elif may_pass(node):
            kinds[node] = "pass"
        elif node.op.name == "Reshape":  # of what is not bundled, it costs nothing
            kinds[node] = "view" if node.outputs[0].dtype == "float32" and kinds[node.inputs[0].node] else ""
        else:
            recorder = Recorder(platform)
            made = recorder.recorded(node, [Spot(x.shape) for x in node.inputs])
            kinds[node] = "routine" if made and recorder.steps else ""
    return kinds


def needs(node: Node, kinds: Mapping[Node, str]) -> Sequence[Value]:
    """What somebody has to make before a node can be computed."""
    return needed(node) if kinds[node] == "pass" else node.inputs


def worthwhile(graph: Graph, kinds: dict[Node, str]) -> dict[Node, str]:
    """The kinds, without those of small groups that stand alone: between operations of XLA's they are better with them.

    And they would be one more change on the way from the first bundle to the last, which keeps bundles apart.
    """
    group: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        mine = [node]
        for x in needs(node, kinds) if kinds[node] else ():
            theirs = group.get(x.node, mine)
            if theirs is not mine and kinds[x.node]:
                theirs += mine
                group |= dict.fromkeys(mine, theirs)
                mine = theirs
        group[node] = mine
    large = {
        id(nodes) for nodes in {id(one): one for one in group.values()}.values() if work(nodes, kinds) >= _least.get()
    }
    return {node: kind if id(group[node]) in large else "" for node, kind in kinds.items()}


def work(nodes: Sequence[Node], kinds: Mapping[Node, str]) -> float:
    """How many numbers nodes make; sixteen operations on numbers count as one more."""
    computing = [node for node in nodes if kinds[node] not in ("", "view")]
    return sum(elements(x.type) for node in computing for x in node.outputs) + flop(computing) / 16


def flop(nodes: Sequence[Node]) -> float:
    """How many operations on numbers nodes are."""
    leaves = (Placeholder, Constant, Read, Assign)
    return sum(node.op.flop(*(x.type for x in node.inputs)) for node in nodes if not isinstance(node.op, leaves))


# ---- orders


def lateness(
    nodes: Sequence[Node], last: Iterable[Node], needs: Callable[[Node], Sequence[Value]], apart: Callable[..., bool]
) -> dict[Node, int]:
    """How late each node can be computed for the last ones' sake, counted in the changes between what is `apart`.

    Nodes that are not apart and equally late never need one another by way of a third that is apart from them, so that
    they may be computed together. Nodes that nobody needs have none.
    """
    late = dict.fromkeys(last, 0)
    for node in reversed(nodes):
        if node in late:
            for x in needs(node):
                late[x.node] = min(late.get(x.node, 0), late[node] - apart(x.node, node))
    return late


def in_order(last: Sequence[Any], before: Callable[[Any], Sequence[Any]]) -> list[Any]:
    """The last ones and all that come before them, each after those that come before it."""
    order: list[Any] = []
    seen: set[int] = set()
    stack = [(unit, False) for unit in reversed(last)]
    while stack:
        unit, ready = stack.pop()
        if ready:
            order.append(unit)
        elif id(unit) not in seen:
            seen.add(id(unit))
            stack.append((unit, True))
            stack += [(other, False) for other in reversed(before(unit)) if id(other) not in seen]
    return order
