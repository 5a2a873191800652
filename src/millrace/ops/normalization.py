"""Operations that set values in proportion to their neighbours or to the batch: response and batch normalization."""

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
from millrace.ops.sampling import bad_types, tensor, uniform

CHANNELS, LEAST = 16, 4096  # for the sums by channel: [64, 64] takes 0.8 of XLA's time, [64, 8] 1.1 (2 cores, Zen 4)
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


def sums_by_channel(low: Any, x: Any, *others: Any) -> bool:
    """Whether one of Millrace's own routines sums over all positions of x, for each channel."""
    if x.shape[-1] < CHANNELS or x.size < LEAST or not low.has_routine(x, *others):
        return False
    low.note(
        "routine of its own",
        "sums by channel, read once: 3 to 4 times as fast as XLA's, which writes down what it is to sum",
    )
    return True


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
        weights = others[-1]
        wide, count = self.weighing(mr, x, weights)
        g_out, g_m, g_v = g
        _, m, v = out
        r = mr.rsqrt(v + self.epsilon)
        d_offset, d_scale = BatchNormalizationGradient(self.epsilon)(g_out, x, m, v)
        whole_m = g_m - scale * r * d_offset  # of the mean, through all of its uses
        whole_v = g_v - 0.5 * scale * mr.square(r) * d_scale
        share = wide / count
        dx = g_out * (scale * r) + share * (whole_m + 2.0 * (x - m) * whole_v)
        each = (x - m) * whole_m + (mr.square(x - m) - v) * whole_v
        d_weights = mr.sum(each, range(weights.ndim, x.ndim)) / count
        zero = mr.zeros_like(scale)
        return dx, d_scale, d_offset, zero, zero, d_weights

    def lower(self, low: Any, x: Any, scale: Any, offset: Any, mean: Any, variance: Any, w: Any) -> Any:
        if not sums_by_channel(low, x, w):
            return super().lower(low, x, scale, offset, mean, variance, w)
        channels = x.shape[-1:]
        m, v = low.routines("channel_moments", [channels, channels], x, w)
        return (x - m) * (low.lax.rsqrt(v + self.epsilon) * scale) + offset, m, v  # XLA joins what comes next with it

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


@dataclass(frozen=True)
class BatchNormalizationGradient(Composite):
    """What reaches the offset and the scale of a batch normalization, of which the rest of its gradient is made.

    sum of g, and sum of g (x - m) / sqrt(v + epsilon), over all axes but the last: g and x [batch, ..., channels],
    m and v [channels], the batch's mean and variance -> two of [channels].
    Source: Ioffe and Szegedy 2015, section 3.
    """

    epsilon: float = 1e-3

    def infer(self, g: TensorType, x: TensorType, *statistics: TensorType) -> tuple[TensorType, ...]:
        require_float(self, g, x, *statistics)
        require_same(self, g, x)
        if x.ndim < 1 or any(other != x.with_shape(x.shape[-1]) for other in statistics):
            raise ShapeError(f"statistics of the channels of {x} must have their number, got {statistics}.")
        return statistics

    def expand(self, mr: Any, g: Value, x: Value, m: Value, v: Value) -> Any:
        axes = range(x.ndim - 1)
        return mr.sum(g, axes), mr.sum(g * ((x - m) * mr.rsqrt(v + self.epsilon)), axes)

    def lower(self, low: Any, g: Any, x: Any, m: Any, v: Any) -> Any:
        if not sums_by_channel(low, x, g):
            return super().lower(low, g, x, m, v)
        channels = x.shape[-1:]
        total, product = low.routines("channel_products", [channels, channels], x, g, m)
        return total, product * low.lax.rsqrt(v + self.epsilon)

    def formula(self, *types: TensorType) -> Formula | None:
        return None  # two results at once: tested as the gradient that it is

    def notation(self, g: str, x: str, m: str, v: str) -> str:
        return f"batch_normalization_gradient({g}, {x})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(
                cls(0.1),
                (uniform(rng, shape), uniform(rng, shape), uniform(rng, shape[-1:]), uniform(rng, shape[-1:], 0.5, 2)),
            )
            for shape in ((4, 3), (2, 3, 2, 2))
        ]

    @classmethod
    def errors(cls) -> list:
        x, c, other = tensor("float32", 4, 3), tensor("float32", 3), tensor("float32", 4)
        return [
            bad_types(cls(), "takes one shape", other, x, c, c),
            bad_types(cls(), "must have their number", x, x, c, other),
        ]
