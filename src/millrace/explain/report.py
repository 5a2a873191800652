"""The report of a run: one HTML file that needs no network and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from millrace.data.datasets import Dataset
from millrace.diagnosis.fitting import WINDOW, overfitting
from millrace.diagnosis.record import Record
from millrace.explain.charts import confusion, curves
from millrace.explain.drawing import draw
from millrace.explain.held_out import answers, mistakes
from millrace.explain.run_drawing import draw_program
from millrace.explain.run_findings import run_findings
from millrace.ir.dims import shape_text
from millrace.ir.errors import DataError
from millrace.training.checkpoint import write_whole
from millrace.training.model import Model
from millrace.training.program_file import levels_in_words, load_program
from millrace.training.run import Run
from millrace.training.summary import hyperparameters_text, parameter_counts, rows

CLASSES = 100  # of more, a table with a cell for each pair could not be read


def in_words(lines: Sequence[Mapping[str, float]], right: int | None, total: int, record: Record) -> str:
    """What the curves say, in a sentence or two."""
    last = lines[-1]
    passes = "1 epoch" if len(lines) == 1 else f"{len(lines)} epochs"
    if right is not None:
        text = f"After {passes} the network reads {right} of {total} held-out examples right ({right / total:.1%})."
    else:
        text = f"After {passes} the loss on {total} held-out examples is {last.get('val_loss', last['loss']):.4f}."
    if len(record.curves.get("val_loss", ())) >= WINDOW:
        found = overfitting(record)
        text += " The validation loss ends near its lowest: no sign of overfitting." if found is None else (
            f" {found.say('evidence')} From there it learned the training examples by heart (overfitting)."
        )  # fmt: skip
    return text


def write_report(run: Run, model: Model, data: Dataset, said: str = "", lang: str = "en") -> None:
    """Make `report.html` of a run from its metrics, its model and the held-out data.

    `said` is what the trained network was asked to do, as text. Networks that give one class for each
    example get a confusion matrix and their mistakes. lang: of what the run's numbers say about it, "en" or "zh".
    Raises DataError for a run without a finished epoch, FileError where it cannot be written.
    """
    from jinja2 import Environment

    lines = run.metrics()
    if not lines:
        raise DataError(f"{run.path} has no finished epoch to report.")
    counts, right, missed, held = None, None, 0, data.held
    wrong: list[dict[str, Any]] | None = None
    found = answers(model, data)
    if found is not None:
        counts = confusion(found.truth, found.guess, data.classes) if len(data.classes) <= CLASSES else None
        held, missed = len(found.truth), len(found.wrong)
        wrong, right = mistakes(data, found), held - missed
    x = [line["epoch"] for line in lines]

    def chart(title: str, metric: str, percent: bool) -> str | None:
        names = {metric: "training", f"val_{metric}": "validation"}
        series = {shown: [line[name] for line in lines] for name, shown in names.items() if name in lines[0]}
        return curves(title, series, x, percent) if series else None

    learned, other = parameter_counts(model)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    folder = files("millrace.explain")
    template = environment.from_string((folder / "report.html.j2").read_text("utf-8"))
    html = template.render(
        title=f"{model.name}: a training run", words=in_words(lines, right, held, run.record), said=said,
        config=run.config(), last=lines[-1], data=data, seconds=sum_seconds(lines),
        learners=data.learners, held=held,
        loss=chart("Loss", "loss", False), accuracy=chart("Accuracy", "accuracy", True),
        classes=data.classes, counts=None if counts is None else counts.tolist(),
        peak=1 if counts is None else int(counts.max()),
        wrong=wrong, more=missed - len(wrong or ()),
        rows=[(r, hyperparameters_text(r), shape_text(r.shape)) for r in rows(model)], learned=learned, other=other,
        style=(folder / "style.css").read_text("utf-8"), drawing=draw(model), run_drawing=run_drawing(run),
        queue=levels_in_words(run.program), findings=run_findings(run.record, lang), lang=lang,
    )  # fmt: skip
    write_whole(run.report, html.encode())


def run_drawing(run: Run) -> str:
    """The whole run as a drawing; "" for a run of an older Millrace, which kept no graph of it."""
    return draw_program(load_program(run.program)) if run.program.is_file() else ""


def sum_seconds(lines: Sequence[Mapping[str, float]]) -> float:
    """The time of all sittings: each counts its seconds from its own start."""
    total = before = 0.0
    for line in lines:
        now = line.get("seconds", 0.0)
        total += now - before if now >= before else now
        before = now
    return total
