"""Normalization layers: activations brought to a common scale, over channels, the batch, or an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.arguments import axis_number, number, whole
from millrace.layers.base import Layer


def whole_axes(axis: Any) -> tuple[int, ...]:
    """One axis or several, as a tuple.  Raises ArgumentError for what is no whole number."""
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    if not axes or not all(isinstance(a, int) and not isinstance(a, bool) for a in axes):
        raise ArgumentError(f"axis must be a whole number or several, got {axis!r}.")
    return axes


class LocalResponseNormalization(Layer):
    """Strong activations damp their neighbours: b = a / (k + alpha * sum of a^2 over n channels)^beta.

    Input and output [batch, ..., channels]. The sum runs over the n channels around each one, at the same
    place, within its group of channels where `groups` is above 1. alpha_divided_by_n: divide alpha by n, as
    the released AlexNet, PyTorch and Caffe do and the paper does not.

    Raises ArgumentError for n, groups, k or beta out of range, or groups that do not divide the channels.
    Source: Krizhevsky et al. 2012, section 3.3.
    """

    supports_masking = True

    def __init__(
        self, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, alpha_divided_by_n: bool = False,
        groups: int = 1, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.n, self.groups = whole(n, "n"), whole(groups, "groups")
        self.k, self.alpha, self.beta = (
            number(value, name, 0, open_low=True) for value, name in ((k, "k"), (alpha, "alpha"), (beta, "beta"))
        )
        self.alpha_divided_by_n = bool(alpha_divided_by_n)

    def call(self, x: Value) -> Value:
        channels = x.shape[-1]
        if isinstance(channels, Dim) or channels % self.groups:
            raise ArgumentError(f"groups={self.groups} must divide the channels of the input, {x.type}.")
        alpha = self.alpha / self.n if self.alpha_divided_by_n else self.alpha
        apart = mr.reshape(x, (*x.shape[:-1], self.groups, channels // self.groups)) if self.groups > 1 else x
        return mr.reshape(mr.local_response_normalization(apart, self.n, self.k, alpha, self.beta), x.shape)


class _Scaled(Layer):
    """What the learned normalizations share: a scale gamma and an offset beta."""

    supports_masking = True

    def _set(
        self, epsilon: float, center: bool, scale: bool, beta_initializer: Any, gamma_initializer: Any,
        beta_regularizer: Any, gamma_regularizer: Any,
    ) -> None:  # fmt: skip
        self.epsilon = number(epsilon, "epsilon", 0, open_low=True)
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer, self.gamma_initializer = beta_initializer, gamma_initializer
        self.beta_regularizer, self.gamma_regularizer = beta_regularizer, gamma_regularizer

    def add_scale(self, shape: tuple[int, ...]) -> None:
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight("gamma", shape, self.gamma_initializer, regularizer=self.gamma_regularizer)
        if self.center:
            self.beta = self.add_weight("beta", shape, self.beta_initializer, regularizer=self.beta_regularizer)

    def scaled(self, x: Value, shape: Sequence[int] | None = None) -> Value:
        """x times gamma plus beta, each first brought to `shape`."""
        for variable, meet in ((self.gamma, mr.multiply), (self.beta, mr.add)):
            if variable is not None:
                weight = mr.cast(variable.value, x.dtype)
                x = meet(x, weight if shape is None else mr.reshape(weight, shape))
        return x

    def wide(self, x: Value) -> Value:
        """x in a precision in which means and variances are exact enough."""
        return mr.cast(x, "float32") if x.dtype in ("bfloat16", "float16") else x


class BatchNormalization(_Scaled):
    """Each channel brought to mean 0 and variance 1 over the batch, then scaled and shifted by what is learned.

    Any shape, kept; `axis` is the axis of channels. gamma, beta, moving_mean and moving_variance [channels]:
    4 * channels parameters, of which 2 * channels are learned. In training the batch's own statistics are
    used (filled-up copies and masked steps do not count) and the running ones follow them: moving <-
    momentum * moving + (1 - momentum) * batch. After training the running ones are used. trainable=False
    freezes both. The variance is divided by n, as in Keras; PyTorch's running one is divided by n - 1.

    Raises ArgumentError for numbers out of range, ShapeError for an unknown number of channels.
    Source: Keras BatchNormalization; Ioffe and Szegedy 2015.
    """

    freezes_statistics = True

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones", beta_regularizer: Any = None, gamma_regularizer: Any = None,
        **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.axis, self.momentum = axis_number(axis), number(momentum, "momentum", 0, 1)
        self._set(epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer)
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer

    def build(self, x: TensorType) -> None:
        if x.ndim < 2 or not -x.ndim <= self.axis < x.ndim or self.axis in (0, -x.ndim):
            raise ShapeError(f"BatchNormalization takes [batch, ..., channels]; axis={self.axis} does not fit {x}.")
        channels = x.shape[self.axis]
        if isinstance(channels, Dim):
            raise ShapeError(f"BatchNormalization needs to know its channels, axis {self.axis} of {x}.")
        self.add_scale((channels,))
        self.moving_mean = self.add_weight("moving_mean", (channels,), self.moving_mean_initializer, False)
        self.moving_variance = self.add_weight("moving_variance", (channels,), self.moving_variance_initializer, False)

    def call(self, x: Value, mask: Value | None = None) -> Value:
        last = mr.moveaxis(self.wide(x), self.axis, -1)
        dtype, channels = last.dtype, last.shape[-1:]
        weights = mr.cast(mr.example_weights(x), dtype)
        if mask is not None and last.ndim > 2:
            weights = mr.expand_dims(weights, 1) * mr.cast(mask, dtype)
        gamma = mr.ones(channels, dtype) if self.gamma is None else mr.cast(self.gamma.value, dtype)
        beta = mr.zeros(channels, dtype) if self.beta is None else mr.cast(self.beta.value, dtype)
        mean, variance = (mr.cast(v.value, dtype) for v in (self.moving_mean, self.moving_variance))
        out, *batch = mr.batch_normalization(last, gamma, beta, mean, variance, weights, self.epsilon)
        for variable, new in zip((self.moving_mean, self.moving_variance), batch, strict=True):
            followed = variable.value * self.momentum + mr.cast(new, variable.dtype) * (1 - self.momentum)
            self.add_update(variable, followed)
        return mr.cast(mr.moveaxis(out, -1, self.axis), x.dtype)


class LayerNormalization(_Scaled):
    """Each example brought to mean 0 and variance 1 along its own axes, then scaled and shifted.

    Any shape, kept; `axis` names the axes (the last one unless given), whose sizes gamma and beta have. It
    needs no batch, so it does the same in training and after. rms_scaling: divide by the root of the mean
    square alone, without a mean or an offset.

    Raises ArgumentError for numbers out of range, ShapeError for unknown sizes along `axis`.
    Source: Keras LayerNormalization; Ba, Kiros and Hinton 2016.
    """

    centred = True

    def __init__(
        self, axis: Any = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.axis = whole_axes(axis)
        self._set(epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer)

    def axes(self, x: TensorType) -> tuple[int, ...]:
        if not all(-x.ndim <= a < x.ndim for a in self.axis):
            raise ShapeError(f"axis={self.axis} does not fit {x}.")
        return tuple(sorted({a % x.ndim for a in self.axis}))

    def build(self, x: TensorType) -> None:
        sizes = [x.shape[a] for a in self.axes(x)]
        if any(isinstance(size, Dim) for size in sizes):
            raise ShapeError(f"{type(self).__name__} needs known sizes along axis={self.axis}, got {x}.")
        self.add_scale(tuple(sizes))

    def call(self, x: Value) -> Value:
        axes, wide = self.axes(x.type), self.wide(x)
        shape = [size if a in axes else 1 for a, size in enumerate(x.shape)]
        if axes == tuple(range(x.ndim - len(axes), x.ndim)):
            return mr.cast(self.at_once(wide, shape[-len(axes) :]), x.dtype)
        return mr.cast(self.scaled(self.normalized(wide, axes), shape), x.dtype)

    def at_once(self, x: Value, sizes: Sequence[int]) -> Value:
        """x normalized along its last axes, of these sizes, scaled and shifted, in one operation."""
        gamma = mr.ones(sizes, x.dtype) if self.gamma is None else mr.cast(self.gamma.value, x.dtype)
        beta = mr.zeros(sizes, x.dtype) if self.beta is None else mr.cast(self.beta.value, x.dtype)
        return mr.layer_normalization(x, gamma, beta, self.epsilon, self.centred)

    def normalized(self, x: Value, axes: Sequence[int]) -> Value:
        return mr.standardize(x, axes, self.epsilon)


class RMSNormalization(LayerNormalization):
    """Each example divided by the root of its mean square along its own axes, then scaled by gamma.

    Any shape, kept.  Raises as LayerNormalization.
    Source: Keras RMSNormalization; Zhang and Sennrich 2019.
    """

    centred = False

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **common: Any):
        super().__init__(axis, epsilon, center=False, **common)

    def normalized(self, x: Value, axes: Sequence[int]) -> Value:
        return x * mr.rsqrt(mr.mean(mr.square(x), axes, keepdims=True) + self.epsilon)


class GroupNormalization(_Scaled):
    """Channels in groups, each group of each example brought to mean 0 and variance 1, then scaled and shifted.

    Input and output [batch, ..., channels]; gamma and beta [channels]. groups=-1: one group a channel
    (instance normalization); groups=1: all channels together. It does the same in training and after.

    Raises ArgumentError for groups that do not divide the channels.
    Source: Keras GroupNormalization; Wu and He 2018.
    """

    def __init__(
        self, groups: int = 32, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.groups = groups if groups == -1 else whole(groups, "groups")
        self._set(epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer)

    def build(self, x: TensorType) -> None:
        channels = x.shape[-1]
        if x.ndim < 2 or isinstance(channels, Dim):
            raise ShapeError(f"GroupNormalization takes [batch, ..., channels] with known channels, got {x}.")
        self.count = channels if self.groups == -1 else self.groups
        if channels % self.count:
            raise ArgumentError(f"groups={self.groups} must divide the {channels} channels of the input.")
        self.add_scale((channels,))

    def call(self, x: Value) -> Value:
        apart = mr.reshape(self.wide(x), (*x.shape[:-1], self.count, x.shape[-1] // self.count))
        axes = [a for a in range(1, apart.ndim) if a != apart.ndim - 2]
        out = mr.reshape(mr.standardize(apart, axes, self.epsilon), x.shape)
        return mr.cast(self.scaled(out), x.dtype)


class UnitNormalization(Layer):
    """Each example divided by its length along `axis`, so that it has length 1; along several axes at once too.

    Any shape, kept.  Raises ArgumentError for an axis that is no whole number.  Source: Keras UnitNormalization.
    """

    supports_masking = True

    def __init__(self, axis: Any = -1, **common: Any):
        super().__init__(**common)
        self.axis = whole_axes(axis)

    def call(self, x: Value) -> Value:
        if not all(-x.ndim <= a < x.ndim for a in self.axis):
            raise ShapeError(f"axis={self.axis} does not fit {x.type}.")
        length = mr.sum(mr.square(x), self.axis, keepdims=True)
        return x * mr.rsqrt(mr.maximum(length, 1e-12))
