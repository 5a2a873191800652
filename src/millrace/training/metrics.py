"""Metrics by Keras's names: means over examples, gathered in the graph and read now and then."""

from __future__ import annotations

from typing import Any, ClassVar

from millrace import functional as mr
from millrace.ir.core import Value, snake
from millrace.ir.errors import ArgumentError
from millrace.layers.identify import identified
from millrace.training.losses import Loss, per_example


class Metric:
    """A rule `metric(y_true, y_pred) -> [batch]`, of which the mean is shown. `name` is the column's."""

    known: ClassVar[dict[str, type[Metric]]] = {}
    root: ClassVar[bool] = False  # whether the square root of the mean is shown

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Metric.known[snake(cls.__name__)] = cls

    def __init__(self, name: str | None = None):
        self.name = name or snake(type(self).__name__)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        raise ArgumentError(f"metric {type(self).__name__} does not define call(self, y_true, y_pred)")

    def __call__(self, y_true: Value, y_pred: Value) -> Value:
        return per_example(self.call(y_true, y_pred))

    def get_config(self) -> dict[str, Any]:
        return {"class_name": snake(type(self).__name__), "config": dict(vars(self))}


class SparseCategoricalAccuracy(Metric):
    """The share of examples whose greatest output is the true class.  Source: Keras."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.cast(mr.equal(mr.argmax(y_pred, -1), mr.cast(y_true, "int32")), "float32")


class CategoricalAccuracy(Metric):
    """The share of examples whose greatest output is where y_true is greatest.  Source: Keras."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.cast(mr.equal(mr.argmax(y_pred, -1), mr.argmax(y_true, -1)), "float32")


class BinaryAccuracy(Metric):
    """The share of outputs on the right side of a threshold.  Source: Keras BinaryAccuracy."""

    def __init__(self, threshold: float = 0.5, name: str | None = None):
        super().__init__(name)
        self.threshold = threshold

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.cast(mr.equal(mr.greater(y_pred, self.threshold), mr.greater(y_true, 0.5)), "float32")


class MeanSquaredError(Metric):
    """The mean of (y_true - y_pred)^2.  Source: Keras MeanSquaredError."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.square(y_true - y_pred)


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of (y_true - y_pred)^2.  Source: Keras RootMeanSquaredError."""

    root = True


class MeanAbsoluteError(Metric):
    """The mean of |y_true - y_pred|.  Source: Keras MeanAbsoluteError."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.abs(y_true - y_pred)


SHORT = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "rmse": "root_mean_squared_error"}
ACCURACY = {
    "sparse_categorical_crossentropy": SparseCategoricalAccuracy,
    "categorical_crossentropy": CategoricalAccuracy,
    "binary_crossentropy": BinaryAccuracy,
}


def metric(identifier: Any, loss: Loss) -> Metric:
    """A metric from its name, its saved form, or one as it is; "accuracy" is the one that fits the loss.

    Raises ArgumentError for an unknown name, or for accuracy with a loss of regression.
    """
    if identifier in ("accuracy", "acc"):
        kind = ACCURACY.get(snake(type(loss).__name__))
        if kind is None:
            raise ArgumentError(
                f"accuracy counts right classes; the loss {snake(type(loss).__name__)} has none. Use 'mae' or 'mse'."
            )
        return kind(name="accuracy")
    made = identified("metric", identifier, Metric, {**Metric.known, "accuracy": Metric}, SHORT)
    if isinstance(identifier, str):
        made.name = identifier
    return made
