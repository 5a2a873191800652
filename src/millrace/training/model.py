"""Models: layers from inputs to an output, with Keras's way to train, test and use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data.arrays import Arrays, checked_array, checked_labels
from millrace.engines.function import Function
from millrace.functional import Input, random_state
from millrace.ir.core import Value, outside_layers
from millrace.ir.dims import solve
from millrace.ir.errors import ArgumentError, DataError, FileError, MillraceError, ShapeError
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Placeholder
from millrace.ir.state import Variable
from millrace.ir.types import as_dtype
from millrace.layers.base import Layer, whole
from millrace.layers.initializers import current_seed
from millrace.training import architecture
from millrace.training.callbacks import Callback, History, Progress
from millrace.training.checkpoint import load_arrays, save_arrays
from millrace.training.loop import Loop, evaluate
from millrace.training.losses import loss as loss_named
from millrace.training.metrics import metric as metric_named
from millrace.training.optimizers import number
from millrace.training.optimizers import optimizer as optimizer_named
from millrace.training.step import Steps, predict_function
from millrace.training.summary import print_summary


class Model(Layer):
    """A network from inputs to an output, made of layers that were applied to `mr.Input`s.

        x = mr.Input((8, 8, 1))
        y = mr.layers.Dense(10, "softmax")(mr.layers.Flatten()(x))
        model = mr.Model(x, y)

    inputs, outputs: a value or a list of them. A model is a layer too: apply it to other values and it
    shares its weights.

    Raises GraphError if the outputs need an input that is not given.
    Source: Keras Model.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None):
        super().__init__(name)
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
        self.built = True
        self._steps: Steps | None = None
        self.lost_schedule, self.stop_training = False, False
        self._predict: dict[Any, Function] = {}

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

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, in the order of `weights`."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, arrays: Sequence[Any]) -> None:
        """Replace all weights.  Raises ArgumentError or ShapeError where they do not fit; then none is replaced."""
        if len(arrays) != len(self.weights):
            raise ArgumentError(f"the model has {len(self.weights)} weights, got {len(arrays)} arrays.")
        made = [np.asarray(array) for array in arrays]
        for variable, array in zip(self.weights, made, strict=True):
            variable.check(array)
        for variable, array in zip(self.weights, made, strict=True):
            variable.assign(array)

    def summary(self) -> None:
        """Print each layer with its output's shape and its number of parameters."""
        self._need_graph("show its layers")
        print_summary(self)

    # ---- as a layer

    def call(self, *inputs: Value) -> Any:
        if len(inputs) != len(self.inputs):
            raise ArgumentError(f"the model takes {len(self.inputs)} inputs, got {len(inputs)}.")
        for mine, given in zip(self.inputs, inputs, strict=True):
            if mine.ndim != given.ndim or mine.dtype != given.dtype or mine.shape[1:] != given.shape[1:]:
                raise ShapeError(f"the model takes {mine.type}, got {given.type}.")
        updates = self.layer_updates()
        values = [*self.outputs, *updates.values()]
        sizes: dict[str, int] = {}
        for mine, given in zip(self.inputs, inputs, strict=True):
            if isinstance(given.shape[0], int):  # an array: its number of examples is known
                solve(mine.shape[0], given.shape[0], sizes)
        whole = Graph(self.inputs, values).bind(sizes)
        new = whole.substitute(dict(zip(whole.inputs, inputs, strict=True)))
        made = [new.get(value, value) for value in whole.outputs]
        for variable, value in zip(updates, made[len(self.outputs) :], strict=True):
            self.add_update(variable, value)
        results = made[: len(self.outputs)]
        return results if len(results) > 1 else results[0]

    def get_config(self) -> dict[str, Any]:
        return architecture.to_config(self.inputs, self.outputs, self.name)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Layer:
        inputs, outputs = architecture.from_config(config, custom_objects)
        return Model(inputs, outputs, name=config.get("name"))

    # ---- training

    def compile(
        self, optimizer: Any = "sgd", loss: Any = None, metrics: Sequence[Any] = (), engine: Any = None,
        check_finite: bool = True,
    ) -> None:  # fmt: skip
        """Decide how to train: optimizer, loss and metrics by name or as objects.

        engine: "xla", "numpy", or None for the best there is. check_finite: stop at the first loss or
        weight that is infinite or NaN, keep the weights of the step before, and say where it was born.

        Raises ArgumentError for an unknown name or a model with several outputs.
        """
        self._need_graph("compile")
        if len(self.outputs) != 1:
            raise ArgumentError(f"compile trains one output; this model has {len(self.outputs)}. Use mr.function.")
        if loss is None:
            raise ArgumentError("compile needs a loss, e.g. loss='sparse_categorical_crossentropy' or loss='mse'.")
        self.loss, self.optimizer = loss_named(loss), optimizer_named(optimizer)
        given = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        self.metrics = [metric_named(m, self.loss) for m in given]
        self._steps = Steps(
            self.inputs, self.outputs[0], self.trainable_weights, self.layer_updates(), self.loss, self.metrics,
            self.optimizer, engine, check_finite,
        )  # fmt: skip

    def layer_updates(self) -> dict[Variable, Value]:
        """What training gives the variables of layers at each step, such as counts and running means."""
        return {v: x for layer in self.layers for v, x in layer.all_updates if self._sees(x)}

    def _sees(self, value: Value) -> bool:
        """Whether a layer's update belongs to this model's graph: it needs no other inputs."""
        return all(node.outputs[0] in self.inputs for node in topological([value]) if isinstance(node.op, Placeholder))

    @property
    def training_steps(self) -> Steps:
        """The compiled steps.  Raises ArgumentError before `compile`."""
        if self._steps is None:
            lost = " Its learning rate was a function, which a file does not hold: give it again."
            raise ArgumentError(
                "the model is not compiled: call model.compile(optimizer, loss, metrics) first."
                + (lost if self.lost_schedule else "")
            )
        return self._steps

    def _need_graph(self, what: str) -> None:
        if not self.built:
            raise ArgumentError(f"the model has no input yet, so it cannot {what}: start it with mr.Input(shape).")

    def _inputs_of(self, x: Any, name: str) -> list[np.ndarray]:
        given = list(x) if len(self.inputs) > 1 and isinstance(x, (list, tuple)) else [x]
        if len(given) != len(self.inputs):
            raise DataError(f"the model takes {len(self.inputs)} inputs, {name} has {len(given)}.")
        labels = [name] if len(given) == 1 else [f"{name}[{n}]" for n in range(len(given))]
        made = []
        for array, value, label in zip(given, self.inputs, labels, strict=True):
            checked = checked_array(array, value.type, label)
            if checked.dtype.kind == "f" and value.type.is_integer:
                raise DataError(f"{label} holds {checked.dtype}, the model takes {value.dtype}: convert it first.")
            converted = np.ascontiguousarray(as_dtype(checked, value.dtype, label))
            if value.type.is_float and not np.isfinite(converted).all():
                first = int(np.argwhere(~np.isfinite(converted))[0][0])
                raise DataError(f"{label} is too large for {value.dtype} in example number {first}: scale it first.")
            made.append(converted)
        return made

    def _examples(self, x: Any, y: Any, names: tuple[str, str]) -> Arrays:
        steps = self.training_steps
        arrays = self._inputs_of(x, names[0])
        if y is None:
            raise DataError(f"{names[1]} is missing: give the right answer for each example.")
        classes = self.loss.classes(self.outputs[0].type)
        y = self._answers(np.asarray(y) if not hasattr(y, "ndim") and len(np.shape(y)) else y, names[1])
        target = checked_array(y, steps.target.type, names[1])
        if classes is None:
            target = as_dtype(target, steps.target.dtype, names[1])
        else:
            target = checked_labels(target, classes, names[1])
        self.loss.check(target, names[1], int(np.prod(self.outputs[0].shape[-1:])))
        labels = [f"{names[0]}[{n}]" for n in range(len(arrays))] if len(arrays) > 1 else [names[0]]
        return Arrays([*arrays, target], [*labels, names[1]])

    def _given(self, x: Any) -> None:
        """Called with the first data: a Sequential without Input takes its shape from them."""

    def _answers(self, y: Any, name: str) -> Any:
        """y as the loss wants it: a column for one output; an error where it was meant for another loss."""
        wanted, ndim = self.training_steps.target.type, getattr(y, "ndim", -1)
        output = self.outputs[0].type
        one_hot = self.loss.labels and ndim == output.ndim and y.shape[-1] == output.shape[-1] > 1
        if one_hot:
            raise DataError(
                f"{name} holds a row of {y.shape[-1]} numbers for each example, but the loss wants class numbers: use "
                f"loss='categorical_crossentropy', or give {name}.argmax(-1)."
            )
        if not self.loss.labels and ndim == wanted.ndim - 1:
            if wanted.shape[-1] == 1:
                return y[..., None]
            if y.dtype.kind in "iu":
                raise DataError(
                    f"{name} holds class numbers, but the loss wants {wanted.shape[-1]} numbers for each example: use "
                    f"loss='sparse_categorical_crossentropy', or one-hot rows."
                )
        return y

    def fit(
        self, x: Any, y: Any = None, batch_size: int = 32, epochs: int = 1, validation_data: Any = None,
        validation_split: float = 0.0, shuffle: bool = True, callbacks: Sequence[Callback] = (), verbose: int = 1,
        initial_epoch: int = 0, initial_step: int = 0, seed: int | None = None,
    ) -> History:  # fmt: skip
        """Train on examples x [examples, ...] with right answers y, and return the curves.

        validation_data: (x, y) that is only looked at, after each epoch; validation_split: the share of x
        to hold out instead, its last part. The order of epoch e is a function of seed and e, so a run that
        goes on at initial_epoch and initial_step sees what it would have seen. verbose: 0 prints nothing.
        Ctrl-C ends the step that runs, tells the callbacks, and raises KeyboardInterrupt.

        Raises DataError for data that cannot be used, NonFiniteError when training breaks down.
        """
        whole(batch_size, "batch_size")
        for name, given in (("epochs", epochs), ("initial_epoch", initial_epoch), ("initial_step", initial_step)):
            whole(given, name, 0)
        number(validation_split, "validation_split", 0, 1, open_high=True)
        chosen = current_seed() if seed is None else whole(seed, "seed", 0)
        random_state(chosen)  # checks its range
        if validation_data is not None and not (
            isinstance(validation_data, (tuple, list)) and len(validation_data) == 2
        ):
            raise ArgumentError("validation_data must be a pair: (x, y).")
        self._given(x)
        data = self._examples(x, y, ("x", "y"))
        validation = None
        if validation_data is not None:
            x_held, y_held = validation_data
            validation = self._examples(x_held, y_held, ("validation x", "validation y"))
        elif validation_split:
            held = int(data.count * validation_split)
            if not 0 < held < data.count:
                raise DataError(f"validation_split={validation_split} of {data.count} examples leaves one side empty.")
            names = [""] * len(data.arrays)
            validation = Arrays([a[-held:] for a in data.arrays], names)
            data = Arrays([a[:-held] for a in data.arrays], names)
        if not isinstance(callbacks, (list, tuple)) or not all(isinstance(c, Callback) for c in callbacks):
            raise ArgumentError(f"callbacks must be a list of mr.callbacks.Callback objects, got {callbacks!r}.")
        batch_size = min(batch_size, data.count)  # a larger one would be filled up for nothing
        history = History()
        unit = "images" if max(value.ndim for value in self.inputs) >= 4 else "examples"
        every = [history, *callbacks, *([Progress(unit)] if verbose else [])]
        self.stop_training = False
        for callback in every:
            callback.model = self
        if initial_step >= max(data.steps(batch_size), 1):
            raise ArgumentError(f"initial_step={initial_step}, but an epoch has {data.steps(batch_size)} steps.")
        loop = Loop(self.training_steps, data, validation, batch_size, epochs, chosen, shuffle, every, history, self)
        loop.run(initial_epoch, initial_step)
        return history

    def evaluate(self, x: Any, y: Any, batch_size: int = 32) -> dict[str, float]:
        """The mean loss and metrics over examples, without training: {"loss": ..., "accuracy": ...}."""
        whole(batch_size, "batch_size")
        self._given(x)
        return evaluate(self.training_steps, self._examples(x, y, ("x", "y")), batch_size)

    def predict(self, x: Any, batch_size: int = 32, engine: Any = None) -> np.ndarray:
        """The output for each example, [examples, ...], without what only training does.

        Raises DataError for examples that the model does not take.
        """
        self._given(x)
        self._need_graph("predict")
        whole(batch_size, "batch_size")
        if len(self.outputs) != 1:
            raise ArgumentError(f"predict gives one output; this model has {len(self.outputs)}. Use mr.function.")
        arrays = self._inputs_of(x, "x")
        data = Arrays(arrays, ["x"] * len(arrays))
        if engine is None and self._steps is not None:
            run = self._steps.predict
        else:
            if engine not in self._predict:
                self._predict[engine] = predict_function(self.inputs, self.outputs[0], engine)
            run = self._predict[engine]
        size = min(batch_size, data.count)
        return np.concatenate([np.asarray(run(*b.arrays))[: b.count] for b in data.batches(size)])

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
        about: dict[str, Any] = {"kind": "model", "architecture": self.get_config(), "progress": dict(progress or {})}
        if self._steps is not None and self.optimizer.schedule is not None:
            about["compile"] = None  # a function is not saved: whoever loads this compiles it with the function again
        elif self._steps is not None:
            about["compile"] = {
                "optimizer": self.optimizer.get_config(), "loss": self.loss.get_config(),
                "metrics": [m.get_config() for m in self.metrics],
            }  # fmt: skip
        save_arrays(path, {variable.name: variable.numpy() for variable in self.state}, about)

    def load_weights(self, path: str | Path) -> dict[str, Any]:
        """Take over the state from a file that `save` wrote; returns its `progress`.

        Raises FileError if it is damaged, or not of this model; then nothing is taken over.
        """
        arrays, about = load_arrays(path)
        if not isinstance(about.get("progress"), dict):
            raise FileError(f"{path} does not say how far training got: it is damaged, or no model.")
        missing = [v.name for v in self.weights if v.name not in arrays]
        if missing:
            raise FileError(f"{path} is of another model: it has no weight {missing[0]!r}.")
        taken = [(v, arrays[v.name]) for v in self.state if v.name in arrays]
        for variable, array in taken:
            if array.shape != variable.shape or array.dtype != variable.dtype:
                raise FileError(
                    f"{path} is of another model: {variable.name!r} is {array.dtype}{list(array.shape)} there, "
                    f"{variable.type} here."
                )
        for variable, array in taken:
            variable.assign(array)
        return dict(about["progress"])


