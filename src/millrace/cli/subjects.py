"""What is looked at: a network by name, of a run, or of a saved model, each with one example."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from millrace.cli.opened import configured, opened
from millrace.cli.train import trained
from millrace.data.datasets import Dataset, digits
from millrace.data.decode import decode_image
from millrace.data.folder import offline
from millrace.data.images import read_colour, read_ink, resized
from millrace.data.picture_header import picture_kind
from millrace.data.source import Source
from millrace.ir.errors import ArgumentError, DataError, FileError, one_of
from millrace.layers.base import set_seed
from millrace.look.subject import Subject
from millrace.models import RECIPES, Recipe
from millrace.training.model import Model, load_model

ENGINE = "numpy"  # one example at a time: it answers before a compiler would begin
MANY = 1_000  # classes of a network whose data are not there


def subject(name: str, image: Path | None, command: str = "look") -> Subject:
    """What is looked at: a network with an example, and what its answers are called.

    command: the one that asks, for the mend of an error. Raises ArgumentError for an unknown name, a picture where the
    network should stand, or a picture for a network that takes none; FileError or DataError for what is missing or
    cannot be read.
    """
    path = Path(name)
    if is_picture(path):
        first = "RUN" if image is None or is_picture(image) else image
        raise ArgumentError(
            f"{name} is a picture: give the run first, and then the picture: millrace {command} {first} {name}"
        )
    if name in RECIPES:
        return by_name(name, image)
    if path.is_dir():
        return of_run(path, image)
    if path.is_file():
        return of_file(path, image)
    if path.suffix or len(path.parts) > 1:
        raise FileError(f"{name} does not exist: expected a run directory, or a model that `model.save` kept.")
    raise one_of("model", name, [key for key, one in RECIPES.items() if isinstance(one, Recipe)])


def by_name(name: str, image: Path | None) -> Subject:
    """A network as it is before training."""
    chosen = taking(trained(name), image)
    try:
        data = at_hand(chosen, 0)
    except FileError as error:
        if image is None:
            raise FileError(f"{name} has no example at hand: give a picture, or its data.\n  {error}") from None
        data = Dataset("", None, None, None, None, tuple(map(str, range(1, MANY + 1))), "")
    set_seed(0)
    model = chosen.build(data)
    found = example(chosen, model, data, image)
    return Subject(
        name, model, found.array, found.about, data.classes, tokens(model, data), found.truth, held=found.held
    )  # fmt: skip


def is_picture(path: Path) -> bool:
    """Whether a file begins as pictures do."""
    with suppress(OSError, DataError), path.open("rb") as file:
        return bool(picture_kind(file.read(64)))
    return False


def at_hand(chosen: Recipe, seed: int) -> Dataset:
    """The data of a network, if they are there.  Raises FileError where they are not."""
    with offline():
        return chosen.data(seed)


def of_run(path: Path, image: Path | None) -> Subject:
    """The network of a run's newest whole checkpoint."""
    run = opened(path, ENGINE)
    chosen = taking(configured(run.config), image)
    words = Dataset("", None, None, None, None, run.classes, "", run.vocabulary)
    given = words
    if image is None:
        try:
            given = at_hand(chosen, run.config["seed"])
        except FileError as error:
            raise FileError(f"{path} has no example at hand: give a picture, or its data.\n  {error}") from None
    shown = example(chosen, run.model, given, image, run.vocabulary)
    return Subject(
        run.config["model"], run.model, shown.array, shown.about, run.classes, tokens(run.model, words), shown.truth,
        f"{path.resolve().name}/{run.checkpoint}", shown.held,
    )  # fmt: skip


