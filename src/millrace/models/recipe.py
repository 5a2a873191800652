"""What `millrace train NAME` needs: a network, its data, and settings that work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millrace.data.datasets import Dataset
from millrace.ir.errors import ArgumentError
from millrace.training.callbacks import Callback
from millrace.training.model import Model
from millrace.training.optimizers import Adam


@dataclass(frozen=True)
class Recipe:
    """A named experiment: a network that learns from data.

    `build(data)` makes the network, `optimizer(learning_rate)` its optimizer. `example(given, vocabulary)` makes one
    example of an argument of `millrace predict`, a picture's path or a text, or of bytes, which are what such a file
    holds and never a path; None where the network predicts nothing of that kind. `show(model, data)` is what the
    trained network is asked to do at the end, as text. `seconds` is about how long it takes on two cores.

    `options`: further settings that it takes, each an option of `millrace train`, such as {"variant": "paper"}, with
    what they are unless given; `decide(settings)` gives the recipe as they say, and `once` are those that only the
    beginning of a run needs. `prepare(data, directory, report)` computes what the network needs to know of the data
    before it is built, and keeps it in the run directory for a run that goes on; report is told how many records are
    done, of how many.
    """

    name: str
    about: str
    build: Callable[[Dataset], Model]
    data: Callable[[int], Dataset]
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Callable[[float], Any] = Adam
    loss: str = "sparse_categorical_crossentropy"
    metrics: tuple[str, ...] = ("accuracy",)
    example: Callable[[str | bytes, Sequence[str]], Any] | None = None
    callbacks: Callable[[], list[Callback]] = list
    show: Callable[[Model, Dataset], str] | None = None
    unit: str = "examples"
    seconds: str = "seconds"
    options: Mapping[str, Any] = field(default_factory=dict)
    once: tuple[str, ...] = ()
    decide: Callable[[Mapping[str, Any]], Recipe] | None = None
    prepare: Callable[[Dataset, Path, Callable[[int, int], None]], Dataset] | None = None

    def configured(self, settings: Mapping[str, Any]) -> Recipe:
        """The recipe as further settings say; None is none.

        Raises ArgumentError for one that it does not take, or as `decide` does.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        for name in given:
            if name not in self.options:
                takes = f"it takes --{', --'.join(self.options)}" if self.options else "its data and network are fixed"
                raise ArgumentError(f"{self.name} takes no --{name}: {takes}.")
        return self if self.decide is None else self.decide(given)


@dataclass(frozen=True)
class Demonstration:
    """A named experiment without gradient steps: `run(seed, out)` does it and gives what to print."""

    name: str
    about: str
    run: Callable[[int, Path], str]
    seconds: str = "seconds"
