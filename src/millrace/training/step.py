"""The steps of training, evaluation and prediction, each as one graph made into one function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.engines.function import Function, engine_named, function, replay
from millrace.engines.processes import processes
from millrace.ir.core import Node, Value, layer_scope
from millrace.ir.errors import NonFiniteError
from millrace.ir.graph import Graph, again, rebuilt, topological
from millrace.ir.leaves import Placeholder
from millrace.ir.state import Variable
from millrace.ir.types import TensorType
from millrace.training.compiled import Compiled, Goal
from millrace.training.forms import Form
from millrace.training.means import Means, Statistic
from millrace.training.optimizer import Optimizer, wide
from millrace.training.vitals import Answers, Gauges

Logs = dict[str, float]


@dataclass(frozen=True)
class Answer:
    """Where one output's right answers and the weights of its examples enter."""

    goal: Goal
    place: int  # which output
    target: Value
    weights: Value  # [batch], what `sample_weight` says; 1 where it says nothing
    masked: bool


@dataclass(frozen=True)
class Judgement:
    """The loss that training lessens, and the statistics behind the numbers that are shown."""

    loss: Value
    statistics: list[Statistic]


class Steps:
    """What a compiled model runs: `train`, `test` and `predict`, over the same variables.

    `healthy` is false from the first step on whose loss or new weights were not finite; from there the
    variables keep their values, so that the step can be looked at.
    """

    def __init__(
        self, form: Form, weights: Sequence[Variable], compiled: Compiled, optimizer: Optimizer, engine: Any,
        check_finite: bool, vitals: bool = True,
    ):  # fmt: skip
        self.compiled, self.engine = compiled, engine
        self.inputs, batch = list(form.inputs), form.inputs[0].shape[0]
        self.real = Placeholder("example_weights", TensorType("float32", (batch,)))()  # 0 where filled up
        self.answers: list[Answer] = []
        for place, (goal, output) in enumerate(zip(compiled.goals, form.outputs, strict=True)):
            if goal.loss is not None:
                end = f"_{goal.name}" if compiled.prefixed else ""
                target = Placeholder(f"y{end}", goal.loss.target_type(in_wide(output).type))()
                weighted = Placeholder(f"sample_weights{end}", TensorType("float32", (batch,)))()
                masked = form.masks[place] is not None and output.ndim > 1 and target.ndim > 1
                self.answers.append(Answer(goal, place, target, weighted, masked))
        given = [*self.inputs, *(a.target for a in self.answers), *(a.weights for a in self.answers), self.real]

        trained, used = form.for_training(self.real), form.for_use()
        judged = self.judge(trained)
        sizes = [int(s.totals.shape[0]) for s in judged.statistics]
        self.means, self.test_means = Means(sizes, "training"), Means(sizes, "validation")
        self.healthy = Variable(np.bool_(True), "training/healthy", False)
        self.completed = Variable(np.int64(0), "training/completed", False)  # steps, but for those not finite

        self.loss_value = judged.loss
        updates: dict[Variable, Value] = dict(trained.updates)
        changes = list(trained.updates.values())
        self.gradients: list[Value] = []
        stepped: dict[Variable, Value] = {}
        if weights:
            self.gradients = mr.gradients(self.loss_value, list(weights), unconnected="zero")
            stepped = optimizer.updates(weights, self.gradients)
            updates |= stepped
            changes += self.gradients
        updates |= self.means.updates(judged.statistics)
        updates[self.completed] = mr.add(self.completed, np.int64(1))
        self.unguarded = Graph(given, [self.loss_value], updates)
        if check_finite:
            updates = self._guarded(updates, stepped, changes)
        # over a mesh what is looked at lies apart, and bringing it together would cost more than it tells
        self.gauges = self._gauges(trained, weights) if vitals and engine_named(engine).mesh is None else None
        if self.gauges is not None:
            gradients = dict(zip(weights, self.gradients, strict=True))
            updates |= self.gauges.updates(self.real, self._counted, gradients, updates, updates.get(self.healthy))
        self.train = function(given, self.loss_value, updates, engine)

        with layer_scope("validation"):
            statistics = self.judge(used).statistics
        self.test = function(given, (), {**used.updates, **self.test_means.updates(statistics)}, engine)
        self.predict = predict_function(form, engine)

    def judge(self, form: Form) -> Judgement:
        """How far the outputs of a form are from the answers: losses, penalties, and what metrics count.

        An output with a mask is judged step by step: what counts is the mean over all steps of the batch that
        are real, however they are spread over its examples. Metrics as well: Keras 3's count padded steps.
        Where examples are mixed with each other, so are the losses of their answers; metrics take the larger share's.
        """
        losses, means, counted = [], [], []
        mixing = form.mixing
        for answer in self.answers:
            output, mask = in_wide(form.outputs[answer.place]), form.masks[answer.place]
            y, p, rows, samples = self._rows(answer, output, mask, answer.target, answer.weights)
            with layer_scope("loss"):
                assert answer.goal.loss is not None
                wrong = answer.goal.loss(y, p) * samples
                if mixing is not None:
                    others = (mixing.of_partners(x) for x in (answer.target, answer.weights))
                    y2, _, _, samples2 = self._rows(answer, output, mask, *others)
                    each = mixing.for_rows(self._rows(answer, output, mask, answer.target, mixing.share)[3])
                    wrong = each.mixed(wrong, answer.goal.loss(y2, p) * samples2)
                    y, samples = each.larger(y, y2), each.larger(samples, samples2)
                count = mr.sum(rows)
                if answer.masked or processes().count > 1:
                    count = mr.maximum(count, 1.0)  # a batch may be padding, or have no record that can be read
                mean = mr.sum(wrong * rows) / count
                losses.append(mean if answer.goal.weight == 1 else mean * answer.goal.weight)
                means.append(Statistic.of(wrong, rows))
            with layer_scope("metrics"):
                counted += [Statistic.of(metric(y, p), rows) for metric in answer.goal.metrics]
                weighted = rows * samples
                counted += [Statistic.of(metric(y, p), weighted) for metric in answer.goal.weighted_metrics]
        with layer_scope("penalties"):
            count = mr.sum(self.real)
            for penalty in form.penalties:
                losses.append(in_wide(penalty))
                means.append(Statistic(mr.reshape(in_wide(penalty) * count, (1,)), count))
        loss = losses[0]
        for other in losses[1:]:
            loss = loss + other
        return Judgement(loss, means + counted)

    def _rows(
        self, answer: Answer, p: Value, mask: Value | None, y: Value, samples: Value
    ) -> tuple[Value, Value, Value, Value]:
        """Answers, outputs, which rows are real, and their weights: a row an example, or a step where masked."""
        real = self.real
        if not answer.masked or mask is None:
            return y, p, real, samples
        steps = (p.shape[0] * p.shape[1],)
        rows = mr.reshape(mr.expand_dims(real, 1) * mr.cast(mask, "float32"), steps)
        samples = mr.reshape(mr.broadcast_to(mr.expand_dims(samples, 1), p.shape[:2]), steps)
        return mr.reshape(y, (*steps, *y.shape[2:])), mr.reshape(p, (*steps, *p.shape[2:])), rows, samples

    def logs(self, means: Means) -> Logs:
        """The numbers that are shown, by Keras's names, for what has been gathered so far."""
        read = means.read()
        losses = [float(totals[0]) / max(count, 1e-9) for totals, count in read]
        trained = len(self.answers)
        penalties = len(read) - trained - len(self.compiled.columns)
        total = sum(a.goal.weight * x for a, x in zip(self.answers, losses[:trained], strict=True))
        made: Logs = {"loss": total + sum(losses[trained : trained + penalties])}
        if self.compiled.prefixed:
            made |= {f"{a.goal.name}_loss": x for a, x in zip(self.answers, losses[:trained], strict=True)}
        for (metric, name), (totals, count) in zip(self.compiled.columns, read[trained + penalties :], strict=True):
            result = metric.result(totals, count)
            made |= {f"{name}_{n}": x for n, x in enumerate(result)} if isinstance(result, list) else {name: result}
        return made

    def _guarded(
        self, updates: dict[Variable, Value], stepped: dict[Variable, Value], changes: Sequence[Value]
    ) -> dict[Variable, Value]:
        """The updates, or the values from before where the loss or a gradient is not finite.

        Gradients are looked at, not the new weights: they lie in memory anyway, so that the optimizer still makes
        one pass. Medians of 15 interleaved ratios with and without (2 cores): an MLP 784-512-512-10 with Adam,
        batch 128, 1.16, against 1.27 for looking at all new values; the digits network, batch 64, 0.92.
        """
        with layer_scope("check"):
            finite = mr.logical_and(self.healthy, mr.isfinite(self.loss_value))
            for value in changes:
                if value.type.is_float:
                    finite = mr.logical_and(finite, mr.all_finite(value))
            held = self._held(finite, stepped)
            rest = {v: mr.where(finite, value, v) for v, value in updates.items() if v not in held}
            return rest | held | {self.healthy: finite}

    def _held(self, finite: Value, stepped: dict[Variable, Value]) -> dict[Variable, Value]:
        """An optimizer's updates, or the values from before; what is built on a new value is built on the held one.

        SGD's w + v is then w + (v or the old v): XLA reads v where it was written, in place of computing it again.
        9.8 against 24.7 ms for one weight of 9216 x 4096 with momentum (2 cores, Zen 5).
        """
        owner = {value: variable for variable, value in stepped.items()}

        def make(node: Node, inputs: tuple[Value, ...]) -> Any:
            made = again(node, node.op, inputs)
            variable = owner.get(node.outputs[0])
            if variable is None:
                return made
            return mr.where(finite, made[0] if isinstance(made, tuple) else made, variable)

        after = rebuilt(topological(owner, stop=frozenset(self.gradients)), make, {})
        return {variable: after[value] for value, variable in owner.items() if value in after}

    def _gauges(self, trained: Form, weights: Sequence[Variable]) -> Gauges:
        """What is measured of the network itself; of its answers, those of the first output."""
        with layer_scope("vitals"):
            first = self.answers[0]
            return Gauges(trained, weights, Answers.of(first.goal, trained.outputs[first.place], first.target))

    @property
    def _counted(self) -> Value:
        """How much each example counts by what `fit` was told: [batch]."""
        return self.real * self.answers[0].weights

    def reset(self) -> None:
        """Begin an epoch."""
        self.means.reset()
        if self.gauges is not None:
            self.gauges.reset()

    @property
    def variables(self) -> list[Variable]:
        """The state of training that is neither a weight nor the optimizer's."""
        return [*self.means.variables, *([] if self.gauges is None else self.gauges.variables)]

    def explain_failure(self, arrays: Sequence[Any]) -> NonFiniteError:
        """Why the step on these arrays gives what is not finite: the first node, and its line."""
        return replay(self.unguarded, arrays)


def in_wide(x: Value) -> Value:
    """A value in a precision that losses and their sums can be computed in."""
    return mr.cast(x, wide(x.dtype))


def predict_function(form: Form, engine: Any) -> Function:
    """Prediction alone: the outputs of a model in use, in a list."""
    used = form.for_use()
    return function(list(form.inputs), list(used.outputs), used.updates, engine)
