"""Operations on each number of arrays of one shape, written as one pass over memory for a routine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from millrace.engines.pass_program import COLUMN, MADE, NUMBER, ROW, WHOLE, Place, Program, constant
from millrace.ir.core import Node, Value
from millrace.ir.leaves import Constant
from millrace.native.operations import CODES, COMPARISONS, COPY, REPEAT, SQUARE


@dataclass(frozen=True)
class Pass:
    """Operations that are computed together.

    given: what the routine needs: whole, a row for all rows, a column for all columns, or a number for all. made: what
    is wanted of it. program: as native/source/pass.h has it. columns: how long a row is; all numbers are one, where
    none is the same for all rows. over: which of `made` may lie where which of `given` does, both by their numbers.
    """

    given: tuple[Value, ...]
    made: tuple[Value, ...]
    program: tuple[int, ...]
    columns: int
    over: dict[int, int]


def code_of(node: Node) -> int | None:
    """The number of an operation on each number, or None."""
    if node.op.name == "IntegerPower":
        return SQUARE if node.op.exponent == 2 else None  # type: ignore[attr-defined]
    return CODES.get(node.op.name)


def may_pass(node: Node) -> bool:
    """Whether a routine knows the operation, and each operand is as large as the result, or repeated."""
    value = node.outputs[0]
    known = len(node.outputs) == 1 and value.dtype == "float32" and value.ndim > 0 and code_of(node) is not None
    return known and all(_may_be_given(x, value) for x in node.inputs)


def is_said_again(x: Value, beside: Value) -> bool:
    """Whether a pass says for itself what an operand is, from its own operands: nobody has to write it down."""
    if x.shape != beside.shape:
        return False
    match x.op.name:
        case "Constant":
            return number_of(x) is not None
        case "Broadcast":
            return repeated(x) is not None
        case "Cast":  # what is true or false is 1 or 0 to a pass
            (truth,) = x.node.inputs
            return x.dtype == "float32" and truth.dtype == "bool" and is_said_again(truth, beside)
    return x.op.name in COMPARISONS and all(y.dtype == "float32" and _may_be_given(y, beside) for y in x.node.inputs)


def repeated(x: Value) -> int | None:
    """What a broadcast says again everywhere: a NUMBER, a ROW, or a COLUMN; None for anything else."""
    (source,), axes = x.node.inputs, x.op.axes  # type: ignore[attr-defined]
    if source.ndim == 0:
        return NUMBER if source.dtype in ("float32", "bool") else None
    if source.dtype != "float32":
        return None
    if axes == (x.ndim - 1,) and source.shape == x.shape[-1:]:
        return ROW
    return COLUMN if axes == tuple(range(x.ndim)) and source.shape == (*x.shape[:-1], 1) else None


def _may_be_given(x: Value, beside: Value) -> bool:
    return is_said_again(x, beside) or (x.shape == beside.shape and x.dtype == "float32")


def number_of(x: Value) -> float | None:
    """The one number of a constant."""
    if not isinstance(x.op, Constant):
        return None
    array = x.op.literal.array
    same = array.dtype == np.float32 and array.size and bool(np.all(array == array.flat[0]))
    return float(array.flat[0]) if same else None


def needed(node: Node) -> list[Value]:
    """What a node of a pass needs that somebody else has to make."""
    found: list[Value] = []
    stack = list(reversed(node.inputs))
    while stack:
        x = stack.pop()
        if not is_said_again(x, node.outputs[0]):
            found.append(x)
        else:
            stack += [y for y in reversed(x.node.inputs) if number_of(y) is None]
    return found


def written(
    nodes: Sequence[Node], made: Sequence[Value], product: Value | None = None, old: dict[Value, Value] | None = None
) -> Pass:
    """The pass of these nodes, in their order.

    product: what a routine has just made, on whose result the pass goes on in place. old: of new values the ones whose
    memory may become theirs. Where one truth decides all choices, as whether a step was healthy decides what becomes of
    variables, there are two programs, and the routine looks once which one it runs.
    """
    truths = {x for x in map(_truth, nodes) if x is not None}
    truth = truths.pop() if len(truths) == 1 else None
    given = [truth] if truth is not None else []
    moved = 0 if product is None else 2  # a product's own operands come first
    over: dict[int, int] = {}
    programs = []
    in_rows = False
    for says in (True, False) if truth is not None else (None,):
        writer = _Writer(given, made, product, truth, says)
        for node in nodes:
            writer.compute(node)
        program = writer.program
        program.shorten()
        over = {n: given.index(old[x]) for n, x in enumerate(made) if old and x in old and old[x] in given}
        for n, place in over.items():
            program.keep_until_read((WHOLE, place), (MADE, n))
        programs.append(program.integers(moved))
        in_rows = in_rows or writer.in_rows
    shape = made[0].shape
    columns = int(shape[-1]) if in_rows else int(np.prod(shape, dtype=int))
    where = -1 if truth is None else moved
    return Pass(tuple(given), tuple(made), (where, len(programs[0]), *sum(programs, ())), columns, over)


def _truth(node: Node) -> Value | None:
    """The one truth by which a node chooses everywhere."""
    if node.op.name != "Select" or node.inputs[0].op.name != "Broadcast":
        return None
    (source,) = node.inputs[0].node.inputs
    return source if source.ndim == 0 else None


class _Writer:
    """Writes nodes as steps. says: what the truth is, by which all choices are made, where there is one."""

    def __init__(
        self, given: list[Value], made: Sequence[Value], product: Value | None, truth: Value | None, says: bool | None
    ):
        self.given, self.made, self.truth, self.says = given, tuple(made), truth, says
        self.program = Program()
        self.at: dict[Value, Place] = {} if product is None else {product: (MADE, 0)}
        self.in_rows = False

    def compute(self, node: Node) -> None:
        value, code = node.outputs[0], code_of(node)
        assert code is not None
        operands = node.inputs
        if self.truth is not None and _truth(node) is self.truth:
            code, operands = COPY, (node.inputs[1 if self.says else 2],)
        places = tuple(self._place(x) for x in operands)
        if value in self.made:
            self.at[value] = self.program.say(code, places, (MADE, self.made.index(value)))
        else:
            self.at[value] = places[0] if code == COPY else self.program.say(code, places)

    def _place(self, x: Value) -> Place:
        if x not in self.at:
            self.at[x] = self._said_again(x) if is_said_again(x, x) else (WHOLE, self._argument(x))
        return self.at[x]

    def _said_again(self, x: Value) -> Place:
        number = number_of(x)
        if number is not None:
            return constant(number)
        if x.op.name in COMPARISONS:
            return self.program.say(CODES[x.op.name], tuple(self._place(y) for y in x.node.inputs))
        (source,) = x.node.inputs
        if x.op.name == "Cast":
            return self._place(source)
        number, kind = number_of(source), repeated(x)
        if number is not None:
            return constant(number)
        assert kind is not None
        self.in_rows = self.in_rows or kind != NUMBER
        place = kind, self._argument(source)
        return self.program.say(REPEAT, (place,)) if kind == COLUMN else place

    def _argument(self, x: Value) -> int:
        if x not in self.given:
            self.given.append(x)
        return self.given.index(x)
