"""`learning-rate`: the same training at seven rates, from one that goes nowhere to one that breaks down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite

from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import curve_figure
from millrace.concepts.trials import SEEDS, Arm, Curve, Say, Trials, average, dense_network, digits_split, labels
from millrace.experiments.spread import spread_text
from millrace.explain.pages import Listing, Math
from millrace.training.optimizers import SGD
from millrace.words import words

RATES = (0.0001, 0.001, 0.01, 0.1, 0.3, 1.0, 10.0)
DRAWN = (0.0001, 0.01, 0.1, 0.3, 1.0, 10.0)  # rates whose curves are drawn
HIDDEN, EPOCHS = (64, 64), 10
CHANCE = 2.303  # log(10): the loss of guessing among ten digits
NEAR = 1.5  # times the best loss: what is about as good
LEARNED = 1.8  # a loss above it is little better than guessing


def measure(
    say: Say, language: str, epochs: int = EPOCHS, seeds: Sequence[int] = SEEDS, rates: Sequence[float] = RATES
) -> dict[float, list[Curve]]:
    """The trainings at each rate, one a seed."""
    trials, data, at = Trials(say, language), digits_split(), words("concepts", language)["learning-rate"]["at"]
    arm = Arm("digits", partial(dense_network, HIDDEN), optimizer=lambda: SGD(0.01))
    return {
        rate: [trials.train(arm, data, epochs, seed, rate=rate, called=at.format(rate=rate)) for seed in seeds]
        for rate in rates
    }


def end(curve: Curve) -> float:
    """The training loss at the end; infinite for a training that broke down."""
    return float("inf") if curve.diverged or not curve.epochs else float(curve["train_loss"][-1])


def finding(curves: Mapping[float, Sequence[Curve]], language: str) -> Finding:
    """The table, the figures and the verdict of what was measured."""
    table, names = words("concepts", language)["learning-rate"], labels(language)
    ends = {rate: [end(curve) for curve in arm] for rate, arm in curves.items()}
    worst = {rate: max(values) for rate, values in ends.items()}
    best = min(worst, key=lambda rate: worst[rate])
    low, high = min(curves), max(curves)
    rows = [[f"{rate:g}", loss_text(values, table), verdict(rate, worst, best, table)] for rate, values in ends.items()]
    numbers: dict[str, float | str] = {
        "low": low, "best": best, "high": high,
        "low_loss": average(ends[low]), "best_loss": average(ends[best]),
        "high_loss": loss_text(ends[high], table),
    }  # fmt: skip
    seen = low < best < high and worst[low] > LEARNED and worst[high] > LEARNED and worst[best] < LEARNED / 4
    whole = {rate: arm for rate, arm in curves.items() if all(isfinite(v) for v in ends[rate])}
    drawn = {
        table["at"].format(rate=rate): [c["train_loss"] for c in arm] for rate, arm in whole.items() if rate in DRAWN
    }
    over = {names["training_loss"]: [[average(ends[rate]) for rate in whole]]}
    return Finding("seen" if seen else "unseen", numbers, [
        Listing([names["rate"], table["end"].format(epochs=EPOCHS), table["verdict"]], rows),
        curve_figure(
            table["figure"], over, names["rate"], names["training_loss"], language, list(whole), log="xy",
            levels={table["chance"]: CHANCE},
        ),
        curve_figure(table["figure_epochs"], drawn, names["epoch"], names["training_loss"], language, log="y"),
    ])  # fmt: skip


def loss_text(values: Sequence[float], table: Mapping[str, str]) -> str:
    """The loss over the seeds, or that some broke down."""
    broken = sum(not isfinite(v) for v in values)
    if not broken:
        return spread_text(values, 3)
    return table["broken"].format(broken=broken, seeds=len(values))


def verdict(rate: float, worst: Mapping[float, float], best: float, table: Mapping[str, str]) -> str:
    """What a rate is, by the loss at the end alone."""
    if not isfinite(worst[rate]) or (rate > best and worst[rate] > LEARNED):
        return table["breaks"]
    if rate == best:
        return table["right"]
    if worst[rate] < NEAR * worst[best]:
        return table["near"]
    if rate < best:
        poor = "nothing" if worst[rate] > CHANCE else "too_low"
        return table[poor if worst[rate] > LEARNED else "slow"]
    return table["rough"]


def experiment(language: str, say: Say) -> Finding:
    """Train at each rate, and compare where it ends."""
    return finding(measure(say, language), language)


LEARNING_RATE = Concept(
    "learning-rate",
    experiment,
    see=("momentum", "batch-size", "why-relu"),
    also=("lr", "step-size"),
    formulas=(
        Math("w <- w - eps dL/dw", r"w \leftarrow w - \epsilon\,\frac{\partial L}{\partial w}"),
        Math("eps < 2 / (largest curvature)", r"\epsilon < \frac{2}{\lambda_{\max}}"),
    ),
)
