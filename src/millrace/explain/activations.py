"""What each layer of a network makes of one example, and what becomes of it when a weight is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from millrace.engines.function import Function, function
from millrace.ir.core import Value, snake
from millrace.ir.dims import Dim, shape_text
from millrace.ir.errors import ArgumentError, DataError, one_of
from millrace.ir.graph import Graph, rebuilt, topological
from millrace.ir.leaves import Placeholder
from millrace.ir.state import Variable
from millrace.layers.base import Layer
from millrace.training.architecture import Step
from millrace.training.forms import in_use
from millrace.training.model import Model


@dataclass(frozen=True)
class LayerCall:
    """One use of a layer on one example; an input of the network is one too, and so is an operation between layers.

    name: the layer's, with #2 for its second use. kind: its class such as "Conv2D", "Input", or the operation's name.
    inputs: the names of the calls whose arrays it takes. given, made: those arrays and its own, without the batch axis:
    [height, width, channels] for images, [steps, features] for sequences, [units] for vectors. layer: None for an input
    and an operation.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    given: tuple[np.ndarray, ...]
    made: tuple[np.ndarray, ...]
    layer: Layer | None = None

    @property
    def output(self) -> np.ndarray:
        """What it made; the first where it made several."""
        return self.made[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what it made, without the batch axis."""
        return self.output.shape

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """Copies of its weights by their names within the layer, such as "kernel" and "bias"."""
        return {name: variable.numpy() for name, variable in weight_names(self.layer).items()}


def activations(model: Model, example: Any, engine: Any = "numpy") -> list[LayerCall]:
    """What every layer call of a model gives for one example, from the inputs to the outputs, as in use: no dropout.

    example: one example as the network takes it, without the batch axis; a list of them for several inputs. All is
    computed by one function, by the interpreter unless `engine` says otherwise. To look at several examples, make a
    `Watch` once.

    Raises ArgumentError, ShapeError or DTypeError for an example that does not fit the model.
    """
    return Watch(model, engine)(example)


class Watch:
    """A model's layers made ready to be looked at: `watch(example)` gives all layer calls, weights as they are now."""

    def __init__(self, model: Model, engine: Any = "numpy"):
        self.model, self.engine = model, engine
        self._steps: list[Step] = list(model.steps)
        self._names = _call_names(model)
        made = [value for step in self._steps for value in step.outputs]
        used = rebuilt(Graph(model.inputs, made).nodes, in_use, {})
        self._run = function(model.inputs, [used[value] for value in made], engine=engine)
        self._changed: dict[Variable, tuple[Function, list[Value], int]] = {}

    @property
    def names(self) -> list[str]:
        """Of all calls, inputs first, each after those that it needs."""
        return list(dict.fromkeys(self._names.values()))

    @property
    def output_name(self) -> str:
        """Of the call that makes the network's first output."""
        return self._names[self.model.outputs[0]]

    def __call__(self, example: Any) -> list[LayerCall]:
        """What every call gives for one example.  Raises as `activations`."""
        arrays = self._batched(example)
        made = self._run(*arrays)
        found = dict(zip(self.model.inputs, (array[:1] for array in arrays), strict=True))
        found |= zip((v for step in self._steps for v in step.outputs), made, strict=True)
        return self._calls({value: _first(array) for value, array in found.items()})

    def changed(self, calls: Sequence[LayerCall], layer: str, weight: str, array: np.ndarray) -> list[LayerCall]:
        """The calls as they would be with another array for one weight of a layer; the model is left as it is.

        calls: what this watch gave for the example. What comes before the layer is taken from them, and only what
        follows is computed. layer, weight: names, such as "conv1" and "kernel".

        Raises ArgumentError for an unknown layer or weight, or another shape than the weight's; DataError for numbers
        that are not finite.
        """
        variable = weight_of(self.model, layer, weight)
        array = np.asarray(array, variable.dtype)
        if array.shape != variable.shape:
            raise ArgumentError(f"{layer}/{weight} is {variable.type}, got shape {shape_text(array.shape)}.")
        if not np.isfinite(array).all():
            raise DataError(f"{layer}/{weight} was given numbers that are not finite.")
        if variable not in self._changed:
            self._changed[variable] = self._follow(variable)
        run, before, first = self._changed[variable]
        known = self._values(calls)
        made = run(*(self._row(value, known[value]) for value in (*self.model.inputs, *before)), array)
        after = [value for step in self._steps[first:] for value in step.outputs]
        return self._calls(known | {value: _first(one) for value, one in zip(after, made, strict=True)})

    def _follow(self, variable: Variable) -> tuple[Function, list[Value], int]:
        """What follows a weight, as a function of what comes before it and of the weight: (it, before, first step)."""
        first = next(
            (n for n, step in enumerate(self._steps) if step.layer and variable in step.layer.weights), len(self._steps)
        )
        earlier = {*self.model.inputs, *(value for step in self._steps[:first] for value in step.outputs)}
        later = [value for step in self._steps[first:] for value in step.outputs]
        nodes = topological(later, frozenset(earlier))
        needed = {x for node in nodes for x in node.inputs}
        before = [v for step in self._steps[:first] for v in step.outputs if v in needed]
        inputs = {value: Placeholder("given", value.type)() for value in before}
        weight = Placeholder("weight", variable.type)()
        used = rebuilt(nodes, in_use, {**{v: v for v in self.model.inputs}, **inputs, variable.value: weight})
        outputs = [used[value] for value in later]
        return function([*self.model.inputs, *inputs.values(), weight], outputs, engine=self.engine), before, first

    def _batched(self, example: Any) -> list[np.ndarray]:
        """One example as a batch for each input."""
        parts = example if isinstance(example, (list, tuple)) else [example]
        if len(parts) != len(self.model.inputs):
            raise ArgumentError(f"the network takes {len(self.model.inputs)} inputs, got {len(parts)}.")
        return [self._row(value, np.asarray(part)) for value, part in zip(self.model.inputs, parts, strict=True)]

    def _row(self, value: Value, array: np.ndarray) -> np.ndarray:
        """One example as a batch; a model that takes only batches of a fixed size gets it several times."""
        size = value.shape[0] if value.shape else 1
        return np.repeat(array[None], 1 if isinstance(size, Dim) else int(size), axis=0)

    def _values(self, calls: Sequence[LayerCall]) -> dict[Value, np.ndarray]:
        """The arrays of all values, by the calls that made them."""
        by_name = {call.name: call for call in calls}
        return {
            value: array
            for name, values in self._outputs.items()
            for value, array in zip(values, by_name[name].made, strict=True)
        }

    @cached_property
    def _outputs(self) -> dict[str, list[Value]]:
        found: dict[str, list[Value]] = {}
        for value, name in self._names.items():
            found.setdefault(name, []).append(value)
        return found

    def _calls(self, arrays: Mapping[Value, np.ndarray]) -> list[LayerCall]:
        inputs = [
            LayerCall(self._names[value], "Input", (), (), (arrays[value],)) for value in self.model.inputs
        ]  # fmt: skip
        return inputs + [
            LayerCall(
                self._names[step.outputs[0]],
                type(step.layer).__name__ if step.layer is not None else step.outputs[0].node.op.name,
                tuple(dict.fromkeys(self._names[value] for value in step.inputs if value in self._names)),
                tuple(arrays[value] for value in step.inputs if value in arrays),
                tuple(arrays[value] for value in step.outputs),
                step.layer,
            )
            for step in self._steps
        ]


def weight_names(layer: Layer | None) -> dict[str, Variable]:
    """A layer's weights by their names within it: "kernel", or "gru/kernel" for a layer within."""
    if layer is None:
        return {}
    found: dict[str, Variable] = {}
    for variable in layer.weights:
        path = variable.name.split("/")
        at = path.index(layer.name) + 1 if layer.name in path[:-1] else len(path) - 1
        found.setdefault("/".join(path[at:]), variable)
    return found


def weight_of(model: Model, layer: str, weight: str) -> Variable:
    """The variable of a layer's weight.  Raises ArgumentError for an unknown layer or weight."""
    known = weight_names(model.get_layer(layer.partition("#")[0]))
    if weight not in known:
        raise one_of(f"weight of {layer}", weight, list(known))
    return known[weight]


def _call_names(model: Model) -> dict[Value, str]:
    """The name of the call that made each value: of the layer or operation, numbered from its second use on."""
    names: dict[Value, str] = {}
    count: dict[str, int] = {}

    def take(base: str, values: Sequence[Value]) -> None:
        count[base] = count.get(base, 0) + 1
        name = base if count[base] == 1 else f"{base}#{count[base]}"
        names.update(dict.fromkeys(values, name))

    for value in model.inputs:
        op: Any = value.op
        take(op.label, [value])
    for step in model.steps:
        take(step.layer.name if step.layer is not None else snake(step.outputs[0].node.op.name), step.outputs)
    return names


def _first(array: Any) -> np.ndarray:
    """One example's part of what a function gave; narrow floats as float32, so that NumPy can do all with them."""
    one = np.asarray(array)
    one = one[0] if one.ndim else one
    narrow = one.dtype.name in ("bfloat16", "float16") or one.dtype.name.startswith("float8")
    return one.astype(np.float32) if narrow else one
