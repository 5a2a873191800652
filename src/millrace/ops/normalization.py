"""Operations that set values in proportion to their neighbours: response normalization, softmax, its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.composite import Composite
from millrace.ir.core import Sample, Value, require_float, require_same
from millrace.ir.dims import same
from millrace.ir.errors import ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType
from millrace.ops.averaging import WindowSum
from millrace.ops.index import require_indices
from millrace.ops.sampling import bad_types, tensor, uniform

WHY = "the gradient is twice as fast as in two passes of XLA's on a CPU"


@dataclass(frozen=True)
class LocalResponseNormalization(Composite):
    """Divide each activation by a measure of its n neighbouring channels at the same place.

    b = a / (k + alpha * sum of a^2 over n adjacent channels)^beta, channels last.
    PyTorch and Caffe divide alpha by n; the paper, and this, do not.
    Source: Krizhevsky et al. 2012, section 3.3.
    """

    n: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75

    def infer(self, x: TensorType) -> TensorType:
        require_float(self, x)
        if x.ndim < 1 or not isinstance(x.shape[-1], int):
            raise ShapeError(f"local response normalization needs a known last axis of channels, got {x}.")
        if self.n < 1 or self.k <= 0:
            raise ShapeError(
                f"local response normalization needs n of at least 1 and k above 0: n={self.n}, k={self.k}."
            )
        return x

    def neighbours(self, x: Value, transposed: bool = False) -> Value:
        """The sum over each channel's neighbours (transposed: over the channels that it is a neighbour of)."""
        below, above = self.n // 2, (self.n - 1) // 2
        pads = (above, below) if transposed else (below, above)
        ones = (1,) * (x.ndim - 1)
        return WindowSum((*ones, self.n), (*ones, 1), ((0, 0),) * (x.ndim - 1) + (pads,))(x)

    def measure(self, mr: Any, x: Value) -> Value:
        return self.k + self.alpha * self.neighbours(mr.square(x))

    def to_power(self, mr: Any, t: Value) -> Value:
        """t to the power -beta; the paper's -3/4 as roots, which cost a fraction of a power."""
        if self.beta == 0.75:
            root = mr.rsqrt(t)
            return root * mr.sqrt(root)
        return mr.power(t, -self.beta)

    def expand(self, mr: Any, x: Value) -> Value:
        return x * self.to_power(mr, self.measure(mr, x))

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return LocalResponseNormalizationGradient(self.n, self.k, self.alpha, self.beta)(x, out, g)

    def lower(self, low: Any, x: Any) -> Any:
        if self.has_routine(low, x):
            return low.routine("response_normalization", x.shape, x, how=self.numbers())
        return low.boundary(low.traced(self.expand), x)

    def has_routine(self, low: Any, *arrays: Any) -> bool:
        """Whether one of Millrace's own routines computes this: for the paper's beta, whose power is two roots."""
        if self.beta != 0.75 or not low.has_routine(*arrays):
            return False
        low.note("routine of its own", WHY)
        return True

    def numbers(self) -> tuple[int, ...]:
        """n, k and alpha as the routines take them: numbers as the bits of their float32."""
        return (self.n, *(int(np.float32(number).view(np.int32)) for number in (self.k, self.alpha)))

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        c, count = index[-1], x.shape[-1]
        inner = at("x", [*index[:-1], "p"])
        span = f"range(max(0, {c} - {self.n // 2}), min({count}, {c} + {(self.n - 1) // 2} + 1))"
        return Formula(
            f"{at('out', index)} = {at('x', index)} / "
            f"({self.k} + {self.alpha} * sum({inner} ** 2 for p in {span})) ** {self.beta}"
        )

    def notation(self, x: str) -> str:
        return f"local_response_normalization({x}, n={self.n})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x = uniform(rng, (2, 3, 7))
        return [
            Sample(cls(), (x,)),
            Sample(cls(3, 1.0, 0.5, 0.75), (x,)),
            Sample(cls(4, 1.0, 0.3, 0.6), (x,)),
            Sample(cls(5, 2.0, 0.1, 1.0), (uniform(rng, (2, 3)),)),
            Sample(cls(1, 1.0, 0.2, 0.5), (x,)),
        ]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(), "floating-point", tensor("int32", 3)),
            bad_types(cls(n=0), "at least 1", tensor("float32", 3)),
            bad_types(cls(), "last axis", tensor("float32")),
        ]


