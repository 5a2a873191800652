"""`batch-size`: how noisy the gradient of a batch is, and how many steps and epochs batches of each size need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from millrace import functional as mr
from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import curve_figure, line_figure
from millrace.concepts.trials import (
    REST,
    SEEDS,
    Arm,
    Curve,
    Say,
    Trials,
    average,
    dense_network,
    digits_split,
    labels,
    listed,
    reached,
)  # fmt: skip
from millrace.data.datasets import Dataset
from millrace.engines.function import function
from millrace.explain.charts import Line
from millrace.explain.pages import Listing, Math
from millrace.training.model import Model
from millrace.training.optimizers import SGD
from millrace.words import words

HIDDEN, EPOCHS, RATE, TARGET = (64,), 180, 0.05, 0.3  # training loss to reach
SIZES = (8, 32, 128, 512)  # batch sizes to train with
NOISE_SIZES = (1, 4, 16, 64, 256)
DRAWS = 200  # batches of each size whose gradients are compared
SCALED_FROM = 8  # the batch size whose rate is RATE, where the rate grows with the batch
ALIKE = 1.5  # times: numbers of steps that differ by less are called about the same
SLOPE = -0.5  # of the spread over the batch size, both as logarithms, by theory


@dataclass(frozen=True)
class Measured:
    """The gradients' spread by batch size, and the trainings: at one rate, and at a rate that grows with the batch.

    spread: by batch size, the root of the mean squared distance between a batch's gradient and that of all digits,
    as a share of the latter's length. curves, scaled: by batch size, one a seed.
    """

    spread: Mapping[int, float]
    curves: Mapping[int, Sequence[Curve]]
    scaled: Mapping[int, Sequence[Curve]]

    @property
    def slope(self) -> float:
        """How the spread falls: the slope of its logarithm over that of the batch size."""
        sizes, spreads = np.log(list(self.spread)), np.log(list(self.spread.values()))
        return float(np.polyfit(sizes, spreads, 1)[0])


def each_gradient(model: Model, data: Dataset) -> np.ndarray:
    """The gradient of the loss of each training example for all weights: [examples, weights]."""
    truth = mr.Input((), dtype="int32", name="truth")
    loss = mr.mean(-mr.log(mr.sum(mr.one_hot(truth, 10) * model.outputs[0], axis=-1)))
    wanted = mr.gradients(loss, model.trainable_weights)
    step = function([model.inputs[0], truth], mr.concatenate([mr.reshape(g, (-1,)) for g in wanted]))
    pairs = zip(data.x_train, data.y_train, strict=True)
    return np.stack([np.asarray(step(x[None], y[None])) for x, y in pairs])


def noise(
    gradients: np.ndarray, sizes: Sequence[int] = NOISE_SIZES, draws: int = DRAWS, seed: int = 0
) -> dict[int, float]:
    """The spread of batches' gradients by batch size, from those of single examples [examples, weights]."""
    draw = np.random.default_rng(seed)
    whole = gradients.mean(axis=0)
    found = {}
    for size in sizes:
        chosen = draw.integers(0, len(gradients), (draws, size))
        away = [float(np.sum(np.square(gradients[one].mean(axis=0) - whole))) for one in chosen]
        found[size] = float(np.sqrt(np.mean(away)) / np.linalg.norm(whole))
    return found


def measure(
    say: Say, language: str, epochs: int = EPOCHS, seeds: Sequence[int] = SEEDS, sizes: Sequence[int] = SIZES
) -> Measured:
    """The noise at the weights that one epoch makes, then the trainings."""
    table, data = words("concepts", language)["batch-size"], digits_split()
    curves: dict[int, list[Curve]] = {}
    scaled: dict[int, list[Curve]] = {}
    arm = Arm("digits", partial(dense_network, HIDDEN), optimizer=lambda: SGD(RATE))
    spread: dict[int, float] = {}
    for size in sizes:
        trials = Trials(say, language, size)
        if not spread:
            trials.train(arm, data, 1, seeds[0], rate=RATE, called=table["first"])
            spread = noise(each_gradient(trials.model(arm), data))
        for rate, into in ((RATE, curves), (RATE * size / SCALED_FROM, scaled)):
            called = table["at"].format(size=size, rate=rate)
            if into is scaled and size == SCALED_FROM:
                scaled[size] = curves[size]
                continue
            into[size] = [
                trials.train(arm, data, epochs, seed, lambda logs: logs["train_loss"] <= TARGET, rate, called)
                for seed in seeds
            ]
    return Measured(spread, curves, scaled)