def of_file(path: Path, image: Path | None) -> Subject:
    """A model that `model.save` kept; its classes are numbers, unless they are digits."""
    model = load_model(path, engine=ENGINE)
    takes = model.inputs[0].shape[1:]
    if len(model.inputs) > 1 or len(takes) != 3 or takes[-1] not in (1, 3) or not all(type(n) is int for n in takes):
        raise ArgumentError(
            f"{path} takes {', '.join(str(value.type) for value in model.inputs)}: of saved models only those of "
            "pictures can be looked at, [batch, height, width, 1 or 3]; of what `millrace train` trained, every run "
            "directory."
        )
    if image is not None:
        shown = Example(fitted(image, model), image.name)
    elif takes == (8, 8, 1):
        data = digits()
        shown = Example(data.x_validation[0], "digits", data.classes[data.y_validation[0]], held=True)
    else:
        shown = Example(photograph(model), "flower.jpg")
    classes = tuple("0123456789") if shown.held else ()
    return Subject(model.name, model, shown.array, shown.about, classes, (), shown.truth, path.name, shown.held)


# ---- an example


@dataclass(frozen=True)
class Example:
    """One example as a network takes it, what it is, its class where that is known, and whether it is held out."""

    array: Any
    about: str
    truth: str = ""
    held: bool = False


def example(
    chosen: Recipe, model: Model, data: Dataset, image: Path | None, vocabulary: Any = None
) -> Example:  # fmt: skip
    """The picture that was given, or the first held-out example of the network's own data."""
    if image is not None:
        assert chosen.example is not None
        text = vocabulary or data.vocabulary
        return Example(chosen.example(str(image), text), str(image) if text else image.name)
    x, y = data.x_validation, data.y_validation
    if isinstance(x, Source):
        taken = x.take(np.arange(1))
        if taken.broken:
            raise DataError(f"the first picture of {x.name} cannot be read: give one, as millrace look MODEL IMAGE.")
        height, width = model.inputs[0].shape[1:3]
        content, number = taken.columns[0][0], int(np.asarray(taken.columns[1])[0])
        pixels = decode_image(content, int(height), int(width))
        return Example(pixels, data.name, data.classes[number], True)
    array = [part[0] for part in x] if isinstance(x, list) else x[0]
    truth = data.classes[int(y[0])] if np.ndim(y) == 1 and data.classes else ""
    return Example(array, data.name, truth, True)


def taking(chosen: Recipe, image: Path | None) -> Recipe:
    """The recipe.  Raises ArgumentError where a picture is given to one that takes none."""
    if image is not None and chosen.example is None:
        raise ArgumentError(f"{chosen.name} takes no picture: leave it out, and an example of its data is shown.")
    return chosen


def tokens(model: Model, data: Dataset) -> tuple[str, ...]:
    """The words or characters behind the numbers that a network of text takes."""
    if model.inputs[0].type.is_integer and len(model.inputs[0].shape) in (2, 3):
        return data.vocabulary or data.classes  # where the next character is asked for, characters are the classes
    return ()


def fitted(image: Path, model: Model) -> np.ndarray:
    """The middle square of a picture in the size that a model takes; of one with one channel, its ink."""
    height, width, channels = model.inputs[0].shape[1:]
    pixels = read_ink(image)[..., None] if channels == 1 else read_colour(image)
    return scaled(pixels, height, width, model)


def photograph(model: Model) -> np.ndarray:
    """A photograph that comes with scikit-learn, in the size that a model takes."""
    from sklearn.datasets import load_sample_image

    height, width, channels = model.inputs[0].shape[1:]
    pixels = load_sample_image("flower.jpg").astype(np.float32) / 255
    return scaled(pixels if channels == 3 else pixels.mean(-1, keepdims=True), height, width, model)


def scaled(pixels: np.ndarray, height: int, width: int, model: Model) -> np.ndarray:
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = pixels[top : top + side, left : left + side]
    made = resized(square[..., 0] if square.shape[-1] == 1 else square, height, width)
    made = made.reshape(height, width, -1)
    return (255 * made).round().astype(np.uint8) if model.inputs[0].type.is_integer else made
