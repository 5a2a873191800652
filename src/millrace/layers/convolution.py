"""Convolution layers: one kernel moved over space, in 1, 2 and 3 dimensions."""

from __future__ import annotations

from typing import Any, ClassVar

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.activations import activation
from millrace.layers.arguments import whole, whole_each
from millrace.layers.sharding import mesh_axis, own_channels, seen, split_weights
from millrace.layers.windows import AXES, Windowed, checked_padding

_activation = activation


class _Kernel(Windowed):
    """What every layer with a moving kernel has: its size, steps, padding, activation and bias."""

    shard: str | None = None  # the mesh axis over which filters are split

    def _set(
        self, kernel_size: Any, strides: Any, padding: Any, dilation_rate: Any, activation: Any, use_bias: bool,
        bias_initializer: Any, bias_regularizer: Any, more: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.kernel_size = whole_each(kernel_size, self.rank, "kernel_size")
        self.strides = whole_each(strides, self.rank, "strides")
        self.dilation_rate = whole_each(dilation_rate, self.rank, "dilation_rate")
        self.padding = checked_padding(padding, self.rank, more)
        self.activation, self.use_bias = _activation(activation), use_bias
        self.bias_initializer, self.bias_regularizer = bias_initializer, bias_regularizer

    def add_bias(self, size: int) -> None:
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight("bias", (size,), self.bias_initializer, regularizer=self.bias_regularizer)

    def finish(self, out: Value) -> Value:
        """The bias added, the activation applied."""
        return self.activation(out if self.bias is None else out + self.bias)

    def moved(self, x: Value, kernel: Value, groups: int) -> Value:
        """The convolution of x with a kernel, as this layer's arguments say."""
        window = kernel.shape[:-2]
        pads = self.pads(x.type, window, self.strides, self.padding, self.dilation_rate)
        return mr.conv(x, kernel, self.strides, pads, self.dilation_rate, groups)


class _Filters(_Kernel):
    """What layers share whose filters see all channels, or those of their group."""

    def _set_filters(self, filters: int, groups: int, kernel_initializer: Any, kernel_regularizer: Any) -> None:
        self.filters, self.groups = whole(filters, "filters"), whole(groups, "groups")
        self.kernel_initializer, self.kernel_regularizer = kernel_initializer, kernel_regularizer
        if self.filters % self.groups:
            raise ArgumentError(f"groups={self.groups} must divide filters={self.filters}: each group makes its share.")

    def channels(self, x: TensorType) -> int:
        self.space(x)
        channels = x.shape[-1]
        if channels % self.groups:
            raise ArgumentError(
                f"groups={self.groups} must divide the {channels} channels of the input: each group sees its share."
            )
        return channels

    def add_kernel(self, inner: int, outer: int) -> None:
        shape = (*self.kernel_size, inner, outer)
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer, regularizer=self.kernel_regularizer)
        self.add_bias(self.filters)


