"""Convolution layers: one kernel moved over space, in 1, 2 and 3 dimensions."""

from __future__ import annotations

from typing import Any, ClassVar

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.activations import activation
from millrace.layers.base import Layer, whole, whole_each

_activation = activation


class _Convolution(Layer):
    rank: ClassVar[int]

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: Any = "valid", dilation_rate: Any = 1,
        groups: int = 1, activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", name: str | None = None, trainable: bool = True,
    ):  # fmt: skip
        super().__init__(name, trainable)
        self.filters, self.groups = whole(filters, "filters"), whole(groups, "groups")
        self.kernel_size = whole_each(kernel_size, self.rank, "kernel_size")
        self.strides = whole_each(strides, self.rank, "strides")
        self.dilation_rate = whole_each(dilation_rate, self.rank, "dilation_rate")
        self.padding, self.use_bias = padding, use_bias
        self.activation = _activation(activation)
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer

    def build(self, x: TensorType) -> None:
        if x.ndim != self.rank + 2 or isinstance(x.shape[-1], Dim):
            axes = ", ".join(("steps",) if self.rank == 1 else ("depth", "height", "width")[3 - self.rank :])
            raise ShapeError(f"{type(self).__name__} takes [batch, {axes}, channels], got {x}.")
        channels = x.shape[-1]
        if channels % self.groups or self.filters % self.groups:
            raise ArgumentError(
                f"groups={self.groups} must divide the {channels} channels of the input and filters={self.filters}."
            )
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.filters,), self.bias_initializer) if self.use_bias else None

    def call(self, x: Value) -> Value:
        out = mr.conv(x, self.kernel, self.strides, self.padding, self.dilation_rate, self.groups)
        return self.activation(out + self.bias if self.bias is not None else out)


class Conv1D(_Convolution):
    """Convolution along one axis: input [batch, steps, channels], output [batch, out, filters].

    Arguments and errors as Conv2D.  Source: Keras Conv1D.
    """

    rank = 1


class Conv2D(_Convolution):
    """Convolution over images: each filter is moved over the image and answers where it fits.

    Input [batch, height, width, channels], output [batch, out height, out width, filters].
    kernel [*kernel_size, channels / groups, filters], bias [filters]. padding: "valid", "same", a number,
    or (before, after) pairs; activation: a name or a function.

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
