"""`overlapping-pooling`: windows of 3 moved by 2 against windows of 2 moved by 2 (section 3.4)."""

from __future__ import annotations

from functools import partial

from millrace.experiments.arms import compare_ways
from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Setting
from millrace.experiments.four_layers import RATE, forms, network
from millrace.experiments.pictures import centred, photographs

APART, OVERLAPPING = "windows of 2", "windows of 3"


def run(setting: Setting) -> Outcome:
    """Train the network both ways, and compare the errors on photographs that were held out.

    The maps have the same sizes both ways, and the networks as many weights.
    """
    data = centred(photographs(setting.scale))
    ways = {APART: {"window": 2}, OVERLAPPING: {"window": 3}}
    curves = compare_ways(setting, data, partial(network, setting.scale.width), ways, RATE)
    return compared(
        setting, curves, APART, {OVERLAPPING: -1}, {OVERLAPPING: "0.4 points lower"},
        "on ImageNet, overlapping windows lower the top-1 and top-5 error by 0.4 and 0.3 points (section 3.4)",
        "Pooling moved by 2: windows of 3 overlap, windows of 2 do not", "overlapping-pooling.svg",
    )  # fmt: skip


OVERLAPPING_POOLING = Experiment(
    name="overlapping-pooling",
    claim="pooling windows that overlap, of 3 moved by 2, give a lower error than windows of 2 moved by 2",
    source="section 3.4",
    run=run,
    **forms(),
)
