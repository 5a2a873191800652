"""`augmentation`: AlexNet trained on crops and reflections, and on the middle of each photograph (section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from millrace.experiments.arms import LAST, Curve
from millrace.experiments.comparison import points, seeds_text, verdict
from millrace.experiments.experiment import Experiment, Outcome, Setting
from millrace.experiments.figure import draw_curves
from millrace.experiments.on_photographs import forms, trained_alike
from millrace.experiments.spread import percent_text, spread_text

WITHOUT, WITH = "the middle alone", "crops and reflections"
GAP = "gap from training to validation error"


def run(setting: Setting) -> Outcome:
    """Train the network both ways, and compare the gaps from training to validation error, and the errors."""
    curves = trained_alike(setting, {WITHOUT: {"moved": False}, WITH: {"moved": True}}, over_all=True)
    return outcome(setting, curves)


def outcome(setting: Setting, curves: Mapping[str, Sequence[Curve]]) -> Outcome:
    """The table, the verdicts and the figure of curves with training errors over all training examples."""
    trained = {name: [curve.final("train_error") for curve in arm] for name, arm in curves.items()}
    held = {name: [curve.final("val_error") for curve in arm] for name, arm in curves.items()}
    gaps = {name: points(held[name], trained[name]).each for name in curves}
    paper = {WITHOUT: "substantial overfitting"}
    rows = [
        [name, paper.get(name, "-"), percent_text(trained[name]), percent_text(held[name]), spread_text(gaps[name])]
        for name in curves
    ]
    gap = points([g / 100 for g in gaps[WITH]], [g / 100 for g in gaps[WITHOUT]])
    error = points(held[WITH], held[WITHOUT])
    drawn = {f"{name}, {kind}": [curve[column] for curve in arm] for name, arm in curves.items()
             for kind, column in (("training", "train_error"), ("validation", "val_error"))}  # fmt: skip
    return Outcome(
        columns=["Trained on", "Paper", "Training error", "Validation error", "Gap, points"],
        rows=rows,
        paper="without crops and reflections the network overfits substantially (section 4.1)",
        verdict=f"{verdict(gap, WITH, WITHOUT, -1, setting, GAP)} {verdict(error, WITH, WITHOUT, -1, setting)}",
        figures=[
            draw_curves(setting.out / "augmentation.svg", "Training with and without crops and reflections", drawn,
                        "error"),
        ],
        numbers={
            "training error": trained,
            "validation error": held,
            "gap in points": gaps,
            "curves": {name: [asdict(curve) for curve in arm] for name, arm in curves.items()},
        },
        notes=[
            f"Errors: mean of the last {LAST} epochs, on the middle of each photograph, without dropout; mean ± "
            f"standard deviation over {seeds_text(len(setting.seeds))}. In the verdict: mean ± half of the 95% "
            "interval, seed by seed (Student's t)."
        ],
    )  # fmt: skip


AUGMENTATION = Experiment(
    name="augmentation",
    claim="without random crops and reflections the network overfits substantially",
    source="section 4.1",
    run=run,
    **forms(),
)
