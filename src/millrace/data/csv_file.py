"""A CSV file as a source of records: a line's numbers, and what is to be learned from them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data.csv_lines import COMMA, Layout, is_missing, read_layout
from millrace.data.memory import ArraySource
from millrace.ir.errors import ArgumentError, DataError
from millrace.ir.types import FLOATS, dtype_name


class CSVSource(ArraySource):
    """The lines of a CSV file: numbers [columns], and the target's number or class.

    target: the column to learn, by name or number, or None. Where all of it is numbers, it is one (dtype[]), or the
    number of a class with categorical=True; otherwise a class (int32[]), and `classes` holds what stands in the file,
    sorted. columns: the others, by name or number; None for all that hold numbers: `left_out` names those that hold
    none. separator: one character. header: whether the first line names the columns. decimal: "." or ",". Each of
    these three is recognized where it is None. missing: "error", or the number that stands for what is missing (an
    empty field, NA, N/A, NaN, null, ?). dtype: what numbers become.

    A line with too many or too few fields, with quotation marks out of order, or (where `missing` is a number)
    without a target is a broken record, called by its line. The file is read once: 8 bytes a number while it is
    read, then those of dtype are kept.

    Raises FileError for a file that is no text or has an open quotation mark, DataError, with line and column, for
    a missing number, for text among numbers, and for numbers that are infinite or too large.
    Source: RFC 4180.
    """

    def __init__(
        self, path: str | Path, target: str | int | None = None, columns: Sequence[str | int] | None = None,
        separator: str | None = None, missing: str | float = "error", dtype: str = "float32", *,
        categorical: bool = False, header: bool | None = None, decimal: str | None = None,
    ):  # fmt: skip
        fill = _checked_missing(missing)
        if dtype_name(dtype) not in FLOATS:
            raise ArgumentError(f"dtype must be one of {', '.join(FLOATS)}, got {dtype!r}.")
        if decimal not in (None, ".", ","):
            raise ArgumentError(f"decimal must be '.', ',' or None, got {decimal!r}.")
        layout = read_layout(Path(path), separator, header)
        goal = None if target is None else layout.column(target)
        wanted = _wanted(layout, columns, goal)
        table = _Table(layout, wanted, goal, decimal)
        used = table.usable(every=columns is not None)
        x = table.numbers(used, fill, dtype)
        y, classes = (None, ()) if goal is None else table.targets(fill is not None, categorical, dtype)
        self.path, self.lines, self.separator = Path(path), table.lines, layout.separator
        self.columns = tuple(layout.name(wanted[n]) for n in used)
        self.left_out = tuple(layout.name(column) for n, column in enumerate(wanted) if n not in set(used))
        self.target = None if goal is None else layout.name(goal)
        super().__init__(x, y, self.path.name, classes, table.broken)

    def record(self, number: int) -> str:
        """The line of the file that a record begins on."""
        return f"line {self.lines[number]}"


class _Table:
    """What stands in the lines: numbers [lines, columns], NaN where there is none, and the targets as text."""

    def __init__(self, layout: Layout, wanted: list[int], goal: int | None, decimal: str | None):
        self.layout, self.wanted, self.goal = layout, wanted, goal
        self.decimals = _Decimals(decimal, layout)
        self.lines, self.broken = array("q"), dict[int, str]()
        self.texts = [0] * len(wanted)  # how many fields of a column are text
        self.first_text: dict[int, tuple[int, str]] = {}  # by column, the first such line and field
        self.goals: list[str] = []
        numbers = array("d")
        for number, (line, fields) in enumerate(layout.lines()):
            self.lines.append(line)
            if isinstance(fields, str):
                self.broken[number] = fields
            numbers.extend([0.0] * len(wanted) if isinstance(fields, str) else self._row(line, fields))
            if goal is not None:
                self.goals.append("" if isinstance(fields, str) else fields[goal].strip())
        if len(self.broken) == len(self.lines):
            some = next(iter(self.broken.items()), None)
            why = f": every line is broken, such as line {self.lines[some[0]]}: {some[1]}" if some else ""
            raise DataError(f"{layout.path} holds no records{why}.")
        self.values = np.frombuffer(numbers, np.float64).reshape(len(self.lines), len(wanted))
        self.decimals.check()

    def _row(self, line: int, fields: list[str]) -> list[float]:
        picked = [fields[n] for n in self.wanted]
        if self.decimals.plain:
            try:
                row = list(map(float, picked))
                if "_" not in "".join(picked):  # which Python takes for a part of a number
                    return row
            except ValueError:
                pass
        return [self._number(line, n, field) for n, field in enumerate(picked)]

    def _number(self, line: int, n: int, field: str) -> float:
        number = self.decimals.number(line, field)
        if math.isnan(number) and not is_missing(field):
            self.texts[n] += 1
            self.first_text.setdefault(n, (line, field))
        return number

    def usable(self, every: bool) -> list[int]:
        """The columns that hold numbers.  Raises DataError for one that holds text too, or, of `every`, at all."""
        good = np.ones(len(self.lines), bool)
        good[list(self.broken)] = False
        counts = (~np.isnan(self.values) & good[:, None]).sum(axis=0)
        for n, (line, field) in sorted(self.first_text.items()):
            if counts[n] or every:
                others = f"; {counts[n]:,} other fields of the column are numbers" if counts[n] else ""
                raise DataError(
                    f"{self._place(line, n)}: {field!r} is no number{others}. Mend it, or say which columns to use: "
                    "columns=[...]."
                )
        used = [n for n in range(len(self.wanted)) if counts[n] or every]
        if not used:
            raise DataError(
                f"no column of {self.layout.path} holds numbers, read with the separator {self.layout.separator!r} "
                f"and {'a' if self.layout.header else 'no'} header. Say separator= or header= where that is wrong."
            )
        return used

    def numbers(self, used: list[int], fill: float | None, dtype: str) -> np.ndarray:
        """Numbers [lines, columns], what is missing filled in."""
        values = self.values[:, used]
        self._refuse(np.isinf(values), used, "is infinite")
        lacking = np.isnan(values)
        if fill is None:
            self._refuse(lacking, used, "holds no number", " Say what stands for it, such as missing=0, or mend it.")
        else:
            values[lacking] = fill
        with np.errstate(over="ignore"):
            made = values.astype(dtype)
        self._refuse(np.isinf(made), used, f"is too large for {dtype}")
        return made

    def targets(self, may_lack: bool, categorical: bool, dtype: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """The target of each line [lines]: a number, or that of a class, and the classes' names."""
        assert self.goal is not None
        place = f"the target {self.layout.name(self.goal)!r}"
        for number, text in enumerate(self.goals):
            if number not in self.broken and is_missing(text):
                if not may_lack:
                    raise DataError(
                        f"{self.layout.path}, line {self.lines[number]}: {place} is missing. Remove that line; with "
                        "missing= a number, such lines are told of as broken."
                    )
                self.broken[number] = f"{place} is missing"
        kept = [n for n in range(len(self.goals)) if n not in self.broken]
        if not kept:
            raise DataError(f"{self.layout.path}: {place} is missing in every line.")
        first = {self.goals[n]: self.lines[n] for n in reversed(kept)}
        numbers = {text: self.decimals.number(line, text) for text, line in first.items()}
        named = any(map(math.isnan, numbers.values()))
        if not named and not categorical:
            self.decimals.check()
            y = np.zeros(len(self.goals), np.float64)
            y[kept] = [numbers[self.goals[n]] for n in kept]
            with np.errstate(over="ignore"):
                made = y.astype(dtype)
            if np.isinf(made).any():
                line = self.lines[int(np.argmax(np.isinf(made)))]
                raise DataError(f"{self.layout.path}, line {line}: {place} is infinite or too large for {dtype}.")
            return made, ()
        classes = sorted(numbers) if named else sorted(numbers, key=lambda text: (numbers[text], text))
        known = {text: n for n, text in enumerate(classes)}
        return np.array([known.get(text, 0) for text in self.goals], np.int32), tuple(classes)

    def _refuse(self, bad: np.ndarray, used: list[int], why: str, mend: str = "") -> None:
        if bad.any():
            row, n = np.argwhere(bad)[0]
            more = f" ({int(bad.sum()):,} fields are like this)" if bad.sum() > 1 else ""
            raise DataError(f"{self._place(self.lines[row], used[n])} {why}{more}.{mend}")

    def _place(self, line: int, n: int) -> str:
        return f"{self.layout.path}, line {line}, column {self.layout.name(self.wanted[n])!r}"


