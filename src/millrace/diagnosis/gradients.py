"""Gradients that shrink or grow on their way back through the layers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from millrace.diagnosis.finding import Finding
from millrace.diagnosis.record import Record, Sizes
from millrace.diagnosis.steps import too_large

VANISHING = 1e-3  # of the last weight's gradient: the first layers then learn a thousand times as slowly
EXPLODING = 100.0  # times the weights themselves: usual is less than 1
EPOCHS = 2  # in a row
TABLE = "/embeddings"  # the rows of a table whose words were not read have the gradient 0, which says nothing


def vanishing(record: Record) -> Finding | None:
    """The first layers get next to nothing of the gradient that the last one gets.

    Not where steps are too large: those throw units to where no gradient comes from, and another rate mends it.
    """
    ratios = [ratio(one.weights) for one in record.vitals[-EPOCHS:]]
    if len(ratios) < EPOCHS or not all(one is not None and one < VANISHING for one in ratios):
        return None
    if too_large(record):
        return None
    first, last = ends(record.vitals[-1].weights)
    weights = record.vitals[-1].weights
    numbers: dict[str, float | str] = {
        "layer": first.rsplit("/", 1)[0], "last": last.rsplit("/", 1)[0],
        "ratio": ratios[-1] or 0.0, "inverse": 1 / (ratios[-1] or math.nan), "gradient": weights[first].gradient,
        "last_gradient": weights[last].gradient,
    }  # fmt: skip
    return Finding("vanishing", numbers, [name.rsplit("/", 1)[0] for name in (first, last)])


def ends(weights: Mapping[str, Sizes]) -> tuple[str, str]:
    """The first and the last weight that gradients are compared of."""
    names = [name for name in weights if TABLE not in name]
    return names[0], names[-1]


def ratio(weights: Mapping[str, Sizes]) -> float | None:
    """The first weight's gradient by the last one's; None where there are not two, or nothing flows at all."""
    if sum(TABLE not in name for name in weights) < 2:
        return None
    first, last = (weights[name].gradient for name in ends(weights))
    return first / last if last > 0 and math.isfinite(first) and math.isfinite(last) else None


def exploding(record: Record) -> Finding | None:
    """A gradient is many times as large as the weights that it is to change."""
    sizes = [{name: times(one) for name, one in vitals.weights.items()} for vitals in record.vitals[-EPOCHS:]]
    if len(sizes) < EPOCHS or not all(one and max(one.values()) > EXPLODING for one in sizes):
        return None
    worst = max(sizes[-1], key=sizes[-1].__getitem__)
    weight = record.vitals[-1].weights[worst]
    layer = worst.rsplit("/", 1)[0]
    numbers: dict[str, float | str] = {
        "layer": layer, "times": sizes[-1][worst], "gradient": weight.gradient, "weight": weight.weight
    }  # fmt: skip
    return Finding("exploding", numbers, [layer])


def times(sizes: Sizes) -> float:
    """A gradient by its weight; 0 where one of them is no number."""
    whole = math.isfinite(sizes.gradient) and sizes.weight > 0
    return sizes.gradient / sizes.weight if whole else 0.0
