"""`millrace predict`: what picture files show, by a trained run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from millrace.engines.function import engine_named
from millrace.ir.errors import FileError
from millrace.models import recipe
from millrace.training.model import load_model
from millrace.training.run import Run


def predict_images(path: Path, images: Sequence[Path], engine: str | None) -> None:
    """Print a table of answers; raise FileError at the end if a file could not be read."""
    from rich.console import Console
    from rich.table import Table

    run = Run.open(path)
    config = run.config()
    chosen = recipe(config["model"])
    model = load_model(run.weights, engine=engine_named(engine).name)
    examples, read, failures = [], [], []
    for image in images:
        try:
            examples.append(chosen.image(image))
            read.append(image)
        except FileError as error:
            failures.append(str(error))
    if examples:
        classes = chosen.classes
        table = Table(pad_edge=False)
        table.add_column("Image", overflow="fold")
        for column in ("Answer", "Sure", "Else"):
            table.add_column(column, justify="right")
        for image, p in zip(read, model.predict(np.stack(examples)), strict=True):
            first, second = np.argsort(-p, kind="stable")[:2]
            table.add_row(str(image), classes[first], f"{p[first]:.1%}", f"{classes[second]} {p[second]:.1%}")
        Console(highlight=False).print(table)
    if failures:
        raise FileError("\nmillrace: ".join(failures))
