"""Sums over windows, and the means that are made of them: average pooling and its gradient.

Shapes: x [batch, *spatial, channels] -> [batch, *out, channels], as in max pooling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from millrace.ir.composite import Composite
from millrace.ir.core import Primitive, Sample, Value, require_float
from millrace.ir.dims import Size
from millrace.ir.errors import ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType
from millrace.ir.work import elements
from millrace.ops.pooling import SLICES, cases, errors_of, pooled, routine_geometry, with_output
from millrace.ops.sampling import bad_types, tensor, uniform
from millrace.ops.windows import Geometry, Pads


@dataclass(frozen=True)
class WindowSum(Primitive):
    """The sum of each window, over any axes: window, strides and padding name every axis of x.

    Source: StableHLO reduce_window with addition.
    """

    accumulates = True

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pads

    def infer(self, x: TensorType) -> TensorType:
        require_float(self, x)
        if not len(self.window) == len(self.strides) == len(self.padding) == x.ndim:
            raise ShapeError(f"window_sum takes a window, stride and padding for each of the {x.ndim} axes of {x}.")
        if min((*self.window, *self.strides), default=1) < 1 or any(min(p) < 0 for p in self.padding):
            raise ShapeError(f"window {self.window} and strides {self.strides} must be at least 1, padding at least 0.")
        out: list[Size] = []
        for size, window, stride, pads in zip(x.shape, self.window, self.strides, self.padding, strict=True):
            if window == stride == 1 and pads == (0, 0):
                out.append(size)
            elif not isinstance(size, int) or size + sum(pads) < window:
                raise ShapeError(f"the window {self.window} does not fit {x} with padding {self.padding}.")
            else:
                out.append((size + sum(pads) - window) // stride + 1)
        return x.with_shape(*out)

    def flop(self, x: TensorType) -> int:
        return math.prod(self.window) * elements(self.infer(x))

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return self._by_slices(np, x)

    def _by_slices(self, xp: Any, x: Any) -> Any:
        out = self.infer(TensorType.of(x)).shape
        padded = xp.pad(x, self.padding)
        total = None
        for place in np.ndindex(*self.window):
            spans = (slice(p, p + (n - 1) * s + 1, s) for p, n, s in zip(place, out, self.strides, strict=True))
            part = padded[tuple(spans)]
            total = part if total is None else total + part
        return total

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return self.sent_back(mr, g, x.shape)

    def sent_back(self, mr: Any, g: Value, shape: Sequence[Size]) -> Value:
        """The windows that reach an element: spread g by the strides, and sum the same windows over it."""
        low: list[int] = []
        high: list[int] = []
        interior: list[int] = []
        for size, n, window, stride, (pad, _) in zip(
            shape, g.shape, self.window, self.strides, self.padding, strict=True
        ):
            if window == stride == 1 and pad == 0 and n == size:
                for pads in (low, high, interior):
                    pads.append(0)
                continue
            low.append(window - 1)  # then the first `pad` positions belong to the padding and are cut off
            high.append(max(int(size + pad - (n - 1) * stride - 1), 0))
            interior.append(stride - 1)
        spread = mr.pad_interior(g, tuple(low), tuple(high), tuple(interior))
        summed = WindowSum(self.window, (1,) * len(shape), ((0, 0),) * len(shape))(spread)
        for axis, (pad, _) in enumerate(self.padding):
            summed = (
                mr.slice_axis(summed, axis, pad, pad + shape[axis]) if summed.shape[axis] != shape[axis] else summed
            )
        return summed

    def lower(self, low: Any, x: Any) -> Any:
        return low.by_channels(partial(self._lower_here, low), x, self.window, self.padding)

    def _lower_here(self, low: Any, padding: Pads, x: Any) -> Any:
        # Shifted adds: 10 ms against 17 ms for reduce_window over AlexNet's LRN1 channels (2 cores, Zen 3).
        if low.platform == "cpu" and int(np.prod(self.window)) <= SLICES:
            low.note("shifted adds", "1.7 times faster than reduce_window on a CPU")
            return replace(self, padding=padding)._by_slices(low.jnp, x)
        return low.lax.reduce_window(x, np.array(0, x.dtype), low.lax.add, self.window, self.strides, padding)

    def formula(self, x: TensorType) -> Formula:
        position, place = indices("i", x.ndim), indices("p", x.ndim)
        inner = Geometry(self.strides, self.padding, (1,) * len(self.window)).reads(position, place)
        loops = "".join(f" for {p} in range({k})" for p, k in zip(place, self.window, strict=True))
        return Formula(f"{at('out', position)} = sum({at('x', inner)}{loops})", outside={"x": 0.0})

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(cls((1, 3), (1, 1), ((0, 0), (1, 1))), (uniform(rng, (2, 5)),)),
            Sample(cls((2, 3), (2, 2), ((1, 0), (0, 2))), (uniform(rng, (5, 6)),)),
            Sample(cls((2,), (3,), ((0, 0),)), (uniform(rng, (9,)),)),
            Sample(cls((4,), (1,), ((2, 1),)), (uniform(rng, (5,)),)),
        ]

    @classmethod
    def errors(cls) -> list:
        x = tensor("float32", 5)
        return [
            bad_types(cls((7,), (1,), ((0, 0),)), "does not fit", x),
            bad_types(cls((2, 2), (1, 1), ((0, 0), (0, 0))), "each of the 1 axes", x),
            bad_types(cls((2,), (0,), ((0, 0),)), "at least 1", x),
        ]


@dataclass(frozen=True)
class AveragePool(Composite):
    """The mean of each window; padding counts as zeros where `count_padding`, else not at all.

    x [batch, *spatial, channels] -> [batch, *out, channels].
    Source: PyTorch avg_pool2d (count_include_pad); Keras AveragePooling2D does not count padding.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pads
    count_padding: bool = False

    def infer(self, x: TensorType) -> TensorType:
        return pooled(self, x)

    def expand(self, mr: Any, x: Value) -> Value:
        return mr.multiply(self.sum(x), mr.constant(self.share(x.type)))

    @property
    def sum(self) -> WindowSum:
        return WindowSum((1, *self.window, 1), (1, *self.strides, 1), ((0, 0), *self.padding, (0, 0)))

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return AveragePoolGradient(x.shape[1:-1], self.window, self.strides, self.padding, self.count_padding)(g)

    def lower(self, low: Any, x: Any) -> Any:
        if not self.has_routine(low, x):
            return super().lower(low, x)
        return self.by_routine(low, "average_pool", self.infer(TensorType.of(x)).shape, x)

    def has_routine(self, low: Any, x: Any) -> bool:
        """Whether one of Millrace's own routines computes this. They pool in one dimension or two."""
        return len(self.window) <= 2 and low.has_routine(x)

    def by_routine(self, low: Any, name: str, shape: Any, x: Any) -> Any:
        """What the routine of this name computes, of this shape."""
        low.note("routine of its own", "XLA's loops take 1 to 4 times as long on a CPU")
        return low.routine(name, tuple(shape), x, how=routine_geometry(self, self.count_padding))

    def share(self, x: TensorType) -> np.ndarray:
        """One over the number of elements that count, for each position: [1, *out, 1]."""
        shape: Any = (1, *x.shape[1:-1], 1)
        ones = np.ones(shape)
        if self.count_padding:
            ones = np.pad(ones, ((0, 0), *self.padding, (0, 0)), constant_values=1)
        pads: Pads = ((0, 0),) * len(self.window) if self.count_padding else self.padding
        counts = WindowSum((1, *self.window, 1), (1, *self.strides, 1), ((0, 0), *pads, (0, 0))).evaluate(ones)
        return (1 / counts).astype(x.dtype)

    def formula(self, x: TensorType) -> Formula:
        rank = len(self.window)
        position, place = indices("i", rank), indices("p", rank)
        spatial = Geometry(self.strides, self.padding, (1,) * len(self.window)).reads(position, place)
        loops = "".join(f" for {p} in range({k})" for p, k in zip(place, self.window, strict=True))
        if self.count_padding:
            count = str(int(np.prod(self.window)))
        else:
            inside = " and ".join(f"0 <= {s} < {n}" for s, n in zip(spatial, x.shape[1:-1], strict=True))
            count = f"sum(1{loops} if {inside})"
        read = at("x", ["b", *spatial, "c"])
        return Formula(f"{at('out', ['b', *position, 'c'])} = sum({read}{loops}) / {count}", outside={"x": 0.0})

    def notation(self, x: str) -> str:
        return f"average_pool({x}, {'x'.join(map(str, self.window))}, stride {self.strides})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(**a, count_padding=counted), (x,)) for a, x in cases(rng) for counted in (False, True)]

    @classmethod
    def errors(cls) -> list:
        return errors_of(cls)


