"""Losses of probabilities: cross-entropies, with their focal forms, and the divergence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, DataError, ShapeError
from millrace.training.loss import EPSILON, Loss, logits_of


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


def share(value: Any, name: str) -> float:
    """A number from 0 to 1.  Raises ArgumentError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ArgumentError(f"{name} must be a number from 0 to 1, got {value!r}.")
    return float(value)


class CategoricalCrossentropy(Loss):
    """-sum of y log p, in nats; y_true holds a distribution [batch, classes].

    label_smoothing: the share of each answer that is spread evenly over all classes, so that the model is
    never asked to be wholly sure.  Source: Keras CategoricalCrossentropy; Szegedy et al. 2016, section 7.
    """

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0):
        self.from_logits, self.label_smoothing = from_logits, share(label_smoothing, "label_smoothing")

    def check(self, y: np.ndarray, name: str, outputs: int) -> None:
        one_sure_output(outputs)
        sums = y.sum(axis=-1)
        if y.min() < 0 or np.abs(sums - 1).max() > 1e-3:
            worst = int(np.argmax(np.abs(sums - 1).reshape(len(y), -1).max(axis=1)))
            raise DataError(
                f"{name} must hold a distribution for each example, numbers from 0 that sum to 1; example {worst} "
                "does not."
            )

    def smoothed(self, y_true: Value) -> Value:
        """The answers with a share spread over all classes."""
        if not self.label_smoothing:
            return y_true
        return y_true * (1.0 - self.label_smoothing) + self.label_smoothing / y_true.shape[-1]

    def call(self, y_true: Value, y_pred: Value) -> Value:
        logits = y_pred if self.from_logits else logits_of(y_pred)
        if logits is None:
            logp = mr.log(mr.clip(y_pred / mr.sum(y_pred, axis=-1, keepdims=True), EPSILON, 1.0))
        else:
            logp = mr.log_softmax(logits)
        return -mr.sum(self.smoothed(y_true) * logp, axis=-1)


class CategoricalFocalCrossentropy(CategoricalCrossentropy):
    """Cross-entropy that looks away from what is right already: -sum of alpha (1 - p)^gamma y log p.

    alpha: a number, or one for each class.  Source: Lin et al. 2017, eq. 5; Keras CategoricalFocalCrossentropy.
    """

    def __init__(
        self, alpha: float | Sequence[float] = 0.25, gamma: float = 2.0, from_logits: bool = False,
        label_smoothing: float = 0.0,
    ):  # fmt: skip
        super().__init__(from_logits, label_smoothing)
        self.alpha = [float(a) for a in alpha] if isinstance(alpha, Sequence) else float(alpha)
        self.gamma = float(gamma)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        if self.from_logits:
            y_pred = mr.softmax(y_pred)
        p = mr.clip(y_pred / mr.sum(y_pred, axis=-1, keepdims=True), EPSILON, 1.0 - EPSILON)
        alpha = mr.constant(np.array(self.alpha, np.float32))
        return -mr.sum(alpha * mr.power(1.0 - p, self.gamma) * self.smoothed(y_true) * mr.log(p), axis=-1)


class BinaryCrossentropy(Loss):
    """-(y log p + (1 - y) log(1 - p)), in nats; y_true 0 to 1 like y_pred.

    label_smoothing: how far answers are moved from 0 and 1 towards one half.  Source: Keras BinaryCrossentropy.
    """

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0):
        self.from_logits, self.label_smoothing = from_logits, share(label_smoothing, "label_smoothing")

    def check(self, y: np.ndarray, name: str, outputs: int) -> None:
        if y.min() < 0 or y.max() > 1:
            worst = y.min() if y.min() < 0 else y.max()
            raise DataError(f"{name} must hold numbers from 0 to 1 (no or yes), but holds {worst:g}.")

    def smoothed(self, y_true: Value) -> Value:
        """The answers moved towards one half."""
        if not self.label_smoothing:
            return y_true
        return y_true * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing

    def call(self, y_true: Value, y_pred: Value) -> Value:
        y_true = self.smoothed(y_true)
        if self.from_logits:
            return mr.sigmoid_cross_entropy(y_pred, y_true)
        p = mr.clip(y_pred, EPSILON, 1 - EPSILON)
        return -(y_true * mr.log(p) + (1.0 - y_true) * mr.log(1.0 - p))


class BinaryFocalCrossentropy(BinaryCrossentropy):
    """Binary cross-entropy times (1 - p of the true answer)^gamma, so that what is right already counts less.

    apply_class_balancing: weigh yes by alpha and no by 1 - alpha as well.
    Source: Lin et al. 2017, section 3.2; Keras BinaryFocalCrossentropy.
    """

    def __init__(
        self, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0, from_logits: bool = False,
        label_smoothing: float = 0.0,
    ):  # fmt: skip
        super().__init__(from_logits, label_smoothing)
        self.apply_class_balancing, self.alpha, self.gamma = bool(apply_class_balancing), float(alpha), float(gamma)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        crossentropy = super().call(y_true, y_pred)
        y = self.smoothed(y_true)
        p = mr.sigmoid(y_pred) if self.from_logits else y_pred
        focal = mr.power(1.0 - (y * p + (1.0 - y) * (1.0 - p)), self.gamma) * crossentropy
        return (y * self.alpha + (1.0 - y) * (1.0 - self.alpha)) * focal if self.apply_class_balancing else focal


class KLDivergence(Loss):
    """sum of y log(y / p), in nats: how far y_pred [batch, classes] is from the distribution y_true.

    Source: Kullback and Leibler 1951; Keras KLDivergence.
    """

    def call(self, y_true: Value, y_pred: Value) -> Value:
        y, p = mr.clip(y_true, EPSILON, 1.0), mr.clip(y_pred, EPSILON, 1.0)
        return mr.sum(y * (mr.log(y) - mr.log(p)), axis=-1)