class _Convolution(_Filters):
    more: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid", dilation_rate: Any = 1,
        groups: int = 1, activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, bias_regularizer: Any = None,
        shard: str | None = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.shard = mesh_axis(shard)
        self._set_filters(filters, groups, kernel_initializer, kernel_regularizer)
        self._set(
            kernel_size, strides, padding, dilation_rate, activation, use_bias, bias_initializer, bias_regularizer,
            self.more,
        )  # fmt: skip

    def build(self, x: TensorType) -> None:
        self.add_kernel(self.channels(x) // self.groups, self.filters)
        split_weights(self.shard, self.kernel, self.bias)

    def call(self, x: Value) -> Value:
        out = self.moved(seen(self.shard, x, self.groups), mr.as_value(self.kernel), self.groups)
        return self.finish(own_channels(self.shard, out))


class Conv1D(_Convolution):
    """Convolution along one axis: input [batch, steps, channels], output [batch, out, filters].

    Arguments and errors as Conv2D; padding="causal" lets no step see a later one.  Source: Keras Conv1D.
    """

    rank = 1
    more = ("causal",)


class Conv2D(_Convolution):
    """Convolution over images: each filter is moved over the image and answers where it fits.

    Input [batch, height, width, channels], output [batch, out height, out width, filters].
    kernel [*kernel_size, channels / groups, filters], bias [filters]. padding: "valid", "same", a number,
    or (before, after) pairs; out = (size + padding - reach) / strides + 1, rounded down, where the kernel
    reaches over (kernel_size - 1) * dilation_rate + 1. activation: a name or a function. shard: the axis of a mesh
    over whose devices the filters are split; with groups each device sees the channels of its own groups alone, without
    them the channels of all.

    Raises ArgumentError for a number below 1, groups that do not divide channels and filters, or an
    unknown name; ShapeError where the kernel is larger than the padded input.
    Source: Keras Conv2D; LeCun et al. 1989.
    """

    rank = 2


class Conv3D(_Convolution):
    """Convolution over volumes: input [batch, depth, height, width, channels].

    Arguments and errors as Conv2D.  Source: Keras Conv3D.
    """

    rank = 3


class _Transposed(_Filters):
    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid", output_padding: Any = None,
        dilation_rate: Any = 1, groups: int = 1, activation: Any = None, use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        bias_regularizer: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self._set_filters(filters, groups, kernel_initializer, kernel_regularizer)
        self._set(
            kernel_size, strides, padding, dilation_rate, activation, use_bias, bias_initializer, bias_regularizer
        )
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = whole_each(output_padding, self.rank, "output_padding", 0)
            for more, step in zip(self.output_padding, self.strides, strict=True):
                if more >= step:
                    raise ArgumentError(f"output_padding={more} must be below the stride {step} of its axis.")

    def build(self, x: TensorType) -> None:
        self.add_kernel(self.filters // self.groups, self.channels(x))

    def call(self, x: Value) -> Value:
        out, pads = [], []
        for axis, size in enumerate(self.space(x.type)):
            if not isinstance(size, int):
                raise ShapeError(f"{type(self).__name__} needs a known {AXES[self.rank][axis]}, got {x.type}.")
            length, pair = self.grown(axis, size)
            out.append(length)
            pads.append(pair)
        made = mr.conv_transpose(x, self.kernel, out, self.strides, pads, self.dilation_rate, self.groups)
        return self.finish(made)

    def grown(self, axis: int, size: int) -> tuple[int, tuple[int, int]]:
        """An axis's output size, and the padding of the convolution that leads back from it."""
        stride = self.strides[axis]
        reach = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        more = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "valid":
            length = size * stride + max(reach - stride, 0) if more is None else (size - 1) * stride + reach + more
            return length, (0, 0)
        painted = (size - 1) * stride + reach
        if self.padding == "same":  # what is too much goes from both sides, the larger part from the end
            length = size * stride if more is None else painted - 2 * (reach // 2) + more
            total = max(painted - length, 0)
            low, high = total // 2, total - total // 2
        else:
            given = self.padding if isinstance(self.padding, int) else self.padding[axis]
            low, high = (given, given) if isinstance(given, int) else given
            length = painted - low - high + (more or 0)
            high = max(high - (more or 0), 0)
        if length < 1:
            raise ShapeError(
                f"padding={self.padding!r} cuts away all of the {AXES[self.rank][axis]}: {size} steps of {stride} with "
                f"kernel_size={self.kernel_size[axis]} leave {length}. Use less padding."
            )
        return length, (low, high)


class Conv1DTranspose(_Transposed):
    """Transposed convolution along one axis: [batch, steps, channels] to [batch, longer, filters].

    Arguments and errors as Conv2DTranspose.  Source: Keras Conv1DTranspose.
    """

    rank = 1


class Conv2DTranspose(_Transposed):
    """Convolution backwards: each pixel paints the kernel, scaled, on a larger image.

    Input [batch, height, width, channels], output [batch, larger height, larger width, filters]. kernel
    [*kernel_size, filters / groups, channels], bias [filters]. With padding="same" an axis becomes
    size * strides; with "valid" size * strides + max(reach - strides, 0); with output_padding (below the
    stride) or numbers, (size - 1) * strides + reach - padding before and after + output_padding.

    Raises as Conv2D.  Source: Keras Conv2DTranspose; Dumoulin and Visin 2016, chapter 4.
    """

    rank = 2


class Conv3DTranspose(_Transposed):
    """Transposed convolution over volumes: [batch, depth, height, width, channels].

    Arguments and errors as Conv2DTranspose.  Source: Keras Conv3DTranspose.
    """

    rank = 3


class _Depthwise(_Kernel):
    def __init__(
        self, kernel_size: Any, strides: Any = 1, padding: Any = "valid", depth_multiplier: int = 1,
        dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None, bias_regularizer: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.depth_multiplier = whole(depth_multiplier, "depth_multiplier")
        self.depthwise_initializer, self.depthwise_regularizer = depthwise_initializer, depthwise_regularizer
        self._set(
            kernel_size, strides, padding, dilation_rate, activation, use_bias, bias_initializer, bias_regularizer
        )

    def add_depthwise(self, x: TensorType) -> int:
        """The kernel that looks at each channel apart; how many channels it makes."""
        self.space(x)
        channels = x.shape[-1]
        self.depthwise_kernel = self.add_weight(
            "depthwise_kernel", (*self.kernel_size, channels, self.depth_multiplier), self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
        )  # fmt: skip
        return channels * self.depth_multiplier

    def depthwise(self, x: Value) -> Value:
        channels = x.shape[-1]
        kernel = mr.reshape(self.depthwise_kernel, (*self.kernel_size, 1, channels * self.depth_multiplier))
        return self.moved(x, kernel, channels)

    def build(self, x: TensorType) -> None:
        self.add_bias(self.add_depthwise(x))

    def call(self, x: Value) -> Value:
        return self.finish(self.depthwise(x))


class DepthwiseConv1D(_Depthwise):
    """Each channel convolved by kernels of its own: [batch, steps, channels].  Source: Keras DepthwiseConv1D."""

    rank = 1


class DepthwiseConv2D(_Depthwise):
    """Each channel of an image convolved by kernels of its own, so that channels do not mix.

    Input [batch, height, width, channels], output [batch, out height, out width, channels *
    depth_multiplier]; depthwise_kernel [*kernel_size, channels, depth_multiplier].

    Raises as Conv2D.  Source: Keras DepthwiseConv2D; Howard et al. 2017 (MobileNets).
    """

    rank = 2


class _Separable(_Depthwise):
    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid", dilation_rate: Any = 1,
        depth_multiplier: int = 1, activation: Any = None, use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform", pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", depthwise_regularizer: Any = None, pointwise_regularizer: Any = None,
        bias_regularizer: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(
            kernel_size, strides, padding, depth_multiplier, dilation_rate, activation, use_bias,
            depthwise_initializer, bias_initializer, depthwise_regularizer, bias_regularizer, **common,
        )  # fmt: skip
        self.filters = whole(filters, "filters")
        self.pointwise_initializer, self.pointwise_regularizer = pointwise_initializer, pointwise_regularizer

    def build(self, x: TensorType) -> None:
        channels = self.add_depthwise(x)
        self.pointwise_kernel = self.add_weight(
            "pointwise_kernel", (*(1,) * self.rank, channels, self.filters), self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
        )  # fmt: skip
        self.add_bias(self.filters)

    def call(self, x: Value) -> Value:
        return self.finish(mr.conv(self.depthwise(x), self.pointwise_kernel))


class SeparableConv1D(_Separable):
    """A depthwise convolution, then one that mixes channels: [batch, steps, channels].  Source: Keras."""

    rank = 1


class SeparableConv2D(_Separable):
    """Space and channels convolved one after the other, with far fewer weights than Conv2D.

    First each channel by kernels of its own, then channels mixed by a kernel of 1x1. Input [batch, height,
    width, channels], output [batch, out height, out width, filters]; depthwise_kernel [*kernel_size,
    channels, depth_multiplier], pointwise_kernel [1, 1, channels * depth_multiplier, filters].

    Raises as Conv2D.  Source: Keras SeparableConv2D; Chollet 2017 (Xception).
    """

    rank = 2
