"""Softmax, its logarithm, its gradient and its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from millrace.ir.composite import Composite
from millrace.ir.core import Sample, Value, require_float, require_same
from millrace.ir.dims import same
from millrace.ir.errors import ShapeError
from millrace.ir.formula import PRODUCT, SUM, Formula, Term, at, indices, within
from millrace.ir.types import TensorType
from millrace.ir.typeset import enclosed
from millrace.ops.index import require_indices
from millrace.ops.sampling import bad_types, tensor, uniform

SHORTEST = 16  # of a row: with 10 numbers in each of 4096, XLA takes 0.8 of the routine's time (2 cores, Zen 4)
LEAST = 1024  # numbers altogether: 64 rows of 64 take 0.6 of XLA's time, one of 64 the same, and XLA may join those


def by_rows(low: Any, x: Any, *others: Any) -> bool:
    """Whether one of Millrace's own routines works along the rows of x, its last axis."""
    pays = low.bundled or (x.shape[-1] >= SHORTEST and x.size >= LEAST)
    if not pays or not x.size or not low.has_routine(x, *others):
        return False
    low.note("routine of its own", "a row stays in the first cache, where XLA's passes each go through memory")
    return True


class _Softmax(Composite, abstract=True):
    logarithm: ClassVar[bool]

    def lower(self, low: Any, x: Any) -> Any:
        return low.routine("softmax", x.shape, x, how=(self.logarithm,)) if by_rows(low, x) else super().lower(low, x)

    def infer(self, x: TensorType) -> TensorType:
        require_float(self, x)
        if x.ndim < 1 or x.shape[-1] == 0:
            raise ShapeError(f"softmax works along the last axis, which {x} lacks.")
        return x

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        big = np.array([[1000.0, 1001.0, -1000.0]], np.float32)  # exp would overflow
        return [Sample(cls(), (x,)) for x in (uniform(rng, (2, 3)), uniform(rng, (2, 2, 4), dtype="float64"), big)]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(), "floating-point", tensor("int32", 3)),
            bad_types(cls(), "last axis", tensor("float32")),
        ]


def _shifted(mr: Any, x: Value) -> Value:
    """x less its greatest element along the last axis: the same softmax, and no overflow."""
    return x - mr.stop_gradient(mr.max(x, axis=-1, keepdims=True))


def _largest_and_total(x: TensorType) -> tuple[list[str], str, str]:
    """Of a formula: the index of an element, the greatest of its row, and the row's sum of exponentials."""
    index = indices("i", x.ndim)
    largest = f"max({at('x', [*index[:-1], 'q'])} for q in range({x.shape[-1]}))"
    total = f"sum(exp({at('x', [*index[:-1], 'p'])} - {largest}) for p in range({x.shape[-1]}))"
    return index, largest, total


@dataclass(frozen=True)
class Softmax(_Softmax):
    """Positive numbers that sum to 1 along the last axis, in proportion to exp(x).

    Source: Bridle 1990; Goodfellow et al., Deep Learning, 2016, section 6.2.2.3.
    """

    logarithm = False

    def expand(self, mr: Any, x: Value) -> Value:
        e = mr.exp(_shifted(mr, x))
        return e / mr.sum(e, axis=-1, keepdims=True)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return SoftmaxGradient()(out, g)

    def formula(self, x: TensorType) -> Formula:
        index, largest, total = _largest_and_total(x)
        return Formula(f"{at('out', index)} = exp({at('x', index)} - {largest}) / {total}")


@dataclass(frozen=True)
class SoftmaxGradient(Composite):
    """What reaches the numbers that softmax is made of: y (g - sum of g y), with y the softmax and g of one shape.

    Source: Goodfellow et al., Deep Learning, 2016, section 6.2.2.3, differentiated.
    """

    def infer(self, y: TensorType, g: TensorType) -> TensorType:
        require_same(self, y, g)
        return Softmax().infer(y)

    def expand(self, mr: Any, y: Value, g: Value) -> Value:
        return y * (g - mr.sum(g * y, axis=-1, keepdims=True))

    def lower(self, low: Any, y: Any, g: Any) -> Any:
        return low.routine("softmax_gradient", y.shape, y, g) if by_rows(low, y, g) else super().lower(low, y, g)

    def formula(self, y: TensorType, g: TensorType) -> Formula:
        index = indices("i", y.ndim)
        inner = [*index[:-1], "p"]
        total = f"sum({at('g', inner)} * {at('y', inner)} for p in range({y.shape[-1]}))"
        return Formula(f"{at('out', index)} = {at('y', index)} * ({at('g', index)} - {total})")

    def notation(self, y: str, g: str) -> str:
        a, b = within(y, PRODUCT), within(g, PRODUCT)
        return Term(f"{a} * ({within(g, SUM)} - sum({b} * {a}))", PRODUCT)

    def latex(self, y: str, g: str) -> str:
        a, b = enclosed(y, PRODUCT), enclosed(g, PRODUCT)
        return Term(rf"{a} \cdot \left({enclosed(g, SUM)} - \textstyle\sum {b} \cdot {a}\right)", PRODUCT)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        shares: list[Any] = [Softmax().evaluate(*sample.inputs) for sample in Softmax.samples(rng)]
        return [Sample(cls(), (y, uniform(rng, y.shape, dtype=y.dtype.name))) for y in shares]

    @classmethod
    def errors(cls) -> list:
        x, other = tensor("float32", 3), tensor("float32", 4)
        return [bad_types(cls(), "takes one shape", x, other), bad_types(cls(), "floating", *[tensor("int32", 3)] * 2)]


