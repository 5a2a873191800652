"""`overfitting`: the whole AlexNet on few photographs, plain, and with augmentation and dropout (sections 4.1, 4.2).

The network is the paper's, 57 million weights for ten classes, and so is its training: the rule and the rate of
section 5, first kernels of deviation 0.01, the mean image subtracted, crops of 227 pixels. Two things are not. Batches
are of 32, since an epoch of 500 photographs would be four steps of 128. And biases that begin at 1 there begin at 0.1:
with 1 this training falls into the trap of `models/alexnets.py`. The loss, 9.8 on average in the first epoch, then lies
at log(10) = 2.30 (seven epochs were tried). At a tenth of the rate it rises less, yet four epochs leave one answer in
ten right, as guessing does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from math import sqrt
from typing import Any

from millrace.experiments.arms import Arm, Curve, Trainee, dropping
from millrace.experiments.comparison import points, seeds_text
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.figure import draw_curves
from millrace.experiments.imagenette_pictures import Photographs, imagenette_photographs
from millrace.experiments.small_alexnet import BIAS, KERNELS, RATE
from millrace.experiments.spread import mean, percent_text, spread_text
from millrace.experiments.watch import Watch
from millrace.layers import CenterCrop, Input, MeanSubtraction, RandomCrop, RandomFlip
from millrace.models.alexnets import alexnet
from millrace.training.callbacks import Callback, Logs
from millrace.training.model import Model

PLAIN, HELD_BACK = "plain", "augmentation and dropout"
EVERY = 5  # epochs between two measurements: one takes two thirds of what an epoch takes
GOAL = 0.95  # of the photographs to train on: who answers more of them has learned them by heart
WIDE = 1.96  # standard errors to each side of a mean that 95% lie within
EVALUATED = 50  # photographs a step without training


def network(photographs: Photographs, width: int, held_back: bool) -> Model:
    """AlexNet with `width` kernels in conv1: photographs uint8 [batch, side, side, 3] to probabilities [batch, 10].

    held_back: whether training sees random crops and reflections instead of the middle, and dropout.
    """
    return alexnet(
        "paper", len(photographs.data.classes), width=width / KERNELS, bias=BIAS, dropout=0.5 if held_back else 0.0,
        front=front(photographs, held_back),
    )  # fmt: skip


def front(photographs: Photographs, moved: bool) -> list[Any]:
    """What makes the network's input of photographs: less the mean image (section 2), and cut to a crop."""
    size, side = photographs.size, photographs.side
    place = [RandomCrop(size, size, name="crop"), RandomFlip("horizontal", name="reflection")]
    return [
        Input((side, side, 3), dtype="uint8", name="photograph"),
        MeanSubtraction(photographs.stats.mean_image, name="centred"),
        *(place if moved else [CenterCrop(size, size, name="crop")]),
    ]


def run(setting: Setting) -> Outcome:
    """Train both for the same number of epochs, with the same first weights and batches, and compare the gaps."""
    scale = setting.scale
    photographs = imagenette_photographs(scale)
    arms = both(photographs, scale)
    watch = Watch(setting.say, len(arms) * len(setting.seeds) * scale.epochs)
    curves = {}
    for arm in arms:
        trainee = Trainee(arm)
        curves[arm.name] = [train(trainee, photographs, seed, scale, watch) for seed in setting.seeds]
    return outcome(setting, curves)


def both(photographs: Photographs, scale: Scale) -> list[Arm]:
    """The plain network and the other."""
    return [
        Arm(name, partial(network, photographs, scale.width, held_back), dropping(RATE, scale.epochs))
        for name, held_back in ((PLAIN, False), (HELD_BACK, True))
    ]


def train(trainee: Trainee, photographs: Photographs, seed: int, scale: Scale, watch: Watch) -> Curve:
    """One training from one seed, measured every few epochs and at the end.

    Raises NonFiniteError where it breaks down.
    """
    model, data = trainee.begin(seed), photographs.data
    measure = Measure(trainee.arm, photographs, seed, scale.epochs, watch)
    model.fit(
        data.x_train, data.y_train, batch_size=scale.batch_size, epochs=scale.epochs, seed=seed, callbacks=[measure],
        verbose=0,
    )  # fmt: skip
    return Curve(trainee.arm.name, seed, measure.columns)


