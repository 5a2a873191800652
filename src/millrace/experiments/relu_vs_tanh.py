"""`relu-vs-tanh`: how soon a four-layer network learns with rectified units, and how soon with tanh (figure 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

from millrace.data.datasets import Dataset
from millrace.experiments.arms import Arm, Curve, Trainee, train
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.figure import draw_curves
from millrace.experiments.four_layers import network
from millrace.experiments.pictures import centred, photographs
from millrace.experiments.rates import FIRST, Tried, best_rate
from millrace.experiments.reach import Factor, mean_text, reached, told
from millrace.experiments.spread import each_text
from millrace.experiments.watch import Watch
from millrace.training.callbacks import Logs
from millrace.training.optimizers import SGD

TARGET = 0.25  # training error
CHANCE = 0.9  # error before the first step, of ten classes
PAPER = 6.0
UNITS = {"ReLU": "relu", "tanh": "tanh"}
EXPECTED = 0.6  # share of the epochs that a training is expected to need
SEARCHED = 2  # rates that are expected to be tried beside the best one, and soon given up


def run(setting: Setting) -> Outcome:
    """Choose each network's rate with the first seed, train it with the others, and compare when they get there."""
    scale = setting.scale
    data = centred(photographs(scale))
    expected = expected_epochs(scale)
    watch = Watch(setting.say, len(UNITS) * (len(setting.seeds) * expected + SEARCHED * (expected // 4)))
    searches, curves = {}, {}
    for name in UNITS:
        searches[name], curves[name] = one_kind(name, data, setting, watch)
    return judged(setting, searches, curves)


def one_kind(name: str, data: Dataset, setting: Setting, watch: Watch) -> tuple[list[Tried], list[Curve]]:
    """The search for the rate of one kind of unit, and a curve at the best rate for each seed."""
    scale, (first, *rest) = setting.scale, setting.seeds
    # no weight decay, no dropout: the paper compares without regularization
    arm = Arm(name, partial(network, scale.width, UNITS[name]), optimizer=lambda: SGD(0.01, momentum=0.9))
    trainee = Trainee(arm)

    expected = expected_epochs(scale)

    def at(rate: float, enough: Callable[[Logs], bool], seed: int, expected: int) -> Curve:
        setting.say(f"{name}, seed {seed}, learning rate {rate:g}:")
        return train(trainee, data, seed, scale.epochs, scale.batch_size, watch, enough, rate=rate, expected=expected)

    def search(rate: float, enough: Callable[[Logs], bool]) -> Curve:
        return at(rate, enough, first, expected if rate == FIRST else expected // 4)

    searched = best_rate(search, TARGET, CHANCE)
    best = searched[0]
    setting.say(f"{name}: the best learning rate is {best.rate:g}.")
    curves = [best.curve, *(at(best.rate, lambda logs: logs["error"] <= TARGET, seed, expected) for seed in rest)]
    return searched, curves


def expected_epochs(scale: Scale) -> int:
    """About how many epochs one training takes."""
    return max(4, round(EXPECTED * scale.epochs))


def judged(setting: Setting, searches: Mapping[str, list[Tried]], curves: Mapping[str, list[Curve]]) -> Outcome:
    """The table, the verdict and the figure of what was measured."""
    found = {name: [reached(curve["error"], TARGET, CHANCE) for curve in arm] for name, arm in curves.items()}
    factor = Factor(found["tanh"], found["ReLU"])
    rows = [
        [name, "-", mean_text(one), ", ".join(map(str, one)), f"{searches[name][0].rate:g}"]
        for name, one in found.items()
    ]
    each = "-" if factor.kind == "unknown" else each_text(factor.each)
    rows.append(["tanh / ReLU", f"{PAPER:g}", str(factor), each, ""])
    figure = draw_curves(
        setting.out / "relu-vs-tanh.svg", "Training error of a four-layer network on CIFAR-10",
        {name: [[CHANCE, *curve["error"]] for curve in arm] for name, arm in curves.items()},
        "training error", levels={"25%": TARGET}, along=lambda n: max(n - 0.5, 0.0),
    )  # fmt: skip
    return Outcome(
        columns=["Units", "Paper", "Epochs to 25% training error", "Each seed", "Learning rate"],
        rows=rows,
        paper="with ReLU a four-layer network reaches 25% training error on CIFAR-10 6 times as fast (figure 1)",
        verdict=told(factor, "tanh", "ReLU", PAPER, "25% training error", setting.form),
        figures=[figure],
        numbers={
            "epochs": {name: [asdict(one) for one in reaches] for name, reaches in found.items()},
            "factor": factor.numbers,
            "rates": {name: [str(one) for one in searched] for name, searched in searches.items()},
            "curves": {name: [asdict(curve) for curve in arm] for name, arm in curves.items()},
        },
        notes=[
            "Training error: mean over the steps of an epoch, set at the middle of the epoch; between epochs the curve "
            "is read along a straight line. ± is the standard deviation over seeds; the interval is Student's.",
            *(
                f"Learning rates tried for {name} on seed {setting.seeds[0]}: {'; '.join(map(str, searched))}"
                for name, searched in searches.items()
            ),
        ],
    )  # fmt: skip


RELU_VS_TANH = Experiment(
    name="relu-vs-tanh",
    claim="a network with ReLU reaches 25% training error six times as fast as one with tanh units",
    source="section 3.1, figure 1",
    quick="5,000 photographs of CIFAR-10, 16 kernels, at most 30 epochs",
    full="all 50,000 photographs of CIFAR-10, 32 kernels, at most 100 epochs",
    run=run,
    quick_scale=Scale(images=5_000, validation=0, epochs=30, width=16, batch_size=32),
    full_scale=Scale(images=50_000, validation=0, epochs=100, width=32),
    data=("cifar10",),
)
