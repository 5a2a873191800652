"""Data that mislead: the same examples on both sides, and numbers far from 1."""

from __future__ import annotations

from millrace.diagnosis.finding import Finding
from millrace.diagnosis.record import Record

SHARED = 0.01  # of the held-out examples: above this, the validation numbers say too much
NEAR = 0.03  # of the pictures that were compared: even different ones look alike now and then
LARGE = 10.0  # the root mean square of a dense layer's input: first weights are made for numbers near 1


def shared(record: Record) -> Finding | None:
    """Held-out examples that are among those to learn from."""
    facts = record.facts
    if facts is None or not facts.held:
        return None
    share = min(facts.same / facts.held * facts.examples / max(facts.read, 1), 1.0)  # where not all were read
    if share <= SHARED:
        return None
    return Finding("shared", {"share": share, "same": facts.same, "held": facts.held, "read": facts.read})


def near(record: Record) -> Finding | None:
    """Held-out pictures that are almost one to learn from."""
    facts = record.facts
    if facts is None or not facts.compared:
        return None
    share = min(facts.near / facts.compared * facts.examples / max(facts.read, 1), 1.0)
    if share <= NEAR:
        return None
    return Finding("near", {"share": share, "near": facts.near, "compared": facts.compared})


def unscaled(record: Record) -> Finding | None:
    """Numbers that a dense layer is not made for."""
    facts = record.facts
    if facts is None or facts.size <= LARGE:
        return None
    return Finding("unscaled", {"layer": facts.layer or "input", "size": facts.size}, [facts.layer])