@dataclass(frozen=True)
class AveragePoolGradient(Composite):
    """Each output's gradient, sent in equal shares to the elements of its window and summed there.

    g [batch, *out, channels] -> [batch, *spatial, channels]. It is AveragePool transposed.
    Source: PyTorch avg_pool2d backward.
    """

    spatial: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pads
    count_padding: bool = False

    @property
    def forward(self) -> AveragePool:
        return AveragePool(self.window, self.strides, self.padding, self.count_padding)

    def infer(self, g: TensorType) -> TensorType:
        x = g.with_shape(*g.shape[:1], *self.spatial, *g.shape[-1:])
        with_output(self, x, g)
        return x

    def expand(self, mr: Any, g: Value) -> Value:
        x, forward = self.infer(g.type), self.forward
        return forward.sum.sent_back(mr, mr.multiply(g, mr.constant(forward.share(x))), x.shape)

    def gradient(self, mr: Any, g: Value, out: Value, given: Value) -> Any:
        return self.forward(g)

    def lower(self, low: Any, g: Any) -> Any:
        if not self.forward.has_routine(low, g):
            return super().lower(low, g)
        return self.forward.by_routine(low, "average_pool_gradient", self.infer(TensorType.of(g)).shape, g)

    def formula(self, g: TensorType) -> Formula | None:
        return None  # each window has a count of its own: tested against PyTorch instead

    def notation(self, g: str) -> str:
        return f"average_pool_gradient({g}, {'x'.join(map(str, self.window))}, stride {self.strides})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        made = []
        for sample in AveragePool.samples(rng):
            op: Any = sample.op
            g = uniform(rng, op.infer(*sample.types).shape)
            spatial = sample.inputs[0].shape[1:-1]
            made.append(Sample(cls(spatial, op.window, op.strides, op.padding, op.count_padding), (g,)))
        return made

    @classmethod
    def errors(cls) -> list:
        op = cls((5, 5), (2, 2), (1, 1), ((0, 0), (0, 0)))
        return [
            bad_types(op, "its gradient is", tensor("float32", 2, 2, 2, 3)),
            bad_types(op, "floating-point", tensor("int32", 2, 4, 4, 3)),
        ]
