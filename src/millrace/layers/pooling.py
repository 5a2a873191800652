"""Pooling layers: each window of space becomes one number; the number of channels stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace import functional as mr
from millrace.functional.networks import LOWEST
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, one_of
from millrace.ir.types import TensorType
from millrace.layers.arguments import whole_each
from millrace.layers.base import Layer
from millrace.layers.windows import Windowed, checked_padding


class _Pooling(Windowed):
    window_argument = "pool_size"
    kind: str

    def __init__(self, pool_size: Any = 2, strides: Any = None, padding: Any = "valid", **common: Any):
        super().__init__(**common)
        self._set(pool_size, strides, padding)

    def _set(self, window: Any, strides: Any, padding: Any) -> None:
        self.pool_size = whole_each(window, self.rank, self.window_argument)
        self.strides = self.pool_size if strides is None else whole_each(strides, self.rank, "strides")
        self.padding = checked_padding(padding, self.rank)

    def call(self, x: Value) -> Value:
        pads = self.pads(x.type, self.pool_size, self.strides, self.padding, (1,) * self.rank)
        pool = mr.max_pool if self.kind == "max" else mr.average_pool
        return pool(x, self.pool_size, self.strides, pads)


class Pooling(_Pooling):
    """Maximum or average pooling under one name: Pooling("max", (3, 3), strides=2).

    pooling_type: "max" or "average" ("avg"). window_shape: one size for each of 1, 2 or 3 axes of space; a
    single number means an image. strides default to the window; smaller ones let windows overlap. Input
    [batch, *space, channels]; the depth (channels) is unchanged.

    Raises as MaxPooling2D.  Source: LeCun et al. 1998; Krizhevsky et al. 2012, section 3.4.
    """

    window_argument = "window_shape"

    def __init__(
        self, pooling_type: str = "max", window_shape: Any = (2, 2), padding: Any = "valid", strides: Any = None,
        **common: Any,
    ):  # fmt: skip
        Layer.__init__(self, **common)
        kinds = {"max": "max", "average": "average", "avg": "average"}
        if not isinstance(pooling_type, str) or pooling_type not in kinds:
            raise one_of("pooling_type", pooling_type, list(kinds))
        self.kind = kinds[pooling_type]
        self.rank = len(window_shape) if isinstance(window_shape, (list, tuple)) else 2
        if not 1 <= self.rank <= 3:
            raise ArgumentError(f"window_shape must have 1, 2 or 3 sizes, got {window_shape!r}.")
        self._set(window_shape, strides, padding)


class _MaxPooling(_Pooling):
    kind = "max"


class _AveragePooling(_Pooling):
    kind = "average"


class MaxPooling1D(_MaxPooling):
    """The greatest of each window of steps: [batch, steps, channels].  Source: Keras MaxPooling1D."""

    rank = 1


class MaxPooling2D(_MaxPooling):
    """The greatest of each window of an image.

    Input [batch, height, width, channels], output [batch, out height, out width, channels]. Windows that
    overlap (strides below pool_size) are AlexNet's. The gradient goes to the first greatest element.

    Raises ArgumentError for a size below 1, ShapeError where the window is larger than the padded input.
    Source: Keras MaxPooling2D; Krizhevsky et al. 2012, section 3.4.
    """

    rank = 2


class MaxPooling3D(_MaxPooling):
    """The greatest of each window of a volume: [batch, depth, height, width, channels].  Source: Keras."""

    rank = 3


class AveragePooling1D(_AveragePooling):
    """The mean of each window of steps; padding does not count.  Source: Keras AveragePooling1D."""

    rank = 1


class AveragePooling2D(_AveragePooling):
    """The mean of each window of an image; padding does not count.  Source: Keras AveragePooling2D."""

    rank = 2


class AveragePooling3D(_AveragePooling):
    """The mean of each window of a volume; padding does not count.  Source: Keras AveragePooling3D."""

    rank = 3


class _Global(Windowed):
    def __init__(self, keepdims: bool = False, **common: Any):
        super().__init__(**common)
        self.keepdims = bool(keepdims)

    def build(self, x: TensorType) -> None:
        self.space(x)

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(range(1, self.rank + 1))


class _GlobalAverage(_Global):
    def call(self, x: Value, mask: Value | None = None) -> Value:
        if mask is None or self.rank != 1:
            return mr.mean(x, axis=self.axes, keepdims=self.keepdims)
        real = mr.cast(mr.expand_dims(mask, -1), x.dtype)
        count = mr.maximum(mr.sum(real, axis=1, keepdims=self.keepdims), 1.0)  # no real step at all: 0
        return mr.sum(x * real, axis=1, keepdims=self.keepdims) / count

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> None:
        return None


class _GlobalMax(_Global):
    def call(self, x: Value, mask: Value | None = None) -> Value:
        if mask is None or self.rank != 1:
            return mr.max(x, axis=self.axes, keepdims=self.keepdims)
        there = mr.expand_dims(mask, -1)
        found = mr.max(mr.where(there, x, LOWEST[x.dtype]), axis=1, keepdims=self.keepdims)
        return mr.where(mr.any(there, axis=1, keepdims=self.keepdims), found, 0.0)

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> None:
        return None


class GlobalAveragePooling1D(_GlobalAverage):
    """The mean over all real steps: [batch, steps, channels] to [batch, channels]; 0 where none is real.

    keepdims keeps the axis with size 1.  Source: Keras GlobalAveragePooling1D.
    """

    rank = 1


class GlobalAveragePooling2D(_GlobalAverage):
    """Each channel's mean over the image: [batch, height, width, channels] to [batch, channels].

    Source: Keras GlobalAveragePooling2D; Lin et al. 2014 (Network in Network), section 3.2.
    """

    rank = 2


class GlobalAveragePooling3D(_GlobalAverage):
    """Each channel's mean over the volume: [batch, depth, height, width, channels] to [batch, channels].

    Source: Keras GlobalAveragePooling3D.
    """

    rank = 3


class GlobalMaxPooling1D(_GlobalMax):
    """The greatest over all real steps: [batch, steps, channels] to [batch, channels]; 0 where none is real.

    Source: Keras GlobalMaxPooling1D.
    """

    rank = 1


class GlobalMaxPooling2D(_GlobalMax):
    """Each channel's greatest over the image: [batch, height, width, channels] to [batch, channels].

    Source: Keras GlobalMaxPooling2D.
    """

    rank = 2


class GlobalMaxPooling3D(_GlobalMax):
    """Each channel's greatest over the volume: [batch, depth, height, width, channels] to [batch, channels].

    Source: Keras GlobalMaxPooling3D.
    """

    rank = 3
