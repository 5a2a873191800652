"""`pca-colour`: AlexNet with and without random changes of colour along the principal components (section 4.1)."""

from __future__ import annotations

from functools import partial

from millrace.experiments.arms import Arm, compare, dropping
from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.imagenette_pictures import imagenette_photographs
from millrace.experiments.small_alexnet import FULL, FULL_COST, RATE, network
from millrace.experiments.watch import Watch

WITHOUT, WITH = "plain colours", "changed colours"


def run(setting: Setting) -> Outcome:
    """Train the network both ways, with crops and reflections in both, and compare the errors on held-out pictures."""
    scale = setting.scale
    photographs = imagenette_photographs(scale)
    arms = [
        Arm(name, partial(network, photographs, scale.width, recoloured=recoloured), dropping(RATE, scale.epochs))
        for name, recoloured in ((WITHOUT, False), (WITH, True))
    ]
    watch = Watch(setting.say, len(arms) * len(setting.seeds) * scale.epochs)
    curves = compare(arms, photographs.data, setting.seeds, scale.epochs, scale.batch_size, watch)
    return compared(
        setting, curves, WITHOUT, {WITH: -1}, {WITH: "over 1 point lower"},
        "on ImageNet, changing the colours lowers the top-1 error by more than 1 point (section 4.1)",
        "Colours changed along their principal components", "pca-colour.svg",
    )  # fmt: skip


PCA_COLOUR = Experiment(
    name="pca-colour",
    claim="changing the colours of photographs along their principal components lowers the error",
    source="section 4.1",
    quick="1,500 photographs of Imagenette, crops of 67 pixels, AlexNet of a quarter of the width, 30 epochs",
    full=f"all photographs of Imagenette, crops of 227 pixels, the paper's AlexNet, 90 epochs; {FULL_COST}",
    run=run,
    quick_scale=Scale(images=1_500, validation=500, epochs=30, width=24, batch_size=32, size=67),
    full_scale=FULL,
    data=("imagenette",),
    seeds=4,
)
