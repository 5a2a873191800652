"""`millrace explain RUN IMAGE`: what a trained network sees in a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from millrace.cli.opened import configured
from millrace.cli.pages import give
from millrace.cli.subjects import at_hand, subject
from millrace.explain.likeness import Alike, alike
from millrace.explain.sight_page import sight_page
from millrace.ir.errors import ArgumentError, DataError, FileError
from millrace.look.subject import Subject
from millrace.training.run import Run

NEAREST = 6


def explain_run(path: Path, image: Path | None, html: Path | None, lang: str) -> None:
    """Print what a network sees in a picture, or in the first held-out one of its own data.

    path: a run directory, a saved model, or the name of a network, which has learned nothing yet.

    html: a file to write the page to.
    Raises FileError for what is no run or cannot be read, ArgumentError for a network that takes no pictures.
    """
    found = subject(str(path), image, "explain")
    if found.tokens or isinstance(found.example, list) or np.ndim(found.example) != 3:
        raise ArgumentError(
            f"{path} takes no picture: `millrace look {path}` shows what its layers make of a text, step by step."
        )
    page = sight_page(
        found.model, found.example, found.name, found.about, found.classes, found.truth, near(path, found),
        bool(found.origin), lang, found.held,
    )  # fmt: skip
    give(page, html)


def near(path: Path, found: Subject) -> Alike | str:
    """The nearest training examples; or why they cannot be shown."""
    if path.is_file():
        return f"{path} does not say what it learned from."
    config: dict[str, Any] = Run.open(path).config() if path.is_dir() else {"model": str(path), "seed": 0}
    try:
        data = at_hand(configured(config), config["seed"])
        return alike(found.model, found.example, data.x_train, data.y_train, NEAREST)
    except (FileError, DataError) as error:
        return str(error).splitlines()[0]