class Sequential(Model):
    """Layers one after another: Sequential([mr.Input((8, 8, 1)), Conv2D(...), ..., Dense(10, "softmax")]).

    Without an Input first, the first data or `build(shape)` decide its shape.
    Source: Keras Sequential.
    """

    def __init__(self, layers: Sequence[Any] = (), name: str | None = None):
        Layer.__init__(self, name)
        self._waiting: list[Layer] = []
        self.layers: list[Layer] = []
        self.inputs: list[Value] = []
        self._steps, self._predict = None, {}
        self._later: Any = None
        self.lost_schedule, self.stop_training = False, False
        if not isinstance(layers, (list, tuple)):
            raise ArgumentError(f"Sequential takes a list of layers, got {layers!r}.")
        for layer in layers:
            if not isinstance(layer, (Layer, Value)):
                raise ArgumentError(f"Sequential takes layers, got {layer!r}.")
        if layers and isinstance(layers[0], Value):
            self._waiting = list(layers[1:])
            self._join(layers[0])
        else:
            self._waiting = list(layers)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As Model.compile; where the input is not known yet, once the first data are."""
        self._later = None if self.built else (args, kwargs)
        if self.built:
            super().compile(*args, **kwargs)

    def _given(self, x: Any) -> None:
        if not self.built and len(np.shape(x)) > 1:
            self.build(np.shape(x))
            if self._later is not None:
                args, kwargs = self._later
                self.compile(*args, **kwargs)

    @property
    def weights(self) -> list[Variable]:
        self._need_graph("have weights")
        return super().weights

    def add(self, layer: Any) -> None:
        """One more layer at the end (or the Input, first)."""
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


def load_model(path: str | Path, custom_objects: Mapping[str, type[Layer]] | None = None, engine: Any = None) -> Model:
    """A model that `model.save` kept, compiled as it was; nothing in the file is run.

    Raises FileError for a missing or damaged file, or a layer that is unknown.
    """
    _, about = load_arrays(path)
    if about.get("kind") != "model" or not isinstance(about.get("architecture"), dict):
        raise FileError(f"{path} holds no model.")
    try:
        model = Model.from_config(about["architecture"], custom_objects)
        assert isinstance(model, Model)
    except (MillraceError, TypeError, AttributeError) as error:
        raise FileError(f"{path}: {error}") from None
    model.lost_schedule = "compile" in about and about["compile"] is None
    if about.get("compile") is not None:
        try:
            kept = about["compile"]
            model.compile(kept["optimizer"], kept["loss"], kept["metrics"], engine)
        except (KeyError, TypeError, ArgumentError) as error:
            raise FileError(f"{path}: how the model was trained cannot be read ({error}).") from None
    model.progress = model.load_weights(path)  # type: ignore[attr-defined]
    return model
