"""`lrn`: a four-layer network with and without local response normalization (section 3.3)."""

from __future__ import annotations

from functools import partial

from millrace.data.datasets import Dataset
from millrace.experiments.arms import Arm, compare, dropping
from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Scale, Setting
from millrace.experiments.four_layers import RATE, network
from millrace.experiments.pictures import centred, contrast, photographs
from millrace.experiments.watch import Watch

WITHOUT, WITH = "without LRN", "with LRN"
ALPHA = 1e-4  # the paper's, of numbers that come from pixels of 0 to 255


def run(setting: Setting) -> Outcome:
    """Train the network both ways, and compare the errors on photographs that were held out."""
    scale = setting.scale
    photos = photographs(scale)
    data = centred(photos)
    arms = [
        Arm(name, partial(network, scale.width, lrn_alpha=value), dropping(RATE, scale.epochs))
        for name, value in ((WITHOUT, None), (WITH, alpha(photos)))
    ]
    watch = Watch(setting.say, len(arms) * len(setting.seeds) * scale.epochs)
    curves = compare(arms, data, setting.seeds, scale.epochs, scale.batch_size, watch)
    return compared(
        setting, curves, WITHOUT, {WITH: -1}, {WITHOUT: "13%", WITH: "11%"},
        "on CIFAR-10, a four-layer network's test error falls from 13% to 11% with LRN (section 3.3)",
        "Local response normalization", "lrn.svg",
    )  # fmt: skip


def alpha(data: Dataset) -> float:
    """The paper's alpha for centred photographs, whose numbers are those of pixels divided by s.

    Convolutions and ReLU scale with their input. So with alpha times s squared LRN gives of them what the paper's alpha
    gives of pixels from 0 to 255, divided by s; with alpha as it stands it would do next to nothing.
    """
    return ALPHA * (255 * contrast(data)) ** 2


LRN = Experiment(
    name="lrn",
    claim="local response normalization after the first layers lowers the error",
    source="section 3.3",
    quick="5,000 photographs of CIFAR-10, 12 epochs, 16 kernels",
    full="all 50,000 photographs of CIFAR-10, 60 epochs, 32 kernels",
    run=run,
    quick_scale=Scale(images=5_000, validation=2_000, epochs=12, width=16, batch_size=32),
    full_scale=Scale(images=50_000, validation=10_000, epochs=60, width=32),
    data=("cifar10",),
)
