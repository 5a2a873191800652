"""A run that is opened to be used: the network of its newest whole checkpoint, and what its answers are called."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from millrace.cli.train import trained
from millrace.models import Recipe
from millrace.training.model import Model, load_model
from millrace.training.run import Run


@dataclass(frozen=True)
class Opened:
    """config: what the run was made with. checkpoint: the name of the file that the weights come from.

    classes: what the answers are called. vocabulary: the words that a network of text knows, () for pictures.
    """

    config: Mapping[str, Any]
    model: Model
    checkpoint: str
    classes: tuple[str, ...]
    vocabulary: tuple[str, ...]


def opened(path: Path, engine: str) -> Opened:
    """Open a run; a checkpoint that is passed over as damaged is told on stderr.

    Raises FileError for what is no run, or has no whole checkpoint.
    """
    run = Run.open(path)
    config = run.config()
    classes, vocabulary = run.words()
    found = run.latest(partial(load_model, engine=engine))
    for message in found.messages:
        print(f"millrace: {message}", file=sys.stderr)
    return Opened(config, found.content, found.path.name, tuple(classes), tuple(vocabulary))


def configured(config: Mapping[str, Any]) -> Recipe:
    """The network that a run trained, with the options that it was given.  Raises ArgumentError for an unknown one."""
    recipe = trained(config["model"])
    return recipe.configured({n: config[n] for n in recipe.options if n in config and n not in recipe.once})
