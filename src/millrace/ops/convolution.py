"""Convolution in 1, 2 and 3 dimensions, and its two gradients as operations of their own.

Shapes: x [batch, *spatial, channels], kernel [*kernel, channels / groups, filters],
out [batch, *out, filters]. As everywhere in deep learning the kernel is not flipped.
The three operations are one trilinear form seen from its three sides, so each one's gradients are the
other two, and there is nothing else to differentiate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from millrace.ir.core import Primitive, Sample, Value, require_float
from millrace.ir.dims import same, shape_text
from millrace.ir.errors import DTypeError, ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType
from millrace.ir.work import elements
from millrace.ops.planes import added_up, flattened, laid_side_by_side, raised
from millrace.ops.sampling import bad_types, tensor, uniform
from millrace.ops.windows import Geometry, Pads

LARGE = 2**16  # numbers of a kernel at one place, from which on it is turned in two passes


class _Windowed(Primitive, abstract=True):
    """What the three operations share: attributes, their check, and the formula's indices."""

    strides: tuple[int, ...]
    padding: Pads
    dilation: tuple[int, ...]
    groups: int

    def attributes(self) -> dict[str, Any]:
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.strides, self.padding, self.dilation)

    @property
    def rank(self) -> int:
        return len(self.strides)

    def has_routine(self, low: Any, *arrays: Any) -> bool:
        """Whether one of Millrace's own routines computes this: in one dimension or two, and so in three.

        XLA's convolutions take, on 2 cores of a Zen 4 EPYC, 0.9 to 1.3 times as long for AlexNet's layers and
        ResNet-18's, 2.7 times with 3 channels, 4 to 9 times with 1 to 6, 70 times on maps of 2x2, 3 to 20 times with
        16 or 32 groups (the kernel's gradient 100 and more), and 140 times for depthwise ones (5000).
        """
        return low.has_routine(*arrays)

    @property
    def flat(self) -> dict[str, Any]:
        """The attributes of a convolution in three dimensions for its planes."""
        return {name: x if name == "groups" else x[1:] for name, x in self.attributes().items()}

    def by_routine(self, low: Any, name: str, shape: Any, *arrays: Any) -> Any:
        """What the routine of this name computes, of this shape."""
        low.note("routine of its own", "XLA's take 1 to 9 times as long on a CPU, many groups hundreds of times")
        rest = 2 - self.rank
        before = tuple(pad for pad, _ in self.padding)
        how = (1,) * rest + self.strides + (0,) * rest + before + (1,) * rest + self.dilation + (self.groups,)
        return low.routine(name, tuple(shape), *arrays, how=how)

    def notes(self) -> str:
        notes = [f"stride {self.strides}"] if set(self.strides) != {1} else []
        notes += [f"padding {self.padding}"] if any(any(p) for p in self.padding) else []
        notes += [f"dilation {self.dilation}"] if set(self.dilation) != {1} else []
        notes += [f"{self.groups} groups"] if self.groups != 1 else []
        return "".join(f", {note}" for note in notes)

    def checked_output(self, x: TensorType, kernel: TensorType) -> TensorType:
        """The convolution's output type, or what is wrong with x or the kernel."""
        require_float(self, x, kernel)
        if x.dtype != kernel.dtype:
            raise DTypeError(f"convolution takes one dtype, got {x} and kernel {kernel}. Convert with mr.cast.")
        if not len(self.padding) == len(self.dilation) == self.rank or not 1 <= self.rank <= 3:
            raise ShapeError(
                f"convolution takes 1, 2 or 3 strides, paddings and dilations, got {self.strides}, "
                f"{self.padding} and {self.dilation}."
            )
        if x.ndim != self.rank + 2 or kernel.ndim != self.rank + 2:
            raise ShapeError(
                f"a convolution in {self.rank} dimensions takes x [batch, *spatial, channels] and kernel "
                f"[*kernel, channels / groups, filters], {self.rank + 2} axes each; got {x} and {kernel}."
            )
        if min(self.strides + self.dilation) < 1 or self.groups < 1 or min(min(p) for p in self.padding) < 0:
            raise ShapeError(
                f"strides {self.strides}, dilation {self.dilation} and groups {self.groups} must be at least 1, "
                f"padding {self.padding} at least 0."
            )
        channels, filters = x.shape[-1], kernel.shape[-1]
        if not isinstance(channels, int) or not isinstance(filters, int):
            raise ShapeError(f"convolution needs known channels and filters, got {x} and {kernel}.")
        if channels % self.groups or filters % self.groups:
            raise ShapeError(
                f"{self.groups} groups must divide the {channels} channels of x and the {filters} filters."
            )
        if not same(kernel.shape[-2], channels // self.groups):
            raise ShapeError(
                f"x is {x}: with groups={self.groups} its kernel must have {channels // self.groups} input "
                f"channels, but the kernel is {kernel}."
            )
        out = []
        for axis, (size, window) in enumerate(zip(x.shape[1:-1], kernel.shape[:-2], strict=True)):
            if not isinstance(size, int) or not isinstance(window, int):
                raise ShapeError(f"convolution needs known spatial sizes, got {x} and kernel {kernel}.")
            length = self.geometry.length(axis, size, window)
            if window < 1 or length < 1:
                reach = (window - 1) * self.dilation[axis] + 1
                raise ShapeError(
                    f"the kernel reaches over {reach} elements of spatial axis {axis}, but x with padding "
                    f"{self.padding[axis]} has only {size + sum(self.padding[axis])}: {x}. "
                    "Use a smaller kernel or more padding."
                )
            out.append(length)
        return x.with_shape(x.shape[0], *out, filters)


def _group(array: np.ndarray, group: int, groups: int) -> Any:
    """The part of the last axis that belongs to one group."""
    width = array.shape[-1] // groups
    return array[..., group * width : (group + 1) * width]


def _case(rng: np.random.Generator, rank: int, **given: Any) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Attributes, x and kernel of a sample."""
    groups = given.get("groups", 1)
    attributes = {
        "strides": given.get("strides", (1,) * rank),
        "padding": given.get("padding", ((0, 0),) * rank),
        "dilation": given.get("dilation", (1,) * rank),
        "groups": groups,
    }
    channels, filters = given.get("channels", 2), given.get("filters", 2 * groups)
    x = uniform(rng, (2, *given.get("spatial", (5, 4, 3)[:rank]), channels))
    kernel = uniform(rng, (*given.get("kernel", (2, 3, 2)[:rank]), channels // groups, filters))
    return attributes, x, kernel


def _cases(rng: np.random.Generator) -> list[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    return [
        _case(rng, 1),
        _case(rng, 2),
        _case(rng, 3),
        _case(rng, 1, strides=(2,), padding=((2, 1),), dilation=(2,)),
        _case(rng, 2, strides=(2, 1), padding=((1, 0), (1, 2)), groups=2, channels=4),
        _case(rng, 2, dilation=(2, 1), strides=(1, 2), spatial=(6, 5), groups=2, channels=2, filters=4),
        _case(rng, 2, groups=9, channels=9, filters=9, padding=((1, 1), (1, 1)), kernel=(3, 3)),
        _case(rng, 2, strides=(3, 3), spatial=(7, 6)),  # the last elements are never read
        _case(rng, 3, strides=(2, 1, 1), padding=((1, 1), (0, 1), (1, 0))),
        _case(rng, 3, dilation=(2, 1, 1), padding=((2, 1), (1, 0), (0, 0)), groups=2, channels=4, spatial=(5, 3, 3)),
    ]


def _turned(low: Any, kernel: Any, rank: int) -> Any:
    """A kernel with its space reversed, and filters and channels in each other's place."""

    def reverse(kernel: Any) -> Any:
        return low.lax.rev(kernel, tuple(range(rank)))

    def swap(kernel: Any) -> Any:
        return low.jnp.swapaxes(kernel, -1, -2)

    if kernel.shape[-1] * kernel.shape[-2] < LARGE:
        return swap(reverse(kernel))
    # Each for itself: 1.4 ms for 2.4 where one loop does both (512 channels and filters, 2 cores, Zen 5).
    return low.boundary(swap, low.boundary(reverse, kernel))


def _convolve(low: Any, x: Any, kernel: Any, rank: int, padding: Any, **how: Any) -> Any:
    """XLA's convolution of x [batch, *spatial, channels] with kernel [*kernel, channels, filters].

    Always in these layouts: XLA brings others to them in a program's outermost computation only. A convolution in
    other layouts within a loop or behind a boundary runs in naive loops, a hundred times slower (2 cores, Zen 5).
    """
    if low.platform == "cpu" and any(k > n for k, n in zip(kernel.shape, x.shape[1:-1], strict=False)):
        # 1.9 ms for 181 on 2x2 maps of 512 channels, kernels of 3x3, batch 32 (2 cores, Zen 5).
        low.note("padded first", "XLA takes naive loops, 100 times slower, where a kernel is larger than its map")
        spread = [d - 1 for d in how.pop("lhs_dilation", (1,) * rank)]
        edges = [(before, after, between) for (before, after), between in zip(padding, spread, strict=True)]
        x = low.boundary(lambda x: low.lax.pad(x, low.jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0))), x)
        padding = ((0, 0),) * rank
    space = tuple(range(1, rank + 1))
    numbers = low.lax.ConvDimensionNumbers((0, rank + 1, *space), (rank + 1, rank, *range(rank)), (0, rank + 1, *space))
    return low.lax.conv_general_dilated(
        x, kernel, padding=padding, dimension_numbers=numbers, precision=low.lax.Precision.HIGHEST, **how
    )  # fmt: skip


