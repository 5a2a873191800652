"""What `compile` decides: for each output its loss, how much that counts, and its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, one_of
from millrace.layers.arguments import number
from millrace.layers.calls import call_of
from millrace.training.loss import FunctionLoss, Loss, function_name
from millrace.training.losses import loss as loss_named
from millrace.training.metric import FunctionMetric, Metric
from millrace.training.metrics import metric as metric_named


def output_names(outputs: Sequence[Value]) -> list[str]:
    """A name for each output: of the layer that made it, numbered where several outputs share it.

    Source: Keras output_names.
    """
    names: list[str] = []
    for n, value in enumerate(outputs):
        call = call_of(value)
        base = call.layer.name if call is not None else f"output_{n}"
        name, again = base, 1
        while name in names:
            name, again = f"{base}_{again}", again + 1
        names.append(name)
    return names


@dataclass
class Goal:
    """What one output is trained for and judged by."""

    name: str
    loss: Loss | None
    weight: float = 1.0
    metrics: list[Metric] = field(default_factory=list)
    weighted_metrics: list[Metric] = field(default_factory=list)

    @property
    def all_metrics(self) -> list[Metric]:
        return [*self.metrics, *self.weighted_metrics]


def for_each(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """One thing for each output, from a list in their order or a dictionary by their names; None where none is."""
    saved_form = isinstance(given, Mapping) and "class_name" in given and "class_name" not in names
    if isinstance(given, Mapping) and not saved_form:
        for name in given:
            if name not in names:
                raise one_of(f"output in {what}", name, list(names))
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise ArgumentError(
                f"{what} has {len(given)} entries, the model has {len(names)} outputs ({', '.join(names)}): give one "
                "for each, or a dictionary by their names."
            )
        return list(given)
    return [given] * len(names)


def metrics_for_each(given: Any, names: Sequence[str], what: str) -> list[list[Any]]:
    """A list of metrics for each output."""
    if given is None or (isinstance(given, (list, tuple)) and not given):
        return [[] for _ in names]
    if len(names) == 1 and isinstance(given, (list, tuple)) and not isinstance(given[0], (list, tuple)):
        return [list(given)]
    if len(names) > 1 and not isinstance(given, (list, tuple, Mapping)):
        raise ArgumentError(f"{what} must say which output each is for: a list of lists, or a dictionary by names.")
    each = for_each(given, names, what)
    return [[] if one is None else list(one) if isinstance(one, (list, tuple)) else [one] for one in each]


class Compiled:
    """The goals of a model's outputs, and what its logs are called.

    Raises ArgumentError for what is unknown or does not fit the outputs.
    """

    def __init__(
        self, outputs: Sequence[Value], loss: Any, metrics: Any = (), loss_weights: Any = None,
        weighted_metrics: Any = (),
    ):  # fmt: skip
        names = output_names(outputs)
        losses = [None if one is None else loss_named(one) for one in for_each(loss, names, "loss")]
        weights = [
            1.0 if one is None else number(one, "loss_weights", 0)
            for one in for_each(loss_weights, names, "loss_weights")
        ]
        found = []
        for what, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            made = []
            for name, rule, ones in zip(names, losses, metrics_for_each(given, names, what), strict=True):
                if ones and rule is None:
                    raise ArgumentError(f"output {name!r} has {what} but no loss: without one it is given no answers.")
                made.append([metric_named(one, rule) for one in ones if rule is not None])
            found.append(made)
        self.goals = [Goal(*parts) for parts in zip(names, losses, weights, *found, strict=True)]
        columns = [column for _, column in self.columns]
        for column in columns:
            if columns.count(column) > 1:
                raise ArgumentError(f"two metrics are called {column!r}: give one another name.")

    @property
    def prefixed(self) -> bool:
        """Whether names of columns start with an output's name."""
        return len(self.goals) > 1

    @property
    def columns(self) -> list[tuple[Metric, str]]:
        """Every metric with what the logs call it."""
        return [
            (metric, f"{goal.name}_{metric.name}" if self.prefixed else metric.name)
            for goal in self.goals
            for metric in goal.all_metrics
        ]

    def direction(self, column: str) -> str | None:
        """ "up" where more of a column of the logs is better, "down" where less is, None where nobody knows."""
        column = column.removeprefix("val_")
        if column == "loss" or column in [f"{goal.name}_loss" for goal in self.goals]:
            return "down"
        for metric, name in self.columns:
            if column == name or (column.startswith(f"{name}_") and column[len(name) + 1 :].isdigit()):
                return metric.direction
        return None

    @property
    def functions(self) -> list[str]:
        """What a file cannot hold: bare functions given as losses or metrics."""
        losses = [f"the loss {function_name(g.loss.function)}" for g in self.goals if isinstance(g.loss, FunctionLoss)]
        return losses + [
            f"the metric {m.name}" for g in self.goals for m in g.all_metrics if isinstance(m, FunctionMetric)
        ]

    def get_config(self) -> dict[str, Any]:
        """The arguments of `compile` as JSON has them."""
        each: dict[str, list[Any]] = {
            "loss": [None if g.loss is None else g.loss.get_config() for g in self.goals],
            "metrics": [[m.get_config() for m in g.metrics] for g in self.goals],
            "loss_weights": [g.weight for g in self.goals],
            "weighted_metrics": [[m.get_config() for m in g.weighted_metrics] for g in self.goals],
        }
        return each if self.prefixed else {name: one[0] for name, one in each.items()}
