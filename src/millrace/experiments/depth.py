"""`depth`: AlexNet, and the same with one of its middle layers removed (section 7)."""

from __future__ import annotations

from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Setting
from millrace.experiments.on_photographs import forms, trained_alike
from millrace.models.alexnets import MIDDLE

WHOLE = "all layers"
QUICK = ("conv3", "conv4", "conv5")


def run(setting: Setting) -> Outcome:
    """Train the network whole and without each of its middle layers, and compare the errors on held-out photographs.

    The quick form removes convolutions alone; the full one each of the two dense layers in the middle, too.
    """
    absent = {f"without {name}": name for name in (QUICK if setting.quick else MIDDLE)}
    curves = trained_alike(setting, {name: {"without": layer} for name, layer in {WHOLE: None, **absent}.items()})
    return compared(
        setting, curves, WHOLE, dict.fromkeys(absent, 1), dict.fromkeys(absent, "about 2 points higher"),
        "on ImageNet, removing any one of the middle layers costs about 2 points of top-1 error (section 7)",
        "One middle layer removed", "depth.svg",
    )  # fmt: skip


DEPTH = Experiment(
    name="depth",
    claim="the depth matters: removing any one of the middle layers raises the error by about 2 points",
    source="section 7",
    run=run,
    **forms(24),
)