@dataclass(frozen=True)
class LocalResponseNormalizationGradient(LocalResponseNormalization):
    """What reaches each activation from the normalized ones: x, b (the normalized x) and g, all [..., channels].

    g t^-beta - 2 alpha beta x * (sum over neighbours of g b / t), with t the measure that x was divided by.
    Source: Krizhevsky et al. 2012, section 3.3, differentiated.
    """

    def infer(self, x: TensorType, b: TensorType, g: TensorType) -> TensorType:
        require_same(self, x, b)
        require_same(self, x, g)
        return super().infer(x)

    def share(self, mr: Any, x: Value, b: Value, g: Value) -> Value:
        """What each normalized activation sends to its neighbours, but for their own factor."""
        return g * b / self.measure(mr, x)

    def joined(self, mr: Any, x: Value, g: Value, share: Value) -> Value:
        p = self.to_power(mr, self.measure(mr, x))
        return g * p - (2 * self.alpha * self.beta) * x * self.neighbours(share, transposed=True)

    def expand(self, mr: Any, x: Value, b: Value, g: Value) -> Value:
        return self.joined(mr, x, g, self.share(mr, x, b, g))

    gradient = Composite.gradient  # type: ignore[assignment]

    def lower(self, low: Any, x: Any, b: Any, g: Any) -> Any:
        if self.has_routine(low, x, b, g):
            return low.routine("response_normalization_gradient", x.shape, x, b, g, how=self.numbers())
        # In two passes, each for itself: XLA would compute the shares again for each of the n neighbours. 12 ms for
        # 15 on conv1's maps, 6.5 for 10 on conv2's (batch 32, 2 cores, Zen 5).
        low.note("two passes", "1.2 to 1.5 times faster than one that computes each share n times")
        share = low.boundary(low.traced(self.share), x, b, g)
        return low.boundary(low.traced(self.joined), x, g, share)

    def formula(self, *types: TensorType) -> Formula | None:
        return None  # two nested sums: tested against PyTorch and finite differences as the gradient that it is

    def notation(self, x: str, b: str, g: str) -> str:
        return f"local_response_normalization_gradient({x}, {b}, {g}, n={self.n})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        made = []
        for sample in LocalResponseNormalization.samples(rng):
            op: Any = sample.op
            (x,) = sample.inputs
            b = op.evaluate(x)
            made.append(Sample(cls(op.n, op.k, op.alpha, op.beta), (x, b, uniform(rng, x.shape))))
        return made

    @classmethod
    def errors(cls) -> list:
        x, other = tensor("float32", 3), tensor("float32", 4)
        return [bad_types(cls(), "takes one shape", x, other, x), bad_types(cls(), "takes one shape", x, x, other)]


class _Softmax(Composite, abstract=True):
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


@dataclass(frozen=True)
class Softmax(_Softmax):
    """Positive numbers that sum to 1 along the last axis, in proportion to exp(x).

    Source: Bridle 1990; Goodfellow et al., Deep Learning, 2016, section 6.2.2.3.
    """

    def expand(self, mr: Any, x: Value) -> Value:
        e = mr.exp(_shifted(mr, x))
        return e / mr.sum(e, axis=-1, keepdims=True)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return out * (g - mr.sum(g * out, axis=-1, keepdims=True))

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        largest = f"max({at('x', [*index[:-1], 'q'])} for q in range({x.shape[-1]}))"
        total = f"sum(exp({at('x', [*index[:-1], 'p'])} - {largest}) for p in range({x.shape[-1]}))"
        return Formula(f"{at('out', index)} = exp({at('x', index)} - {largest}) / {total}")


@dataclass(frozen=True)
class LogSoftmax(_Softmax):
    """The logarithm of softmax, exact where softmax itself would be 0.  Source: PyTorch log_softmax."""

    def expand(self, mr: Any, x: Value) -> Value:
        shifted = _shifted(mr, x)
        return shifted - mr.log(mr.sum(mr.exp(shifted), axis=-1, keepdims=True))

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return g - mr.exp(out) * mr.sum(g, axis=-1, keepdims=True)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        largest = f"max({at('x', [*index[:-1], 'q'])} for q in range({x.shape[-1]}))"
        total = f"sum(exp({at('x', [*index[:-1], 'p'])} - {largest}) for p in range({x.shape[-1]}))"
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


