"""`weight-decay`: how large the weights become, and how much is learned by heart, for several strengths of decay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import curve_figure
from millrace.concepts.trials import (
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
    mislabelled,
    momentum_sgd,
)  # fmt: skip
from millrace.experiments.arms import dropping
from millrace.experiments.spread import percent_text, spread_text
from millrace.explain.pages import Listing, Math
from millrace.training.model import Model
from millrace.words import words

DECAYS = (0.0, 0.0005, 0.002, 0.01, 0.05)  # the second is the paper's
DIGITS, HIDDEN, EPOCHS, RATE = 400, (128, 128), 60, 0.03
SHOWN = (0.0, 0.0005, 0.01)  # decays whose curves are drawn


@dataclass(frozen=True)
class Measured:
    """One strength of decay: its trainings, and the norm of all kernels after each, one a seed."""

    curves: Sequence[Curve]
    norms: Sequence[float]


def norm(model: Model) -> float:
    """The Euclidean norm of all kernels together."""
    return float(np.sqrt(sum(np.sum(np.square(w.numpy())) for w in model.weights if len(w.shape) > 1)))


def measure(
    say: Say, language: str, epochs: int = EPOCHS, seeds: Sequence[int] = SEEDS, decays: Sequence[float] = DECAYS
) -> dict[float, Measured]:
    """The trainings with each decay."""
    data, trials = mislabelled(digits_split(DIGITS)), Trials(say, language)
    found = {}
    for decay in decays:
        rule = partial(momentum_sgd, decay or None)
        arm = Arm(f"λ = {decay:g}", partial(dense_network, HIDDEN), dropping(RATE, epochs), rule)
        curves, norms = [], []
        for seed in seeds:
            curves.append(trials.train(arm, data, epochs, seed))
            norms.append(norm(trials.model(arm)))
        found[decay] = Measured(curves, norms)
    return found


def finding(measured: Mapping[float, Measured], language: str) -> Finding:
    """The table, the figure and the verdict of what was measured."""
    table, names = words("concepts", language)["weight-decay"], labels(language)
    held = {decay: finals(one.curves, "val_error") for decay, one in measured.items()}
    training = {decay: finals(one.curves, "train_error") for decay, one in measured.items()}
    size = {decay: average(one.norms) for decay, one in measured.items()}
    rows = [
        [f"{decay:g}", spread_text(one.norms), percent_text(training[decay]), percent_text(held[decay])]
        for decay, one in measured.items()
    ]
    none, *_, most = sorted(measured)
    best = min(held, key=lambda decay: average(held[decay]))
    numbers = {
        "best": best, "most": most,
        "none_held": average(held[none]), "none_training": average(training[none]), "none_norm": size[none],
        "best_held": average(held[best]), "best_training": average(training[best]), "best_norm": size[best],
        "most_held": average(held[most]), "most_training": average(training[most]), "most_norm": size[most],
    }  # fmt: skip
    shrinks = all(size[a] > size[b] for a, b in zip(sorted(size), sorted(size)[1:], strict=False))
    helps = best != none and all(a < b for a, b in zip(held[best], held[none], strict=True))
    harms = best != most
    drawn = {f"λ = {d:g}": [c["val_error"] for c in measured[d].curves] for d in measured if d in SHOWN}
    return Finding("seen" if shrinks and helps and harms else "unseen", numbers, [
        Listing([table["decay"], table["norm"], names["training_error"], names["validation_error"]], rows),
        curve_figure(table["figure"], drawn, names["epoch"], names["validation_error"], language, percent=True),
    ])  # fmt: skip


def experiment(language: str, say: Say) -> Finding:
    """Train with each decay, and compare weights and errors."""
    return finding(measure(say, language), language)


WEIGHT_DECAY = Concept(
    "weight-decay",
    experiment,
    see=("overfitting", "momentum", "normalization-against-regularization"),
    also=("l2", "l2-regularization"),
    formulas=(
        Math("v <- 0.9 v - 0.0005 eps w - eps dL/dw, w <- w + v",
             r"v \leftarrow 0.9\,v - 0.0005\,\epsilon\,w - \epsilon\,\frac{\partial L}{\partial w}, "
             r"\quad w \leftarrow w + v"),
        Math("without momentum: w <- (1 - eps lambda) w - eps dL/dw",
             r"w \leftarrow (1 - \epsilon\lambda)\,w - \epsilon\,\frac{\partial L}{\partial w}"),
    ),
)  # fmt: skip
