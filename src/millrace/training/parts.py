"""A run's graph for people: its regions, and what each does, line by line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from millrace.ir.core import Node, Value
from millrace.ir.graph import Graph
from millrace.ir.state import Assign, Read
from millrace.ir.stream import StreamType
from millrace.ops.stages import (
    Batch,
    Convert,
    Decode,
    Dequeue,
    Evaluate,
    Every,
    Queue,
    ReadRecords,
    Save,
    Shuffle,
    Weigh,
    WriteLog,
)
from millrace.training.regions import DEVICE, Region, queues, regions

TRAINING, VALIDATION = "training", "validation"
MOST = 40  # layers of a step that are listed


@dataclass(frozen=True)
class Line:
    """One thing that a region does: what, with what, and what comes of it."""

    what: str
    how: str
    gives: str = ""


@dataclass(frozen=True)
class Part:
    """A region of one of the graphs, as lines. `queue` is the queue that it ends with."""

    graph: str
    region: Region
    lines: tuple[Line, ...]
    queue: Queue | None

    @property
    def title(self) -> str:
        name = self.region.name
        if self.region.place == DEVICE:
            name = "step" if self.graph == TRAINING else f"{self.graph} step"
        return f"{name}, {self.region.place}"


def parts(graphs: Mapping[str, Graph]) -> list[Part]:
    """The regions of all graphs of a run."""
    made = []
    for name, graph in graphs.items():
        for region in regions(graph):
            ends = region.nodes[-1].op if region.nodes and isinstance(region.nodes[-1].op, Queue) else None
            lines = step_lines(region) if region.place == DEVICE else stage_lines(region)
            made.append(Part(name, region, tuple(lines), ends))
    return made


def stage_lines(region: Region) -> list[Line]:
    """What the stages of a region do; first, behind what they come."""
    before = [x.node.op for x in region.nodes[0].inputs] if region.nodes else []
    after = [Line("after", f"evaluate {op.graph}") for op in before if isinstance(op, Evaluate)]
    return [*after, *(stage_line(node) for node in region.nodes)]


def stage_line(node: Node) -> Line:
    """What a stage does, in words."""
    op: Any = node.op
    gives = ", ".join(map(str, elements(node)))
    match op:
        case ReadRecords():
            return Line("read", f"{op.count:,} records of {op.source}", gives)
        case Shuffle():
            return Line("shuffle", f"seed {op.seed}, anew each epoch")
        case Decode():
            return Line("decode", f"pictures, {op.fit} to {op.height} x {op.width}", gives)
        case Convert():
            return Line("convert", "to the step's dtypes, numbers checked", gives)
        case Weigh():
            return Line("weigh", "by class" if op.class_weights else "each record counts once")
        case Batch():
            return Line("batch", f"{op.size} records, broken ones weigh 0", gives)
        case Queue():
            threads = f", filled by {plural(op.workers, 'thread')}" if op.workers else ""
            return Line("queue", f"{op.label}: {plural(op.capacity, 'batch', 'batches')} at most{threads}")
        case Every():
            return Line("every", every_text(op))
        case Evaluate():
            return Line("evaluate", f"run the graph {op.graph}")
        case WriteLog():
            return Line("log", f"{op.kind}: {op.path}")
        case Save():
            kept = f", the last {op.keep} stay" if op.keep else ""
            return Line("save", f"to {op.path}{kept}")
    return Line(op.name, "", gives)


def every_text(op: Every) -> str:
    return "1 epoch" + (f" and {plural(op.steps, 'step')}" if op.steps else "")


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {many or one + 's'}"


def elements(node: Node) -> tuple[Any, ...]:
    """The types of what a stage hands on."""
    return tuple(t for v in node.outputs for t in (v.type.elements if isinstance(v.type, StreamType) else (v.type,)))


def step_lines(region: Region) -> list[Line]:
    """What a step on the device does, layer by layer, forward and backward counted together."""
    lines: list[Line] = []
    state: list[Node] = []
    outside = {
        x for node in region.nodes for x in node.inputs if x.node.layer.split("/")[0] != node.layer.split("/")[0]
    }
    for name, nodes in sorted(region.layers.items(), key=lambda layer: layer[0] == "update"):
        rest = [node for node in nodes if not isinstance(node.op, Read)]
        state += [node for node in nodes if isinstance(node.op, Read)]
        if name == "update":
            lines.append(Line("update", f"{plural(len(rest), 'variable')}, all at once"))
        elif name:
            lines.append(Line(name, plural(len(rest), "operation"), result(rest, outside)))
        else:
            taken = [node for node in rest if isinstance(node.op, Dequeue)]
            bare = len(rest) - len(taken)
            lines += [Line("dequeue", "", ", ".join(map(str, elements(node)))) for node in taken]
            lines += [Line("no layer", plural(bare, "operation"))] if bare else []
    if len(lines) > MOST:
        cut = lines[MOST - 2 : -1]
        lines = [*lines[: MOST - 2], Line("...", plural(len(cut), "more layer")), lines[-1]]
    updated = {node.op.variable for node in region.nodes if isinstance(node.op, Assign)}
    read = {node.op.variable for node in state if isinstance(node.op, Read)}
    return [*lines, Line("state", f"reads {plural(len(read), 'variable')}, writes {len(updated)}")]


def result(nodes: Sequence[Node], outside: Set[Value]) -> str:
    """What a layer gives: the type of the first of its values that others use."""
    given = (value for node in nodes for value in node.outputs if value in outside)
    return next((str(value.type) for value in given), "")


def program_text(graphs: Mapping[str, Graph], name: str, width: int = 80) -> str:
    """The run as text, a block for each region."""
    nodes = sum(len(graph.nodes) for graph in graphs.values())
    found = parts(graphs)
    count = sum(len(queues(graph)) for graph in graphs.values())
    lines = [f"{name} as one graph: {nodes:,} nodes, {len(found)} regions, {plural(count, 'queue')}", ""]
    for part in found:
        lines.append(f"[{part.title}]")
        for line in part.lines:
            left = f"  {line.what:<12} {line.how}".rstrip()
            gap = "  " if line.how else " " * (15 - len(left))
            if len(left) + len(gap) + len(line.gives) <= width:
                lines.append((left + gap + line.gives).rstrip())
            else:
                lines += [left, *wrapped(line.gives, width - 15)]
        if part.queue is not None:
            lines.append("      |")
            lines.append("      v")
        else:
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def wrapped(text: str, width: int) -> list[str]:
    """A list of types in lines of at most a width, set in under what they belong to."""
    return [" " * 15 + line for line in textwrap.wrap(text, width, break_long_words=False)]
