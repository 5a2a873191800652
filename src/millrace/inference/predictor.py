"""A trained model as it is used: one graph from inputs to outputs, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from millrace.data.arrays import Arrays
from millrace.engines.function import Function, engine_named
from millrace.inference.folding import settled
from millrace.inference.rewriting import in_use
from millrace.ir.dims import Size
from millrace.ir.errors import ArgumentError
from millrace.ir.graph import Graph
from millrace.ir.types import TensorType
from millrace.layers.arguments import whole
from millrace.training.compiled import output_names
from millrace.training.examples import batch_size_for, input_name, inputs_of
from millrace.training.model import Model


@dataclass(frozen=True)
class Port:
    """An input or output: its name, and its type with the batch open, such as float32[batch, 28, 28, 1]."""

    name: str
    type: TensorType

    @property
    def shape(self) -> tuple[Size, ...]:
        """Its sizes, of which those that are open are names, such as batch."""
        return self.type.shape

    @property
    def dtype(self) -> str:
        return self.type.dtype


@dataclass(frozen=True)
class About:
    """What is said of a predictor besides its graph.

    classes: what the answers are called, in their order. vocabulary: the words that a network of text knows.
    recipe: the network of `millrace train` that knows how pictures or sentences become its examples, "" for none;
    settings: the options and the seed that it was given. precision: what the weights are kept in, float32, bfloat16 or
    int8. measured: numbers that were measured when it was made, by name, such as the accuracy before and after.
    """

    name: str = "model"
    classes: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    recipe: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    measured: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            json.dumps([dict(self.settings), dict(self.measured)])
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"what is said of a predictor is kept as JSON, and this does not fit ({error}): give Python's numbers, "
                "strings, lists and dictionaries."
            ) from None


class Predictor:
    """A graph that predicts, with its own copy of the weights: `predictor.predict(x)`.

    outputs: a name for each output of the graph. engine: "xla", "numpy", or None for the best there is.

    Raises ArgumentError where the names do not fit the graph.
    """

    def __init__(self, graph: Graph, outputs: Sequence[str], about: About | None = None, engine: Any = None):
        if len(outputs) != len(graph.outputs) or len(set(outputs)) < len(outputs):
            raise ArgumentError(f"{len(graph.outputs)} outputs need as many different names, got {list(outputs)}.")
        self.graph, self.about, self.engine = graph, about or About(), engine
        self.inputs = tuple(Port(input_name(value), value.type) for value in graph.inputs)
        self.outputs = tuple(Port(name, value.type) for name, value in zip(outputs, graph.outputs, strict=True))

    @classmethod
    def of(cls, model: Model, about: About | None = None, engine: Any = None, fold: bool = True) -> Predictor:
        """What a model computes once its training is over, with a copy of its weights as they are now.

        fold: bring batch normalization and its like into the weights of the layer before. The results change by
        rounding alone.
        """
        if not isinstance(model, Model):
            raise ArgumentError(
                f"Predictor.of takes a model, got {model!r:.200}: millrace.inference.opened(path) opens what a file or "
                "a run directory holds."
            )
        if not model.built:
            raise ArgumentError("the model has no input yet, so it cannot predict: start it with mr.Input(shape).")
        return cls(in_use(model, fold), output_names(model.outputs), about or About(name=model.name), engine)

    def with_graph(self, graph: Graph, about: About | None = None) -> Predictor:
        """The same with another graph of the same inputs and outputs."""
        return Predictor(graph, [port.name for port in self.outputs], about or self.about, self.engine)

    def __repr__(self) -> str:
        def ports(some: Sequence[Port]) -> str:
            return ", ".join(f"{port.name}: {port.type}" for port in some)

        return f"Predictor({self.about.name!r}, {ports(self.inputs)} -> {ports(self.outputs)})"

    @cached_property
    def function(self) -> Function:
        """The graph as something to call; a program is made for each number of examples.

        Weights in fewer bits are brought to float32 once, here, and not in each call: docs/inference.md has what that
        saves. Memory is then that of float32.
        """
        return Function(settled(self.graph), engine_named(self.engine), list, (), False)

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        """The outputs for arrays in the order of the inputs, in one go.  Raises ShapeError for what does not fit."""
        return [np.asarray(output) for output in self.function(*arrays)]

    def predict(self, x: Any, batch_size: int = 32) -> Any:
        """The output for each example, [examples, ...]; a list for several outputs.

        x: an array [examples, ...], a list of arrays, or a dictionary by the inputs' names.
        batch_size: examples that are computed at once.

        Raises DataError for examples that the graph does not take, ArgumentError where its inputs or outputs are not
        there for each example.
        """
        whole(batch_size, "batch_size")
        self._check_batch()
        given = Arrays(*inputs_of(self.graph.inputs, x, "x"))
        size = batch_size_for(self.graph.inputs, batch_size, given.count)
        parts = [self._batch(given.arrays, start, size) for start in range(0, given.count, size)]
        made = [np.concatenate(part) for part in zip(*parts, strict=True)]
        made = [part.astype(np.float32) if part.dtype.name == "bfloat16" else part for part in made]
        return made if len(made) > 1 else made[0]

    def _check_batch(self) -> None:
        """Raise ArgumentError unless all inputs and outputs have the same first axis, that of the examples."""
        firsts = [port.type.shape[:1] for port in (*self.inputs, *self.outputs)]
        for port, first in zip((*self.inputs, *self.outputs), firsts, strict=True):
            if not first or first != firsts[0]:
                raise ArgumentError(
                    f"{port.name!r} is {port.type}, and {self.inputs[0].name!r} {self.inputs[0].type}: they have no "
                    "first axis of examples in common. In Python, call the predictor itself: predictor(x)."
                )

    def _batch(self, arrays: Sequence[np.ndarray], start: int, size: int) -> list[np.ndarray]:
        """The outputs of one batch; a short one is filled up with its last example, so that one program serves all."""
        given = [array[start : start + size] for array in arrays]
        real = len(given[0])
        full = [np.concatenate([x, np.repeat(x[-1:], size - real, axis=0)]) if real < size else x for x in given]
        return [output[:real] for output in self(*full)]
