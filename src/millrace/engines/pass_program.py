"""The steps of a pass over memory, made fewer and written as the integers that native/source/pass.h describes."""

from __future__ import annotations

import numpy as np

from millrace.native.operations import (
    ADAPTED,
    AVERAGE,
    AVERAGE_SQUARES,
    CODES,
    COPY,
    MULTIPLY_ADD,
    MULTIPLY_SUBTRACT,
    OPERANDS,
    SQUARE,
)

WHOLE, ROW, COLUMN, NUMBER, CONSTANT, MADE, BETWEEN = range(7)  # kinds of places
ADD, SUBTRACT, MULTIPLY, DIVIDE, SQRT = (CODES[name] for name in ("Add", "Subtract", "Multiply", "Divide", "Sqrt"))
GONE = -1  # a step that is one no more
SAME = (NUMBER, CONSTANT)  # kinds of places that are one number everywhere

Place = tuple[int, int]  # a kind, and which one: of arguments or results, or the bits of a number
Step = tuple[int, Place, tuple[Place, ...]]  # an operation, where its result lies, and its operands


def constant(number: float) -> Place:
    """The place of a number that is known."""
    return CONSTANT, int(np.float32(number).view(np.int32))


class Program:
    """Steps, each of which is done for a block of numbers before the next one."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.between = 0  # how many places in between were given out

    def say(self, code: int, operands: tuple[Place, ...], out: Place | None = None) -> Place:
        """One more step; its result lies in between, unless it is said where."""
        if out is None:
            out = BETWEEN, self.between
            self.between += 1
        self.steps.append((code, out, operands))
        return out

    def shorten(self) -> None:
        """Leave out what nobody reads, join steps, and make results where they are to lie."""
        self._drop_unread()
        for n in range(len(self.steps)):
            self._join(n)
        self._drop_gone()
        self._make_in_place()

    def keep_until_read(self, old: Place, new: Place) -> None:
        """Write a result where an operand lies only once nobody reads the operand any more."""
        first = next(n for n, (_, out, _) in enumerate(self.steps) if out == new)
        if any(old in operands for _, _, operands in self.steps[first + 1 :]):
            apart = BETWEEN, self.between
            self.between += 1
            self._rename(new, apart)
            self.steps.append((COPY, new, (apart,)))

    def integers(self, moved: int) -> tuple[int, ...]:
        """The program; the arguments of its routine begin with so many others."""
        self._share_blocks()
        places = list(dict.fromkeys(place for _, out, operands in self.steps for place in (out, *operands)))
        number = {place: n for n, place in enumerate(places)}
        steps = [
            (code, number[out], *(number[operands[min(k, len(operands) - 1)]] for k in range(OPERANDS)))
            for code, out, operands in self.steps
        ]
        between = 1 + max((index for kind, index in places if kind == BETWEEN), default=-1)
        lie = [(kind, index + (moved if kind in (WHOLE, ROW, COLUMN, NUMBER) else 0)) for kind, index in places]
        return (len(places), len(steps), between, *(n for table in (lie, steps) for row in table for n in row))

    # ---- fewer steps

    def _drop_unread(self) -> None:
        wanted: set[Place] = set()
        kept = []
        for code, out, operands in reversed(self.steps):
            if out[0] == MADE or out in wanted:
                kept.append((code, out, operands))
                wanted.update(operands)
        self.steps = kept[::-1]

    def _join(self, n: int) -> None:
        """Make several steps one, where what lies in between is for nobody else: native/operations.py has those."""
        code, _, operands = self.steps[n]
        if code not in (ADD, SUBTRACT) or self._adapts(n):
            return
        for k in (0, 1) if code == ADD else (1,):
            if self._maker(operands[k], n, MULTIPLY) is not None:
                joined = MULTIPLY_ADD if code == ADD else MULTIPLY_SUBTRACT
                self._become(n, joined, *self._taken(operands[k]), operands[1 - k])
                return self._averages(n)

    def _averages(self, n: int) -> None:
        """a b + c d or a b + c d d, with numbers a and c."""
        code, _, (a, b, rest) = self.steps[n]
        made = self._maker(rest, n, MULTIPLY) if code == MULTIPLY_ADD else None
        first = _number_first(a, b)
        second = _number_first(*self.steps[made][2]) if made is not None else None
        if made is None or first is None or second is None:
            return
        squared = self._maker(second[1], made, SQUARE)
        self._taken(rest)
        if squared is not None:
            self._become(n, AVERAGE_SQUARES, *first, second[0], *self._taken(second[1]))
        else:
            self._become(n, AVERAGE, *first, *second)

    def _adapts(self, n: int) -> bool:
        """e - a b / (sqrt(c d) + f), with numbers a, c and f, of which a and c may be missing."""
        code, _, (e, quotient) = self.steps[n]
        divided = self._maker(quotient, n, DIVIDE) if code == SUBTRACT else None
        if divided is None:
            return False
        above, below = self.steps[divided][2]
        added = self._maker(below, divided, ADD)
        sides = _number_first(*self.steps[added][2]) if added is not None else None
        root = self._maker(sides[1], added, SQRT) if sides is not None and added is not None else None
        if sides is None or root is None:
            return False
        (square,) = self.steps[root][2]
        scaled = [self._scaled(above, divided), self._scaled(square, root)]
        if any(place[0] in SAME for place in (e, *(one for _, one in scaled))):
            return False
        for place, reader in ((above, divided), (square, root)):
            if self._scales(place, reader):
                self._taken(place)
        for place in (quotient, below, sides[1]):
            self._taken(place)
        self._become(n, ADAPTED, *scaled[0], *scaled[1], e, sides[0])
        return True

    def _scaled(self, place: Place, reader: int) -> tuple[Place, Place]:
        """A number and what it is multiplied by, to give what lies at a place."""
        return self._scales(place, reader) or (constant(1.0), place)

    def _scales(self, place: Place, reader: int) -> tuple[Place, Place] | None:
        """A number and a factor, where the product is for the reader alone."""
        made = self._maker(place, reader, MULTIPLY)
        return _number_first(*self.steps[made][2]) if made is not None else None

    def _maker(self, place: Place, reader: int, code: int) -> int | None:
        """The step of this operation that makes what lies at a place, where the reader alone reads it, and once."""
        if place[0] != BETWEEN or sum(operands.count(place) for _, _, operands in self.steps) != 1:
            return None
        made = self._step_of(place)
        return made if self.steps[made][0] == code and place in self.steps[reader][2] else None

    def _step_of(self, place: Place) -> int:
        return next(n for n, (code, out, _) in enumerate(self.steps) if out == place and code != GONE)

    def _taken(self, place: Place) -> tuple[Place, ...]:
        """The operands of the step that makes a place, which is a step no more."""
        made = self._step_of(place)
        operands = self.steps[made][2]
        self.steps[made] = GONE, place, ()
        return operands

    def _become(self, n: int, code: int, *operands: Place) -> None:
        self.steps[n] = code, self.steps[n][1], operands

    def _drop_gone(self) -> None:
        self.steps = [step for step in self.steps if step[0] != GONE]

    # ---- where things lie

    def _rename(self, old: Place, new: Place) -> None:
        def name(place: Place) -> Place:
            return new if place == old else place

        self.steps = [(code, name(out), tuple(map(name, operands))) for code, out, operands in self.steps]

    def _make_in_place(self) -> None:
        """What is only copied to a result is made there."""
        for n in range(len(self.steps)):
            code, out, operands = self.steps[n]
            if code == COPY and out[0] == MADE and operands[0][0] == BETWEEN:
                self.steps[n] = GONE, out, ()
                self._rename(operands[0], out)
        self._drop_gone()

    def _share_blocks(self) -> None:
        """Give a block on once it is read no more: few of them stay in the first cache."""
        last = {place: n for n, (_, out, operands) in enumerate(self.steps) for place in (out, *operands)}
        shared: dict[Place, Place] = {}
        free: list[int] = []
        used = 0
        for n, (code, out, operands) in enumerate(self.steps):
            read = tuple(shared.get(place, place) for place in operands)
            free += {shared[place][1] for place in operands if place in shared and last[place] == n}
            if out[0] == BETWEEN:
                if not free:
                    free, used = [used], used + 1
                shared[out] = BETWEEN, free.pop()
            self.steps[n] = code, shared.get(out, out), read


def _number_first(a: Place, b: Place) -> tuple[Place, Place] | None:
    """Both, that which is the same everywhere first; None where neither is or both are."""
    same = [place[0] in SAME for place in (a, b)]
    return (a, b) if same == [True, False] else (b, a) if same == [False, True] else None
