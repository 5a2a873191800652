"""Models: layers from inputs to an output, with Keras's way to train, test and use them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from sys import maxsize
from typing import TYPE_CHECKING, Any

import numpy as np

from millrace.data.source import ENCODED, Source
from millrace.functional import Input
from millrace.ir.bounds import within
from millrace.ir.core import Value, outside_layers
from millrace.ir.dims import solve
from millrace.ir.errors import ArgumentError, FileError, MillraceError, ShapeError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.state import Variable, here, snapshot
from millrace.ir.syntax import printable
from millrace.ir.text import MALFORMED
from millrace.layers.base import Layer
from millrace.layers.calls import limit_numbers, limit_of, mask_of
from millrace.layers.keras_names import NAMES, absent
from millrace.training import architecture
from millrace.training.checkpoint import check_ending, save_arrays
from millrace.training.checkpoints import Checkpoints
from millrace.training.kept import Held, bounds_of, check_weights, take_over
from millrace.training.sharded import loaded
from millrace.training.summary import print_summary
from millrace.training.trainer import Trainer

MANY = 50  # times as many operations as a file accounts for, where layers of a user's own make them


class Model(Trainer, Layer):
    """A network from inputs to an output, made of layers that were applied to `mr.Input`s.

        x = mr.Input((8, 8, 1))
        y = mr.layers.Dense(10, "softmax")(mr.layers.Flatten()(x))
        model = mr.Model(x, y)

    inputs, outputs: a value or a list of them. A model is a layer too: apply it to other values and it
    shares its weights.

    Raises GraphError if the outputs need an input that is not given.
    Source: Keras Model.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "call" in vars(cls) and not cls.__module__.startswith("millrace."):
            raise ArgumentError(
                f"{cls.__name__} has a call of its own: a model here is a graph from inputs to outputs. Make it a "
                f"layer, class {cls.__name__}(mr.layers.Layer), which may hold layers, and the model of it: "
                f"x = mr.Input(shape), mr.Model(x, {cls.__name__}()(x))."
            )
        for name in ("train_step", "test_step", "predict_step"):
            if name in vars(cls):
                raise ArgumentError(
                    f"{cls.__name__}.{name} would never be called: the step is a graph, made from loss and optimizer "
                    "when the model is compiled. Write a step of your own with mr.gradients and mr.function."
                )

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None):
        Layer.__init__(self, name)
        self._connect(inputs, outputs)

    def _connect(self, inputs: Any, outputs: Any) -> None:
        self.inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        self.outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        for value in self.inputs:
            if not isinstance(value, Value) or not isinstance(value.op, Placeholder):
                raise ArgumentError(f"a model's inputs are what mr.Input made, got {value!r}.")
        for value in self.outputs:
            if not isinstance(value, Value):
                raise ArgumentError(f"a model's outputs are what its layers made, got {value!r}.")
        self.steps = architecture.steps_of(self.inputs, self.outputs)
        self.layers = list(dict.fromkeys(step.layer for step in self.steps if step.layer is not None))
        names = [layer.name for layer in self.layers]
        for layer_name in names:
            if names.count(layer_name) > 1:
                raise ArgumentError(f"two layers are called {layer_name!r}: give one another name.")
        self.graph = Graph(self.inputs, self.outputs)
        self.policy = None  # its layers have theirs
        self.built = True
        self._forget_training()

    # ---- the weights

    @property
    def weights(self) -> list[Variable]:
        held = [v for layer in self.layers for v in layer.weights]
        return list(dict.fromkeys([*held, *self.graph.variables]))

    @property
    def trainable_weights(self) -> list[Variable]:
        if not self.trainable:
            return []
        held = {v for layer in self.layers for v in layer.weights}
        learned = [v for layer in self.layers for v in layer.trainable_weights]
        bare = [v for v in self.graph.variables if v.trainable and v not in held]
        return list(dict.fromkeys([*learned, *bare]))

    @property
    def non_trainable_weights(self) -> list[Variable]:
        learned = set(self.trainable_weights)
        return [v for v in self.weights if v not in learned]

    @property
    def sublayers(self) -> list[Layer]:
        return list(self.layers)

    def get_layer(self, name: str) -> Layer:
        """A layer by name.  Raises ArgumentError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ArgumentError(f"no layer is called {name!r}. The layers: {', '.join(x.name for x in self.layers)}.")

    def summary(self, batch_size: int | None = None) -> None:
        """Print each layer with its hyperparameters, its output's shape and its number of parameters.

        batch_size: show the shapes for so many examples. It is in every output and in no parameter.
        """
        self._need_graph("show its layers")
        print_summary(self, batch_size)

    # ---- as a layer

    @property
    def losses(self) -> list[Value]:
        """The penalties that training adds to the loss: those of its layers, as far as they see its own inputs."""
        inner = [x for layer in self.layers for x in layer.losses if self._sees(x)]
        return list(dict.fromkeys([*self.penalties, *inner]))

    def call(self, *inputs: Value) -> Any:
        if len(inputs) != len(self.inputs):
            raise ArgumentError(f"the model takes {len(self.inputs)} inputs, got {len(inputs)}.")
        for mine, given in zip(self.inputs, inputs, strict=True):
            if mine.ndim != given.ndim or mine.dtype != given.dtype or mine.shape[1:] != given.shape[1:]:
                raise ShapeError(f"the model takes {mine.type}, got {given.type}.")
            limit = limit_of(mine)
            if limit is not None:
                limit_numbers(given, *limit)
        updates, masks = self.layer_updates(), [mask_of(value) for value in self.outputs]
        penalties = [x for x in self.losses if self._sees(x)]
        values = [*self.outputs, *updates.values(), *penalties, *(mask for mask in masks if mask is not None)]
        sizes: dict[str, int] = {}
        for mine, given in zip(self.inputs, inputs, strict=True):
            if isinstance(given.shape[0], int):  # an array: its number of examples is known
                solve(mine.shape[0], given.shape[0], sizes)
        whole = Graph(self.inputs, values).bind(sizes)
        new = whole.substitute(dict(zip(whole.inputs, inputs, strict=True)))
        made = iter([new.get(value, value) for value in whole.outputs])
        results = [next(made) for _ in self.outputs]
        for variable in updates:
            self.add_update(variable, next(made))
        for penalty in penalties:
            again = next(made)
            if again is not penalty:  # it looks at activations: there is one more of it
                self.add_loss(again)
        self._masks = [None if mask is None else next(made) for mask in masks]
        return results if len(results) > 1 else results[0]

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Any:
        """The masks that its own layers make; a mask that comes in is not passed on to them."""
        if any(mask is not None for mask in masks):
            warnings.warn(
                f"model {self.name!r} was built without a mask: inside it, steps that only fill sequences up count as "
                "real ones. Apply its layers to the masked value instead, or mask inside the model.",
                stacklevel=6,
            )
        return self._masks

    def get_config(self) -> dict[str, Any]:
        return architecture.to_config(self.inputs, self.outputs, self.name)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Layer:
        inputs, outputs = architecture.from_config(config, custom_objects)
        return Model(inputs, outputs, name=config.get("name"))

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """None of its own: its layers have theirs."""
        return {}

    @property
    def input(self) -> Any:
        return self.inputs[0] if len(self.inputs) == 1 else self.inputs

    @property
    def output(self) -> Any:
        return self.outputs[0] if len(self.outputs) == 1 else self.outputs

    def _need_graph(self, what: str) -> None:
        if not self.built:
            raise ArgumentError(f"the model has no input yet, so it cannot {what}: start it with mr.Input(shape).")

    # ---- keeping it

    @property
    def state(self) -> list[Variable]:
        """Everything that a run goes on from: weights, the optimizer's memory, the means of this epoch."""
        if self._steps is None:
            return self.weights
        self.optimizer.build(self.trainable_weights)
        return [*self.weights, *self.optimizer.variables, *self._steps.variables]

    def save(self, path: str | Path, progress: Mapping[str, Any] | None = None) -> None:
        """Keep the model in one safetensors file: layers, weights, and how it was being trained.

        Raises FileError where it cannot be written, and then leaves the earlier file as it was.
        """
        self._need_graph("save")
        check_ending(path)
        with Held(self, progress) as held:
            save_arrays(path, held.whole_arrays(self.state), held.about)

    def save_weights(self, path: str | Path) -> None:
        """Keep the weights alone in one safetensors file, for `load_weights`.  Raises FileError as `save` does."""
        self._need_graph("save")
        check_ending(path)
        about = {"kind": "weights", "progress": {}, "weights": [v.name for v in self.weights]}
        with snapshot(self.weights) as buffers:
            save_arrays(path, {v.name: here(v, b) for v, b in zip(self.weights, buffers, strict=True)}, about)

    def export(self, filepath: str | Path, format: str | None = None, **options: Any) -> None:
        """Write what the model computes in use, with its weights, for use elsewhere.

        format: "onnx", "stablehlo" or "millrace"; by the path's ending (.onnx, .stablehlo, .safetensors) unless given.
        options: of the format, such as platforms=["cpu"] for stablehlo.

        Raises ArgumentError for an unknown format, or a graph that the format cannot hold: it names the operation.
        Source: Keras Model.export.
        """
        self._need_graph("be exported")
        import millrace  # a room that this one knows nothing of: it is imported when it is asked for

        millrace.inference.export(self, filepath, format, **options)

    def resume(self, directory: str | Path) -> dict[str, int]:
        """Take over the newest whole checkpoint of a directory, and say where `fit` goes on from there.

        `model.fit(x, y, callbacks=[mr.callbacks.Checkpoint(directory)], **model.resume(directory))` begins a run the
        first time, and goes on with it after a kill. The model is built and compiled as it was. A checkpoint that is
        damaged is set aside with a warning, and the one before it taken.

        Raises FileError where there are checkpoints and none is whole, or they are of another model.
        """
        checkpoints = Checkpoints(Path(directory))
        if not checkpoints.files:
            return {"initial_epoch": 0, "initial_step": 0}
        found = checkpoints.latest_good(self.load_weights, set_aside=True)
        for message in found.messages:
            warnings.warn(message, stacklevel=2)
        return {"initial_epoch": found.content["epoch"], "initial_step": found.content["step"]}

    def load_weights(self, path: str | Path) -> dict[str, Any]:
        """Take over the state from a file that `save` wrote; returns its `progress`.

        The optimizer's memory is taken too where the model is compiled and the file has it; load before `compile`
        to take the weights alone. Numbers of another floating-point dtype are converted, with a warning where that
        rounds them.

        Raises FileError if it is damaged, or not of this model, or if its optimizer remembers other things than
        this one; then nothing is taken over.
        """
        return take_over(self, *loaded(path), path)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What Keras's models have and this one has not: the error says what to write."""
            if name in NAMES["model"]:
                raise absent("model", name, ())
            return object.__getattribute__(self, name)  # raises what was wrong first, also within a property