def steps_of(size: int, examples: int) -> int:
    """Steps an epoch."""
    return -(-examples // size)


def finding(measured: Measured, language: str) -> Finding:
    """The tables, the figure and the verdict of what was measured."""
    table, names = words("concepts", language)["batch-size"], labels(language)
    rows: list[list[str]] = []
    numbers: dict[str, float] = {}
    for kind, trainings in (("same", measured.curves), ("scaled", measured.scaled)):
        for size, curves in trainings.items():
            needed = [reached(curve, TARGET, "train_loss") for curve in curves]
            rate = RATE * size / SCALED_FROM if kind == "scaled" else RATE
            per_epoch = steps_of(size, REST)
            numbers[f"{kind}_{size}"] = average([n or max(c.epochs for c in curves) for n in needed]) * per_epoch
            if kind == "scaled" and size == SCALED_FROM:
                continue
            epochs = [table["never"] if n is None else f"{n:,}" for n in needed]
            steps = [table["never"] if n is None else f"{n * per_epoch:,}" for n in needed]
            rows.append([f"{size}", f"{rate:g}", listed(epochs, language), listed(steps, language)])
    sizes = list(measured.spread)
    numbers |= {
        "slope": measured.slope,
        "first_spread": measured.spread[sizes[0]],
        "last_spread": measured.spread[sizes[-1]],
        "first_size": float(sizes[0]),
        "last_size": float(sizes[-1]),
    }
    small, large = min(measured.curves), max(measured.curves)
    numbers["epochs_small"] = numbers[f"same_{small}"] / steps_of(small, REST)
    numbers["epochs_large"] = numbers[f"same_{large}"] / steps_of(large, REST)
    middle = sorted(measured.scaled)[1]
    numbers["middle"] = float(middle)
    numbers["epochs_middle"] = numbers[f"same_{middle}"] / steps_of(middle, REST)
    numbers["epochs_scaled"] = numbers[f"scaled_{middle}"] / steps_of(middle, REST)
    numbers["small"], numbers["large"] = float(small), float(large)
    same = [numbers[f"same_{size}"] for size in measured.curves]
    numbers["rate"], numbers["fewest"], numbers["most"] = RATE, min(same), max(same)
    noisy = abs(measured.slope - SLOPE) < 0.1
    slower = numbers["epochs_large"] > 2 * numbers["epochs_small"]
    mended = numbers["epochs_scaled"] < numbers["epochs_middle"]
    alike = max(same) < ALIKE * min(same)
    told: dict[str, float | str] = {**numbers, "limit": limit(measured.scaled, table)}
    spread = list(measured.spread.values())
    theory = [spread[0] * (size / sizes[0]) ** SLOPE for size in sizes]
    lines = [Line(table["measured"], sizes, spread), Line(table["theory"], sizes, theory, 1, dots=False)]
    return Finding("seen" if noisy and slower and mended and alike else "unseen", told, [
        line_figure(table["figure"], lines, names["batch_size"], table["spread"], language, log="xy"),
        Listing([table["noise_size"], table["spread"]], [[f"{n}", f"{v:.2f}"] for n, v in measured.spread.items()]),
        Listing([names["batch_size"], names["rate"], table["epochs"], table["steps"]], rows),
        curve_figure(
            table["figure_loss"],
            {f"{names['batch_size']} {n}": [c["train_loss"] for c in arm] for n, arm in measured.curves.items()},
            names["epoch"], names["training_loss"], language, log="x",
        ),
    ])  # fmt: skip


def limit(scaled: Mapping[int, Sequence[Curve]], table: Mapping[str, str]) -> str:
    """A sentence about the smallest batch whose rate in proportion was too high for some seed; "" where none was."""
    for size, curves in sorted(scaled.items()):
        missed = sum(reached(curve, TARGET, "train_loss") is None for curve in curves)
        if missed:
            rate = RATE * size / SCALED_FROM
            return table["limit"].format(size=size, rate=rate, missed=missed, seeds=len(curves))
    return ""


def experiment(language: str, say: Say) -> Finding:
    """Measure the noise, then train with each batch size."""
    return finding(measure(say, language), language)


BATCH_SIZE = Concept(
    "batch-size",
    experiment,
    see=("learning-rate", "momentum"),
    also=("batch", "mini-batch", "epoch", "epochs"),
    formulas=(
        Math("g_B = 1/B sum_{i in B} dL_i/dw", r"g_B = \frac{1}{B} \sum_{i \in B} \frac{\partial L_i}{\partial w}"),
        Math("standard deviation of g_B = sigma / sqrt(B)", r"\mathrm{sd}(g_B) = \frac{\sigma}{\sqrt{B}}"),
    ),
)
