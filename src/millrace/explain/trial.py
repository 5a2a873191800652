"""A gradient tried out: at sample numbers, beside what finite differences say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from millrace.ir.core import Value
from millrace.ir.graph import Graph

SIZES = (3, 2, 4, 5)  # what named dimensions are, one after another
SPANS = ((-1.5, 1.5), (0.3, 1.7), (-0.9, 0.9))  # where sample numbers are drawn, until the formula is finite there
ROUNDS = 4  # how often they are drawn from all spans while every gradient is 0, which would check nothing
STEP = 1e-6  # how far a number is moved to either side
SHOWN = 6  # numbers of one name that are tried


@dataclass(frozen=True)
class Row:
    """One number of one name: what the gradient says of it, and what differences say."""

    name: str
    gradient: float
    difference: float


@dataclass(frozen=True)
class Trial:
    """Sample numbers, the loss there, and its gradient beside differences."""

    numbers: Mapping[str, np.ndarray]
    loss: float
    rows: Sequence[Row]

    @property
    def error(self) -> float:
        """The largest distance between the two, against the size of the larger, or of 1."""
        return max((abs(r.gradient - r.difference) / max(1.0, abs(r.gradient)) for r in self.rows), default=0.0)


def try_out(names: Mapping[str, Value], loss: Value, wrt: Sequence[str], gradients: Sequence[Value]) -> Trial | None:
    """The gradients at sample numbers, and (f(x + h) - f(x - h)) / 2h there; None where no number is finite.

    The first numbers where a gradient is not 0, or else the first.
    """
    inputs = list(names.values())
    graph = Graph(inputs, [loss, *gradients])
    sizes = {name: SIZES[n % len(SIZES)] for n, name in enumerate(sorted(graph.free_names))}
    graph = graph.bind(sizes)
    only = Graph(inputs, [loss]).bind(sizes)
    rng = np.random.default_rng(0)
    first: tuple[dict[str, np.ndarray], float, list[np.ndarray]] | None = None
    for low, high in SPANS * ROUNDS:
        arrays = [np.asarray(np.round(rng.uniform(low, high, x.shape), 2)) for x in graph.inputs]
        value, *found = graph.evaluate(arrays)
        if np.isfinite(value) and all(np.isfinite(g).all() for g in found):
            here = (dict(zip(names, arrays, strict=True)), float(value), found)
            first = first or here
            if any(np.any(g) for g in found):
                first = here
                break
    if first is None:
        return None
    numbers, at, slopes = first
    pairs = zip(wrt, slopes, strict=True)
    return Trial(numbers, at, [row for name, g in pairs for row in _rows(only, numbers, name, np.asarray(g))])


def _rows(graph: Graph, numbers: Mapping[str, np.ndarray], name: str, gradient: np.ndarray) -> list[Row]:
    rows = []
    for index in list(np.ndindex(gradient.shape))[:SHOWN]:
        sides = []
        for step in (STEP, -STEP):
            moved = {key: array.copy() for key, array in numbers.items()}
            moved[name][index] += step
            sides.append(float(graph.evaluate(list(moved.values()))[0]))
        place = f"[{', '.join(map(str, index))}]" if index else ""
        rows.append(Row(f"{name}{place}", float(gradient[index]), (sides[0] - sides[1]) / (2 * STEP)))
    return rows
