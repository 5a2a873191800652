"""Metrics made of counts over all examples: of hits and misses, of thresholds, of sums of squares."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.bounds import check_elements
from millrace.ir.core import Value
from millrace.ir.dims import product
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.layers.arguments import whole
from millrace.training.metric import Metric, Result

EPSILON = 1e-7


def quotient(a: Any, b: Any) -> Any:
    """a / b, and 0 where b is 0."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b))


def rows(y_true: Value, y_pred: Value) -> tuple[Value, Value]:
    """Answers and outputs of one shape, [batch, ..., classes]: class numbers become one-hot rows."""
    if y_true.ndim == y_pred.ndim - 1 and y_true.type.is_integer:
        y_true = mr.one_hot(y_true, y_pred.shape[-1])
    if y_true.ndim != y_pred.ndim:
        raise ShapeError(f"this metric takes answers shaped like the output {y_pred.type}, got {y_true.type}.")
    return mr.cast(y_true, "float32"), y_pred


def total(x: Value) -> Value:
    """The sum over all that an example has: [batch]."""
    return mr.sum(x, axis=range(1, x.ndim)) if x.ndim > 1 else x


class Confusions(Metric, listed=False):
    """Base of what is made of counts of true and false positives and negatives.

    thresholds: an output above it says yes, 0.5 by default (one number). top_k: instead, the k greatest outputs
    of a row say yes. class_id: look at one class alone. Class numbers are taken as one-hot rows.
    """

    statistics = True
    needs: ClassVar[tuple[str, ...]]  # of "tp", "fp", "tn", "fn"

    def __init__(
        self, thresholds: float | None = None, top_k: int | None = None, class_id: int | None = None,
        name: str | None = None,
    ):  # fmt: skip
        super().__init__(name)
        single = isinstance(thresholds, (int, float)) and not isinstance(thresholds, bool) and 0 <= thresholds <= 1
        if thresholds is not None and not single:
            raise ArgumentError(f"thresholds must be one number from 0 to 1, got {thresholds!r}.")
        self.thresholds = thresholds
        self.top_k = None if top_k is None else whole(top_k, "top_k")
        self.class_id = None if class_id is None else whole(class_id, "class_id", 0)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        y, p = rows(y_true, y_pred)
        if self.class_id is not None and self.class_id >= p.shape[-1]:
            raise ArgumentError(f"class_id={self.class_id}, but the output has {p.shape[-1]} classes.")
        if self.top_k is not None:
            says = among_greatest(p, self.top_k)
            if self.thresholds is not None:
                says = says * mr.cast(mr.greater(p, self.thresholds), "float32")
        else:
            says = mr.cast(mr.greater(p, 0.5 if self.thresholds is None else self.thresholds), "float32")
        is_so = mr.cast(mr.not_equal(y, 0.0), "float32")
        if self.class_id is not None:
            says, is_so = says[..., self.class_id], is_so[..., self.class_id]
        counts = {
            "tp": is_so * says, "fp": (1.0 - is_so) * says, "fn": is_so * (1.0 - says),
            "tn": (1.0 - is_so) * (1.0 - says),
        }  # fmt: skip
        return mr.stack([total(counts[need]) for need in self.needs], axis=1)


def among_greatest(scores: Value, k: int) -> Value:
    """1 at the k greatest of each row, 0 elsewhere."""
    found = mr.zeros_like(scores)
    for _ in range(min(k, scores.shape[-1])):
        place = mr.one_hot(mr.argmax(mr.where(mr.greater(found, 0.5), -np.inf, scores), -1), scores.shape[-1])
        found = found + place
    return found


class Precision(Confusions):
    """Of what the model calls yes, the share that is.  Source: Keras Precision."""

    direction, needs = "up", ("tp", "fp")

    def result(self, totals: np.ndarray, count: float) -> Result:
        return float(quotient(totals[0], totals.sum()))


class Recall(Precision):
    """Of what is yes, the share that the model finds.  Source: Keras Recall."""

    needs = ("tp", "fn")


class Count(Confusions, listed=False):
    """A plain count."""

    def __init__(self, thresholds: float | None = None, name: str | None = None):
        super().__init__(thresholds, name=name)

    def result(self, totals: np.ndarray, count: float) -> Result:
        return float(totals[0])

    def get_config(self) -> dict[str, Any]:
        made = super().get_config()
        return {**made, "config": {"thresholds": self.thresholds, "name": self.name}}


class TruePositives(Count):
    """How many yes the model finds.  Source: Keras TruePositives."""

    direction, needs = "up", ("tp",)


class FalsePositives(Count):
    """How many no the model calls yes.  Source: Keras FalsePositives."""

    direction, needs = "down", ("fp",)


class TrueNegatives(Count):
    """How many no the model finds.  Source: Keras TrueNegatives."""

    direction, needs = "up", ("tn",)


class FalseNegatives(Count):
    """How many yes the model calls no.  Source: Keras FalseNegatives."""

    direction, needs = "down", ("fn",)


