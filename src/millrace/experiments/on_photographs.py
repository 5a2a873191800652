"""What the experiments on photographs share: narrow AlexNets, trained alike, and the forms that they have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from millrace.experiments.arms import Arm, Curve, compare, dropping
from millrace.experiments.experiment import Scale, Setting
from millrace.experiments.imagenette_pictures import imagenette_photographs
from millrace.experiments.small_alexnet import FULL, FULL_COST, RATE, network
from millrace.experiments.watch import Watch


def trained_alike(
    setting: Setting, ways: Mapping[str, Mapping[str, Any]], over_all: bool = False
) -> dict[str, list[Curve]]:  # fmt: skip
    """A network for each way, which says what `network` is told, trained from each seed on the same photographs.

    over_all: measure the training error over all training photographs, too.
    """
    scale = setting.scale
    photographs = imagenette_photographs(scale)
    arms = [
        Arm(name, partial(network, photographs, scale.width, **way), dropping(RATE, scale.epochs))
        for name, way in ways.items()
    ]
    watch = Watch(setting.say, len(arms) * len(setting.seeds) * scale.epochs)
    return compare(
        arms, photographs.data, setting.seeds, scale.epochs, scale.batch_size, watch, over_all=over_all
    )  # fmt: skip


def forms(epochs: int = 30) -> dict[str, Any]:
    """The quick form, of so many epochs, and the full one."""
    quick = "1,500 photographs of Imagenette, crops of 67 pixels, AlexNet of a quarter of the width"
    return {
        "quick": f"{quick}, {epochs} epochs",
        "full": f"all photographs of Imagenette, crops of 227 pixels, the paper's AlexNet, 90 epochs; {FULL_COST}",
        "quick_scale": Scale(images=1_500, validation=500, epochs=epochs, width=24, batch_size=32, size=67),
        "full_scale": FULL,
        "data": ("imagenette",),
    }
