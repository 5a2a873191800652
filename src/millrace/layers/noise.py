"""Layers that disturb training so that a network does not lean on single units."""

from __future__ import annotations

from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.arguments import number, whole
from millrace.layers.base import Layer
from millrace.layers.randomness import Randomized, dropped
from millrace.layers.regularizers import L1L2
from millrace.layers.windows import AXES


class _Random(Randomized):
    """Noise, the same for every kind of input."""

    supports_masking = True

    def build(self, x: TensorType) -> None:
        self.add_random()


class Dropout(_Random):
    """In training, set each number to 0 with probability `rate` and divide the others by 1 - rate.

    Any shape, kept. After training it is gone: evaluation and prediction see x itself. `keep_prob` is
    1 - rate, for those who count what stays; give one of the two. noise_shape: the shape of the mask, 1
    where an axis shares it, None where it has the input's size. The masks come from a state of the layer's
    own, uint32[2], so a saved and resumed run draws the same ones.

    Raises ArgumentError unless 0 <= rate < 1, or if both are given.
    Source: Keras Dropout; Srivastava et al. 2014; Krizhevsky et al. 2012, section 4.2.
    """

    def __init__(
        self, rate: float | None = None, keep_prob: float | None = None, seed: int | None = None,
        noise_shape: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        if (rate is None) == (keep_prob is None):
            raise ArgumentError("Dropout takes either rate (the share set to 0) or keep_prob (the share kept).")
        self.rate, self.seed = dropped(rate, keep_prob), seed
        if noise_shape is not None and not isinstance(noise_shape, (list, tuple)):
            raise ArgumentError(f"noise_shape must be a tuple such as (None, 1, None), got {noise_shape!r}.")
        for size in noise_shape or ():
            if size is not None:
                whole(size, f"noise_shape={noise_shape!r}: each size but None")
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def mask_shape(self, x: Value) -> tuple[Any, ...]:
        """The shape of the random mask."""
        if self.noise_shape is None:
            return x.shape
        if len(self.noise_shape) != x.ndim:
            raise ShapeError(f"noise_shape={self.noise_shape} has another number of axes than {x.type}.")
        for n, size in zip(self.noise_shape, x.shape, strict=True):
            if n not in (None, 1) and (isinstance(size, Dim) or n != size):
                raise ShapeError(
                    f"noise_shape={self.noise_shape} does not fit {x.type}: use None for the input's size, or 1."
                )
        return tuple(size if n is None else n for n, size in zip(self.noise_shape, x.shape, strict=True))

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        shape = self.mask_shape(x)
        if shape == x.shape:
            return mr.dropout(x, self.rate, state, stream)
        return x * mr.dropout(mr.ones(shape, x.dtype), self.rate, state, stream)


class _SpatialDropout(Dropout):
    rank: int

    def __init__(
        self, rate: float | None = None, keep_prob: float | None = None, seed: int | None = None, **common: Any
    ):
        super().__init__(rate, keep_prob, seed, **common)

    def mask_shape(self, x: Value) -> tuple[Any, ...]:
        if x.ndim != self.rank + 2:
            axes = ", ".join(AXES[self.rank])
            raise ShapeError(f"{type(self).__name__} takes [batch, {axes}, channels], got {x.type}.")
        return (x.shape[0], *(1,) * self.rank, x.shape[-1])


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of a sequence: [batch, steps, channels].  Source: Keras SpatialDropout1D."""

    rank = 1


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole feature maps: [batch, height, width, channels].

    Neighbouring pixels say much the same, so dropping single ones would hardly disturb.
    Raises as Dropout.  Source: Keras SpatialDropout2D; Tompson et al. 2015, section 3.2.
    """

    rank = 2


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels of a volume: [batch, depth, height, width, channels].  Source: Keras."""

    rank = 3


class GaussianNoise(_Random):
    """In training, add normal noise with mean 0 and standard deviation `stddev`. Any shape, kept.

    Raises ArgumentError for a negative stddev.  Source: Keras GaussianNoise; Bishop 1995.
    """

    def __init__(self, stddev: float, seed: int | None = None, **common: Any):
        super().__init__(**common)
        self.stddev, self.seed = number(stddev, "stddev", 0), seed

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        return mr.training_only(x, x + mr.random_normal(state, x.shape, stream, 0.0, self.stddev, x.dtype))


class GaussianDropout(_Random):
    """In training, multiply by normal noise with mean 1 and variance rate / (1 - rate). Any shape, kept.

    Raises as Dropout.  Source: Keras GaussianDropout; Srivastava et al. 2014, section 10.
    """

    def __init__(self, rate: float, seed: int | None = None, **common: Any):
        super().__init__(**common)
        self.rate, self.seed = dropped(rate), seed

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        stddev = (self.rate / (1 - self.rate)) ** 0.5
        return mr.training_only(x, x * mr.random_normal(state, x.shape, stream, 1.0, stddev, x.dtype))


class ActivityRegularization(Layer):
    """x itself, with a penalty on its size: l1 * sum |x| + l2 * sum x^2, divided by the batch.

    Source: Keras ActivityRegularization.
    """

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **common: Any):
        super().__init__(**common)
        self.activity_regularizer = L1L2(l1, l2)

    def call(self, x: Value) -> Value:
        return x
