"""What a trained network answers on held-out examples: right, wrong, how sure, and what the examples look like."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.data.datasets import Dataset
from millrace.data.source import Source
from millrace.training.examples import batch_size_for
from millrace.training.inputs import input_of
from millrace.training.model import Model

SHOWN, READ = 48, 12  # pictures of mistakes, and sentences, at most
BATCH = 256
LARGE = 160  # pixels: the longer side of a picture that is shown


@dataclass(frozen=True)
class Answers:
    """Probabilities [examples, classes], the true classes [examples], and `example(i)`: one as the network got it."""

    probabilities: np.ndarray
    truth: np.ndarray
    example: Callable[[int], Any]

    @property
    def guess(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    @property
    def wrong(self) -> np.ndarray:
        """Which examples it got wrong, its surest mistakes first."""
        guess = self.guess
        wrong = np.flatnonzero(guess != self.truth)
        return wrong[np.argsort(-self.probabilities[wrong, guess[wrong]], kind="stable")]


def answers(model: Model, data: Dataset) -> Answers | None:
    """The answers of a network that gives one class for each held-out example; None for others."""
    if isinstance(data.x_validation, Source):
        return _of_source(model, data.x_validation)
    if np.ndim(data.y_validation) != 1:
        return None
    x = data.x_validation
    probabilities = each_class(model.predict(x, batch_size=BATCH))
    return Answers(probabilities, data.y_validation, lambda i: [part[i] for part in x] if isinstance(x, list) else x[i])


def _of_source(model: Model, source: Source) -> Answers | None:
    """Batch by batch, without the records that are broken; pictures are read again when they are shown."""
    steps = model.training_steps
    if len(steps.answers) != 1 or steps.answers[0].target.ndim != 1:
        return None
    size = batch_size_for(model.inputs, BATCH, source.count)
    given, one = (
        input_of(source, "report", n, None, None, None, model.inputs, model.outputs, steps.answers) for n in (size, 1)
    )  # fmt: skip
    feed = given.start()
    probabilities, truth, places = [], [], []
    try:
        for number in range(feed.batches.count):
            batch = feed.take()
            real = np.flatnonzero(batch.weights)
            x, y = batch.arrays[: len(model.inputs)], batch.arrays[len(model.inputs)]
            probabilities.append(each_class(np.asarray(steps.predict(*x)[0]))[real])
            truth.append(y[real])
            places += [number * size + int(row) for row in real]
    finally:
        feed.cancel()

    def example(i: int) -> Any:
        return one.batches.make(0, places[i]).arrays[0][0]

    return Answers(np.concatenate(probabilities), np.concatenate(truth), example)


def each_class(given: np.ndarray) -> np.ndarray:
    """Probabilities [examples, classes]; one probability of yes becomes those of no and yes."""
    return np.stack([1 - given, given], axis=1) if given.ndim == 1 else given


def mistakes(data: Dataset, found: Answers) -> list[dict[str, Any]]:
    """The examples that the model got wrong, as they are shown: pictures, or sentences."""
    guess, p = found.guess, found.probabilities
    return [
        {
            "picture": None if data.vocabulary else picture(found.example(i)),
            "text": sentence(data, found.example(i)) if data.vocabulary else None,
            "truth": data.classes[found.truth[i]],
            "guess": data.classes[guess[i]],
            "sure": float(p[i, guess[i]]),
            "given_truth": float(p[i, found.truth[i]]),
        }
        for i in found.wrong[: READ if data.vocabulary else SHOWN]
    ]


def picture(image: np.ndarray, scale: int = 8) -> str:
    """An image [height, width, 1 or 3], uint8 or from 0 to 1, as a data URL; ink of grey ones dark on light."""
    from PIL import Image

    pixels = image if image.dtype == np.uint8 else (255 * np.clip(image, 0, 1)).astype(np.uint8)
    pixels = 255 - pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    made = Image.fromarray(pixels)
    longer = max(made.size)
    if longer > LARGE:
        made = made.resize((made.width * LARGE // longer, made.height * LARGE // longer))
    else:
        times = max(min(scale, 2 * LARGE // longer), 1)
        made = made.resize((made.width * times, made.height * times), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def sentence(data: Dataset, example: Any) -> str:
    """An example of words as people read it: its sentences, one after another."""
    parts = example if isinstance(example, list) else [example]
    rows = [row for part in parts for row in np.reshape(part, (-1, part.shape[-1]))]
    return ". ".join(" ".join(data.vocabulary[n] for n in row if n) for row in rows)
