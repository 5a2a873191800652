"""Answers that lie: classes that are rare, or of which there is one, and a network that always gives the same."""

from __future__ import annotations

from millrace.diagnosis.finding import Finding
from millrace.diagnosis.record import Record

UNEVEN = 10.0  # times as many examples in the largest class as in the smallest
ALWAYS, MORE = 0.95, 0.1  # of the answers are one class, and so much more than are right
EPOCHS = 2  # in a row


def constant(record: Record) -> Finding | None:
    """All examples belong to one class."""
    truth = record.vitals[-1].truth if record.vitals else ()
    if sum(n > 0 for n in truth) != 1:
        return None
    return Finding("constant", {"name": str(largest(truth)), "classes": len(truth), "count": sum(truth)})


def imbalance(record: Record) -> Finding | None:
    """Some class is many times as frequent as another, and nothing makes up for it."""
    truth = record.vitals[-1].truth if record.vitals else ()
    there = [n for n in truth if n > 0]
    if len(there) < 2 or max(there) <= UNEVEN * min(there):
        return None
    few = min(there)
    return Finding(
        "imbalance",
        {"times": max(there) / few, "most": max(there), "few": few, "name": str(largest(truth)),
         "rare": str(list(truth).index(few)), "share": max(there) / sum(there)},
    )  # fmt: skip


def one_answer(record: Record) -> Finding | None:
    """The network takes almost every example for the same class."""
    if len(record.vitals) < EPOCHS or constant(record) is not None:
        return None
    shares = []
    for vitals in record.vitals[-EPOCHS:]:
        if not sum(vitals.guessed) or not sum(vitals.truth):
            return None
        place = largest(vitals.guessed)
        shares.append((vitals.guessed[place] / sum(vitals.guessed), vitals.truth[place] / sum(vitals.truth)))
    if not all(guess > ALWAYS and guess > right + MORE for guess, right in shares):
        return None
    guess, right = shares[-1]
    return Finding("one_answer", {"share": guess, "right": right, "name": str(largest(record.vitals[-1].guessed))})


def largest(counts: object) -> int:
    values = list(counts)  # type: ignore[call-overload]
    return int(values.index(max(values)))
