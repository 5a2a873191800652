"""`overfitting`: 128 units learn 100 digits by heart, 1,197 digits better, and 3 units not even what they see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import curve_figure
from millrace.concepts.trials import (
    LAST,
    REST,
    SEEDS,
    Arm,
    Curve,
    Say,
    Trials,
    average,
    dense_network,
    digits_split,
    finals,
    labels,
    momentum_sgd,
)  # fmt: skip
from millrace.experiments.spread import percent_text, spread_text
from millrace.explain.pages import Listing
from millrace.words import words

FEW = 100
WIDE, NARROW = (128, 128), (3,)
RISE = 1.05  # times its lowest value: a validation loss that ends there has risen
CANNOT = 0.05  # training error of a network that does not even fit what it is trained on


@dataclass(frozen=True)
class Case:
    """A network, and how many digits it is trained on for how many epochs; key: what the texts call it."""

    key: str
    hidden: tuple[int, ...]
    digits: int
    epochs: int


RATE = 0.03  # with 0.1 the training loss itself jumps
CASES = (Case("over", WIDE, FEW, 200), Case("good", WIDE, REST, 60), Case("under", NARROW, REST, 60))


def measure(say: Say, language: str, seeds: Sequence[int] = SEEDS) -> dict[str, list[Curve]]:
    """The curves of each case, one a seed."""
    table = words("concepts", language)["overfitting"]
    trials = Trials(say, language)
    found = {}
    for case in CASES:
        arm = Arm(table[case.key], partial(dense_network, case.hidden), RATE, momentum_sgd)
        found[case.key] = [trials.train(arm, digits_split(case.digits), case.epochs, seed) for seed in seeds]
    return found


def finding(curves: Mapping[str, Sequence[Curve]], language: str) -> Finding:
    """The table, the figures and the verdict of what was measured."""
    table, names = words("concepts", language)["overfitting"], labels(language)
    lowest = {key: [min(c["val_loss"]) for c in arm] for key, arm in curves.items()}
    best = {key: [1.0 + list(c["val_loss"]).index(min(c["val_loss"])) for c in arm] for key, arm in curves.items()}
    ends = {key: finals(arm, "val_loss") for key, arm in curves.items()}
    rows = [
        [
            table[key],
            percent_text(finals(arm, "train_error")),
            percent_text(finals(arm, "val_error")),
            f"{average(lowest[key]):.2f} ({average(best[key]):.0f})",
            spread_text(ends[key], 2),
        ]
        for key, arm in curves.items()
    ]
    numbers = {
        "lowest": average(lowest["over"]),
        "epoch": average(best["over"]),
        "last": average(ends["over"]),
        "training_loss": average(finals(curves["over"], "train_loss")),
    }
    for key, arm in curves.items():
        numbers[f"{key}_error"] = average(finals(arm, "train_error"))
        numbers[f"{key}_held"] = average(finals(arm, "val_error"))
    over = curves["over"]
    rose = all(e > RISE * low for e, low in zip(ends["over"], lowest["over"], strict=True)) and all(
        place <= c.epochs - LAST
        for place, c in zip(best["over"], over, strict=True)  # and is not still falling
    )
    helped = numbers["good_held"] < numbers["over_held"]
    seen = rose and helped and numbers["under_error"] > CANNOT
    first = {
        names["training_loss"]: [c["train_loss"] for c in over],
        names["validation_loss"]: [c["val_loss"] for c in over],
    }
    second = {table[key]: [c["val_loss"] for c in arm] for key, arm in curves.items()}
    columns = [table["network"], names["training_error"], names["validation_error"], table["low"], table["end"]]
    return Finding(
        "seen" if seen else "unseen",
        numbers,
        [
            Listing(columns, rows),
            curve_figure(table["figure"], first, names["epoch"], names["loss"], language),
            curve_figure(table["figure_cases"], second, names["epoch"], names["validation_loss"], language),
        ],
    )


def experiment(language: str, say: Say) -> Finding:
    """Train the three, and compare what they know with what they have seen."""
    return finding(measure(say, language), language)


OVERFITTING = Concept(
    "overfitting",
    experiment,
    see=("dropout", "weight-decay", "augmentation", "normalization-against-regularization"),
    also=("underfitting", "overfit", "underfit", "early-stopping", "generalization"),
)