class Sequential(Model):
    """Layers one after another: Sequential([mr.Input((8, 8, 1)), Conv2D(...), ..., Dense(10, "softmax")]).

    Without an Input first, the first data or `build(shape)` decide its shape.
    Source: Keras Sequential.
    """

    def __init__(self, layers: Sequence[Any] = (), name: str | None = None):
        Layer.__init__(self, name)
        self._waiting: list[Layer] = []
        self.layers = self._waiting  # until the input is known
        self.inputs: list[Value] = []
        self._later: Any = None
        self._forget_training()
        if not isinstance(layers, (list, tuple)):
            raise ArgumentError(f"Sequential takes a list of layers, got {layers!r}.")
        for layer in layers:
            check_layer(layer)
        if layers and isinstance(layers[0], Value):
            self._waiting = self.layers = list(layers[1:])
            for value in self._waiting:
                if isinstance(value, Value):
                    raise ArgumentError("Sequential takes one Input, first: a model with several is mr.Model.")
            self._join(layers[0])
        else:
            self._waiting = self.layers = list(layers)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sequential": True}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Layer:
        made = Sequential(name=config.get("name"))
        made._connect(*architecture.from_config(config, custom_objects))
        return made

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As Model.compile; where the input is not known yet, once the first data are."""
        self._later = None if self.built else (args, kwargs)
        if self.built:
            super().compile(*args, **kwargs)

    def _given(self, x: Any) -> None:
        if self.built:
            return
        shape = (None, *x.elements[0].shape) if isinstance(x, Source) and x.elements[0] != ENCODED else np.shape(x)
        if len(shape) > 1:
            self.build(shape)
            if self._later is not None:
                args, kwargs = self._later
                self.compile(*args, **kwargs)

    @property
    def weights(self) -> list[Variable]:
        self._need_graph("have weights")
        return super().weights

    def add(self, layer: Any) -> None:
        """One more layer at the end (or the Input, first)."""
        check_layer(layer)
        if isinstance(layer, Value) and not self.built:
            self._join(layer)
        elif self.built:
            self._connect(self.inputs, layer(self.outputs[0]))
        else:
            self._waiting.append(layer)

    def build(self, *types: Any) -> None:
        """Decide the input's shape, e.g. (None, 8, 8, 1) with None for the batch."""
        if not self.built:
            shape = types[0].shape if hasattr(types[0], "shape") else types[0]
            self._join(Input(tuple(shape)[1:]))

    def _join(self, value: Value) -> None:
        first = value
        with outside_layers():  # its layers are its own, wherever it is first used
            for layer in self._waiting:
                value = layer(value)
        self._connect(first, value)


