"""`dropout`: a network with two wide dense layers, with dropout behind them and without (section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

from millrace.experiments.arms import LAST, Arm, Curve, compare
from millrace.experiments.comparison import points, verdict
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.figure import draw_curves
from millrace.experiments.four_layers import RATE, network
from millrace.experiments.pictures import centred, photographs
from millrace.experiments.reach import Factor, ends, mean_text, reached, told
from millrace.experiments.spread import percent_text, spread_text
from millrace.experiments.watch import Watch

UNITS = 16  # of each dense layer, for each kernel of the first layer
TARGET = 0.5  # training error
CHANCE = 0.9  # error before the first step, of ten classes
PAPER = 2.0  # times as many iterations to converge
WITHOUT, WITH = "without dropout", "with dropout"


def run(setting: Setting) -> Outcome:
    """Train the network both ways; compare how far training and validation error lie apart, and how soon it learns."""
    scale = setting.scale
    data = centred(photographs(scale))
    build = partial(network, scale.width, hidden=UNITS * scale.width)
    arms = [Arm(WITHOUT, build, RATE), Arm(WITH, partial(build, dropout=0.5), RATE)]
    watch = Watch(setting.say, len(arms) * len(setting.seeds) * scale.epochs)
    return judged(setting, compare(arms, data, setting.seeds, scale.epochs, scale.batch_size, watch, over_all=True))


def judged(setting: Setting, curves: Mapping[str, Sequence[Curve]]) -> Outcome:
    """The table, the verdict and the figure of what was measured."""
    training, held = (
        {name: [curve.final(column) for curve in arm] for name, arm in curves.items()}
        for column in ("train_error", "val_error")
    )
    gap = {name: [v - t for v, t in zip(held[name], training[name], strict=True)] for name in curves}
    epochs = {
        name: [reached(c["train_error"], TARGET, CHANCE, ends(c["train_error"])) for c in arm]
        for name, arm in curves.items()
    }
    factor = Factor(epochs[WITH], epochs[WITHOUT])
    rows = []
    for what, paper, values, cell in (
        ("training error", "-", training, percent_text),
        ("validation error", "-", held, percent_text),
        ("gap, points", "smaller", gap, points_text),
    ):
        less = points(values[WITH], values[WITHOUT])
        rows.append([what, paper, cell(values[WITHOUT]), cell(values[WITH]), less.text()])
    goal = f"{TARGET:.0%} training error"
    rows.append(
        [
            f"epochs to {goal}",
            f"{PAPER:g} times",
            mean_text(epochs[WITHOUT]),
            mean_text(epochs[WITH]),
            f"{factor} times",
        ]
    )
    figure = draw_curves(
        setting.out / "dropout.svg", "Training and validation error, with dropout and without",
        {
            f"{kind}, {name}": [curve[column] for curve in curves[name]]
            for kind, column in (("training", "train_error"), ("validation", "val_error"))
            for name in (WITHOUT, WITH)
        },
        "error",
    )  # fmt: skip
    judgement = [
        verdict(points(gap[WITH], gap[WITHOUT]), WITH, WITHOUT, -1, setting, "gap"),
        verdict(points(held[WITH], held[WITHOUT]), WITH, WITHOUT, -1, setting),
        told(factor, "the network with dropout", "the one without", PAPER, goal, setting.form),
    ]
    return Outcome(
        columns=["Measure", "Paper", "Without dropout", "With dropout", "With less without"],
        rows=rows,
        paper="without dropout the network overfits substantially; with it, it takes about twice as many iterations to "
        "converge (section 4.2)",
        verdict=" ".join(f"{line[0].upper()}{line[1:]}" for line in judgement),
        figures=[figure],
        numbers={
            "training error": training,
            "validation error": held,
            "epochs": {name: [asdict(one) for one in reaches] for name, reaches in epochs.items()},
            "factor": factor.numbers,
            "curves": {name: [asdict(curve) for curve in arm] for name, arm in curves.items()},
        },
        notes=[
            "Training error: over all training photographs after the epoch, by the network as it is in use, without "
            f"dropout. Errors and gap (validation less training error): mean of the last {LAST} epochs; ± standard "
            "deviation over seeds, of differences half of the 95% interval, seed by seed (Student's t)."
        ],
    )


def points_text(values: Sequence[float]) -> str:
    """Shares from 0 to 1 in percentage points, with their spread."""
    return spread_text([100 * v for v in values])


DROPOUT = Experiment(
    name="dropout",
    claim="dropout in the dense layers reduces overfitting, and about doubles the iterations to converge",
    source="section 4.2",
    quick="5,000 photographs of CIFAR-10, 16 epochs, 16 kernels and 256 units",
    full="all 50,000 photographs of CIFAR-10, 60 epochs, 32 kernels and 512 units",
    run=run,
    quick_scale=Scale(images=5_000, validation=2_000, epochs=16, width=16, batch_size=32),
    full_scale=Scale(images=50_000, validation=10_000, epochs=60, width=32),
    data=("cifar10",),
)