@dataclass(frozen=True)
class Convolution(_Windowed):
    """Slide a kernel over x and sum the products, at each position and for each filter.

    x [batch, *spatial, channels], kernel [*kernel, channels / groups, filters] -> [batch, *out, filters].
    Source: Goodfellow et al., Deep Learning, 2016, section 9.1; StableHLO convolution.
    """

    strides: tuple[int, ...]
    padding: Pads
    dilation: tuple[int, ...]
    groups: int = 1

    def infer(self, x: TensorType, kernel: TensorType) -> TensorType:
        return self.checked_output(x, kernel)

    def flop(self, x: TensorType, kernel: TensorType) -> int:
        return 2 * elements(self.infer(x, kernel)) * math.prod(kernel.shape[:-1])

    def evaluate(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        out_type = self.infer(TensorType.of(x), TensorType.of(kernel))
        out = np.zeros(out_type.shape, x.dtype)
        padded = self.geometry.pad(x)
        for place, window in self.geometry.offsets(kernel.shape[:-2], out.shape[1:-1]):
            for group in range(self.groups):
                part = _group(out, group, self.groups)
                part += _group(padded[window], group, self.groups) @ _group(kernel[place], group, self.groups)
        return out

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, kernel: Value) -> Any:
        return (
            ConvolutionInputGradient(x.shape[1:-1], **self.attributes())(g, kernel),
            ConvolutionKernelGradient(kernel.shape[:-2], **self.attributes())(x, g),
        )

    def lower(self, low: Any, x: Any, kernel: Any) -> Any:
        if self.has_routine(low, x, kernel):
            shape = self.infer(TensorType.of(x), TensorType.of(kernel)).shape
            if self.rank == 3:
                planes = laid_side_by_side(low, x, self.geometry, kernel.shape[0], self.groups)
                return Convolution(**self.flat).lower(low, planes, flattened(low, kernel)).reshape(shape)
            return self.by_routine(low, "convolution", shape, x, kernel)
        return low.by_group(partial(self._lower_one, low), self.groups, x, kernel)

    def _lower_one(self, low: Any, groups: int, x: Any, kernel: Any) -> Any:
        return _convolve(
            low, x, kernel, self.rank, window_strides=self.strides, padding=self.padding, rhs_dilation=self.dilation,
            feature_group_count=groups,
        )  # fmt: skip

    def formula(self, x: TensorType, kernel: TensorType) -> Formula:
        position, place = indices("i", self.rank), indices("p", self.rank)
        width, filters = kernel.shape[-2], kernel.shape[-1]
        channel = "c" if self.groups == 1 else f"f // {filters // self.groups} * {width} + c"
        spatial = self.geometry.reads(position, place)
        loops = "".join(f" for {p} in range({k})" for p, k in zip(place, kernel.shape[:-2], strict=True))
        body = f"{at('x', ['b', *spatial, channel])} * {at('kernel', [*place, 'c', 'f'])}"
        left = at("out", ["b", *position, "f"])
        return Formula(f"{left} = sum({body}{loops} for c in range({width}))", outside={"x": 0.0})

    def notation(self, x: str, kernel: str) -> str:
        return f"conv{self.rank}d({x}, {kernel}{self.notes()})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(**attributes), (x, kernel)) for attributes, x, kernel in _cases(rng)]

    @classmethod
    def errors(cls) -> list:
        plain = cls((1, 1), ((0, 0), (0, 0)), (1, 1))
        x = tensor("float32", 2, 5, 5, 3)
        return [
            bad_types(plain, "2 dimensions takes", tensor("float32", 5, 5, 3), tensor("float32", 3, 3, 3, 8)),
            bad_types(plain, "must have 3 input channels", x, tensor("float32", 3, 3, 4, 8)),
            bad_types(plain, "smaller kernel or more padding", x, tensor("float32", 7, 3, 3, 8)),
            bad_types(cls((1, 1), ((0, 0), (0, 0)), (1, 1), 2), "must divide", x, tensor("float32", 3, 3, 1, 8)),
            bad_types(cls((0, 1), ((0, 0), (0, 0)), (1, 1)), "at least 1", x, tensor("float32", 3, 3, 3, 8)),
            bad_types(plain, "floating-point", tensor("int32", 2, 5, 5, 3), tensor("int32", 3, 3, 3, 8)),
            bad_types(cls((1,), ((0, 0), (0, 0)), (1, 1)), "strides, paddings", x, tensor("float32", 3, 3, 3, 8)),
        ]


