"""Losses by Keras's names: how wrong each example is, as one number."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value, snake
from millrace.ir.errors import ArgumentError, DataError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.identify import identified
from millrace.ops.normalization import Softmax

EPSILON = 1e-7  # keeps logarithms of probabilities finite, as Keras's does


class Loss:
    """A rule `loss(y_true, y_pred) -> [batch]`. A loss of one's own defines `call`."""

    known: ClassVar[dict[str, type[Loss]]] = {}
    labels: ClassVar[bool] = False  # whether y_true holds class numbers instead of vectors

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Loss.known[snake(cls.__name__)] = cls

    def target_type(self, output: TensorType) -> TensorType:
        """What y_true looks like for a model's output."""
        if self.labels:
            return TensorType("int32", output.shape[:-1])
        return output

    def classes(self, output: TensorType) -> int | None:
        """How many classes labels may name; None where y_true holds no labels."""
        return output.shape[-1] if self.labels else None

    def check(self, y: np.ndarray, name: str, outputs: int) -> None:
        """Raise DataError for right answers that this loss has no meaning for."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        raise ArgumentError(f"loss {type(self).__name__} does not define call(self, y_true, y_pred)")

    def __call__(self, y_true: Value, y_pred: Value) -> Value:
        """One number for each example: [batch], the mean over what an example has besides."""
        return per_example(self.call(y_true, y_pred))

    def get_config(self) -> dict[str, Any]:
        return {"class_name": snake(type(self).__name__), "config": dict(vars(self))}


def per_example(x: Value) -> Value:
    return mr.mean(x, axis=range(1, x.ndim)) if x.ndim > 1 else x


def logits_of(y_pred: Value) -> Value | None:
    """What was given to the softmax that made y_pred: the loss is exact there where log(softmax) is not."""
    return y_pred.node.inputs[0] if isinstance(y_pred.op, Softmax) else None


class SparseCategoricalCrossentropy(Loss):
    """-log of the probability of the true class, in nats; y_true holds class numbers [batch].

    y_pred [batch, classes]: probabilities, or scores where `from_logits`. A model that ends in softmax is
    computed from its scores either way, which is exact.  Source: Keras SparseCategoricalCrossentropy.
    """

    labels = True

    def __init__(self, from_logits: bool = False):
        self.from_logits = from_logits

    def check(self, y: np.ndarray, name: str, outputs: int) -> None:
        one_sure_output(outputs)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        if y_pred.ndim < 2:
            raise ShapeError(f"this loss takes a model's output [batch, classes], got {y_pred.type}.")
        logits = y_pred if self.from_logits else logits_of(y_pred)
        if logits is None:
            logits = mr.log(mr.clip(y_pred / mr.sum(y_pred, axis=-1, keepdims=True), EPSILON, 1.0))
        return mr.softmax_cross_entropy(logits, y_true)


def one_sure_output(outputs: int) -> None:
    """One output alone is always the whole of its softmax, so that nothing could be learned."""
    if outputs == 1:
        raise ArgumentError(
            "the model has one output, which softmax makes 100% sure of everything: for two classes use "
            "Dense(1, 'sigmoid') with loss='binary_crossentropy', or Dense(2, 'softmax')."
        )


class CategoricalCrossentropy(Loss):
    """-sum of y log p, in nats; y_true holds a distribution [batch, classes].

    Source: Keras CategoricalCrossentropy.
    """

    def __init__(self, from_logits: bool = False):
        self.from_logits = from_logits

    def check(self, y: np.ndarray, name: str, outputs: int) -> None:
        one_sure_output(outputs)
        sums = y.sum(axis=-1)
        if y.min() < 0 or np.abs(sums - 1).max() > 1e-3:
            worst = int(np.argmax(np.abs(sums - 1).reshape(len(y), -1).max(axis=1)))
            raise DataError(
                f"{name} must hold a distribution for each example, numbers from 0 that sum to 1; example {worst} "
                "does not."
            )

    def call(self, y_true: Value, y_pred: Value) -> Value:
        logits = y_pred if self.from_logits else logits_of(y_pred)
        if logits is None:
            logp = mr.log(mr.clip(y_pred / mr.sum(y_pred, axis=-1, keepdims=True), EPSILON, 1.0))
        else:
            logp = mr.log_softmax(logits)
        return -mr.sum(y_true * logp, axis=-1)


class BinaryCrossentropy(Loss):
    """-(y log p + (1 - y) log(1 - p)), in nats; y_true 0 to 1 like y_pred.  Source: Keras BinaryCrossentropy."""

    def __init__(self, from_logits: bool = False):
        self.from_logits = from_logits

    def check(self, y: np.ndarray, name: str, outputs: int) -> None:
        if y.min() < 0 or y.max() > 1:
            worst = y.min() if y.min() < 0 else y.max()
            raise DataError(f"{name} must hold numbers from 0 to 1 (no or yes), but holds {worst:g}.")

    def call(self, y_true: Value, y_pred: Value) -> Value:
        if self.from_logits:
            return mr.sigmoid_cross_entropy(y_pred, y_true)
        p = mr.clip(y_pred, EPSILON, 1 - EPSILON)
        return -(y_true * mr.log(p) + (1.0 - y_true) * mr.log(1.0 - p))


class MeanSquaredError(Loss):
    """The mean of (y_true - y_pred)^2.  Source: Keras MeanSquaredError."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.square(y_true - y_pred)


class MeanAbsoluteError(Loss):
    """The mean of |y_true - y_pred|.  Source: Keras MeanAbsoluteError."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.abs(y_true - y_pred)


class Huber(Loss):
    """Squared where small, linear beyond delta, so that outliers pull less.  Source: Keras Huber."""

    def __init__(self, delta: float = 1.0):
        self.delta = float(delta)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        distance = mr.abs(y_true - y_pred)
        near = mr.minimum(distance, self.delta)
        return near * (distance - 0.5 * near)


SHORT = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}


def loss(identifier: Any) -> Loss:
    """A loss from its Keras name, its saved form, or one as it is.  Raises ArgumentError for an unknown name."""
    return identified("loss", identifier, Loss, Loss.known, SHORT)
