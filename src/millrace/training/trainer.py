"""Training, evaluating and using a model: Keras's compile, fit, evaluate and predict."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from millrace.data.arrays import Arrays, epoch_order
from millrace.data.source import Part, Source
from millrace.engines.function import Function, engine_named
from millrace.engines.processes import processes
from millrace.functional import random_state
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, DataError, one_of
from millrace.ir.graph import topological
from millrace.ir.leaves import Placeholder
from millrace.ir.mesh import Mesh, check_batch
from millrace.ir.state import Variable
from millrace.layers.arguments import flag, number, whole
from millrace.layers.base import Layer
from millrace.layers.calls import mask_of
from millrace.layers.initializers import current_seed
from millrace.layers.keras_names import ARGUMENTS, refused
from millrace.training.callbacks import Advice, Callback, History, Progress, in_order, restore
from millrace.training.compiled import Compiled
from millrace.training.examples import batch_size_for, examples, inputs_of
from millrace.training.forms import Form, frozen_statistics
from millrace.training.inputs import MOST_WORKERS, Input, input_of
from millrace.training.loop import ON_BROKEN, Loop, evaluate, warn_of
from millrace.training.optimizers import optimizer as optimizer_named
from millrace.training.program import TRAINING, VALIDATION, Program
from millrace.training.step import Steps, predict_function

BATCH_SIZE = 32  # where it is None, as in Keras
SAID = 10  # classes that a message names


class Trainer:
    """What can be trained: inputs and outputs, joined by layers. Models are.  Source: Keras Trainer."""

    inputs: list[Value]
    outputs: list[Value]
    layers: list[Layer]
    progress: dict[str, Any]  # how far the file that was loaded had come

    if TYPE_CHECKING:

        @property
        def trainable_weights(self) -> list[Variable]: ...
        @property
        def losses(self) -> list[Value]: ...
        def _need_graph(self, what: str) -> None: ...

    def _forget_training(self) -> None:
        """As if never compiled."""
        self._steps: Steps | None = None
        self._predict: dict[Any, Function] = {}
        self.mesh: Mesh | None = None
        self.stop_training = False
        self.lost: list[str] = []  # what the file that was loaded could not hold
        self.progress = {}

    def compile(
        self, optimizer: Any = "sgd", loss: Any = None, metrics: Any = (), engine: Any = None,
        check_finite: bool = True, loss_weights: Any = None, weighted_metrics: Any = (), mesh: Mesh | None = None,
        vitals: bool = True, **unknown: Any,
    ) -> None:  # fmt: skip
        """Decide how to train: optimizer, loss and metrics by name, as objects, or as functions f(y_true, y_pred).

        Of a model with several outputs, loss, loss_weights and the metrics are lists in the outputs' order or
        dictionaries by their names (an output is called like the layer that makes it); one loss alone is every
        output's. loss_weights: how much each output's loss counts. weighted_metrics: those that `sample_weight`
        weighs as well. Penalties of layers are added to the loss. Layers with trainable=False now stay as they are.
        engine: "xla", "numpy", or None for the best there is. check_finite: stop at the first loss or
        weight that is infinite or NaN, keep the weights of the step before, and say where it was born.
        mesh: the devices over which each step is spread, mr.Mesh(data=2): batches over its axis "data", layers with
        `shard` over theirs; weights and losses are those of one device but for rounding.
        vitals: measure in each step how flat activations are and how large gradients and updates, for
        `history.vitals` and the advice that `fit` prints; it changes no weight. Over a mesh it is left out.

        Raises ArgumentError for an unknown name, or for a mesh of more devices than there are.
        """
        known("compile", unknown)
        self._need_graph("compile")
        given = loss.values() if isinstance(loss, Mapping) else loss if isinstance(loss, (list, tuple)) else [loss]
        if all(one is None for one in given):
            raise ArgumentError("compile needs a loss, e.g. loss='sparse_categorical_crossentropy' or loss='mse'.")
        self.compiled = Compiled(self.outputs, loss, metrics, loss_weights, weighted_metrics)
        self.optimizer = optimizer_named(optimizer)
        self.mesh = mesh
        chosen = engine if mesh is None else engine_named(engine, mesh)
        self._steps = Steps(
            self.form(), self.trainable_weights, self.compiled, self.optimizer, chosen, check_finite, vitals
        )

    @property
    def loss(self) -> Any:
        """The compiled loss, or a list of them for several outputs."""
        losses = [goal.loss for goal in self.compiled.goals]
        return losses if len(losses) > 1 else losses[0]

    @property
    def metrics(self) -> list[Any]:
        """The compiled metrics of all outputs."""
        return [metric for metric, _ in self.compiled.columns]

    def form(self) -> Form:
        """The graph with all that training needs to know of it."""
        return Form(
            self.inputs,
            self.outputs,
            [mask_of(value) for value in self.outputs],
            self.layer_updates(),
            [x for x in self.losses if self._sees(x)],
            {v for layer in self.layers for v in layer.all_lasting},
            frozen_statistics([self]) if isinstance(self, Layer) else (),
        )

    def layer_updates(self) -> dict[Variable, Value]:
        """What training gives the variables of layers at each step, such as counts and running means."""
        return {v: x for layer in self.layers for v, x in layer.all_updates if self._sees(x)}

    def _sees(self, value: Value) -> bool:
        """Whether a layer's update or penalty belongs to this model's graph: it needs no other inputs."""
        return all(node.outputs[0] in self.inputs for node in topological([value]) if isinstance(node.op, Placeholder))

    @property
    def training_steps(self) -> Steps:
        """The compiled steps.  Raises ArgumentError before `compile`."""
        if self._steps is None:
            functions = " and ".join(self.lost)
            lost = (
                f" The file does not hold {functions}, as a file holds no functions: give it again."
                if functions
                else ""
            )
            raise ArgumentError("the model is not compiled: call model.compile(optimizer, loss, metrics) first." + lost)
        return self._steps

    def _given(self, x: Any) -> None:
        """Called with the first data: a Sequential without Input takes its shape from them."""

    def _source(
        self, x: Any, y: Any, sample_weight: Any, class_weight: Any, of: str = ""
    ) -> tuple[Source, Mapping[int, float] | None]:
        """Examples as a source, and the weights of classes that are still to be applied."""
        if not isinstance(x, Source):
            names = (f"{of}x", f"{of}y", f"{of}sample_weight")
            return examples(self.training_steps, self.outputs, x, y, sample_weight, class_weight, names), None
        if y is not None or sample_weight is not None:
            raise ArgumentError(
                f"{of}x is a source, whose records hold the answers too: leave y and sample_weight out."
            )
        return x, class_weight

    def _input(
        self, source: Source, label: str, batch_size: int, class_weight: Mapping[int, float] | None = None,
        shuffle_seed: int | None = None, workers: int | None = None, capacity: int | None = None,
    ) -> Input:  # fmt: skip
        size = batch_size_for(self.inputs, batch_size, source.count)  # a larger one would be filled up for nothing
        devices = getattr(self.training_steps.engine, "devices", None)
        return input_of(
            source, label, size, shuffle_seed, workers, capacity, self.inputs, self.outputs,
            self.training_steps.answers, class_weight, None if devices is None else devices.share(size),
        )  # fmt: skip

    def fit(
        self, x: Any, y: Any = None, batch_size: int | None = 32, epochs: int = 1, validation_data: Any = None,
        validation_split: float = 0.0, shuffle: bool = True, callbacks: Sequence[Callback] | None = (),
        verbose: int | str = 1, initial_epoch: int = 0, initial_step: int = 0, seed: int | None = None,
        sample_weight: Any = None, class_weight: Mapping[int, float] | None = None, workers: int | None = None,
        max_queue_size: int | None = None, on_broken: str = "skip", **unknown: Any,
    ) -> History:  # fmt: skip
        """Train on examples x [examples, ...] with right answers y, and return the curves.

        Several inputs or outputs: lists in their order, or dictionaries by their names. x may be a source instead,
        such as mr.data.ImageFolder(path): its records hold inputs and answers, so there is no y.
        validation_data: (x, y) or (x, y, sample_weight) or a source that is only looked at, after each epoch;
        validation_split: the share of x to hold out instead, the last part of arrays, a random one of a source.
        sample_weight: how much each example
        counts in the loss [examples]; class_weight: how much each class does, {class: weight}. Weights do not
        change what a batch's mean is divided by. The order of epoch e is a function of seed and e, so a run that
        goes on at initial_epoch and initial_step sees what it would have seen. verbose: 0 prints nothing.
        workers: threads that read and decode ahead of the step; max_queue_size: batches ahead, at most; None chooses.
        Neither changes what is learned. on_broken: "skip" leaves records out that cannot be read, and tells of each
        once; "stop" ends training at the first.
        Ctrl-C ends the step that runs, tells the callbacks, and raises KeyboardInterrupt.

        Raises DataError for data that cannot be used, NonFiniteError when training breaks down.
        """
        known("fit", unknown)
        callbacks, batch_size = callbacks or (), BATCH_SIZE if batch_size is None else batch_size
        spoken(verbose)
        for name, given in (("epochs", epochs), ("initial_epoch", initial_epoch), ("initial_step", initial_step)):
            whole(given, name, 0)
        if on_broken not in ON_BROKEN:
            raise one_of("on_broken", on_broken, ON_BROKEN)
        if not isinstance(callbacks, (list, tuple)) or not all(isinstance(c, Callback) for c in callbacks):
            raise ArgumentError(f"callbacks must be a list of mr.callbacks.Callback objects, got {callbacks!r}.")
        program = self.program(
            x, y, batch_size, validation_data, validation_split, shuffle, callbacks, seed, sample_weight, class_weight,
            workers, max_queue_size,
        )  # fmt: skip
        steps = program.training.batches.count
        if initial_step > steps:
            raise ArgumentError(f"initial_step={initial_step}, but an epoch has {steps} steps.")
        history = History()
        unit = "images" if max(value.ndim for value in self.inputs) >= 4 else "examples"
        told = [] if any(isinstance(c, Advice) for c in callbacks) else [Advice()]
        every = in_order([history, *([Progress(unit), *told] if verbose else []), *callbacks])
        if not processes().first:
            every = [callback for callback in every if callback.everywhere]
        here = (self.progress.get("epoch"), self.progress.get("step")) == (initial_epoch, initial_step)
        self.stop_training = here and bool(self.progress.get("stopped"))  # it had ended early
        if here:
            warn_of_other_input(self.progress.get("input"), program.training)
        for callback in every:
            callback.model, callback.beside = self, every
        restore(every, self.progress, initial_epoch, initial_step)
        Loop(program, epochs, every, history, self, on_broken).run(initial_epoch, initial_step)
        return history

    def program(
        self, x: Any, y: Any = None, batch_size: int = 32, validation_data: Any = None, validation_split: float = 0.0,
        shuffle: bool = True, callbacks: Sequence[Callback] = (), seed: int | None = None, sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None, workers: int | None = None, max_queue_size: int | None = None,
    ) -> Program:  # fmt: skip
        """The run that `fit` with these arguments is, as one graph: `print(model.program(x, y))` shows it.

        Raises DataError for data that cannot be used.
        """
        whole(batch_size, "batch_size")
        if self.mesh is not None:
            check_batch(batch_size, self.mesh)
        if max_queue_size is not None:
            whole(max_queue_size, "max_queue_size")
        if workers is not None:
            whole(workers, "workers", 0)
            if workers > MOST_WORKERS:
                raise ArgumentError(f"workers must be at most {MOST_WORKERS}, got {workers}: one a core is enough.")
        number(validation_split, "validation_split", 0, 1, open_high=True)
        chosen = current_seed() if seed is None else whole(seed, "seed", 0)
        random_state(chosen)  # checks its range
        held = validation_data
        if held is not None and not (
            isinstance(held, Source) or (isinstance(held, (tuple, list)) and len(held) in (2, 3))
        ):
            raise ArgumentError("validation_data must be (x, y) or (x, y, sample_weight), or a source.")
        self._given(x)
        source, weights = self._source(x, y, sample_weight, class_weight)
        held_source: Source | None = None
        if isinstance(held, Source):
            held_source = held
        elif held is not None:
            held_source, _ = self._source(held[0], held[1], held[2] if len(held) > 2 else None, None, "validation ")
        elif validation_split:
            source, held_source = split(source, validation_split, chosen)
            if class_weight is not None and isinstance(held_source, Arrays):
                weighed = len(self.training_steps.answers)  # the last columns; validation weighs no classes
                ones = [np.ones_like(array) for array in held_source.arrays[-weighed:]]
                held_source = Arrays([*held_source.arrays[:-weighed], *ones], [""] * len(held_source.arrays))
        if held_source is not None:
            same_classes(source, held_source)
        seed_of_order = chosen if shuffle else None
        training = self._input(source, TRAINING, batch_size, weights, seed_of_order, workers, max_queue_size)
        validation = None
        if held_source is not None:
            validation = self._input(held_source, VALIDATION, batch_size, None, None, workers, max_queue_size)
        effects = [effect for callback in callbacks for effect in callback.stages()]
        name = self.name if isinstance(self, Layer) else "model"
        return Program(self.training_steps, training, validation, effects, name)

    def evaluate(
        self, x: Any, y: Any = None, batch_size: int | None = 32, verbose: int | str = 0, sample_weight: Any = None,
        return_dict: bool = True, **unknown: Any,
    ) -> Any:  # fmt: skip
        """The loss and metrics over examples, or a source, without training: {"loss": ..., "accuracy": ...}.

        sample_weight: how much each example counts in the loss and in the weighted metrics [examples].
        return_dict=False: the numbers alone, in the order of the dictionary, as Keras gives them unless told otherwise;
        a single one where there is only the loss. verbose: taken as Keras has it; nothing is printed.
        Records of a source that are broken are left out, with a warning.
        """
        known("evaluate", unknown)
        spoken(verbose)
        flag(return_dict, "return_dict")
        batch_size = BATCH_SIZE if batch_size is None else batch_size
        whole(batch_size, "batch_size")
        self._given(x)
        source, _ = self._source(x, y, sample_weight, None)
        logs, broken = evaluate(self.training_steps, self._input(source, VALIDATION, batch_size))
        warn_of(broken, source.count)
        if return_dict:
            return Measured(logs)
        return list(logs.values()) if len(logs) > 1 else logs["loss"]

    def predict(
        self, x: Any, batch_size: int | None = 32, engine: Any = None, verbose: int | str = 0, **unknown: Any
    ) -> Any:
        """The output for each example, [examples, ...], without what only training does; a list for several.

        x may be a source: of its records the inputs are taken. verbose: taken as Keras has it; nothing is printed.

        Raises DataError for examples that the model does not take, and for a record that cannot be read, since each row
        of the output is an example's.
        """
        known("predict", unknown)
        spoken(verbose)
        batch_size = BATCH_SIZE if batch_size is None else batch_size
        self._given(x)
        self._need_graph("predict")
        whole(batch_size, "batch_size")
        source = x if isinstance(x, Source) else Arrays(*inputs_of(self.inputs, x, "x"))
        if engine is None and self._steps is not None:
            run = self._steps.predict
        else:
            if engine not in self._predict:
                self._predict[engine] = predict_function(self.form(), engine)
            run = self._predict[engine]
        size = batch_size_for(self.inputs, batch_size, source.count)
        feed = input_of(source, "prediction", size, None, None, None, self.inputs).start()
        parts = []
        try:
            for _ in range(feed.batches.count):
                batch = feed.take()
                for record, why in batch.broken.items():
                    raise DataError(f"{record} cannot be used: {why}")
                parts.append([np.asarray(part)[: batch.count] for part in run(*batch.arrays)])
        finally:
            feed.cancel()
        made = [np.concatenate(part) for part in zip(*parts, strict=True)]
        # NumPy does little with bfloat16, so what mixed precision makes is handed out in float32
        made = [part.astype(np.float32) if part.dtype.name == "bfloat16" else part for part in made]
        return made if len(made) > 1 else made[0]


class Measured(dict[str, float]):
    """What evaluate has measured, by name. Keras gives a list: who asks for a number by its place is told."""

    def __missing__(self, key: Any) -> float:
        if isinstance(key, int):
            raise ArgumentError(
                f"evaluate gives a dictionary, {', '.join(map(repr, self))}: take a number by its name, or write "
                "evaluate(..., return_dict=False) for a list."
            )
        raise KeyError(key)


def known(method: str, unknown: Mapping[str, Any]) -> None:
    """Raise ArgumentError for arguments that a method does not take: it says what to write for those of Keras."""
    if unknown:
        takes = set(inspect.signature(getattr(Trainer, method)).parameters) - {"self", "unknown"}
        raise refused(method, unknown, takes, ARGUMENTS)


def spoken(verbose: Any) -> None:
    """Raise ArgumentError for what Keras has no verbose for."""
    if verbose not in (0, 1, 2, "auto"):
        raise ArgumentError(f"verbose must be 0, 1, 2 or 'auto', got {verbose!r}.")


def split(source: Source, share: float, seed: int) -> tuple[Source, Source]:
    """Most of the records, and a share of them: of arrays the last part, as in Keras, of other sources a random one.

    Files lie class by class, so that their last part would be the last classes. The same seed gives the same parts.
    Raises DataError where one side would be empty.
    """
    held = int(source.count * share)
    if not 0 < held < source.count:
        raise DataError(f"validation_split={share} of {source.count} examples leaves one side empty.")
    kept = source.count - held
    if isinstance(source, Arrays):
        names = [""] * len(source.arrays)
        return Arrays([a[:kept] for a in source.arrays], names), Arrays([a[kept:] for a in source.arrays], names)
    order = epoch_order(source.count, seed, 0)  # the epochs of training begin at 1
    return Part(source, np.sort(order[:kept])), Part(source, np.sort(order[kept:]))


def warn_of_other_input(before: Any, now: Input) -> None:
    """Tell where a run goes on with other data than its checkpoint was made with: then its order is another one."""
    if isinstance(before, dict) and before != now.size:
        told = [f"{one.get('records'):,} records in batches of {one.get('batch_size')}" for one in (before, now.size)]
        warnings.warn(
            f"the checkpoint was made with {told[0]}, now there are {told[1]}: what follows is another order, and not "
            "what the run would have seen.",
            stacklevel=3,
        )


def same_classes(training: Source, held: Source) -> None:
    """Raise DataError for two sources whose class numbers mean different things."""
    if training.classes and held.classes and training.classes != held.classes:
        ours, theirs = (", ".join(map(str, s.classes[:SAID])) for s in (training, held))
        raise DataError(
            f"{training.name} numbers the classes {ours}, the validation data {held.name} {theirs}: give the latter "
            "the same, as in mr.data.ImageFolder(path, classes=training.classes)."
        )