@dataclass(frozen=True)
class ConvolutionInputGradient(_Windowed):
    """What reaches each input element of a convolution from its outputs; also transposed convolution.

    g [batch, *out, filters], kernel [*kernel, channels / groups, filters] -> [batch, *spatial, channels].
    Source: Dumoulin and Visin, A guide to convolution arithmetic, 2016, chapter 4.
    """

    spatial: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pads
    dilation: tuple[int, ...]
    groups: int = 1

    def infer(self, g: TensorType, kernel: TensorType) -> TensorType:
        require_float(self, g, kernel)
        if kernel.ndim != len(self.spatial) + 2 or not isinstance(kernel.shape[-2], int):
            raise ShapeError(f"the kernel of a convolution over {shape_text(self.spatial)} cannot be {kernel}.")
        x = g.with_shape(g.shape[0], *self.spatial, kernel.shape[-2] * self.groups)
        expected = self.checked_output(x, kernel)
        if g.ndim != expected.ndim or not all(same(*ab) for ab in zip(g.shape, expected.shape, strict=True)):
            raise ShapeError(f"the output of this convolution over {x} is {expected}, but its gradient is {g}.")
        return x

    def flop(self, g: TensorType, kernel: TensorType) -> int:
        return 2 * elements(g) * math.prod(kernel.shape[:-1])

    def evaluate(self, g: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        shape = [n + sum(p) for n, p in zip(self.spatial, self.padding, strict=True)]
        padded = np.zeros((g.shape[0], *shape, kernel.shape[-2] * self.groups), g.dtype)
        for place, window in self.geometry.offsets(kernel.shape[:-2], g.shape[1:-1]):
            for group in range(self.groups):
                part = _group(padded[window], group, self.groups)
                part += _group(g, group, self.groups) @ _group(kernel[place], group, self.groups).T
        return self.geometry.crop(padded, self.spatial)

    def gradient(self, mr: Any, g: Value, out: Value, given: Value, kernel: Value) -> Any:
        return (
            Convolution(**self.attributes())(g, kernel),
            ConvolutionKernelGradient(kernel.shape[:-2], **self.attributes())(g, given),
        )

    def lower(self, low: Any, g: Any, kernel: Any) -> Any:
        if self.has_routine(low, g, kernel):
            shape = (g.shape[0], *self.spatial, kernel.shape[-2] * self.groups)
            if self.rank == 3:
                flat = ConvolutionInputGradient(self.spatial[1:], **self.flat)
                planes = flat.lower(low, g.reshape(-1, *g.shape[2:]), flattened(low, kernel))
                return added_up(low, planes, self.geometry, kernel.shape[0], self.groups, shape)
            return self.by_routine(low, "convolution_input_gradient", shape, g, kernel)
        return low.by_group(partial(self._lower_one, low), self.groups, g, kernel)

    def _lower_one(self, low: Any, groups: int, g: Any, kernel: Any) -> Any:
        if groups != 1:
            x = low.jnp.zeros((g.shape[0], *self.spatial, kernel.shape[-2] * groups), g.dtype)
            forward = Convolution(**self.attributes())
            return low.transposed(lambda x: forward._lower_one(low, groups, x, kernel), x)(g)
        n = self.rank
        turned = _turned(low, kernel, n)
        pads = []
        for size, out, k, s, d, (pad, _) in zip(
            self.spatial,
            g.shape[1:-1],
            kernel.shape[:-2],
            self.strides,
            self.dilation,
            self.padding,
            strict=True,
        ):
            pads.append(((k - 1) * d - pad, size - 1 - (out - 1) * s + pad))
        return _convolve(
            low, g, turned, n, window_strides=(1,) * n, padding=pads, lhs_dilation=self.strides,
            rhs_dilation=self.dilation,
        )  # fmt: skip

    def formula(self, g: TensorType, kernel: TensorType) -> Formula:
        position, place = indices("i", self.rank), indices("p", self.rank)
        width, filters = int(kernel.shape[-2]), int(kernel.shape[-1])
        share = filters // self.groups
        spatial, conditions = [], []
        for i, s, p, d, (low, _) in zip(position, self.strides, place, self.dilation, self.padding, strict=True):
            reached = f"({i} + {low} - {p} * {d})"
            spatial.append(f"{reached} // {s}")
            if s > 1:
                conditions.append(f" if {reached} % {s} == 0")
        first = "0" if self.groups == 1 else f"c // {width} * {share}"
        loops = "".join(f" for {p} in range({k})" for p, k in zip(place, kernel.shape[:-2], strict=True))
        body = f"{at('g', ['b', *spatial, f'{first} + f'])} * {at('kernel', [*place, f'c % {width}', f'{first} + f'])}"
        left = at("out", ["b", *position, "c"])
        return Formula(f"{left} = sum({body}{loops} for f in range({share}){''.join(conditions)})", outside={"g": 0.0})

    def notation(self, g: str, kernel: str) -> str:
        return f"conv{self.rank}d_input_gradient({g}, {kernel}{self.notes()})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        made = []
        for attributes, x, kernel in _cases(rng):
            out = Convolution(**attributes).infer(TensorType.of(x), TensorType.of(kernel)).shape
            made.append(Sample(cls(x.shape[1:-1], **attributes), (uniform(rng, out), kernel)))
        return made

    @classmethod
    def errors(cls) -> list:
        op = cls((5, 5), (1, 1), ((0, 0), (0, 0)), (1, 1))
        return [
            bad_types(op, "its gradient is", tensor("float32", 2, 4, 3, 8), tensor("float32", 3, 3, 3, 8)),
            bad_types(op, "cannot be", tensor("float32", 2, 3, 3, 8), tensor("float32", 3, 3, 8)),
        ]


@dataclass(frozen=True)
class ConvolutionKernelGradient(_Windowed):
    """How a convolution's output changes with each number of its kernel, summed over batch and positions.

    x [batch, *spatial, channels], g [batch, *out, filters] -> [*kernel, channels / groups, filters].
    Source: Goodfellow et al., Deep Learning, 2016, section 9.5.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pads
    dilation: tuple[int, ...]
    groups: int = 1

    def infer(self, x: TensorType, g: TensorType) -> TensorType:
        require_float(self, x, g)
        if not x.ndim == g.ndim == len(self.kernel) + 2 or not isinstance(x.shape[-1], int):
            raise ShapeError(f"a convolution with kernel {shape_text(self.kernel)} has neither x {x} nor output {g}.")
        out = x.with_shape(*self.kernel, x.shape[-1] // max(self.groups, 1), g.shape[-1])
        expected = self.checked_output(x, out)
        if not all(same(*ab) for ab in zip(g.shape, expected.shape, strict=True)):
            raise ShapeError(f"the output of this convolution over {x} is {expected}, but its gradient is {g}.")
        return out

    def flop(self, x: TensorType, g: TensorType) -> int:
        return 2 * elements(g) * math.prod(self.infer(x, g).shape[:-1])

    def evaluate(self, x: np.ndarray, g: np.ndarray) -> np.ndarray:
        out = np.zeros((*self.kernel, x.shape[-1] // self.groups, g.shape[-1]), x.dtype)
        padded = self.geometry.pad(x)
        for place, window in self.geometry.offsets(self.kernel, g.shape[1:-1]):
            for group in range(self.groups):
                met = _group(padded[window], group, self.groups)
                given = _group(g, group, self.groups)
                rows = int(np.prod(met.shape[:-1]))
                _group(out[place], group, self.groups)[...] = met.reshape(rows, met.shape[-1]).T @ given.reshape(
                    rows, given.shape[-1]
                )
        return out

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, given: Value) -> Any:
        return (
            ConvolutionInputGradient(x.shape[1:-1], **self.attributes())(given, g),
            Convolution(**self.attributes())(x, g),
        )

    def lower(self, low: Any, x: Any, g: Any) -> Any:
        if self.has_routine(low, x, g):
            shape = (*self.kernel, x.shape[-1] // self.groups, g.shape[-1])
            if self.rank == 3:
                planes = laid_side_by_side(low, x, self.geometry, self.kernel[0], self.groups)
                flat = ConvolutionKernelGradient(self.kernel[1:], **self.flat)
                return raised(low, flat.lower(low, planes, g.reshape(-1, *g.shape[2:])), self.kernel[0])
            return self.by_routine(low, "convolution_kernel_gradient", shape, x, g)
        # A boundary: else XLA computes its producers again inside the transposes to and from the layout of Eigen's
        # convolution, 23 ms against 0.2 for conv2 of AlexNet, batch 32 (2 cores, Zen 5).
        return low.boundary(partial(low.by_group, partial(self._lower_one, low), self.groups), x, g)

    def _lower_one(self, low: Any, groups: int, x: Any, g: Any) -> Any:
        if groups != 1:
            kernel = low.jnp.zeros((*self.kernel, x.shape[-1] // groups, g.shape[-1]), x.dtype)
            forward = Convolution(**self.attributes())
            return low.transposed(lambda kernel: forward._lower_one(low, groups, x, kernel), kernel)(g)
        n = self.rank
        pads = []
        for size, out, k, s, d, (pad, _) in zip(
            x.shape[1:-1], g.shape[1:-1], self.kernel, self.strides, self.dilation, self.padding, strict=True
        ):
            pads.append((pad, (out - 1) * s + 1 + (k - 1) * d - size - pad))
        # the batch is what is summed over, so it plays the channels, and the channels play the batch
        rows, given = low.jnp.moveaxis(x, -1, 0), low.jnp.moveaxis(g, 0, -2)
        rows = low.jnp.moveaxis(rows, 1, -1)
        out = _convolve(low, rows, given, n, window_strides=self.dilation, padding=pads, rhs_dilation=self.strides)
        return low.jnp.moveaxis(out, 0, -2)

    def formula(self, x: TensorType, g: TensorType) -> Formula:
        position, place = indices("i", self.rank), indices("p", self.rank)
        width, share = int(x.shape[-1]) // self.groups, int(g.shape[-1]) // self.groups
        channel = "c" if self.groups == 1 else f"f // {share} * {width} + c"
        spatial = self.geometry.reads(position, place)
        loops = "".join(f" for {i} in range({n})" for i, n in zip(position, g.shape[1:-1], strict=True))
        body = f"{at('x', ['b', *spatial, channel])} * {at('g', ['b', *position, 'f'])}"
        left = at("out", [*place, "c", "f"])
        return Formula(f"{left} = sum({body} for b in range({x.shape[0]}){loops})", outside={"x": 0.0})

    def notation(self, x: str, g: str) -> str:
        return f"conv{self.rank}d_kernel_gradient({x}, {g}{self.notes()})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        made = []
        for attributes, x, kernel in _cases(rng):
            out = Convolution(**attributes).infer(TensorType.of(x), TensorType.of(kernel)).shape
            made.append(Sample(cls(kernel.shape[:-2], **attributes), (x, uniform(rng, out))))
        return made

    @classmethod
    def errors(cls) -> list:
        op = cls((3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))
        return [
            bad_types(op, "its gradient is", tensor("float32", 2, 5, 5, 3), tensor("float32", 2, 4, 3, 8)),
            bad_types(op, "has neither", tensor("float32", 2, 5, 3), tensor("float32", 2, 3, 8)),
        ]
