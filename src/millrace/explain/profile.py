"""Where the time of a training step goes: each layer's passes beside what the machine could do at best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from millrace.explain.passes import PASSES, Place, Work, in_order, owners, places, work
from millrace.explain.plan import of_place
from millrace.ir.core import Node
from millrace.ir.graph import Graph
from millrace.training.model import Model

SHOWN = 0.0005  # of the step: rows with less time than this share are put together
NEAR = 0.7  # of the machine's best: beyond it there is little to gain


class Measured(Protocol):
    """What was measured of a step, in seconds; `engines.tracing.Timing` is one."""

    @property
    def graph(self) -> Graph: ...
    @property
    def notes(self) -> list[tuple[Node, str, str]]: ...
    @property
    def nodes(self) -> dict[int, float]: ...
    @property
    def elsewhere(self) -> float: ...
    @property
    def idle(self) -> float: ...
    @property
    def watched(self) -> float: ...
    @property
    def alone(self) -> float: ...


class Best(Protocol):
    """What the machine does at best; `engines.peak.Peak` is one."""

    @property
    def flops(self) -> float: ...
    @property
    def bandwidth(self) -> float: ...
    def seconds(self, flop: float, size: float) -> float: ...


@dataclass(frozen=True)
class Line:
    """One pass of one layer: its time, its work, and the time that the work takes at the machine's best."""

    place: Place
    seconds: float
    work: Work
    least: float

    @property
    def gap(self) -> float:
        """The seconds that could be gained."""
        return self.seconds - self.least

    @property
    def share(self) -> float:
        """How near it comes to the machine's best: 1 is the best that was measured."""
        return self.least / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Profile:
    """A step's lines in the order of the layers, and what is in none of them."""

    lines: list[Line]
    measured: Measured
    best: Best
    found: dict[Node, Place]

    @property
    def largest_gap(self) -> Line:
        return max(self.lines, key=lambda line: line.gap)

    def spent(self, kind: str) -> float:
        """The seconds of one pass, over all layers."""
        return sum(line.seconds for line in self.lines if line.place.kind == kind)


def profile(measured: Measured, best: Best, model: Model) -> Profile:
    """A measured step as lines, each layer's passes apart."""
    graph = measured.graph
    found = places(graph, owners(model))
    seconds: dict[Place, float] = {}
    for number, spent in measured.nodes.items():
        place = found[graph.nodes[number]]  # every node that becomes an operation has one
        seconds[place] = seconds.get(place, 0.0) + spent
    done = work(graph, found)
    lines = [
        Line(place, seconds.get(place, 0.0), done[place], best.seconds(done[place].flop, done[place].size))
        for place in in_order(found, model)
    ]
    return Profile(lines, measured, best, found)


def kinds_of(nodes: Iterable[tuple[Node, float]]) -> list[tuple[str, float]]:
    """The seconds of each kind of operation, the longest first."""
    spent: dict[str, float] = {}
    for node, seconds in nodes:
        spent[node.op.name] = spent.get(node.op.name, 0.0) + seconds
    return sorted(spent.items(), key=lambda one: -one[1])


def gap_in_words(made: Profile) -> str:
    """Where most time could be gained, and what is behind it."""
    line, whole, idle = made.largest_gap, made.measured.watched, made.measured.idle
    if idle > line.gap:
        return (
            f"Largest gap: for {milliseconds(idle)} ms, {idle / whole:.0%} of the step, nothing ran. Starting a step "
            "and its operations costs that much however small they are: a larger batch shares it among more examples."
        )
    graph = made.measured.graph
    inside = [(graph.nodes[n], s) for n, s in made.measured.nodes.items() if made.found[graph.nodes[n]] == line.place]
    kinds = kinds_of(inside)
    name = f"{line.place.layer} {line.place.kind}"
    if not kinds:
        return "No pass of a layer takes more time than its work needs."
    text = (
        f"Largest gap: {name}. It takes {milliseconds(line.seconds)} ms; the machine's best would be "
        f"{milliseconds(line.least)} ms, {limit_in_words(line, made.best)}. That is "
        f"{max(line.gap, 0) / whole:.0%} of the step to gain. "
    )
    behind = ", ".join(f"{kind} {milliseconds(seconds)} ms" for kind, seconds in kinds[:3])
    slowest, seconds = max(inside, key=lambda one: one[1])
    operands = " and ".join(str(value.type) for value in slowest.inputs[:2]) or "nothing"
    operands += f" and {len(slowest.inputs) - 2} more" if len(slowest.inputs) > 2 else ""
    text += f"Behind it: {behind}; the longest is one {slowest.op.name} of {operands}, {milliseconds(seconds)} ms."
    notes = of_place(made.measured.notes, made.found).get(line.place, [])
    if notes:
        text += " Chosen there: " + "; ".join(f"{choice} ({why})" for choice, why in notes) + "."
    if line.share >= NEAR:
        text += " That is near the best already."
    return text


