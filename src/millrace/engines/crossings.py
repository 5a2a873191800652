"""What a compiled program sends between the devices of a mesh, read from XLA's own text of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

import numpy as np

from millrace.engines import hlo
from millrace.ir.core import Node
from millrace.ir.graph import Graph
from millrace.ir.mesh import Mesh

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "collective-permute", "all-to-all")
LINE = re.compile(rf"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ({'|'.join(KINDS)})(?:-start)?\((.*)$")
ARRAY = re.compile(r"\b(pred|[suf]\d+|bf16)\[([\d,]*)\]")
LISTED = re.compile(r"(?:replica_groups|source_target_pairs)=\{(\{[\d,{}]*\})\}")
COUNTED = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
NAMED = re.compile(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}")
BYTES = {"pred": 1, "bf16": 2}


@dataclass(frozen=True)
class Crossing:
    """One exchange between devices; within a loop, all its rounds, where XLA says how many they are.

    kind: all-gather makes whole what is split, all-reduce adds up what each device has a share of, reduce-scatter
    leaves each a part of that sum, collective-permute hands parts on. axes: of the mesh, along which devices exchange.
    shapes: what each device holds afterwards, in one round. bytes: what each device receives, on average. node: the
    operation that needs it, None where it cannot be told.
    """

    kind: str
    axes: tuple[str, ...]
    shapes: tuple[str, ...]
    bytes: int
    node: Node | None


def crossings(text: str, graph: Graph, mesh: Mesh) -> list[Crossing]:
    """The exchanges of a compiled program, in its order."""
    program = hlo.parse(text)
    sources = hlo.sources(program)
    found = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        name, result, kind, rest = match.groups()
        arrays = ARRAY.findall(result)
        if "-start(" in line and kind == "all-gather":
            arrays = arrays[len(arrays) // 2 :]  # an exchange that is begun names what it takes, too
        elif "-start(" in line and kind == "collective-permute":
            arrays = arrays[1:2]
        groups = _groups(rest)
        axes = _axes(groups, mesh)
        n = prod(mesh.along(axis) for axis in axes)
        size = sum(_size(kind, dims) for kind, dims in arrays) * _rounds(name, program)
        if kind == "collective-permute":  # a device is given something for each pair that it ends
            size = size * len(groups) // mesh.size
        number = sources.get(name)
        node = None if number is None else graph.nodes[number]
        shapes = tuple(f"{kind}[{dims.replace(',', ', ')}]" for kind, dims in arrays)
        found.append(Crossing(kind, axes, shapes, _received(kind, size, n), node))
    return found


def _rounds(name: str, program: hlo.Program) -> int:
    """How often an instruction runs: the rounds of the loops around it."""
    rounds = 1
    while name in program.stands_in:
        name = program.runs.get(program.stands_in[name], "")
        if name in program.instructions:
            rounds *= program.instructions[name].rounds
    return rounds


def _received(kind: str, size: int, devices: int) -> int:
    """Bytes that reach each device, where parts go round in a ring; `size` is what it holds afterwards."""
    share = (devices - 1) / devices
    times = {"all-gather": share, "all-to-all": share, "all-reduce": 2 * share, "reduce-scatter": devices - 1}
    return round(size * times.get(kind, 1))


def _size(kind: str, dims: str) -> int:
    each = BYTES[kind] if kind in BYTES else int(kind[1:]) // 8
    return each * prod(int(n) for n in dims.split(",") if n)


def _groups(text: str) -> set[frozenset[int]]:
    """Which devices exchange with each other."""
    if (listed := LISTED.search(text)) is not None:
        return {frozenset(map(int, group.split(","))) for group in re.findall(r"\{([\d,]+)\}", listed[1])}
    if (counted := COUNTED.search(text)) is not None:
        shape, grid = ([int(n) for n in counted[i].split(",")] for i in (1, 2))
        ids = np.arange(prod(grid)).reshape(grid)
        if counted[3]:
            ids = ids.transpose([int(n) for n in counted[3].split(",")])
        return {frozenset(map(int, row)) for row in ids.reshape(shape)}
    if (named := NAMED.search(text)) is not None:
        axes = [(name, int(n)) for name, n in re.findall(r"'([^']+)'=(\d+)", named[1])]
        along = re.findall(r"'([^']+)'", named[2])
        ids = np.arange(prod(n for _, n in axes)).reshape([n for _, n in axes])
        last = [i for i, (name, _) in enumerate(axes) if name in along]
        first = [i for i in range(len(axes)) if i not in last]
        return {
            frozenset(map(int, row))
            for row in ids.transpose(first + last).reshape(-1, prod(ids.shape[i] for i in last))
        }
    return set()


def _axes(groups: set[frozenset[int]], mesh: Mesh) -> tuple[str, ...]:
    """The axes of the mesh along which these groups of devices lie; all of it where no groups are named."""
    for axes in _subsets([name for name in mesh.names if mesh.along(name) > 1]):
        lie = _along(axes, mesh)
        if groups and all(any(group <= whole for whole in lie) for group in groups):
            return axes
    return mesh.names


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for n in range(1, len(names) + 1):
        yield from combinations(names, n)


def _along(axes: Sequence[str], mesh: Mesh) -> list[frozenset[int]]:
    ids = np.arange(mesh.size).reshape([n for _, n in mesh.axes])
    last = [i for i, name in enumerate(mesh.names) if name in axes]
    first = [i for i in range(len(mesh.names)) if i not in last]
    rows = ids.transpose(first + last).reshape(-1, prod(ids.shape[i] for i in last))
    return [frozenset(map(int, row)) for row in rows]