def load_model(
    path: str | Path,
    custom_objects: Mapping[str, type[Layer]] | None = None,
    engine: Any = None,
    compile: bool = True,
) -> Model:
    """A model that `model.save` kept, compiled as it was unless compile=False; nothing in the file is run.

    Raises FileError for a missing or damaged file, or a layer that is unknown.
    """
    return model_of(path, *loaded(path), custom_objects, engine, compile)


def model_of(
    path: str | Path,
    arrays: dict[str, Any],
    about: Mapping[str, Any],
    custom_objects: Mapping[str, type[Layer]] | None = None,
    engine: Any = None,
    compile: bool = True,
) -> Model:
    """The model of a file's arrays and description.  Raises FileError as `load_model` does."""
    if about.get("kind") == "predictor":
        raise FileError(
            f"{path} holds a predictor, which was exported for use, and no model with its layers: "
            "millrace.inference.opened opens it."
        )
    if about.get("kind") != "model" or not isinstance(about.get("architecture"), dict):
        raise FileError(f"{path} holds no model.")
    bounds, kept, doing = bounds_of(arrays, about), about.get("compile"), ""
    if custom_objects:  # how many operations they take is said by their code, not by the file
        bounds = replace(bounds, nodes=MANY * bounds.nodes)
    try:
        with within(bounds):
            kind = Sequential if about["architecture"].get("sequential") else Model
            model = kind.from_config(about["architecture"], custom_objects)
        assert isinstance(model, Model)
        check_weights(model, arrays, about, path)
        if kept is not None and compile:
            doing = "how the model was trained cannot be read: "
            with within(replace(bounds, nodes=maxsize)):  # its gradients are in proportion to what has been built
                model.compile(**kept, engine=engine)
        doing = ""
        take_over(model, arrays, about, path)
        model.lost = [str(what) for what in about.get("lost") or []]
    except (MillraceError, *MALFORMED) as error:
        said = printable(str(error), 2000)
        raise FileError(said if said.startswith(str(path)) else f"{path}: {doing}{said}") from None
    return model


def check_layer(layer: Any) -> None:
    """Raise ArgumentError for what cannot stand in a Sequential, such as a layer's class in place of a layer."""
    if isinstance(layer, type) and issubclass(layer, Layer):
        takes = signature(layer).parameters.values()
        needed = any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in takes)
        name, inside = layer.__name__, "..." if needed else ""
        raise ArgumentError(f"Sequential takes layers, got the class {name}: write {name}({inside}).")
    if not isinstance(layer, (Layer, Value)):
        raise ArgumentError(f"Sequential takes layers, got {layer!r}.")
