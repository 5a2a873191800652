"""`two-towers`: AlexNet in two towers, and in one with half as many kernels (section 3.2)."""

from __future__ import annotations

from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Setting
from millrace.experiments.on_photographs import forms, trained_alike

ONE, TWO = "one tower", "two towers"


def run(setting: Setting) -> Outcome:
    """Train both networks, and compare the errors on photographs that were held out.

    As in the paper, the one tower has half as many kernels in conv1 to conv4; conv5 and the dense layers, which hold
    most of the parameters, stay as they are.
    """
    curves = trained_alike(setting, {ONE: {"variant": "one_gpu"}, TWO: {"variant": "paper"}})
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
    run=run,
    **forms(),
    seeds=4,
)