def limit_in_words(line: Line, best: Best) -> str:
    """Whether arithmetic or memory sets the least time of a line."""
    arithmetic, memory = line.work.flop / best.flops, line.work.size / best.bandwidth
    if arithmetic >= memory:
        name, one = unit(line.work.flop)
        return f"for {quantity(line.work.flop / one)} {name} of arithmetic"
    return f"to move {quantity(line.work.size / 1e6)} MB"


def milliseconds(seconds: float) -> str:
    return quantity(seconds * 1e3) if seconds else "0"


def quantity(value: float) -> str:
    """A number in a column, with three digits that say something; a bar where there is nothing."""
    if not value:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def rate(amount: float, seconds: float) -> str:
    return quantity(amount / seconds) if seconds > 1e-9 else "-"


def headers(made: Profile) -> tuple[str, ...]:
    return ("layer", "pass", "ms", "%", unit(total(made).flop)[0], "MB", "GFLOP/s", "GB/s", "of best")


def unit(flop: int) -> tuple[str, float]:
    """What so much arithmetic is counted in: small networks would all be 0.00 GFLOP."""
    return ("GFLOP", 1e9) if flop >= 1e10 else ("MFLOP", 1e6)


def cells(made: Profile) -> list[tuple[str, ...]]:
    """The rows of the table as text; a layer is named in its first row alone."""
    whole, all_work, one = made.measured.watched, total(made), unit(total(made).flop)[1]
    shown = [line for line in made.lines if line.seconds >= SHOWN * whole or line.work.flop >= SHOWN * all_work.flop]
    rows: list[tuple[str, ...]] = []
    before = ""
    for line in shown:
        name = line.place.layer if line.place.layer != before else ""
        before = line.place.layer
        rows.append((name, line.place.kind, *numbers(line.seconds, whole, line.work, one, line.least)))
    small = sum(line.seconds for line in made.lines if line not in shown)
    for name, seconds in (
        ("smaller rows", small), ("in no layer", made.measured.elsewhere), ("nothing ran", made.measured.idle),
    ):  # fmt: skip
        rows.append((name, "", milliseconds(seconds), f"{seconds / whole:.1%}", *[""] * 5))
    least = made.best.seconds(all_work.flop, all_work.size)
    rows.append(("whole step", "", *numbers(whole, whole, all_work, one, least)))
    return rows


def numbers(seconds: float, whole: float, done: Work, one: float, least: float) -> tuple[str, ...]:
    """The columns from the time on."""
    return (
        milliseconds(seconds), f"{seconds / whole:.1%}", quantity(done.flop / one), quantity(done.size / 1e6),
        rate(done.flop / 1e9, seconds), rate(done.size / 1e9, seconds), f"{least / seconds:.0%}" if seconds else "-",
    )  # fmt: skip


def total(made: Profile) -> Work:
    return Work(sum(line.work.flop for line in made.lines), sum(line.work.size for line in made.lines))


def show(made: Profile, console: Any) -> None:
    """Print the table, the sums of the passes, and the largest gap."""
    from rich.table import Table

    table = Table(pad_edge=False, box=None)
    for n, header in enumerate(headers(made)):
        side: Any = "left" if n < 2 else "right"
        table.add_column(header, justify=side, no_wrap=True, overflow="ellipsis", max_width=16 if not n else None)
    for row in cells(made):
        table.add_row(*row)
    console.print(table)
    measured, best = made.measured, made.best
    sums = [made.spent(kind) for kind in PASSES]
    parts = ", ".join(
        f"{kind} {milliseconds(spent)} ms ({spent / measured.watched:.0%})"
        for kind, spent in zip(PASSES, sums, strict=True)
    )
    console.print(f"\n{parts[:1].upper()}{parts[1:]}.")
    rows = milliseconds(sum(sums) + measured.elsewhere + measured.idle)
    console.print(
        f"All rows: {rows} ms. A step took {milliseconds(measured.watched)} ms while it was watched, "
        f"{milliseconds(measured.alone)} ms by itself (median)."
    )
    console.print(
        f"Best of this machine, measured now: {best.flops / 1e9:.0f} GFLOP/s in a matrix product, "
        f"{best.bandwidth / 1e9:.1f} GB/s of memory traffic."
    )
    console.print(f"\n{gap_in_words(made)}")
