"""The network of a run that an experiment looks at, in place of one that it trains itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millrace.experiments.experiment import Say
from millrace.ir.errors import ArgumentError
from millrace.training.model import Model, load_model
from millrace.training.run import Run


def model_of(path: Path, say: Say) -> Model:
    """The network of the newest whole checkpoint of a run; `say` is told which one, and of those passed over.

    Raises FileError for what is no run, or holds no checkpoint that is whole.
    """
    found = Run.open(path).latest(load_model)
    for message in found.messages:
        say(message)
    say(f"The network is that of {found.path}.")
    return found.content


def layer_of(model: Model, name: str, path: Path) -> Any:
    """A layer of a run's network by its name in AlexNet.  Raises ArgumentError where there is none."""
    names = [layer.name for layer in model.layers]
    if name not in names:
        raise ArgumentError(
            f"the network of {path} has no layer {name}, only {', '.join(names)}: give a run of `millrace train "
            "alexnet`."
        )
    return model.get_layer(name)