class AUC(Metric):
    """The area under a curve over all thresholds, by num_thresholds of them, evenly from 0 to 1.

    curve: "ROC" (recall over the share of false alarms) or "PR" (precision over recall). summation_method:
    "interpolation", "minoring" (below the curve) or "majoring" (above). All classes of a row are taken together.

    Source: Keras AUC; Davis and Goadrich 2006, section 4 (interpolation between points of precision and recall).
    """

    statistics, direction = True, "up"

    def __init__(
        self, num_thresholds: int = 200, curve: str = "ROC", summation_method: str = "interpolation",
        name: str | None = None, from_logits: bool = False,
    ):  # fmt: skip
        super().__init__(name)
        self.num_thresholds = whole(num_thresholds, "num_thresholds", 2)
        if curve not in ("ROC", "PR"):
            raise ArgumentError(f"curve must be 'ROC' or 'PR', got {curve!r}.")
        if summation_method not in ("interpolation", "minoring", "majoring"):
            raise ArgumentError(
                f"summation_method must be 'interpolation', 'minoring' or 'majoring', got {summation_method!r}."
            )
        self.curve, self.summation_method, self.from_logits = curve, summation_method, bool(from_logits)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        y, p = rows(y_true, y_pred)
        flat = (p.shape[0], product(p.shape[1:]))
        y, p = mr.reshape(y, flat), mr.reshape(mr.sigmoid(p) if self.from_logits else p, flat)
        check_elements((self.num_thresholds,), "the thresholds of a metric")
        inner = np.arange(1, self.num_thresholds - 1) / (self.num_thresholds - 1)
        thresholds = np.concatenate([[-EPSILON], inner, [1 + EPSILON]]).astype(np.float32)
        above = mr.cast(mr.greater(mr.expand_dims(p, 2), mr.constant(thresholds)), "float32")
        both = mr.stack([y, 1.0 - y], axis=1)  # [batch, 2, outputs]
        found = mr.reshape(mr.matmul(both, above), (p.shape[0], 2 * self.num_thresholds))
        return mr.concatenate([found, mr.sum(both, axis=2)], axis=1)

    def result(self, totals: np.ndarray, count: float) -> Result:
        n = self.num_thresholds
        tp, fp, positives, negatives = totals[:n], totals[n : 2 * n], totals[-2], totals[-1]
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._interpolated_precision(tp, fp, positives)
        recall = quotient(tp, positives)
        x, y = (quotient(fp, negatives), recall) if self.curve == "ROC" else (recall, quotient(tp, tp + fp))
        heights = {
            "interpolation": (y[:-1] + y[1:]) / 2, "minoring": np.minimum(y[:-1], y[1:]),
            "majoring": np.maximum(y[:-1], y[1:]),
        }[self.summation_method]  # fmt: skip
        return float(np.sum((x[:-1] - x[1:]) * heights))

    def _interpolated_precision(self, tp: np.ndarray, fp: np.ndarray, positives: float) -> float:
        """Between two points the counts change in proportion, and precision with them: not along a line."""
        called = tp + fp
        dtp, dcalled = tp[:-1] - tp[1:], called[:-1] - called[1:]
        slope = quotient(dtp, np.maximum(dcalled, 0))
        start = tp[1:] - slope * called[1:]
        grows = (called[:-1] > 0) & (called[1:] > 0)
        ratio = np.where(grows, quotient(called[:-1], np.maximum(called[1:], 0)), 1.0)
        return float(np.sum(quotient(slope * (dtp + start * np.log(ratio)), np.maximum(positives, 0))))


class FBetaScore(Metric):
    """The harmonic mean of precision and recall, recall counting beta times as much, over classes.

    average: "micro" (all classes in one count), "macro" (the mean over classes), "weighted" (by how often each
    class occurs), or None for one number a class (columns name_0, name_1, ...). threshold: an output above it
    says yes; None: the greatest of a row does. y_true: one-hot rows or class numbers.  Source: Keras FBetaScore.
    """

    statistics, direction = True, "up"

    def __init__(
        self, average: str | None = None, beta: float = 1.0, threshold: float | None = None, name: str | None = None
    ):
        super().__init__(name)
        if average not in (None, "micro", "macro", "weighted"):
            raise ArgumentError(f"average must be None, 'micro', 'macro' or 'weighted', got {average!r}.")
        if isinstance(beta, bool) or not isinstance(beta, (int, float)) or beta <= 0:
            raise ArgumentError(f"beta must be a number above 0, got {beta!r}.")
        self.average, self.beta, self.threshold = average, float(beta), threshold

    def call(self, y_true: Value, y_pred: Value) -> Value:
        y, p = rows(y_true, y_pred)
        if self.threshold is None:
            greatest = mr.greater_equal(p, mr.max(p, axis=-1, keepdims=True))
            says = mr.logical_and(greatest, mr.greater(mr.abs(p), 1e-9))
        else:
            says = mr.greater(p, self.threshold)
        hit = mr.cast(says, "float32")
        counts = [y * hit, (1.0 - y) * hit, y * (1.0 - hit)]
        inner = range(1, p.ndim - 1)
        return mr.concatenate([mr.sum(c, axis=inner) if p.ndim > 2 else c for c in counts], axis=1)

    def result(self, totals: np.ndarray, count: float) -> Result:
        tp, fp, fn = totals.astype(np.float64).reshape(3, -1)
        occurs = tp + fn
        if self.average == "micro":
            tp, fp, fn = tp.sum(), fp.sum(), fn.sum()
        precision, recall = tp / (tp + fp + EPSILON), tp / (tp + fn + EPSILON)
        squared = self.beta**2
        score = (1 + squared) * precision * recall / (squared * precision + recall + EPSILON)
        if self.average == "weighted":
            return float(np.sum(score * occurs) / (occurs.sum() + EPSILON))
        return [float(s) for s in score] if self.average is None else float(np.mean(score))


