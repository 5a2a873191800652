"""`overlapping-pooling`: windows of 3 moved by 2 against windows of 2 moved by 2 (section 3.4)."""

from __future__ import annotations

from functools import partial

from millrace.experiments.arms import Arm, compare, dropping
from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.four_layers import RATE, network
from millrace.experiments.pictures import centred, photographs
from millrace.experiments.watch import Watch

APART, OVERLAPPING = "windows of 2", "windows of 3"


def run(setting: Setting) -> Outcome:
    """Train the network both ways, and compare the errors on photographs that were held out.

    The maps have the same sizes both ways, and the networks as many weights.
    """
    scale = setting.scale
    data = centred(photographs(scale))
    arms = [
        Arm(name, partial(network, scale.width, window=window), dropping(RATE, scale.epochs))
        for name, window in ((APART, 2), (OVERLAPPING, 3))
    ]
    watch = Watch(setting.say, len(arms) * len(setting.seeds) * scale.epochs)
    curves = compare(arms, data, setting.seeds, scale.epochs, scale.batch_size, watch)
    return compared(
        setting, curves, APART, {OVERLAPPING: -1}, {OVERLAPPING: "0.4 points lower"},
        "on ImageNet, overlapping windows lower the top-1 and top-5 error by 0.4 and 0.3 points (section 3.4)",
        "Pooling moved by 2: windows of 3 overlap, windows of 2 do not", "overlapping-pooling.svg",
    )  # fmt: skip


OVERLAPPING_POOLING = Experiment(
    name="overlapping-pooling",
    claim="pooling windows that overlap, of 3 moved by 2, give a lower error than windows of 2 moved by 2",
    source="section 3.4",
    quick="5,000 photographs of CIFAR-10, 12 epochs, 16 kernels",
    full="all 50,000 photographs of CIFAR-10, 60 epochs, 32 kernels",
    run=run,
    quick_scale=Scale(images=5_000, validation=2_000, epochs=12, width=16, batch_size=32),
    full_scale=Scale(images=50_000, validation=10_000, epochs=60, width=32),
    data=("cifar10",),
)
