"""The report of a run: one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from millrace.data.datasets import Dataset
from millrace.explain.charts import confusion, curves
from millrace.explain.drawing import draw
from millrace.ir.dims import shape_text
from millrace.ir.errors import DataError
from millrace.training.checkpoint import write_whole
from millrace.training.model import Model
from millrace.training.run import Run
from millrace.training.summary import hyperparameters_text, parameter_counts, rows

SHOWN, READ = 48, 12  # pictures of mistakes, and sentences, at most
WINDOW, RISE = 3, 1.25  # overfitting: the mean validation loss of 3 epochs, a quarter above its lowest


def picture(image: np.ndarray, scale: int = 8) -> str:
    """An image [height, width, 1 or 3] from 0 to 1 as a data URL, ink dark on light."""
    from PIL import Image

    pixels = (255 * np.clip(image, 0, 1)).astype(np.uint8)
    pixels = 255 - pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    made = Image.fromarray(pixels)
    made = made.resize((made.width * scale, made.height * scale), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def each_class(answers: np.ndarray) -> np.ndarray:
    """Probabilities [examples, classes]; one probability of yes becomes those of no and yes."""
    return np.stack([1 - answers, answers], axis=1) if answers.ndim == 1 else answers


def mistakes(data: Dataset, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """The held-out examples that the model got wrong, the surest mistakes first: pictures, or sentences."""
    guess = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(guess != data.y_validation)
    wrong = wrong[np.argsort(-probabilities[wrong, guess[wrong]], kind="stable")]
    x = data.x_validation
    return [
        {
            "picture": None if data.vocabulary else picture(x[i]),
            "text": sentence(data, x, i) if data.vocabulary else None,
            "truth": data.classes[data.y_validation[i]],
            "guess": data.classes[guess[i]],
            "sure": float(probabilities[i, guess[i]]),
            "given_truth": float(probabilities[i, data.y_validation[i]]),
        }
        for i in wrong[: READ if data.vocabulary else SHOWN]
    ]


def sentence(data: Dataset, x: Any, i: int) -> str:
    """An example of words as people read it: its sentences, one after another."""
    parts = x if isinstance(x, list) else [x]
    rows = [row for part in parts for row in np.reshape(part[i], (-1, part[i].shape[-1]))]
    return ". ".join(" ".join(data.vocabulary[n] for n in row if n) for row in rows)


def in_words(lines: Sequence[Mapping[str, float]], right: int | None, total: int) -> str:
    """What the curves say, in a sentence or two."""
    last = lines[-1]
    passes = "1 epoch" if len(lines) == 1 else f"{len(lines)} epochs"
    if right is not None:
        text = f"After {passes} the network reads {right} of {total} held-out examples right ({right / total:.1%})."
    else:
        text = f"After {passes} the loss on {total} held-out examples is {last.get('val_loss', last['loss']):.4f}."
    validation = [line["val_loss"] for line in lines if "val_loss" in line]
    if len(validation) >= WINDOW:
        smooth = [sum(validation[i : i + WINDOW]) / WINDOW for i in range(len(validation) - WINDOW + 1)]
        best = min(range(len(smooth)), key=smooth.__getitem__)
        if smooth[-1] > RISE * smooth[best] and last["loss"] < lines[best]["loss"]:
            text += (
                f" The validation loss was lowest around epoch {best + 1 + WINDOW // 2} ({smooth[best]:.4f}) and rose "
                f"to {smooth[-1]:.4f} while the training loss went on falling: from there it learned the training "
                "examples by heart (overfitting)."
            )
        else:
            text += " The validation loss ends near its lowest: no sign of overfitting."
    return text


def write_report(run: Run, model: Model, data: Dataset, said: str = "") -> None:
    """Make `report.html` of a run from its metrics, its model and the held-out data.

    `said` is what the trained network was asked to do, as text. Networks that give one class for each
    example get a confusion matrix and their mistakes.
    Raises DataError for a run without a finished epoch, FileError where it cannot be written.
    """
    from jinja2 import Environment

    lines = run.metrics()
    if not lines:
        raise DataError(f"{run.path} has no finished epoch to report.")
    counts, wrong, right = None, [], None
    missed = 0
    if np.ndim(data.y_validation) == 1:
        probabilities = each_class(model.predict(data.x_validation, batch_size=256))
        guess = probabilities.argmax(axis=1)
        right = int((guess == data.y_validation).sum())
        counts = confusion(data.y_validation, guess, data.classes)
        wrong, missed = mistakes(data, probabilities), len(guess) - right
    x = [line["epoch"] for line in lines]

    def chart(title: str, metric: str, percent: bool) -> str | None:
        names = {metric: "training", f"val_{metric}": "validation"}
        series = {shown: [line[name] for line in lines] for name, shown in names.items() if name in lines[0]}
        return curves(title, series, x, percent) if series else None

    learned, other = parameter_counts(model)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("millrace.explain") / "report.html.j2").read_text("utf-8"))
    html = template.render(
        title=f"{model.name}: a training run", words=in_words(lines, right, len(data.y_validation)), said=said,
        config=run.config(), last=lines[-1], data=data, seconds=sum_seconds(lines),
        learners=len(data.y_train), held=len(data.y_validation),
        loss=chart("Loss", "loss", False), accuracy=chart("Accuracy", "accuracy", True),
        classes=data.classes, counts=None if counts is None else counts.tolist(),
        peak=1 if counts is None else int(counts.max()),
        wrong=wrong, more=missed - len(wrong),
        rows=[(r, hyperparameters_text(r), shape_text(r.shape)) for r in rows(model)], learned=learned, other=other,
        drawing=draw(model),
    )  # fmt: skip
    write_whole(run.report, html.encode())


def sum_seconds(lines: Sequence[Mapping[str, float]]) -> float:
    """The time of all sittings: each counts its seconds from its own start."""
    total = before = 0.0
    for line in lines:
        now = line.get("seconds", 0.0)
        total += now - before if now >= before else now
        before = now
    return total
