"""The regions of a run's graph: what runs at the same time, cut at its queues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from millrace.ir.core import Node
from millrace.ir.graph import Graph
from millrace.ir.state import Assign
from millrace.ir.stream import StreamType
from millrace.ops.stages import Dequeue, Evaluate, Every, Queue, Save, WriteLog

DEVICE, THREADS, TAKEN, BETWEEN, BACKGROUND = (
    "on the device", "on threads", "made when taken", "between epochs", "in the background",
)  # fmt: skip


@dataclass(frozen=True)
class Region:
    """Nodes that run one after another, and where: `place` is one of the words above."""

    name: str
    place: str
    nodes: tuple[Node, ...]

    @property
    def layers(self) -> dict[str, list[Node]]:
        """Its nodes by the outermost layer that made them, in the order of the layers' first nodes."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            name = "update" if isinstance(node.op, Assign) else node.layer.split("/")[0]
            found.setdefault(name, []).append(node)
        return found


def regions(graph: Graph) -> list[Region]:
    """The regions of a run's graph: inputs first, then the step, then what evaluates, records and saves.

    An input region ends with its queue. The step's begins behind it; what only reads variables or constants belongs to
    it too. Each stage behind an `Every` is a region of its own.
    """
    inputs: dict[Node, list[Node]] = {}
    behind: dict[Node, list[Node]] = {}
    step: list[Node] = []
    where: dict[Node, str] = {}
    for node in graph.nodes:
        after = {where[x.node] for x in node.inputs}
        if isinstance(node.op, Every) or "behind" in after:
            where[node] = "behind"
        elif isinstance(node.op, Dequeue) or not is_stream(node):
            where[node] = "step"
            step.append(node)
        else:
            where[node] = "input"
            if isinstance(node.op, Queue):
                inputs[node] = [*leading(node), node]
        if isinstance(node.op, (Evaluate, WriteLog, Save)):
            behind[node] = [x.node for x in node.inputs if isinstance(x.node.op, Every)] + [node]
    made = [
        Region(f"{queue.op.label} input", _place(queue.op), tuple(nodes))  # type: ignore[attr-defined]
        for queue, nodes in inputs.items()
    ]
    label = next((queue.op.label for queue in inputs), "step")  # type: ignore[attr-defined]
    made.append(Region(label, DEVICE, tuple(step)))
    for node, nodes in behind.items():
        name = {Evaluate: "evaluate", WriteLog: "log", Save: "save"}[type(node.op)]
        made.append(Region(name, BACKGROUND if isinstance(node.op, Save) else BETWEEN, tuple(nodes)))
    return made


def is_stream(node: Node) -> bool:
    return any(isinstance(value.type, StreamType) for value in node.outputs)


def leading(node: Node) -> list[Node]:
    """The stages that lead to one, first to last."""
    before: list[Node] = []
    for value in node.inputs:
        before += [*leading(value.node), value.node]
    return before


def _place(op: object) -> str:
    assert isinstance(op, Queue)
    return THREADS if op.workers else TAKEN


def queues(graph: Graph) -> Sequence[Queue]:
    """The queues of a graph."""
    return [node.op for node in graph.nodes if isinstance(node.op, Queue)]
