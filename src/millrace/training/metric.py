"""What a metric is: statistics of each example, gathered in the graph, and the number shown for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.training.loss import function_name, keras_name, per_example

Result = float | list[float]


class Metric:
    """A rule `metric(y_true, y_pred) -> [batch]`, of which the mean is shown. `name` is the column's.

    A metric of one's own defines `call`. Where the number is no mean of the examples' own numbers, it sets
    `statistics = True`, lets `call` give [batch, k], and `result` makes the number of the k weighted totals.
    """

    known: ClassVar[dict[str, type[Metric]]] = {}
    statistics: ClassVar[bool] = False  # whether call gives [batch, k] for `result`, else [batch, ...] to be averaged
    direction: ClassVar[str | None] = None  # "up" where more is better, "down" where less is

    def __init_subclass__(cls, listed: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if listed:
            Metric.known[keras_name(cls.__name__)] = cls

    def __init__(self, name: str | None = None):
        self.name = name or keras_name(type(self).__name__)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        raise ArgumentError(f"metric {type(self).__name__} does not define call(self, y_true, y_pred)")

    def __call__(self, y_true: Value, y_pred: Value) -> Value:
        """[batch], or [batch, k] where the metric keeps k statistics."""
        made = mr.as_value(self.call(y_true, y_pred))
        if not self.statistics:
            return per_example(made, f"metric {self.name}")
        if made.ndim != 2 or not isinstance(made.shape[1], int):
            raise ShapeError(f"metric {self.name} must give statistics [batch, k], got {made.type}.")
        return made

    def result(self, totals: np.ndarray, count: float) -> Result:
        """The number shown: totals [k] are the weighted sums of the statistics, count is the sum of the weights."""
        return float(totals[0] / max(count, 1e-9))

    def get_config(self) -> dict[str, Any]:
        return {"class_name": keras_name(type(self).__name__), "config": dict(vars(self))}


class FunctionMetric(Metric, listed=False):
    """The mean of a function `f(y_true, y_pred)` -> [batch] or [batch, ...].  Source: Keras MeanMetricWrapper."""

    def __init__(self, function: Callable[[Value, Value], Any], name: str | None = None):
        super().__init__(name or function_name(function))
        self.function = function

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.as_value(self.function(y_true, y_pred))
