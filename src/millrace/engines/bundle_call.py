"""A bundle as one call: its routines, where each of their arrays lies, and the integers that bundle.c reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace.engines import native
from millrace.engines.bundles import Bundle, in_order, lateness
from millrace.engines.passes import Pass, written
from millrace.engines.recording import Recorder, Spot, Step
from millrace.ir.core import Node, Value
from millrace.ir.graph import Graph
from millrace.ir.state import Read
from millrace.native.operations import NOTHING

ARGUMENT, RESULT, BETWEEN = range(3)  # kinds of places, as bundle.c has them
ALIGNED = 16  # numbers: 64 bytes

Place = tuple[int, int]


class BundleCall:
    """What the call of a bundle needs.

    key: a number by which the program knows the bundle. steps: its routines. spots: what each value is in it. results:
    what it makes, of these `shapes`; the last, which `results` has not, is memory for what is needed in between. over:
    which arguments lie where which results will, both by their numbers.
    """

    def __init__(self, bundle: Bundle, graph: Graph, platform: str, key: int):
        self.bundle, self.graph, self.key = bundle, graph, key
        self.recorder = Recorder(platform)
        self.steps = self.recorder.steps
        self.spots: dict[Value, Spot] = {x: Spot(x.shape) for x in bundle.given}
        self.passes: list[tuple[Step, Pass]] = []
        self.old = self._old_values()
        self.users: dict[Value, list[Node]] = {}
        for node in bundle.nodes:
            for x in bundle.needs(node):
                self.users.setdefault(x, []).append(node)
        for unit in self._units():
            self._record(unit)
        self._place()

    # ---- the routines

    def _units(self) -> list[Any]:
        """The nodes in an order in which they can be computed, those that make one pass as a list."""
        nodes, kinds, needs = self.bundle.nodes, self.bundle.kinds, self.bundle.needs
        within = set(nodes)
        shape = {node: node.outputs[0].shape if kinds[node] == "pass" else None for node in nodes}
        late = lateness(
            nodes, nodes, lambda node: [x for x in needs(node) if x.node in within],
            lambda a, b: shape[a] is None or shape[a] != shape[b],
        )  # fmt: skip
        groups: dict[Any, list[Node]] = {}
        for node in nodes:
            if shape[node] is not None:
                groups.setdefault((shape[node], late[node]), []).append(node)
        unit_of: dict[Node, Any] = {node: node for node in nodes}
        for group in groups.values():
            unit_of |= dict.fromkeys(group, group)

        def before(unit: Any) -> list[Any]:
            needed = [x for node in (unit if isinstance(unit, list) else [unit]) for x in needs(node)]
            return [unit_of[x.node] for x in needed if x.node in within]

        return in_order([unit_of[node] for node in nodes], before)

    def _record(self, unit: Any) -> None:
        if isinstance(unit, list):
            self._record_pass(unit)
        elif self.bundle.kinds[unit] == "view":
            self.spots[unit.outputs[0]] = self.spots[unit.inputs[0]].reshape(unit.outputs[0].shape)
        else:
            made = self.recorder.recorded(unit, [self.spots[x] for x in unit.inputs])
            assert made is not None
            self.spots |= dict(zip(unit.outputs, made, strict=True))

    def _record_pass(self, nodes: list[Node]) -> None:
        within = set(nodes)
        wanted = {*self.bundle.made, *(x for x, users in self.users.items() if any(u not in within for u in users))}
        made = [x for node in nodes for x in node.outputs if x in wanted]
        if self._follows(nodes, made):
            return
        one = written(nodes, made, old=self.old)
        spots = [Spot(x.shape) for x in made]
        given = [self.spots[x] for x in one.given]
        self.steps.append(Step("pass", given, spots, (one.columns, *one.program), nodes))
        self.passes.append((self.steps[-1], one))
        self.spots |= dict(zip(made, spots, strict=True))

    def _follows(self, nodes: list[Node], made: list[Value]) -> bool:
        """Whether the pass is done while the product before it is in the cache: that is for nothing else then."""
        step = self.steps[-1] if self.steps else None
        if step is None or step.name != "dense_rows" or step.how[1:] != NOTHING or len(made) > 1:
            return False
        product = next((x for x, spot in self.spots.items() if spot.root is step.made[0]), None)
        users = self.users.get(product, []) if product is not None else []
        if product is None or product in self.bundle.made or not users or any(user not in nodes for user in users):
            return False
        if product.shape != made[0].shape:
            return False
        one = written(nodes, made, product)
        step.given += [self.spots[x] for x in one.given]
        step.how = (step.how[0], *one.program)
        step.nodes += nodes
        self.spots[made[0]] = step.made[0].reshape(made[0].shape)
        return True

    def _old_values(self) -> dict[Value, Value]:
        """Of new values of variables the old ones, whose memory may become theirs."""
        given = {x.op.variable: x for x in self.bundle.given if isinstance(x.op, Read)}
        new = {variable: assigned.node.inputs[0] for variable, assigned in self.graph.updates.items()}
        return {new[variable]: old for variable, old in given.items() if variable in new}

    # ---- where arrays lie

    def _place(self) -> None:
        """Give each array its place: what is asked for among the results, the others in memory that they share."""
        places: dict[Spot, Place] = {self.spots[x]: (ARGUMENT, n) for n, x in enumerate(self.bundle.given)}
        self.results: list[Spot] = []
        for root in (self.spots[value].root for value in self.bundle.made):
            if root not in places:
                places[root] = RESULT, len(self.results)
                self.results.append(root)
        last = {x.root: n for n, step in enumerate(self.steps) for x in (*step.given, *step.made)}
        first = self._in_place(places, last)
        for x, earlier in first.items():
            if x in places:
                places[earlier] = places[x]
            last[earlier] = max(last[earlier], last[x])
        memory = _Memory()
        for n, step in enumerate(self.steps):
            for x in step.made:
                if x not in places:
                    places[x] = places[first[x]] if x in first else (BETWEEN, memory.take(x.size))
            for x in {first.get(y.root, y.root) for y in (*step.given, *step.made)}:
                if places[x][0] == BETWEEN and last[x] == n:
                    memory.give_back(places[x][1], x.size)
        self.shapes = [*(x.shape for x in self.results), (max(1, memory.size),)]
        self.over = self._over(places)
        self.how = self._written(places)

    def _in_place(self, places: Mapping[Spot, Place], last: Mapping[Spot, int]) -> dict[Spot, Spot]:
        """Of what a pass alone makes the array, read for the last time, in whose memory it lies.

        Not where it may lie over an old value of a variable, which the array would destroy before the pass reads it.
        """
        first: dict[Spot, Spot] = {}
        over = {step for step, one in self.passes if one.over}
        for n, step in enumerate(self.steps):
            if step.name == "pass" and len(step.made) == 1 and step not in over:
                (made,) = step.made
                given = [x.root for x in step.given if x.size == made.size]
                dying = [x for x in given if last[x] == n and x not in places]
                if dying:
                    first[made] = first.get(dying[0], dying[0])
        return first

    def _over(self, places: Mapping[Spot, Place]) -> dict[int, int]:
        """Old values of variables that nobody reads after the pass which makes the new ones."""
        over: dict[int, int] = {}
        for step, one in self.passes:
            later = self.steps[self.steps.index(step) + 1 :]
            for made, given in one.over.items():
                old = self.spots[one.given[given]]
                if not any(x.root is old for other in later for x in other.given):
                    over[places[old][1]] = places[step.made[made]][1]
        return over

    def _written(self, places: Mapping[Spot, Place]) -> list[int]:
        numbers: dict[Spot, int] = {}
        table: list[int] = []
        steps: list[int] = []
        for step in self.steps:
            for x in (*step.given, *step.made):
                if x not in numbers:
                    numbers[x] = len(numbers)
                    table += [*places[x.root], x.ndim, *x.shape]
            steps += [native.number(step.name), len(step.given), len(step.made), len(step.how)]
            steps += [*(numbers[x] for x in (*step.given, *step.made)), *step.how]
        most = max(len(step.given) + len(step.made) for step in self.steps)
        return [self.key, len(numbers), len(self.steps), most, *table, *steps]


class _Memory:
    """Numbers of one array, given out and taken back."""

    def __init__(self) -> None:
        self.size = 0
        self.free: list[tuple[int, int]] = []  # where, how many

    def take(self, size: int) -> int:
        size = -(-size // ALIGNED) * ALIGNED
        fitting = min(((length, at) for at, length in self.free if length >= size), default=None)
        if fitting is None:
            self.size += size
            return self.size - size
        length, at = fitting
        self.free.remove((at, length))
        if length > size:
            self.free.append((at + size, length - size))
        return at

    def give_back(self, at: int, size: int) -> None:
        size = -(-size // ALIGNED) * ALIGNED
        for other, length in list(self.free):
            if other + length == at or at + size == other:
                self.free.remove((other, length))
                at, size = min(at, other), size + length
        self.free.append((at, size))