@dataclass(frozen=True)
class BatchNormalization(Composite):
    """Each channel shifted and scaled to mean 0 and variance 1 over the batch, then to what is learned.

    out = (x - m) / sqrt(v + epsilon) * scale + offset, with m and v the weighted mean and variance (divided
    by the sum of weights) of each channel. x [batch, ..., channels]; scale, offset, and the running mean and
    variance [channels]; weights [batch] or [batch, ...]: how much each example, or step, counts. Results:
    out like x, m and v [channels]. After training the running statistics stand in the place of m and v.
    Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    epsilon: float = 1e-3

    def infer(self, x: TensorType, *others: TensorType) -> tuple[TensorType, ...]:
        require_float(self, x, *others)
        if x.ndim < 2 or not isinstance(x.shape[-1], int):
            raise ShapeError(f"batch normalization takes [batch, ..., channels] with known channels, got {x}.")
        channels = x.with_shape(x.shape[-1])
        *four, weights = others
        if any(other != channels for other in four):
            raise ShapeError(
                f"batch normalization of {x} takes scale, offset, mean and variance of type {channels}, got "
                f"{', '.join(map(str, four))}."
            )
        fits = 1 <= weights.ndim < x.ndim and all(same(a, b) for a, b in zip(weights.shape, x.shape, strict=False))
        if not fits or weights.dtype != x.dtype:
            raise ShapeError(f"the weights of {x} must be {x.with_shape(*x.shape[:1])}, got {weights}.")
        if self.epsilon < 0:
            raise ShapeError(f"epsilon must be at least 0, got {self.epsilon}.")
        return x, channels, channels

    def weighing(self, mr: Any, x: Value, weights: Value) -> tuple[Value, Value]:
        """The weights shaped to meet x, and their sum over all that a channel's statistics are of."""
        wide = mr.reshape(weights, (*weights.shape, *(1,) * (x.ndim - weights.ndim)))
        count = mr.sum(weights)
        for size in x.shape[weights.ndim : -1]:
            count = count * mr.size(size, x.dtype)
        return wide, mr.maximum(count, 1e-30)  # no example at all: 0, not NaN

    def expand(self, mr: Any, x: Value, scale: Value, offset: Value, mean: Value, variance: Value, w: Value) -> Any:
        axes = range(x.ndim - 1)
        wide, count = self.weighing(mr, x, w)
        m = mr.sum(x * wide, axes) / count
        v = mr.sum(mr.square(x - m) * wide, axes) / count
        return (x - m) * (mr.rsqrt(v + self.epsilon) * scale) + offset, m, v

    def gradient(self, mr: Any, g: Any, out: Any, x: Value, scale: Value, *others: Value) -> Any:
        """In closed form: with z = (x - m) r and r = 1 / sqrt(v + epsilon),

        dx = scale r (g - w / n (sum g + z sum g z)) + w / n (g_m + 2 (x - m) g_v).
        """
        axes = range(x.ndim - 1)
        weights = others[-1]
        wide, count = self.weighing(mr, x, weights)
        g_out, g_m, g_v = g
        _, m, v = out
        r = mr.rsqrt(v + self.epsilon)
        z = (x - m) * r
        d_offset, d_scale = mr.sum(g_out, axes), mr.sum(g_out * z, axes)
        whole_m = g_m - scale * r * d_offset  # of the mean, through all of its uses
        whole_v = g_v - 0.5 * scale * mr.square(r) * d_scale
        share = wide / count
        dx = g_out * (scale * r) + share * (whole_m + 2.0 * (x - m) * whole_v)
        each = (x - m) * whole_m + (mr.square(x - m) - v) * whole_v
        d_weights = mr.sum(each, range(weights.ndim, x.ndim)) / count
        zero = mr.zeros_like(scale)
        return dx, d_scale, d_offset, zero, zero, d_weights

    def inference(self, mr: Any, x: Value, scale: Value, offset: Value, mean: Value, variance: Value, w: Value) -> Any:
        factor = mr.rsqrt(variance + self.epsilon) * scale
        return x * factor + (offset - mean * factor), mean, variance

    def formula(self, *types: TensorType) -> Formula | None:
        return None  # three results at once: tested against sums written out

    def notation(self, x: str, *others: str) -> str:
        return f"batch_normalization({x})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        def sample(*shape: int, weights: Any = None, epsilon: float = 1e-3) -> Sample:
            w = np.ones(shape[0]) if weights is None else np.asarray(weights)
            channel = [uniform(rng, shape[-1:]) for _ in range(3)]
            return Sample(
                cls(epsilon), (uniform(rng, shape), *channel, uniform(rng, shape[-1:], 0.5, 2), w.astype(np.float32))
            )

        return [
            sample(4, 3),
            sample(3, 2, 2, 2),
            sample(4, 2, weights=[1, 1, 0.5, 0], epsilon=0.1),
            sample(2, 3, 2, weights=[[1, 1, 0], [1, 0, 0]]),
        ]

    @classmethod
    def errors(cls) -> list:
        x, c, w = tensor("float32", 4, 3), tensor("float32", 3), tensor("float32", 4)
        return [
            bad_types(cls(), "known channels", w, c, c, c, c, w),
            bad_types(cls(), "takes scale, offset", x, c, w, c, c, w),
            bad_types(cls(), "the weights of", x, c, c, c, c, c),
            bad_types(cls(-1.0), "at least 0", x, c, c, c, c, w),
        ]
