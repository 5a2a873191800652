"""Metrics that are means over examples: accuracies, distances, and losses looked at as metrics."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError
from millrace.layers.arguments import whole
from millrace.training import crossentropies, regression_losses
from millrace.training.loss import Loss
from millrace.training.metric import Metric, Result


def share(hit: Value) -> Value:
    """Yes and no as 1 and 0."""
    return mr.cast(hit, "float32")


class SparseCategoricalAccuracy(Metric):
    """The share of examples whose greatest output is the true class.  Source: Keras."""

    direction = "up"

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return share(mr.equal(mr.argmax(y_pred, -1), mr.cast(y_true, "int32")))


class CategoricalAccuracy(Metric):
    """The share of examples whose greatest output is where y_true is greatest.  Source: Keras."""

    direction = "up"

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return share(mr.equal(mr.argmax(y_pred, -1), mr.argmax(y_true, -1)))


class BinaryAccuracy(Metric):
    """The share of outputs on the right side of a threshold.  Source: Keras BinaryAccuracy."""

    direction = "up"

    def __init__(self, threshold: float = 0.5, name: str | None = None):
        super().__init__(name)
        self.threshold = threshold

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return share(mr.equal(mr.greater(y_pred, self.threshold), mr.greater(y_true, 0.5)))


class SparseTopKCategoricalAccuracy(Metric):
    """The share of examples whose true class is among the k greatest outputs; y_true holds class numbers.

    A class that ties with the k-th greatest counts as among them.  Source: Keras SparseTopKCategoricalAccuracy.
    """

    direction = "up"

    def __init__(self, k: int = 5, name: str | None = None):
        super().__init__(name)
        self.k = whole(k, "k")

    def chosen(self, y_true: Value, y_pred: Value) -> Value:
        """The true class of each example, as a row with a single 1."""
        return mr.one_hot(mr.cast(y_true, "int32"), y_pred.shape[-1])

    def call(self, y_true: Value, y_pred: Value) -> Value:
        score = mr.sum(mr.where(mr.greater(self.chosen(y_true, y_pred), 0.5), y_pred, 0.0), axis=-1, keepdims=True)
        return share(mr.less(mr.sum(share(mr.greater(y_pred, score)), axis=-1), float(self.k)))


class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """The share of examples whose true class is among the k greatest outputs; y_true holds one-hot rows.

    Source: Keras TopKCategoricalAccuracy.
    """

    def chosen(self, y_true: Value, y_pred: Value) -> Value:
        return mr.one_hot(mr.argmax(y_true, -1), y_pred.shape[-1])


class CosineSimilarity(Metric):
    """The mean cosine of the angle between y_true and y_pred: 1 for one direction.  Source: Keras CosineSimilarity."""

    direction = "up"

    def __init__(self, name: str | None = None, axis: int = -1):
        super().__init__(name)
        self.axis = axis

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return regression_losses.cosine(y_true, y_pred, self.axis)


class LossMean(Metric, listed=False):
    """The mean of a loss over examples; further arguments are the loss's."""

    direction = "down"
    rule: ClassVar[type[Loss]]

    def __init__(self, name: str | None = None, **settings: Any):
        super().__init__(name)
        try:
            self.loss = self.rule(**settings)
        except TypeError as error:
            raise ArgumentError(f"metric {type(self).__name__}: {error}") from None

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return self.loss.call(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        made = super().get_config()
        return {**made, "config": {"name": self.name, **vars(self.loss)}}


class MeanSquaredError(LossMean):
    """The mean of (y_true - y_pred)^2.  Source: Keras MeanSquaredError."""

    rule = regression_losses.MeanSquaredError


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of (y_true - y_pred)^2.  Source: Keras RootMeanSquaredError."""

    def result(self, totals: np.ndarray, count: float) -> Result:
        return float(np.sqrt(totals[0] / max(count, 1e-9)))


class MeanAbsoluteError(LossMean):
    """The mean of |y_true - y_pred|.  Source: Keras MeanAbsoluteError."""

    rule = regression_losses.MeanAbsoluteError


class MeanAbsolutePercentageError(LossMean):
    """The mean of 100 |y_true - y_pred| / |y_true|, in percent.  Source: Keras MeanAbsolutePercentageError."""

    rule = regression_losses.MeanAbsolutePercentageError


class MeanSquaredLogarithmicError(LossMean):
    """The mean of (log(1 + y_true) - log(1 + y_pred))^2.  Source: Keras MeanSquaredLogarithmicError."""

    rule = regression_losses.MeanSquaredLogarithmicError


class LogCoshError(LossMean):
    """The mean of log cosh(y_pred - y_true).  Source: Keras LogCoshError."""

    rule = regression_losses.LogCosh


class Poisson(LossMean):
    """The mean of y_pred - y_true log y_pred.  Source: Keras Poisson."""

    rule = regression_losses.Poisson


class Hinge(LossMean):
    """The mean of max(1 - y_true y_pred, 0).  Source: Keras Hinge."""

    rule = regression_losses.Hinge


class SquaredHinge(LossMean):
    """The mean of max(1 - y_true y_pred, 0)^2.  Source: Keras SquaredHinge."""

    rule = regression_losses.SquaredHinge


class CategoricalHinge(LossMean):
    """The mean of max(1 + greatest wrong score - right score, 0).  Source: Keras CategoricalHinge."""

    rule = regression_losses.CategoricalHinge


class KLDivergence(LossMean):
    """The mean of sum y log(y / p), in nats.  Source: Keras KLDivergence."""

    rule = crossentropies.KLDivergence


class BinaryCrossentropy(LossMean):
    """The mean cross-entropy of yes and no, in nats.  Source: Keras BinaryCrossentropy."""

    rule = crossentropies.BinaryCrossentropy


class CategoricalCrossentropy(LossMean):
    """The mean cross-entropy of one-hot answers, in nats.  Source: Keras CategoricalCrossentropy."""

    rule = crossentropies.CategoricalCrossentropy


class SparseCategoricalCrossentropy(LossMean):
    """The mean cross-entropy of class numbers, in nats.  Source: Keras SparseCategoricalCrossentropy."""

    rule = crossentropies.SparseCategoricalCrossentropy
