"""How large a step is beside the weights that it changes, and whether that is more than the loss bears."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median

from millrace.diagnosis.record import Record, Vitals

LARGE = 3e-2  # an update beside its weight, the median over a network's weights: usual is 1e-3
EPOCHS = 3  # that are looked at
POOR = 0.5  # of the loss of guessing: with less, the rate fits well enough


def too_large(record: Record) -> bool:
    """Whether steps were large in one of the first epochs, and the loss is still poor, or goes up and down."""
    loss = record.curves.get("loss", ())
    risen = any(b > a for a, b in pairwise(loss[-EPOCHS:]))
    return largest(record) > LARGE and (poor(record) if record.guessing else risen)


def largest(record: Record) -> float:
    """The largest step of the first epochs; 0 where none was measured."""
    return max((update_ratio(one) or 0.0 for one in record.vitals[:EPOCHS]), default=0.0)


def poor(record: Record) -> bool:
    """Whether the loss is still above half of that of guessing; also where nobody knows what guessing gives."""
    chance = record.guessing
    return chance is None or record.curves["loss"][-1] > POOR * chance


def update_ratio(vitals: Vitals) -> float | None:
    """How large a step is beside its weight, the median over the weights; None where none was measured."""
    found = [one.ratio for one in vitals.weights.values() if math.isfinite(one.ratio)]
    return median(found) if found else None