class Measure(Callback):
    """Sets the learning rate, and measures now and then how many photographs the network in use answers rightly.

    columns, a number for each measurement: epoch; loss and running, of that epoch's steps as they were trained on;
    accuracy and val_accuracy, of all photographs to train on and of those held out, by the middle of each and without
    dropout; seconds and processor_seconds (of all cores together), since training began, measurements among them.
    """

    def __init__(self, arm: Arm, photographs: Photographs, seed: int, epochs: int, watch: Watch):
        self.arm, self.data, self.seed, self.epochs, self.watch = arm, photographs.data, seed, epochs, watch
        self.columns: dict[str, list[float]] = {}
        self.began, self.began_processor = time.perf_counter(), time.process_time()

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        self.model.optimizer.learning_rate = self.arm.rate_at(epoch)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        done = epoch + 1
        told = f"{self.arm.name}, seed {self.seed}, epoch {done}/{self.epochs}: loss {logs['loss']:.2f}"
        if done % EVERY and done != self.epochs:
            self.watch.epoch(told)
            return
        data = self.data
        trained = self.model.evaluate(data.x_train, data.y_train, batch_size=EVALUATED)["accuracy"]
        held = self.model.evaluate(data.x_validation, data.y_validation, batch_size=EVALUATED)["accuracy"]
        made = {
            "epoch": done, "loss": logs["loss"], "running": logs["accuracy"], "accuracy": trained, "val_accuracy": held,
            "seconds": time.perf_counter() - self.began,
            "processor_seconds": time.process_time() - self.began_processor,
        }  # fmt: skip
        for name, value in made.items():
            self.columns.setdefault(name, []).append(float(value))
        self.watch.epoch(f"{told}, training accuracy {trained:.1%}, validation {held:.1%}")


def outcome(setting: Setting, curves: Mapping[str, Sequence[Curve]]) -> Outcome:
    """The table, the verdict and the figure of what was measured."""
    rows: list[list[str]] = []
    drawn: dict[str, list[Sequence[float]]] = {}
    for name, arm in curves.items():
        ends = [[curve[column][-1] for curve in arm] for column in ("accuracy", "val_accuracy")]
        rows.append([name, *map(percent_text, ends), spread_text(gaps(arm)), learned(arm)])
        drawn |= {
            f"{name}, {kind}": [curve[column] for curve in arm]
            for kind, column in (("training", "accuracy"), ("validation", "val_accuracy"))
        }
    epochs = curves[PLAIN][0]["epoch"]
    figure = draw_curves(
        setting.out / "overfitting.svg", "AlexNet on few photographs", drawn, "accuracy", along=lambda n: epochs[n]
    )
    return Outcome(
        columns=["Network", "Training accuracy", "Validation accuracy", "Gap, points", f"Over {GOAL:.0%} in training"],
        rows=rows,
        paper="without augmentation, and without dropout, the network overfits substantially (sections 4.1 and 4.2)",
        verdict=f"{by_heart(curves[PLAIN])} {narrowed(setting, curves)} {price(curves)}",
        figures=[figure],
        numbers={
            "gap in points": {name: gaps(arm) for name, arm in curves.items()},
            "curves": {name: [asdict(curve) for curve in arm] for name, arm in curves.items()},
        },
        notes=[
            f"Accuracies: of the network as it is in use, on the middle of all {setting.scale.images:,} photographs "
            f"that it was trained on and of {setting.scale.validation:,} others, measured every {EVERY} epochs; here "
            f"after the last, epoch {epochs[-1]:.0f}, {seeds_text(len(setting.seeds))}. Time is since training began, "
            "measurements and compiling included."
        ],
    )  # fmt: skip


def gaps(arm: Sequence[Curve]) -> list[float]:
    """By how many points training accuracy ends above validation accuracy, seed by seed."""
    return [100 * (curve["accuracy"][-1] - curve["val_accuracy"][-1]) for curve in arm]


