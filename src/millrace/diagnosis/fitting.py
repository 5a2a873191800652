"""Whether a network learns its examples by heart, or cannot even learn those."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.diagnosis.finding import Finding
from millrace.diagnosis.rates import too_high
from millrace.diagnosis.record import Record

WINDOW, RISE = 3, 1.25  # overfitting: the mean validation loss of 3 epochs, a quarter above its lowest,
LEAST = 0.02  # and by more than this part of the loss of guessing: near 0 a quarter is a few examples
POOR = 0.5  # underfitting: losses above half of that of guessing,
FLAT = 0.05  # and the training loss fell by less than so much of itself
EPOCHS = 5  # over so many epochs


def overfitting(record: Record) -> Finding | None:
    """The validation loss rises while the training loss falls on."""
    loss, validation = record.curves.get("loss", ()), record.curves.get("val_loss", ())
    if len(validation) < WINDOW or too_high(record) is not None:  # then the curves jump, which is no overfitting
        return None
    smooth, learned = smoothed(validation), smoothed(loss)
    best = min(range(len(smooth)), key=smooth.__getitem__)
    least = smooth[best] + LEAST * (record.guessing or 0.0)
    if not (smooth[-1] > max(RISE * smooth[best], least) and learned[-1] < learned[best]):
        return None
    return Finding(
        "overfitting",
        {"epoch": best + 1 + WINDOW // 2, "lowest": smooth[best], "now": smooth[-1], "loss": loss[-1],
         "rise": smooth[-1] / smooth[best] - 1},
    )  # fmt: skip


def smoothed(curve: Sequence[float]) -> list[float]:
    """The means of WINDOW epochs in a row."""
    return [sum(curve[i : i + WINDOW]) / WINDOW for i in range(len(curve) - WINDOW + 1)]


def underfitting(record: Record) -> Finding | None:
    """Neither training nor validation is good, and neither gets better."""
    loss, validation = record.curves.get("loss", ()), record.curves.get("val_loss", ())
    chance = record.guessing
    if not chance or len(loss) <= EPOCHS:
        return None
    poor = loss[-1] > POOR * chance and (not validation or validation[-1] > POOR * chance)
    if not poor or loss[-1] < (1 - FLAT) * loss[-1 - EPOCHS]:
        return None
    numbers: dict[str, float | str] = {
        "loss": loss[-1], "validation": validation[-1] if validation else loss[-1], "chance": chance,
        "fall": max(1 - loss[-1] / loss[-1 - EPOCHS], 0.0), "epochs": EPOCHS,
    }  # fmt: skip
    return Finding("underfitting", numbers)
