"""What a training step measures of its network: how flat the activations are, how large gradients and updates.

It is part of the compiled step and gathered on the device, as metrics are; somebody reads it once an epoch. So that it
costs next to nothing, each weight is judged by a sample of its numbers and each feature map by a few of its places; no
example is left out. Nothing that is trained depends on it: weights have the same bits without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from millrace import functional as mr
from millrace.diagnosis.record import Activity, Sizes, Vitals
from millrace.ir.core import Value, layer_scope
from millrace.ir.graph import topological
from millrace.ir.state import Variable
from millrace.ops.compare import Cast
from millrace.ops.elementwise import Relu, Sigmoid, Tanh
from millrace.ops.shape import Reshape
from millrace.training.compiled import Goal
from millrace.training.crossentropies import BinaryCrossentropy, CategoricalCrossentropy
from millrace.training.forms import Form, for_each
from millrace.training.loss import logits_of

NUMBERS = 512  # of each weight that are looked at: enough for the order of magnitude
PLACES = 3  # along each axis of a feature map, or of a sequence
STEEPEST = {Relu: 1.0, Tanh: 1.0, Sigmoid: 0.25}  # the greatest slope of each activation that is watched
FLAT = 0.02  # of that slope: |tanh| above 0.99, a sigmoid below 0.005 or above 0.995, a relu at 0
ALWAYS = 0.9999  # the share of the examples that is all of them, but for rounding of the sums


@dataclass(frozen=True)
class Activation:
    """A layer's activation in the graph of training: [rows, ..., units]."""

    name: str
    value: Value

    @property
    def kind(self) -> str:
        return type(self.value.op).__name__.lower()

    @property
    def units(self) -> int:
        return int(self.value.shape[-1])

    @property
    def places(self) -> int:
        """In how many places of a feature map each unit is looked at."""
        return prod(len(range(*some(size))) for size in self.value.shape[1:-1])

    def flat(self, weights: Value) -> Value:
        """In how many places of the real examples each unit is flat: [units]; weights are the examples' [batch]."""
        x, op = self.value, self.value.op
        for axis, size in enumerate(x.shape[1:-1], 1):
            x = mr.slice_axis(x, axis, *some(size))
        x = mr.cast(x, "float32")
        assert isinstance(op, (Relu, Tanh, Sigmoid))
        slope = op.derivative(mr, x, x)  # of each of them a function of its output
        flat = mr.cast(mr.less_equal(slope, FLAT * STEEPEST[type(op)]), "float32")
        rows = mr.reshape(for_each(weights, x.shape[0]), (x.shape[0], *[1] * (x.ndim - 1)))
        return mr.sum(flat * rows, axis=range(x.ndim - 1))


