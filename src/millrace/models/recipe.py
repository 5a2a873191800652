"""What `millrace train NAME` needs: a network, its data, and settings that work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.data.datasets import Dataset
from millrace.training.callbacks import Callback
from millrace.training.model import Model
from millrace.training.optimizers import Adam


@dataclass(frozen=True)
class Recipe:
    """A named experiment: a network that learns from data.

    `build(data)` makes the network, `optimizer(learning_rate)` its optimizer. `example(text, vocabulary)`
    turns an argument of `millrace predict`, a picture's path or a text, into one example; None where the
    network predicts nothing of that kind. `show(model, data)` is what the trained network is asked to do
    at the end, as text. `seconds` is about how long it takes on two cores.
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
    example: Callable[[str, Sequence[str]], Any] | None = None
    callbacks: Callable[[], list[Callback]] = list
    show: Callable[[Model, Dataset], str] | None = None
    unit: str = "examples"
    seconds: str = "seconds"


@dataclass(frozen=True)
class Demonstration:
    """A named experiment without gradient steps: `run(seed, out)` does it and gives what to print."""

    name: str
    about: str
    run: Callable[[int, Path], str]
    seconds: str = "seconds"
