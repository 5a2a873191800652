"""All rules, and what they say of a run."""

from __future__ import annotations

from millrace.diagnosis.answers import constant, imbalance, one_answer
from millrace.diagnosis.finding import Finding, Rule
from millrace.diagnosis.fitting import overfitting, underfitting
from millrace.diagnosis.gradients import exploding, vanishing
from millrace.diagnosis.inputs import near, shared, unscaled
from millrace.diagnosis.rates import diverging, too_high, too_low
from millrace.diagnosis.record import Record
from millrace.diagnosis.units import dead, saturated

# In the order in which they are told: what is wrong with the data first, then what keeps a network from learning.
RULES: tuple[Rule, ...] = (
    shared, near, constant, imbalance, unscaled,
    diverging, too_high, too_low, saturated, dead, vanishing, exploding, one_answer,
    underfitting, overfitting,
)  # fmt: skip

NAMES = (
    "shared", "near", "constant", "imbalance", "unscaled",
    "divergence", "divergence_nan", "too_high", "too_low", "saturation", "dead", "vanishing", "exploding", "one_answer",
    "underfitting", "overfitting",
)  # fmt: skip


def judge(record: Record) -> list[Finding]:
    """What is wrong with a run, as far as it has come."""
    return [found for rule in RULES if (found := rule(record)) is not None]


def first_told(record: Record) -> dict[str, tuple[int, Finding]]:
    """Each finding that a run led to, by its rule: after which epoch it was clear first, and as it was then."""
    told: dict[str, tuple[int, Finding]] = {}
    for epoch, so_far in [*((n, record.until(n)) for n in range(record.epochs + 1)), (record.epochs, record)]:
        for found in judge(so_far):
            told.setdefault(found.rule, (epoch, found))
    return told
