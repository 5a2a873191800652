"""`two-towers`: AlexNet in two towers, and in one with half as many kernels (section 3.2)."""

from __future__ import annotations

from functools import partial

from millrace.experiments.arms import Arm, compare, dropping
from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.imagenette_pictures import imagenette_photographs
from millrace.experiments.small_alexnet import FULL, FULL_COST, RATE, network
from millrace.experiments.watch import Watch

ONE, TWO = "one tower", "two towers"
VARIANTS = {ONE: "one_gpu", TWO: "paper"}


def run(setting: Setting) -> Outcome:
    """Train both networks, and compare the errors on photographs that were held out.

    As in the paper, the one tower has half as many kernels in conv1 to conv4; conv5 and the dense layers, which hold
    most of the parameters, stay as they are.
    """
    scale = setting.scale
    photographs = imagenette_photographs(scale)
    arms = [
        Arm(name, partial(network, photographs, scale.width, variant), dropping(RATE, scale.epochs))
        for name, variant in VARIANTS.items()
    ]
    watch = Watch(setting.say, len(arms) * len(setting.seeds) * scale.epochs)
    curves = compare(arms, photographs.data, setting.seeds, scale.epochs, scale.batch_size, watch)
    return compared(
        setting, curves, ONE, {TWO: -1}, {TWO: "1.7 points lower"},
        "on ImageNet, the top-1 error is 1.7 points and the top-5 error 1.2 points lower with two towers than with one "
        "of half as many kernels (section 3.2)",
        "Two towers, and one of half as many kernels", "two-towers.svg",
    )  # fmt: skip


TWO_TOWERS = Experiment(
    name="two-towers",
    claim="two towers, each on a GPU of its own, lower the error against one tower with half as many kernels",
    source="section 3.2",
    quick="1,500 photographs of Imagenette, crops of 67 pixels, AlexNet of a quarter of the width, 30 epochs",
    full=f"all photographs of Imagenette, crops of 227 pixels, the paper's AlexNet, 90 epochs; {FULL_COST}",
    run=run,
    quick_scale=Scale(images=1_500, validation=500, epochs=30, width=24, batch_size=32, size=67),
    full_scale=FULL,
    data=("imagenette",),
    seeds=4,
)
