"""`depth`: AlexNet, and the same with one of its middle layers removed (section 7)."""

from __future__ import annotations

from functools import partial

from millrace.experiments.arms import Arm, compare, dropping
from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.imagenette_pictures import imagenette_photographs
from millrace.experiments.small_alexnet import FULL, FULL_COST, RATE, network
from millrace.experiments.watch import Watch
from millrace.models.alexnets import MIDDLE

WHOLE = "all layers"
QUICK = ("conv3", "conv4", "conv5")


def run(setting: Setting) -> Outcome:
    """Train the network whole and without each of its middle layers, and compare the errors on held-out photographs.

    The quick form removes convolutions alone; the full one each of the two dense layers in the middle, too.
    """
    scale = setting.scale
    photographs = imagenette_photographs(scale)
    absent = {f"without {name}": name for name in (QUICK if setting.quick else MIDDLE)}
    arms = [
        Arm(name, partial(network, photographs, scale.width, without=layer), dropping(RATE, scale.epochs))
        for name, layer in {WHOLE: None, **absent}.items()
    ]
    watch = Watch(setting.say, len(arms) * len(setting.seeds) * scale.epochs)
    curves = compare(arms, photographs.data, setting.seeds, scale.epochs, scale.batch_size, watch)
    return compared(
        setting, curves, WHOLE, dict.fromkeys(absent, 1), dict.fromkeys(absent, "about 2 points higher"),
        "on ImageNet, removing any one of the middle layers costs about 2 points of top-1 error (section 7)",
        "One middle layer removed", "depth.svg",
    )  # fmt: skip


DEPTH = Experiment(
    name="depth",
    claim="the depth matters: removing any one of the middle layers raises the error by about 2 points",
    source="section 7",
    quick="1,500 photographs of Imagenette, crops of 67 pixels, AlexNet of a quarter of the width, 24 epochs",
    full=f"all photographs of Imagenette, crops of 227 pixels, the paper's AlexNet, 90 epochs; {FULL_COST}",
    run=run,
    quick_scale=Scale(images=1_500, validation=500, epochs=24, width=24, batch_size=32, size=67),
    full_scale=FULL,
    data=("imagenette",),
)