class F1Score(FBetaScore):
    """2 precision recall / (precision + recall), over classes; arguments as FBetaScore's.  Source: Keras F1Score."""

    def __init__(self, average: str | None = None, threshold: float | None = None, name: str | None = None):
        super().__init__(average, 1.0, threshold, name)

    def get_config(self) -> dict[str, Any]:
        made = super().get_config()
        return {**made, "config": {k: v for k, v in made["config"].items() if k != "beta"}}


class R2Score(Metric):
    """1 - the squared errors' sum / the squared deviations' from the mean: 1 is perfect, 0 as good as the mean.

    class_aggregation: "uniform_average" over outputs, "variance_weighted_average", or None for one number an
    output. num_regressors: for the adjusted score, how many inputs the model used; Keras takes the number of
    examples times outputs for the number of examples there, which is the same for one output.
    Source: Keras R2Score.
    """

    statistics, direction = True, "up"

    def __init__(
        self, class_aggregation: str | None = "uniform_average", num_regressors: int = 0, name: str | None = None
    ):
        super().__init__(name)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ArgumentError(
                "class_aggregation must be None, 'uniform_average' or 'variance_weighted_average', got "
                f"{class_aggregation!r}."
            )
        self.class_aggregation, self.num_regressors = class_aggregation, whole(num_regressors, "num_regressors", 0)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        flat = (y_pred.shape[0], product(y_pred.shape[1:]))
        y, p = mr.reshape(y_true, flat), mr.reshape(y_pred, flat)
        return mr.concatenate([y, mr.square(y), mr.square(y - p)], axis=1)

    def result(self, totals: np.ndarray, count: float) -> Result:
        sums, squares, errors = totals.astype(np.float64).reshape(3, -1)
        spread = squares - sums * quotient(sums, count)
        score = np.where(spread == 0, 0.0, 1 - quotient(errors, spread))
        if self.class_aggregation is None:
            return [float(s) for s in score]
        weights = spread if self.class_aggregation == "variance_weighted_average" else np.ones_like(spread)
        mean = float(quotient(np.sum(score * weights), np.sum(weights)))
        if self.num_regressors and count > self.num_regressors + 1:
            return 1 - (1 - mean) * (count - 1) / (count - self.num_regressors - 1)
        return mean


class MeanIoU(Metric):
    """The mean over classes of intersection over union: TP / (TP + FP + FN).

    num_classes: how many there are. sparse_y_true, sparse_y_pred: whether they hold class numbers, else rows
    whose greatest number names the class; for the output of a softmax, sparse_y_pred=False.
    Source: Keras MeanIoU.
    """

    statistics, direction = True, "up"

    def __init__(
        self, num_classes: int, name: str | None = None, sparse_y_true: bool = True, sparse_y_pred: bool = True
    ):
        super().__init__(name)
        self.num_classes = whole(num_classes, "num_classes")
        self.sparse_y_true, self.sparse_y_pred = bool(sparse_y_true), bool(sparse_y_pred)

    def call(self, y_true: Value, y_pred: Value) -> Value:
        both = []
        for values, sparse in ((y_true, self.sparse_y_true), (y_pred, self.sparse_y_pred)):
            classes = mr.cast(values if sparse else mr.argmax(values, -1), "int32")
            flat = mr.reshape(classes, (classes.shape[0], product(classes.shape[1:])))
            both.append(mr.one_hot(flat, self.num_classes))
        table = mr.matmul(mr.swapaxes(both[0], 1, 2), both[1])  # [batch, true, predicted]
        return mr.reshape(table, (table.shape[0], self.num_classes**2))

    def result(self, totals: np.ndarray, count: float) -> Result:
        table = totals.astype(np.float64).reshape(self.num_classes, self.num_classes)
        hits = np.diag(table)
        union = table.sum(0) + table.sum(1) - hits
        present = union > 0
        return float(np.mean(hits[present] / union[present])) if present.any() else 0.0
