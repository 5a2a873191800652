"""What the experiments on photographs share: narrow AlexNets, trained alike, and the forms that they have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from millrace.experiments.arms import Curve, compare_ways
from millrace.experiments.experiment import Scale, Setting
from millrace.experiments.imagenette_pictures import imagenette_photographs
from millrace.experiments.small_alexnet import FULL, FULL_COST, RATE, network


def trained_alike(
    setting: Setting, ways: Mapping[str, Mapping[str, Any]], over_all: bool = False
) -> dict[str, list[Curve]]:  # fmt: skip
    """A network for each way, which says what `network` is told, trained from each seed on the same photographs.

    over_all: measure the training error over all training photographs, too.
    """
    photographs = imagenette_photographs(setting.scale)
    build = partial(network, photographs, setting.scale.width)
    return compare_ways(setting, photographs.data, build, ways, RATE, over_all)


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
