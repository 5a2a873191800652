"""`millrace predict`: what picture files show, or what sentences mean, by a trained run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from millrace.cli.opened import opened
from millrace.cli.train import trained
from millrace.engines.function import engine_named
from millrace.explain.held_out import each_class
from millrace.ir.errors import ArgumentError, DataError, FileError


def predict_examples(path: Path, given: Sequence[str], engine: str | None) -> None:
    """Print a table of answers; raise FileError at the end if something could not be read."""
    from rich.console import Console
    from rich.table import Table

    run = opened(path, engine_named(engine).name)
    chosen = trained(run.config["model"])
    if chosen.example is None:
        raise ArgumentError(f"{path} ({chosen.name}) takes neither pictures nor sentences: use it from Python.")
    classes, vocabulary = run.classes, run.vocabulary
    examples, read, failures = [], [], []
    for text in given:
        try:
            examples.append(chosen.example(text, vocabulary))
            read.append(text)
        except (FileError, DataError) as error:
            failures.append(str(error))
    if examples:
        table = Table(pad_edge=False)
        table.add_column("Sentence" if vocabulary else "Image", overflow="fold")
        for column in ("Answer", "Sure", "Else"):
            table.add_column(column, justify="right")
        for text, p in zip(read, each_class(run.model.predict(np.stack(examples))), strict=True):
            first, second = np.argsort(-p, kind="stable")[:2]
            table.add_row(text, classes[first], f"{p[first]:.1%}", f"{classes[second]} {p[second]:.1%}")
        Console(highlight=False).print(table)
    if failures:
        raise FileError("\nmillrace: ".join(failures))