def learned(arm: Sequence[Curve]) -> str:
    """When the goal was passed, seed by seed: at which measurement first."""
    told = []
    for curve in arm:
        n = passed(curve)
        if n is None:
            told.append(f"not in {curve['epoch'][-1]:.0f} epochs")
        else:
            told.append(f"after epoch {curve['epoch'][n]:.0f}, {curve['seconds'][n] / 60:.1f} minutes")
    return "; ".join(told)


def passed(curve: Curve) -> int | None:
    """The first measurement of a training accuracy above the goal; None where there is none."""
    return next((n for n, accuracy in enumerate(curve["accuracy"]) if accuracy > GOAL), None)


def by_heart(arm: Sequence[Curve]) -> str:
    """Whether the plain network learned its photographs by heart."""
    best = [max(curve["accuracy"]) for curve in arm]
    if all(passed(curve) is not None for curve in arm):
        return f"The plain network overfits: it answers {percent_text(best)} of its training photographs rightly."
    return (
        f"The plain network does not get over {GOAL:.0%} of its training photographs with every seed: "
        f"{percent_text(best)} at best. More epochs may."
    )


def narrowed(setting: Setting, curves: Mapping[str, Sequence[Curve]]) -> str:
    """What became of the gap, and whether that is more than chance."""
    plain, other = (gaps(curves[name]) for name in (PLAIN, HELD_BACK))
    less = mean(plain) - mean(other)
    if len(plain) > 1:
        half = points([g / 100 for g in plain], [g / 100 for g in other]).half or 0.0
        basis = f"95% over {seeds_text(len(plain))}"
    else:
        half = chance([curve for arm in curves.values() for curve in arm], setting.scale)
        basis = "95% for the choice of photographs; one seed shows no other spread"
    size = f"{mean(other):.1f} points against {mean(plain):.1f}, a difference of {less:.1f} ± {half:.1f}, {basis}"
    if less > half:
        return f"With {HELD_BACK} the gap to validation is smaller ({size}), as the paper says."
    if less < -half:
        return f"With {HELD_BACK} the gap to validation is larger ({size}); the paper says smaller."
    return f"Whether the gap to validation is smaller with {HELD_BACK} cannot be told from this ({size})."


def price(curves: Mapping[str, Sequence[Curve]]) -> str:
    """What a gap alone does not tell: a network that has learned little so far has a small one, too."""
    trained, held = (
        mean([curve[column][-1] for curve in curves[HELD_BACK]]) for column in ("accuracy", "val_accuracy")
    )
    other = mean([curve["val_accuracy"][-1] for curve in curves[PLAIN]])
    told = f"It then answers {held:.1%} of the other photographs rightly, the plain one {other:.1%}"
    if trained > GOAL:
        return f"{told}."
    return f"{told}; of its own {trained:.1%}, so that part of the gap's size is that it learns more slowly."


def chance(curves: Sequence[Curve], scale: Scale) -> float:
    """Half of the 95% interval of the sum or difference of the curves' gaps, in points, with other photographs.

    Each accuracy p of n photographs has the variance p (1 - p) / n. That both networks see the same ones makes them
    vary together, so that the true interval is narrower.
    """
    variance = sum(
        p * (1 - p) / n
        for curve in curves
        for p, n in ((curve["accuracy"][-1], scale.images), (curve["val_accuracy"][-1], scale.validation))
    )
    return 100 * WIDE * sqrt(variance)


OVERFITTING = Experiment(
    name="overfitting",
    claim="without augmentation and dropout the network overfits substantially",
    source="sections 4.1 and 4.2",
    quick="500 photographs of Imagenette, the paper's AlexNet at its full size, 30 epochs; longer than others, up to "
    "40 minutes on two cores",
    full="all photographs of Imagenette, batches of 128, 90 epochs; for a GPU: 3.5e15 operations a training",
    run=run,
    quick_scale=Scale(images=500, validation=500, epochs=30, width=KERNELS, batch_size=32, size=227),
    full_scale=Scale(images=9_469, validation=3_925, epochs=90, width=KERNELS, batch_size=128, size=227),
    data=("imagenette",),
    seeds=1,
)