@dataclass(frozen=True)
class LogSoftmax(_Softmax):
    """The logarithm of softmax, exact where softmax itself would be 0.  Source: PyTorch log_softmax."""

    logarithm = True

    def expand(self, mr: Any, x: Value) -> Value:
        shifted = _shifted(mr, x)
        return shifted - mr.log(mr.sum(mr.exp(shifted), axis=-1, keepdims=True))

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return g - mr.exp(out) * mr.sum(g, axis=-1, keepdims=True)

    def formula(self, x: TensorType) -> Formula:
        index, largest, total = _largest_and_total(x)
        return Formula(f"{at('out', index)} = {at('x', index)} - {largest} - log({total})")


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Composite):
    """How surprised softmax(logits) is by the true label, in nats: -log softmax(logits)[label].

    logits [..., classes], labels [...] whole numbers -> [...]. A label outside 0 ... classes-1 matches no
    class and counts as 0, with no gradient; training checks labels before they come here.
    Source: Goodfellow et al., Deep Learning, 2016, section 6.2.2.3.
    """

    def infer(self, logits: TensorType, labels: TensorType) -> TensorType:
        require_float(self, logits)
        require_indices("softmax_cross_entropy", labels)
        agree = logits.ndim == labels.ndim + 1 and all(
            same(a, b) for a, b in zip(logits.shape, labels.shape, strict=False)
        )
        if not agree or not isinstance(logits.shape[-1], int) or logits.shape[-1] < 1:
            raise ShapeError(
                f"softmax_cross_entropy takes logits [..., classes] and labels [...], got {logits} and {labels}."
            )
        return logits.with_shape(*logits.shape[:-1])

    def expand(self, mr: Any, logits: Value, labels: Value) -> Value:
        logp = mr.log_softmax(logits)
        return -mr.sum(mr.where(self.chosen(mr, logits, labels), logp, 0.0), axis=-1)

    @staticmethod
    def chosen(mr: Any, logits: Value, labels: Value) -> Value:
        positions = mr.iota(logits.shape, logits.ndim - 1, dtype="int64")
        labels = mr.cast(labels, "int64")  # a narrow dtype would wrap where there are many classes
        return mr.equal(mr.broadcast_to(mr.expand_dims(labels, -1), logits.shape), positions)

    def gradient(self, mr: Any, g: Value, out: Value, logits: Value, labels: Value) -> Any:
        """(softmax(logits) - one_hot(label)) * g; nothing for a label that matches no class."""
        chosen = mr.cast(self.chosen(mr, logits, labels), logits.dtype)
        matched = mr.sum(chosen, axis=-1, keepdims=True)
        return (mr.softmax(logits) * matched - chosen) * mr.expand_dims(g, -1), None

    def formula(self, logits: TensorType, labels: TensorType) -> Formula:
        index = indices("i", labels.ndim)
        count = logits.shape[-1]
        largest = f"max({at('logits', [*index, 'q'])} for q in range({count}))"
        total = f"sum(exp({at('logits', [*index, 'p'])} - {largest}) for p in range({count}))"
        chosen = at("logits", [*index, at("labels", index)])
        return Formula(f"{at('out', index)} = log({total}) + {largest} - {chosen}")

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(cls(), (uniform(rng, (3, 4)), np.array([0, 3, 1], np.int32))),
            Sample(cls(), (uniform(rng, (2, 2, 3), dtype="float64"), rng.integers(0, 3, (2, 2)))),
            Sample(cls(), (uniform(rng, (3,)), np.array(2, np.uint8))),
            Sample(cls(), (np.array([[1000.0, -1000.0]], np.float32), np.array([1], np.int32))),
        ]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(), "logits [..., classes]", tensor("float32", 3, 4), tensor("int32", 4)),
            bad_types(cls(), "whole-number", tensor("float32", 3, 4), tensor("float32", 3)),
            bad_types(cls(), "floating-point", tensor("int32", 3, 4), tensor("int32", 3)),
        ]
