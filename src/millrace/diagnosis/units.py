"""Units that pass no gradient on: saturated ones, and dead ones."""

from __future__ import annotations

from collections.abc import Callable

from millrace.diagnosis.finding import Finding
from millrace.diagnosis.record import Activity, Record

SATURATED = 0.5  # of a layer's outputs: then half of all examples teach a unit nothing
DEAD = 0.5  # of a layer's units: networks that learn well had up to 0.3 (docs/diagnosis.md)
EPOCHS = 2  # in a row, so that a bad start is not told of


def saturated(record: Record) -> Finding | None:
    """Tanh or sigmoid units on the flat ends of their curve."""
    return lasting(record, "saturation", lambda one: one.flat if one.kind != "relu" else 0.0, SATURATED)


def dead(record: Record) -> Finding | None:
    """Rectified units that gave 0 for every example of an epoch."""
    return lasting(record, "dead", lambda one: one.stuck if one.kind == "relu" else 0.0, DEAD)


def lasting(record: Record, rule: str, share: Callable[[Activity], float], limit: float) -> Finding | None:
    """The layer with the greatest share, of those where it is above the limit now and was in the epoch before."""
    recent = record.vitals[-EPOCHS:]
    over = [{name for name, one in vitals.activations.items() if share(one) > limit} for vitals in recent]
    if len(over) < EPOCHS or not (found := set.intersection(*over)):
        return None
    now = record.vitals[-1].activations
    worst = max(found, key=lambda name: share(now[name]))
    since = record.vitals[-1].epoch
    for vitals in reversed(record.vitals):
        if worst not in vitals.activations or share(vitals.activations[worst]) <= limit:
            break
        since = vitals.epoch
    numbers: dict[str, float | str] = {
        "layer": worst, "share": share(now[worst]), "since": since,
        "units": now[worst].units, "kind": now[worst].kind,
    }  # fmt: skip
    return Finding(rule, numbers, [name for name in now if name in found])
