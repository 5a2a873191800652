"""A loop over time that treats each row of a batch by itself, written as a program for a routine of Millrace's own.

Such are the loops of recurrent layers, and their gradients. The routine (native/source/scan.c) takes some rows through
all steps on one thread, without waiting for the others. A step is a list of instructions: products with matrices that
are the same at each step, and passes over elements. What lies between two products is done for a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.ir.core import Node, Value
from millrace.ir.dims import same
from millrace.ir.graph import Graph
from millrace.ir.leaves import Constant, Placeholder
from millrace.native.operations import CODES, COPY, PRODUCT, REPEAT, SQUARE

ARGUMENT, RESULT, KEPT, PASSING = range(4)  # where numbers lie, as scan.c has it
BLOCK = 4096  # numbers of a state that go through passes over elements together; 512 takes up to 1.05 times as long

Place = tuple[int, int, int, int]  # kind, index, numbers from row to row, offset


def program(graph: Graph, states: int, sequences: int, steps: int, backwards: bool) -> list[int] | None:
    """The body of a scan as the integers that the routine takes; None where it is no such loop.

    What is true or false is 1 or 0 to the routine; of what is one number a row, [rows], it takes columns, [rows, 1].
    """
    return _Program(graph, states, sequences).written(steps, backwards) if _by_rows(graph, states, sequences) else None


def _by_rows(graph: Graph, states: int, sequences: int) -> bool:
    """Whether each row of what a step makes comes from the same row of what it is given, by operations known here."""
    if not states or any(value.dtype not in ("float32", "bool") for node in graph.nodes for value in node.outputs):
        return False
    given = [value for k, value in enumerate(graph.inputs[: states + sequences]) if k < states or value.ndim != 1]
    columns = [value for value in graph.inputs[states : states + sequences] if value.ndim == 1]
    if any(value.ndim != 2 for value in given) or len(set(graph.inputs)) < len(graph.inputs):
        return False
    rows = given[0].shape[0]
    made = [value for node in graph.nodes if not isinstance(node.op, Placeholder) for value in node.outputs]
    made = [value for value in made if value.ndim or not isinstance(value.op, Constant)]
    moved = any(value in graph.inputs[:states] and value is not graph.inputs[k] for k, value in _states(graph, states))
    return (
        not moved
        and all(same(value.shape[0], rows) for value in columns)
        and all(value.ndim == 2 and same(value.shape[0], rows) for value in (*given, *made))
        and all(isinstance(value.shape[1], int) and value.shape[1] > 0 for value in (*given, *made))
        and all(_is_known(node, graph.inputs[states + sequences :], columns) for node in graph.nodes)
        and all(_root(value).op.name != "Constant" for value in graph.outputs)
        and all(_root(value).op.name != "Broadcast" or _repeats(_root(value).node) for value in graph.outputs)
        and all(_root(value) is value or _root(value) not in graph.inputs for _, value in _states(graph, states))
    )


def _states(graph: Graph, states: int) -> list[tuple[int, Value]]:
    return list(enumerate(graph.outputs[:states]))


def _repeats(node: Node) -> bool:
    """Whether a node says one number of each row again in all columns."""
    op: Any = node.op
    return op.name == "Broadcast" and op.axes == (0, 1) and node.inputs[0].shape[1] == 1


def _is_known(node: Node, constants: Sequence[Value], columns: Sequence[Value]) -> bool:
    op: Any = node.op
    match op.name:
        case "Placeholder":
            return True
        case "Constant":
            return bool(np.all(op.literal.array == op.literal.array.flat[0])) if op.literal.array.size else False
        case "Reshape":  # one number a row, as a column
            return node.inputs[0] in columns and node.outputs[0].shape[1] == 1
        case "Broadcast":  # one number, or one row, for all rows; or a column
            (x,) = node.inputs
            return (
                _repeats(node)
                or (x.ndim == 0 and isinstance(x.op, Constant))
                or (x in constants and op.axes == (1,) and x.ndim == 1)
            )
        case "Slice":
            return op.start[0] == 0 and op.step == (1, 1) and isinstance(op.start[1], int)
        case "Concatenate":
            return op.axis == 1
        case "Dot":
            x, matrix = node.inputs
            rows_first = op.x_contract == (1,) and len(op.y_contract) == 1 and not op.x_batch
            return rows_first and matrix in constants and matrix.ndim == 2 and x not in constants
        case "IntegerPower":
            return op.exponent == 2
    return op.name in CODES


def _root(value: Value) -> Value:
    """What a slice, or a column, is of."""
    while value.op.name in ("Slice", "Reshape"):
        value = value.node.inputs[0]
    return value


@dataclass
class _Memory:
    """Columns of memory, given out and taken back."""

    columns: int = 0
    free: dict[int, list[int]] = field(default_factory=dict)

    def take(self, width: int) -> int:
        if self.free.get(width):
            return self.free[width].pop()
        self.columns += width
        return self.columns - width

    def give_back(self, at: int, width: int) -> None:
        self.free.setdefault(width, []).append(at)


class _Program:
    def __init__(self, graph: Graph, states: int, sequences: int):
        self.graph, self.states, self.sequences = graph, states, sequences
        self.memory = {KEPT: _Memory(), PASSING: _Memory()}
        self.single = 0  # columns of single rows
        self.places: dict[Place, int] = {}
        self.instructions: list[tuple[int, ...]] = []
        self.matrices: dict[tuple[int, ...], int] = {}
        self.numbers: list[tuple[int, ...]] = []
        self.lies: dict[Value, Place] = {}  # what has its place
        self.within: dict[Value, tuple[Value, int]] = {}  # what is made in its place within a concatenation
        self.order = self._ordered()
        self.last_segment = max((self._key(node)[0] + self._key(node)[1] for node in self.order), default=0)
        self._find_homes()

    # ---- the order: all passes over elements that need no further product, then products, then again

    def _ordered(self) -> list[Node]:
        self.level: dict[Value, int] = {}
        for node in self.graph.nodes:
            before = max((self.level[x] for x in node.inputs), default=0)
            self.level |= dict.fromkeys(node.outputs, before + (node.op.name == "Dot"))
        there = ("Placeholder", "Constant", "Broadcast", "Slice", "Reshape")
        nodes = [n for n in self.graph.nodes if n.op.name not in there or _repeats(n)]
        return sorted(nodes, key=self._key)

    def _key(self, node: Node) -> tuple[int, bool]:
        return max((self.level[x] for x in node.inputs), default=0), node.op.name == "Dot"

    # ---- where values lie

    def _find_homes(self) -> None:
        """Results lie where the caller wants them, parts of a concatenation within it, if they are made there."""
        graph, made = self.graph, {value for node in self.order for value in node.outputs}
        for k, value in enumerate(graph.outputs[self.states :], self.states):
            if value in made and value not in self.lies:
                self.lies[value] = (RESULT, k, self._width(value), 0)
        for node in reversed(self.order):
            at = 0
            for x in node.inputs if node.op.name == "Concatenate" else ():
                if x in made and x not in self.lies and x not in self.within and x.op.name != "Concatenate":
                    self.within[x] = node.outputs[0], at
                at += self._width(x)

        self.until: dict[Value, int] = {}  # the last instruction that reads what lies in one piece
        used_in: dict[Value, set[int]] = {}
        for n, node in enumerate(self.order):
            for value in (*map(_root, node.inputs), *node.outputs):
                owner = self._owner(value)
                self.until[owner] = n
                dot = node.op.name == "Dot"  # a product is for all rows together
                used_in.setdefault(owner, set()).update({self._key(node)[0], *((-1,) if dot else ())})
        for value in graph.outputs:
            owner = self._owner(_root(value))
            self.until[owner] = len(self.order)
            used_in.setdefault(owner, set()).add(self.last_segment)
        self.passing = {owner for owner, segments in used_in.items() if len(segments) == 1}

    def _owner(self, value: Value) -> Value:
        return self.within[value][0] if value in self.within else value

    @staticmethod
    def _width(value: Value) -> int:
        return int(value.shape[1]) if value.ndim > 1 else 1

    def _new(self, value: Value) -> Place:
        """A place for what a node makes."""
        if value in self.within:
            whole, at = self.within[value]
            kind, index, across, offset = self.lies.get(whole) or self._new(whole)
            self.lies[value] = kind, index, across, offset + at
        elif value not in self.lies:
            kind = PASSING if value in self.passing else KEPT
            self.lies[value] = kind, self.memory[kind].take(self._width(value)), self._width(value), 0
        return self.lies[value]

    def _done_with(self, node: Node, n: int) -> None:
        """Take back the memory of what is read no more; concatenations, which are made bit by bit, keep theirs."""
        for value in {_root(x) for x in node.inputs}:
            kind, index, across, _ = self.lies.get(value, (ARGUMENT, 0, 0, 0))
            ours = kind in self.memory and across and value not in self.within and value.op.name != "Concatenate"
            if ours and self.until[value] == n:
                self.memory[kind].give_back(index, across)

    def _place(self, value: Value) -> Place:
        """Where a value lies that is made already."""
        if value in self.lies:
            return self.lies[value]
        if value in self.graph.inputs:
            k = self.graph.inputs.index(value)
            place: Place = (RESULT if k < self.states else ARGUMENT, k, self._width(value), 0)
        elif value.op.name == "Slice":
            kind, index, across, offset = self._place(value.node.inputs[0])
            place = kind, index, across, offset + value.op.start[1]  # type: ignore[attr-defined]
        elif value.op.name == "Reshape":
            place = self._place(value.node.inputs[0])
        else:  # a number or a row for all rows
            (x,) = value.node.inputs or (value,)
            if x in self.graph.inputs:
                place = ARGUMENT, self.graph.inputs.index(x), 0, 0
            else:
                bits = x.op.literal.array.flat[0].view(np.int32)  # type: ignore[attr-defined]
                self.numbers.append((self.single, self._width(value), int(bits)))
                place = PASSING, self.single, 0, 0
                self.single += self._width(value)
        self.lies[value] = place
        return place

    def _number(self, place: Place) -> int:
        return self.places.setdefault(place, len(self.places))

    # ---- the instructions

    def written(self, steps: int, backwards: bool) -> list[int]:
        for n, node in enumerate(self.order):
            self._write(node, n)
        m = self.states
        for k, value in [*enumerate(self.graph.outputs[m:], m), *enumerate(self.graph.outputs[:m])]:
            to: Place = (RESULT, k, self._width(value), 0)
            if self._place(value) != to:
                self._copy(value, to)
        block = max(1, BLOCK // self._width(self.graph.inputs[0]))
        header = (
            steps, int(backwards), self.states, self.sequences, block, self.memory[KEPT].columns,
            self.memory[PASSING].columns, self.single, len(self.places), len(self.instructions), len(self.matrices),
            len(self.numbers),
        )  # fmt: skip
        tables = (self.places, self.instructions, self.matrices, self.numbers)
        return [*header, *(int(number) for table in tables for row in table for number in row)]

    def _copy(self, value: Value, to: Place) -> None:
        self._say(COPY, to, [self._place(value)], self._width(value))

    def _say(self, operation: int, out: Place, operands: Sequence[Place], columns: int) -> None:
        """out = operation(operands), of which the routine always takes three."""
        given = (self._number(operands[min(k, len(operands) - 1)]) for k in range(3))
        self.instructions.append((operation, self._number(out), *given, columns))

    def _write(self, node: Node, n: int) -> None:
        (out,), op = node.outputs, node.op
        if op.name == "Dot":
            x, matrix = node.inputs
            given, to = self._place(x), self._new(out)
            turned = op.y_contract == (1,)  # type: ignore[attr-defined]
            described = self.graph.inputs.index(matrix), self._width(x), self._width(out), int(turned)
            which = self.matrices.setdefault(described, len(self.matrices))
            self.instructions.append((PRODUCT, self._number(to), self._number(given), which, 0, self._width(out)))
            self._done_with(node, n)
        elif op.name == "Concatenate":
            (kind, index, across, offset), at = self._new(out), 0
            for x in node.inputs:
                if self.within.get(x) != (out, at):
                    self._copy(x, (kind, index, across, offset + at))
                at += self._width(x)
            self._done_with(node, n)
        else:
            operands = [self._place(x) for x in node.inputs]
            if _repeats(node):
                self._new(out)  # before its operand's place is free: it may not lie there
            self._done_with(node, n)  # any other result may lie where an operand did
            code = {"IntegerPower": SQUARE, "Broadcast": REPEAT}.get(op.name) or CODES[op.name]
            self._say(code, self._new(out), operands, self._width(out))
