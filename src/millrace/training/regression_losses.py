"""Losses of distances and margins: how far numbers are from those that were asked for."""

from __future__ import annotations

import math

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError
from millrace.training.loss import EPSILON, Loss


class MeanSquaredError(Loss):
    """The mean of (y_true - y_pred)^2.  Source: Keras MeanSquaredError."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.square(y_true - y_pred)


class MeanAbsoluteError(Loss):
    """The mean of |y_true - y_pred|.  Source: Keras MeanAbsoluteError."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.abs(y_true - y_pred)


class MeanAbsolutePercentageError(Loss):
    """The mean of 100 |y_true - y_pred| / |y_true|, in percent.  Source: Keras MeanAbsolutePercentageError."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return 100.0 * mr.abs((y_true - y_pred) / mr.maximum(mr.abs(y_true), EPSILON))


class MeanSquaredLogarithmicError(Loss):
    """The mean of (log(1 + y_true) - log(1 + y_pred))^2; numbers below 0 count as 0.

    Source: Keras MeanSquaredLogarithmicError.
    """

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.square(mr.log1p(mr.maximum(y_pred, EPSILON)) - mr.log1p(mr.maximum(y_true, EPSILON)))


class Huber(Loss):
    """Squared where small, linear beyond delta, so that outliers pull less.  Source: Keras Huber."""

    def __init__(self, delta: float = 1.0):
        self.delta = float(delta)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        distance = mr.abs(y_true - y_pred)
        near = mr.minimum(distance, self.delta)
        return near * (distance - 0.5 * near)


class LogCosh(Loss):
    """The mean of log cosh(y_pred - y_true): half the square where small, linear far out.  Source: Keras LogCosh."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        distance = mr.abs(y_pred - y_true)  # cosh is even; of a positive number nothing overflows
        return distance + mr.log1p(mr.exp(-2.0 * distance)) - math.log(2.0)


class Poisson(Loss):
    """The mean of y_pred - y_true log y_pred: -log of a Poisson probability, but for a constant.

    y_pred must be positive: end the model in softplus or exp.  Source: Keras Poisson.
    """

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return y_pred - y_true * mr.log(y_pred + EPSILON)


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between y_true and y_pred: -1 for one direction, 1 for opposite ones.

    axis: the axis of the vectors.  Source: Keras CosineSimilarity.
    """

    def __init__(self, axis: int = -1):
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise ArgumentError(f"axis must be a whole number, got {axis!r}.")
        self.axis = axis

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return -cosine(y_true, y_pred, self.axis)


def cosine(x: Value, y: Value, axis: int = -1) -> Value:
    """The cosine of the angle between vectors along an axis; 0 where one of them is zero."""

    def direction(v: Value) -> Value:
        return v / mr.sqrt(mr.maximum(mr.sum(mr.square(v), axis=axis, keepdims=True), EPSILON**2))

    return mr.sum(direction(x) * direction(y), axis=axis)


def signs(y_true: Value) -> Value:
    """Answers 0 or 1 as -1 or 1; answers -1 or 1 as they are."""
    return mr.where(mr.equal(y_true, 0.0), -1.0, y_true)


class Hinge(Loss):
    """The mean of max(1 - y_true y_pred, 0), with y_true -1 or 1 (0 is read as -1).  Source: Keras Hinge."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.maximum(1.0 - signs(y_true) * y_pred, 0.0)


class SquaredHinge(Loss):
    """The mean of max(1 - y_true y_pred, 0)^2, with y_true -1 or 1 (0 is read as -1).  Source: Keras SquaredHinge."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.square(mr.maximum(1.0 - signs(y_true) * y_pred, 0.0))


class CategoricalHinge(Loss):
    """max(1 + the greatest score of a wrong class - the true class's, 0); y_true holds one-hot rows.

    Source: Keras CategoricalHinge.
    """

    def call(self, y_true: Value, y_pred: Value) -> Value:
        right, wrong = mr.sum(y_true * y_pred, axis=-1), mr.max((1.0 - y_true) * y_pred, axis=-1)
        return mr.maximum(wrong - right + 1.0, 0.0)