class _Decimals:
    """Fields as numbers, with the decimal mark that is asked for, or the one that the file turns out to use."""

    def __init__(self, decimal: str | None, layout: Layout):
        self.layout, self.decimal = layout, decimal
        self.may_have_commas = decimal == "," or (decimal is None and layout.separator != ",")
        self.seen: dict[str, tuple[int, str]] = {}  # by mark, the first line and field that has it
        self.plain = not self.may_have_commas  # whether every number is as Python writes it

    def number(self, line: int, field: str) -> float:
        """A number, or NaN for what is none."""
        if self.decimal != ",":
            try:
                number = float(field)
            except ValueError:
                pass
            else:
                if "." in field and "." not in self.seen:
                    self.seen["."] = (line, field)
                return math.nan if "_" in field else number
        text = field.strip()
        if self.may_have_commas and COMMA.fullmatch(text):
            if "," in text:
                self.seen.setdefault(",", (line, text))
            return float(text.replace(",", "."))
        return math.nan

    def check(self) -> None:
        """Raises DataError where both marks stand in the file: 1,234 may be a thousand there."""
        if len(self.seen) > 1:
            (line, text), (other, point) = self.seen[","], self.seen["."]
            raise DataError(
                f"{self.layout.path} writes {text} in line {line} and {point} in line {other}: say with decimal=',' "
                "or decimal='.' which one is the decimal mark."
            )


def _checked_missing(missing: Any) -> float | None:
    if missing == "error":
        return None
    if isinstance(missing, bool) or not isinstance(missing, (int, float)) or not math.isfinite(missing):
        raise ArgumentError(f"missing must be 'error' or the number that stands for what is missing, got {missing!r}.")
    return float(missing)


def _wanted(layout: Layout, columns: Sequence[str | int] | None, goal: int | None) -> list[int]:
    if columns is None:
        return [n for n in range(layout.fields) if n != goal]
    if isinstance(columns, (str, int)) or not len(columns):
        raise ArgumentError(f"columns must be a list of names or numbers, or None for all, got {columns!r}.")
    wanted = [layout.column(asked) for asked in columns]
    if goal in wanted or len(set(wanted)) < len(wanted):
        raise ArgumentError(f"columns must name each column once, and not the target, got {list(columns)!r}.")
    return wanted