def some(size: int) -> tuple[int, int, int]:
    """The places along an axis that are looked at: the first, the end, and the step from one to the next."""
    step = max(size // PLACES, 1)
    return (size - 1) % step // 2, size, step


def activations(form: Form) -> list[Activation]:
    """The activations within a network, in its order; what is an output may be flat, for it is to be sure.

    Left out are those whose number of units or of places has only a name.
    """
    outputs = {behind(value) for value in form.outputs}
    found: dict[str, Value] = {}
    for node in topological(form.outputs):
        value = node.outputs[0]
        if type(node.op) not in STEEPEST or value in outputs or value.ndim < 2:
            continue
        if all(isinstance(size, int) for size in value.shape[1:]):
            base = name = node.layer or type(node.op).__name__.lower()
            again = 1
            while name in found:
                name, again = f"{base} ({again + 1})", again + 1
            found[name] = value
    return [Activation(name, value) for name, value in found.items()]


def behind(value: Value) -> Value:
    """What a value is, before it was brought into another dtype or shape."""
    while isinstance(value.op, (Cast, Reshape)):
        value = value.node.inputs[0]
    return value


@dataclass(frozen=True)
class Answers:
    """The classes of a batch, [batch, classes] each: 1 for the true one, and for the one that the network gives."""

    truth: Value
    guess: Value

    @property
    def classes(self) -> int:
        return int(self.truth.shape[-1])

    @staticmethod
    def of(goal: Goal, output: Value, target: Value) -> Answers | None:
        """None where an output does not tell classes apart, one for each example."""
        loss = goal.loss
        if output.ndim != 2 or not isinstance(output.shape[-1], int):
            return None
        if isinstance(loss, BinaryCrossentropy) and output.shape[-1] == 1:
            cut = 0.0 if loss.from_logits else 0.5
            yes = [mr.cast(x, "float32") for x in (mr.greater(target, 0.5), mr.greater(output, cut))]
            return Answers(*(mr.concatenate([1.0 - x, x], axis=1) for x in yes))
        if loss is None or not (loss.labels or isinstance(loss, CategoricalCrossentropy)):
            return None
        logits = logits_of(output)
        scores = output if logits is None else logits
        best = mr.greater_equal(scores, mr.max(scores, axis=-1, keepdims=True))
        truth = mr.one_hot(target, int(output.shape[-1])) if loss.labels else target
        return Answers(mr.cast(truth, "float32"), mr.cast(best, "float32"))


class Gauges:
    """What is measured in a step, in variables that every step adds to."""

    def __init__(self, form: Form, weights: Sequence[Variable], answers: Answers | None):
        self.activations, self.answers = activations(form), answers
        self.weights = [v for v in weights if v.ndim > 1 and v.type.is_float]
        flat = [one.units for one in self.activations]
        classes = [] if answers is None else [answers.classes] * 2
        self.parts = [2, *flat, *classes, 3 * len(self.weights)]  # examples and steps, flat outputs, answers, sizes
        self.totals = Variable(np.zeros(sum(self.parts), np.float32), "training/vitals/totals", False)
        self.before = Variable(np.zeros((len(self.weights) or 1, NUMBERS), np.float32), "training/vitals/before", False)

    def updates(
        self, real: Value, counted: Value, gradients: Mapping[Variable, Value], new: Mapping[Variable, Value],
        finite: Value | None,
    ) -> dict[Variable, Value]:  # fmt: skip
        """The totals with this step's added, unless it was not finite.

        real: which rows of the batch are examples [batch]. counted: how much each counts among the classes [batch].
        gradients, new: of each weight, and what the step makes of it.

        A step's change is told from what the step before has kept: a weight that is written where it lies cannot be
        read any more, and XLA copied each as a whole to have both (0.03 of an MLP's step).
        """
        with layer_scope("vitals"):
            made = [mr.stack([mr.sum(real), mr.constant(1.0)]), *(one.flat(real) for one in self.activations)]
            if self.answers is not None:
                each = mr.expand_dims(counted, 1)
                made += [mr.sum(x * each, axis=0) for x in (self.answers.truth, self.answers.guess)]
            kept: dict[Variable, Value] = {}
            if self.weights:
                after = kept[self.before] = mr.stack([sample(new[v]) for v in self.weights])
                rows = [mr.stack([sample(gradients[v]) for v in self.weights]), after, after - self.before]
                made.append(mr.sum(mr.square(mr.concatenate(rows)), axis=1))
            kept[self.totals] = self.totals + mr.concatenate(made)
            return kept if finite is None else {v: mr.where(finite, x, v) for v, x in kept.items()}

    def begin(self) -> None:
        """Before the first step of a run, wherever it goes on."""
        if self.weights:
            self.before.assign(np.stack([sampled(v.numpy()) for v in self.weights]))

    def reset(self) -> None:
        self.totals.assign(np.zeros(self.totals.shape, np.float32))

    def read(self, epoch: int) -> Vitals:
        """What was measured since the last reset, as the vitals of an epoch; waits for the steps that are under way."""
        totals = np.split(self.totals.numpy().astype(np.float64), np.cumsum(self.parts)[:-1])
        examples, steps = np.maximum(totals[0], 1.0)
        flat = zip(self.activations, totals[1:], strict=False)
        truth, guess = ([], []) if self.answers is None else (part.tolist() for part in totals[-3:-1])
        looked_at = np.array([min(NUMBERS, prod(v.shape)) for v in self.weights] * 3)
        sizes = np.sqrt(totals[-1] / steps / looked_at).reshape(3, -1)
        return Vitals(
            epoch,
            {one.name: activity(one, share / examples / one.places) for one, share in flat},
            {v.name: Sizes(*sizes[:, n].tolist()) for n, v in enumerate(self.weights)},
            truth, guess,
        )  # fmt: skip

    @property
    def variables(self) -> list[Variable]:
        """What belongs to an epoch that is under way."""
        return [self.totals]


def activity(one: Activation, flat: np.ndarray) -> Activity:
    """From the share of the examples for which each unit is flat [units]."""
    return Activity(one.kind, one.units, float(flat.mean()), float((flat > ALWAYS).mean()))


def sample(x: Value) -> Value:
    """Some numbers of a weight, or of what belongs to it, spread evenly: float32 [NUMBERS], filled up with 0."""
    count = prod(map(int, x.shape))
    taken = mr.cast(mr.slice_axis(mr.reshape(x, (count,)), 0, *spread(count)), "float32")
    missing = NUMBERS - int(taken.shape[0])
    return mr.pad(taken, ((0, missing),)) if missing else taken


def sampled(x: np.ndarray) -> np.ndarray:
    """The same of an array."""
    start, stop, step = spread(x.size)
    taken = x.reshape(-1)[start:stop:step].astype(np.float32)
    return np.pad(taken, (0, NUMBERS - len(taken)))


def spread(count: int) -> tuple[int, int, int]:
    """NUMBERS places among so many: start, stop and step."""
    step = max(count // NUMBERS, 1)
    step -= step > 1 and step % 2 == 0  # an odd one comes through all columns of a matrix whose width is even
    return 0, min(count, step * (NUMBERS - 1) + 1), step
