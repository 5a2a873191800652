"""`pca-colour`: AlexNet with and without random changes of colour along the principal components (section 4.1)."""

from __future__ import annotations

from millrace.experiments.comparison import compared
from millrace.experiments.experiment import Experiment, Outcome, Setting
from millrace.experiments.on_photographs import forms, trained_alike

WITHOUT, WITH = "plain colours", "changed colours"


def run(setting: Setting) -> Outcome:
    """Train the network both ways, with crops and reflections in both, and compare the errors on held-out pictures."""
    curves = trained_alike(setting, {WITHOUT: {"recoloured": False}, WITH: {"recoloured": True}})
    return compared(
        setting, curves, WITHOUT, {WITH: -1}, {WITH: "over 1 point lower"},
        "on ImageNet, changing the colours lowers the top-1 error by more than 1 point (section 4.1)",
        "Colours changed along their principal components", "pca-colour.svg",
    )  # fmt: skip


PCA_COLOUR = Experiment(
    name="pca-colour",
    claim="changing the colours of photographs along their principal components lowers the error",
    source="section 4.1",
    run=run,
    **forms(),
    seeds=4,
)
