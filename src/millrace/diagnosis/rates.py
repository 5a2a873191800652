"""Whether steps are too large, too small, or lead out of all bounds."""

from __future__ import annotations

import math
from itertools import pairwise

from millrace.diagnosis.finding import Finding
from millrace.diagnosis.gradients import vanishing
from millrace.diagnosis.record import Record
from millrace.diagnosis.steps import EPOCHS, largest, poor, too_large, update_ratio

OUT_OF_BOUNDS = 2.0  # times its least, the training loss has run away
SMALL = 1e-4  # an update beside its weight, the median over a network's weights: usual is 1e-3


def diverging(record: Record) -> Finding | None:
    """A number became infinite or none, or the training loss rises far above where it was."""
    loss = record.curves.get("loss", ())
    if record.broke or (loss and not math.isfinite(loss[-1])):
        return Finding("divergence_nan", {"epoch": len(loss) + (1 if record.broke else 0)})
    if len(loss) < 2 or loss[-1] <= OUT_OF_BOUNDS * min(loss) or loss[-1] <= loss[0]:
        return None
    return Finding("divergence", {"loss": loss[-1], "lowest": min(loss), "epoch": loss.index(min(loss)) + 1})


def too_high(record: Record) -> Finding | None:
    """Large steps at the beginning, and a loss that is still poor, or goes up and down."""
    loss = record.curves.get("loss", ())
    if len(loss) < EPOCHS or not too_large(record):
        return None
    return Finding("too_high", {"ratio": largest(record), "loss": loss[-1], "first": loss[0], "epochs": len(loss)})


def too_low(record: Record) -> Finding | None:
    """Small steps from the beginning, and a loss that falls in every epoch and is far from where it could be."""
    loss = record.curves.get("loss", ())
    if len(loss) < EPOCHS or not record.vitals or not poor(record) or any(b >= a for a, b in pairwise(loss)):
        return None
    ratios = [ratio for one in record.vitals if (ratio := update_ratio(one)) is not None]
    if not ratios or max(ratios) > SMALL or vanishing(record) is not None:
        return None
    return Finding("too_low", {"ratio": ratios[-1], "loss": loss[-1], "fall": 1 - loss[-1] / loss[-2]})
