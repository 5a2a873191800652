"""Layer normalization, each example along its own last axes, and its gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.composite import Composite
from millrace.ir.core import Sample, Value, require_float, require_same
from millrace.ir.errors import ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType
from millrace.ops.sampling import bad_types, tensor, uniform
from millrace.ops.softmax import LEAST, SHORTEST


@dataclass(frozen=True)
class LayerNormalization(Composite):
    """Each example brought to mean 0 and variance 1 along its last axes, then scaled and shifted.

    out = (x - m) / sqrt(v + epsilon) * scale + offset, with m and v the mean and the variance along the last axes of
    x, of which scale and offset have the shape. x [..., *axes]. Not centred: m is 0, and v the mean of squares.
    Source: Ba, Kiros and Hinton 2016; not centred: Zhang and Sennrich 2019.
    """

    epsilon: float = 1e-3
    centred: bool = True

    def infer(self, x: TensorType, scale: TensorType, offset: TensorType) -> TensorType:
        require_float(self, x, scale, offset)
        fits = 1 <= scale.ndim <= x.ndim and scale == offset == x.with_shape(*x.shape[x.ndim - scale.ndim :])
        if not fits or not all(isinstance(size, int) for size in scale.shape):
            raise ShapeError(
                f"layer normalization of {x} takes scale and offset of its last axes, got {scale}, {offset}."
            )
        if self.epsilon < 0:
            raise ShapeError(f"epsilon must be at least 0, got {self.epsilon}.")
        return x

    def normalized(self, mr: Any, x: Value, axes: Sequence[int]) -> tuple[Value, Value]:
        """x brought to its scale along axes, and 1 / sqrt(v + epsilon)."""
        centred = x - mr.mean(x, axes, keepdims=True) if self.centred else x
        share = mr.rsqrt(mr.mean(mr.square(centred), axes, keepdims=True) + self.epsilon)
        return centred * share, share

    def expand(self, mr: Any, x: Value, scale: Value, offset: Value) -> Value:
        z, _ = self.normalized(mr, x, range(x.ndim - scale.ndim, x.ndim))
        return z * scale + offset

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, scale: Value, offset: Value) -> Any:
        return LayerNormalizationGradient(self.epsilon, self.centred)(x, scale, g)

    def lower(self, low: Any, x: Any, scale: Any, offset: Any) -> Any:
        if not self.has_routine(low, x, scale, offset):
            return super().lower(low, x, scale, offset)
        return low.routine("layer_normalization", x.shape, x, scale, offset, how=self.numbers())

    def has_routine(self, low: Any, x: Any, scale: Any, *others: Any) -> bool:
        """Whether one of Millrace's own routines computes this."""
        if math.prod(scale.shape) < SHORTEST or x.size < LEAST or not low.has_routine(x, scale, *others):
            return False
        low.note("routine of its own", "a row stays in the first cache, where XLA's passes each go through memory")
        return True

    def numbers(self) -> tuple[int, ...]:
        """epsilon, as the bits of its float32, and whether it is centred, as the routines take them."""
        return int(np.float32(self.epsilon).view(np.int32)), int(self.centred)

    def formula(self, x: TensorType, scale: TensorType, offset: TensorType) -> Formula:
        index, count = indices("i", x.ndim), math.prod(scale.shape)
        before, own = index[: x.ndim - scale.ndim], index[x.ndim - scale.ndim :]

        def mean(letter: str, of: str) -> str:
            loops = "".join(f" for {letter}{n} in range({size})" for n, size in enumerate(scale.shape))
            return f"sum({of}{loops}) / {count}"

        def place(letter: str) -> str:
            return at("x", [*before, *(f"{letter}{n}" for n in range(scale.ndim))])

        less = f" - {mean('q', place('q'))}" if self.centred else ""
        variance = mean("p", f"({place('p')}{less}) ** 2")
        return Formula(
            f"{at('out', index)} = ({at('x', index)}{less}) / sqrt({variance} + {self.epsilon}) * "
            f"{at('scale', own)} + {at('offset', own)}"
        )

    def notation(self, x: str, *others: str) -> str:
        return f"layer_normalization({x})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        cases = [(cls(), (3, 4), (4,)), (cls(0.1), (2, 3, 2), (3, 2)), (cls(1e-3, False), (2, 5), (5,))]
        return [Sample(op, (uniform(rng, shape), uniform(rng, own), uniform(rng, own))) for op, shape, own in cases]

    @classmethod
    def errors(cls) -> list:
        x, own, other = tensor("float32", 4, 3), tensor("float32", 3), tensor("float32", 4)
        return [
            bad_types(cls(), "of its last axes", x, other, other),
            bad_types(cls(), "of its last axes", x, own, other),
            bad_types(cls(), "floating-point", tensor("int32", 4, 3), own, own),
            bad_types(cls(-1.0), "at least 0", x, own, own),
        ]


@dataclass(frozen=True)
class LayerNormalizationGradient(LayerNormalization):
    """What reaches x, scale and offset of a layer normalization: x and g [..., *axes], scale [*axes].

    With z = (x - m) r, r = 1 / sqrt(v + epsilon) and h = g scale: r (h - mean of h - z mean of h z), the sum over
    examples of g z, and that of g. Not centred: without the mean of h.
    Source: Ba, Kiros and Hinton 2016, differentiated.
    """

    def infer(self, x: TensorType, scale: TensorType, g: TensorType) -> Any:
        require_same(self, x, g)
        return super().infer(x, scale, scale), scale, scale

    def expand(self, mr: Any, x: Value, scale: Value, g: Value) -> Any:
        axes, examples = range(x.ndim - scale.ndim, x.ndim), range(x.ndim - scale.ndim)
        z, share = self.normalized(mr, x, axes)
        h = g * scale
        common = z * mr.mean(h * z, axes, keepdims=True)
        if self.centred:
            common = common + mr.mean(h, axes, keepdims=True)
        return share * (h - common), mr.sum(g * z, examples), mr.sum(g, examples)

    gradient = Composite.gradient  # type: ignore[assignment]

    def lower(self, low: Any, x: Any, scale: Any, g: Any) -> Any:
        if not self.has_routine(low, x, scale, g):
            return Composite.lower(self, low, x, scale, g)
        shapes = [x.shape, scale.shape, scale.shape]
        return low.routines("layer_normalization_gradient", shapes, x, scale, g, how=self.numbers())

    def formula(self, *types: TensorType) -> Formula | None:
        return None  # three results at once: tested as the gradient that it is

    def notation(self, x: str, *others: str) -> str:
        return f"layer_normalization_gradient({x})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        made = []
        for sample in LayerNormalization.samples(rng):
            op: Any = sample.op
            x, scale, _ = sample.inputs
            made.append(Sample(cls(op.epsilon, op.centred), (x, scale, uniform(rng, x.shape))))
        return made

    @classmethod
    def errors(cls) -> list:
        x, own = tensor("float32", 4, 3), tensor("float32", 3)
        return [
            bad_types(cls(), "takes one shape", x, own, own),
            bad_types(cls(), "of its last axes", x, tensor("float32", 4), x),
        ]
