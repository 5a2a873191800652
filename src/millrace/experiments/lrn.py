"""`lrn`: a four-layer network with and without local response normalization (section 3.3)."""

from __future__ import annotations

from functools import partial
from typing import Any

from millrace.data.datasets import Dataset
from millrace.experiments.arms import compare_ways
from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Setting
from millrace.experiments.four_layers import RATE, forms, network
from millrace.experiments.pictures import centred, contrast, photographs

WITHOUT, WITH = "without LRN", "with LRN"
ALPHA = 1e-4  # the paper's, of numbers that come from pixels of 0 to 255


def run(setting: Setting) -> Outcome:
    """Train the network both ways, and compare the errors on photographs that were held out."""
    photos = photographs(setting.scale)
    ways: dict[str, dict[str, Any]] = {WITHOUT: {"lrn_alpha": None}, WITH: {"lrn_alpha": alpha(photos)}}
    curves = compare_ways(setting, centred(photos), partial(network, setting.scale.width), ways, RATE)
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
    run=run,
    **forms(),
)
