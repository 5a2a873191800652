"""A network by its name or from a file, ready to train, with numbers to train it on: for what looks at its step."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from millrace.cli.train import positive, trained
from millrace.engines.function import engine_named
from millrace.ir.core import Value
from millrace.ir.dims import Dim, bind
from millrace.ir.errors import ArgumentError, FileError, one_of
from millrace.ir.graph import Graph
from millrace.layers.base import set_seed
from millrace.layers.calls import limit_of
from millrace.models import RECIPES, Recipe
from millrace.training.model import Model, load_model
from millrace.training.run import Run

BATCH = 32  # where nothing else says how many examples a step takes


@dataclass(frozen=True)
class Ready:
    """A compiled model, how many examples a step takes, and how large that makes the step's dimensions."""

    name: str
    model: Model
    batch_size: int
    sizes: dict[str, int]

    @property
    def step(self) -> Graph:
        """The training step as it is compiled, simplified."""
        return self.model.training_steps.train.simplified

    def arrays(self) -> list[np.ndarray]:
        """Random arguments for a training step: inputs, answers, and weights of 1."""
        steps, rng = self.model.training_steps, np.random.default_rng(0)
        classes = {
            answer.target: answer.goal.loss.classes(self.model.outputs[answer.place].type) if answer.goal.loss else None
            for answer in steps.answers
        }
        even = {steps.real, *(answer.weights for answer in steps.answers)}

        def array(value: Value) -> np.ndarray:
            type = value.type.bind(self.sizes)
            if value in even:
                return np.ones(type.shape, type.dtype)
            if type.is_float:
                return rng.random(type.shape, np.float32).astype(type.dtype)
            limit = limit_of(value)
            below = classes.get(value) or (limit[0] if limit else 2)
            return rng.integers(1 if limit and below > 1 else 0, below, type.shape).astype(type.dtype)

        return [array(value) for value in steps.train.graph.inputs]


def ready(name: str, batch_size: int | None) -> Ready:
    """The network of a name, a run directory or a saved model, compiled by XLA as it is trained.

    Raises ArgumentError for an unknown name, FileError for what is no run and no model.
    """
    if batch_size is not None:
        positive(batch_size, "--batch-size")
    set_seed(0)
    model, usual = network(name)
    batch = batch_size or usual
    sizes: dict[str, int] = {}
    for value in model.inputs:
        if isinstance(value.shape[0], Dim):
            sizes |= dict.fromkeys(value.shape[0].names, batch)
    for value in model.training_steps.train.graph.inputs:
        left = sorted({n for size in value.shape if isinstance(size, Dim) for n in size.names} - set(sizes))
        if left:
            raise ArgumentError(f"{name} leaves a size open ({', '.join(left)}): only the batch's may be.")
    fixed = bind(model.inputs[0].shape[0], sizes)
    if batch_size is not None and fixed != batch_size:
        raise ArgumentError(f"{name} takes batches of {fixed}, not of {batch_size}.")
    assert isinstance(fixed, int)
    return Ready(name, model, fixed, sizes)


def network(name: str) -> tuple[Model, int]:
    """A compiled model and its usual batch size."""
    engine = engine_named("xla").name
    if name in RECIPES:
        chosen = trained(name)
        model = chosen.build(None)  # type: ignore[arg-type]
        model.compile(chosen.optimizer(chosen.learning_rate), chosen.loss, list(chosen.metrics), engine=engine)
        return model, chosen.batch_size
    path = Path(name)
    if path.is_dir():
        run = Run.open(path)
        found = run.latest(partial(load_model, engine=engine))
        for message in found.messages:
            print(f"millrace: {message}", file=sys.stderr)
        return compiled(found.content, path), int(run.config()["batch_size"])
    if path.is_file():
        return compiled(load_model(path, engine=engine), path), BATCH
    if path.suffix or len(path.parts) > 1:
        raise FileError(f"{name} does not exist: expected a run directory, or a model that `model.save` kept.")
    raise one_of("model", name, [key for key, one in RECIPES.items() if isinstance(one, Recipe)])


def compiled(model: Model, path: Path) -> Model:
    try:
        assert model.training_steps
    except ArgumentError as error:
        raise ArgumentError(f"{path} does not say how its model is trained: {error}") from None
    return model
