"""Pooling in 1, 2 and 3 dimensions: windows over space become one number each.

Shapes: x [batch, *spatial, channels] -> [batch, *out, channels]. Where several elements of a window are
the greatest, the first one (in row order) takes the whole gradient, as in PyTorch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from millrace.ir.core import Primitive, Sample, Value, require_float, require_same
from millrace.ir.dims import Size, same
from millrace.ir.errors import ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType
from millrace.ir.work import elements
from millrace.ops.sampling import bad_types, distinct, tensor, uniform
from millrace.ops.windows import Geometry, Pads

SLICES = 32  # windows of up to so many elements are lowered to shifted slices


def pooled(op: Any, x: TensorType) -> TensorType:
    """The output type of pooling x, or what is wrong with its window."""
    require_float(op, x)
    rank = len(op.window)
    if not 1 <= rank <= 3 or not len(op.strides) == len(op.padding) == rank:
        raise ShapeError(
            f"pooling takes 1, 2 or 3 sizes, strides and paddings: {op.window}, {op.strides}, {op.padding}."
        )
    if x.ndim != rank + 2:
        raise ShapeError(f"pooling in {rank} dimensions takes [batch, *spatial, channels], {rank + 2} axes; got {x}.")
    out: list[Size] = []
    for size, window, stride, (low, high) in zip(x.shape[1:-1], op.window, op.strides, op.padding, strict=True):
        if not isinstance(size, int):
            raise ShapeError(f"pooling needs known spatial sizes, got {x}.")
        if window < 1 or stride < 1 or not 0 <= low < window or not 0 <= high < window:
            raise ShapeError(
                f"pooling window {op.window} and strides {op.strides} must be at least 1, and padding "
                f"{op.padding} less than the window, so that each window has an element."
            )
        if size + low + high < window:
            raise ShapeError(f"the pooling window {op.window} is larger than x with its padding {op.padding}: {x}.")
        out.append((size + low + high - window) // stride + 1)
    return x.with_shape(x.shape[0], *out, x.shape[-1])


def routine_geometry(op: Any, count_padding: bool = False) -> tuple[int, ...]:
    """What a routine is told of a pooling in one dimension or two: window, strides, padding before, what counts."""
    rest = 2 - len(op.window)
    before = tuple(pad for pad, _ in op.padding)
    return (1,) * rest + op.window + (1,) * rest + op.strides + (0,) * rest + before + (int(count_padding),)


class _Pool(Primitive, abstract=True):
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pads

    def attributes(self) -> dict[str, Any]:
        return {"window": self.window, "strides": self.strides, "padding": self.padding}

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.strides, self.padding, (1,) * len(self.window))

    def flop(self, x: TensorType, *rest: TensorType) -> int:
        """One for each element of each window."""
        return math.prod(self.window) * elements(pooled(self, x))

    def has_routine(self, low: Any, *arrays: Any) -> bool:
        """Whether one of Millrace's own routines computes this: in one dimension or two, and so in three.

        XLA's loops take, on a busy machine with 2 cores (Zen 4), 1.2 to 3 times as long for LeNet's pools and
        cifar_quick's, 1.3 to 4 times for their gradients; for the maxima of AlexNet's first pool 0.9 of the time.
        """
        return low.has_routine(*arrays)

    @property
    def within_planes(self) -> dict[str, Any]:
        """The attributes of pooling in three dimensions for each plane by itself ..."""
        return {name: x[1:] for name, x in self.attributes().items()}

    @property
    def across_planes(self) -> dict[str, Any]:
        """... and across planes for what that leaves, [batch, depth, height * width, channels]."""
        return {"window": (self.window[0], 1), "strides": (self.strides[0], 1), "padding": (self.padding[0], (0, 0))}

    def by_routine(self, low: Any, name: str, shape: Any, *arrays: Any) -> Any:
        """What the routine of this name computes, of this shape."""
        low.note("routine of its own", "XLA's loops take 1 to 4 times as long on a CPU")
        return low.routine(name, tuple(shape), *arrays, how=routine_geometry(self))

    def written(self, name: str, *operands: str) -> str:
        padding = f", padding {self.padding}" if any(any(p) for p in self.padding) else ""
        return f"{name}({', '.join(operands)}, {'x'.join(map(str, self.window))}, stride {self.strides}{padding})"

    def first_greatest(self, xp: Any, x: Any, out: tuple[int, ...]) -> Any:
        """Which place in its window holds the first greatest element: [batch, *out, channels].

        The same lines serve NumPy and XLA (`xp` is numpy or jax.numpy).
        """
        padded = xp.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=-np.inf)
        best = chosen = None
        for number, (_, window) in enumerate(self.geometry.offsets(self.window, out)):
            element = padded[window]
            if best is None:
                best, chosen = element, xp.zeros(element.shape, xp.int32)
            else:
                better = element > best
                best = xp.where(better, element, best)
                chosen = xp.where(better, xp.int32(number), chosen)
        return chosen

    def position_formula(self) -> tuple[list[str], list[str], str]:
        position, place = indices("i", len(self.window)), indices("p", len(self.window))
        spatial = Geometry(self.strides, self.padding, (1,) * len(self.window)).reads(position, place)
        loops = "".join(f" for {p} in range({k})" for p, k in zip(place, self.window, strict=True))
        return position, spatial, loops


def cases(rng: np.random.Generator) -> list[tuple[dict[str, Any], np.ndarray]]:
    def case(spatial: tuple[int, ...], window: tuple[int, ...], strides: tuple[int, ...], padding: Pads) -> Any:
        return {"window": window, "strides": strides, "padding": padding}, distinct(rng, (2, *spatial, 2))

    return [
        case((6,), (2,), (2,), ((0, 0),)),
        case((5, 5), (3, 3), (2, 2), ((0, 0), (0, 0))),  # overlapping, as AlexNet's
        case((4, 5), (2, 3), (1, 2), ((1, 0), (1, 1))),
        case((3, 4, 3), (2, 2, 2), (2, 1, 1), ((0, 1), (1, 0), (0, 0))),
        case((7, 5), (2, 2), (3, 3), ((0, 0), (0, 0))),  # gaps between windows
    ]


def errors_of(op: Any, *rest: TensorType) -> list:
    x = tensor("float32", 2, 5, 5, 3)
    return [
        bad_types(op((7, 7), (1, 1), ((0, 0), (0, 0))), "larger than x", x, *rest),
        bad_types(op((2, 2), (0, 1), ((0, 0), (0, 0))), "at least 1", x, *rest),
        bad_types(op((2, 2), (1, 1), ((2, 0), (0, 0))), "less than the window", x, *rest),
        bad_types(op((2,), (1,), ((0, 0),)), "1 dimensions takes", x, *rest),
    ]


@dataclass(frozen=True)
class MaxPool(_Pool):
    """The greatest element of each window.

    x [batch, *spatial, channels] -> [batch, *out, channels]; padding counts as -inf.
    Source: Krizhevsky et al. 2012, section 3.4; ties as PyTorch's max_pool2d.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pads

    def infer(self, x: TensorType) -> TensorType:
        return pooled(self, x)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        out = self.infer(TensorType.of(x)).shape[1:-1]
        padded = self.geometry.pad(x, -np.inf)
        elements = (padded[window] for _, window in self.geometry.offsets(self.window, out))
        best = next(elements)
        for element in elements:
            best = np.maximum(best, element)
        return best

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return MaxPoolGradient(**self.attributes())(x, g)

    def lower(self, low: Any, x: Any) -> Any:
        if self.has_routine(low, x):
            shape = self.infer(TensorType.of(x)).shape
            if len(self.window) < 3:
                return self.by_routine(low, "max_pool", shape, x)
            return MaxPool(**self.across_planes).lower(low, self.of_planes(low, x)).reshape(shape)
        # Shifted slices: 3.2 ms against 12 ms for reduce_window on AlexNet's pool1 (2 cores, Zen 3).
        if low.platform == "cpu" and int(np.prod(self.window)) <= SLICES:
            low.note("shifted slices", "3.8 times faster than reduce_window on a CPU")
            return low.boundary(partial(self._by_slices, low), x)
        return low.lax.reduce_window(
            x, np.array(-np.inf, x.dtype), low.lax.max, (1, *self.window, 1), (1, *self.strides, 1),
            ((0, 0), *self.padding, (0, 0)),
        )  # fmt: skip

    def of_planes(self, low: Any, x: Any) -> Any:
        """The greatest within each plane of x [batch, depth, ...]: [batch, depth, height * width, channels]."""
        flat = MaxPool(**self.within_planes).lower(low, x.reshape(-1, *x.shape[2:]))
        return flat.reshape(*x.shape[:2], -1, x.shape[-1])

    def _by_slices(self, low: Any, x: Any) -> Any:
        out = self.infer(TensorType.of(x)).shape[1:-1]
        padded = low.jnp.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=-np.inf)
        elements = [padded[window] for _, window in self.geometry.offsets(self.window, out)]
        best = elements[0]
        for element in elements[1:]:
            best = low.lax.max(best, element)
        return best

    def formula(self, x: TensorType) -> Formula:
        position, spatial, loops = self.position_formula()
        read = at("x", ["b", *spatial, "c"])
        return Formula(f"{at('out', ['b', *position, 'c'])} = max({read}{loops})", outside={"x": -np.inf})

    def notation(self, x: str) -> str:
        return self.written("max_pool", x)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(**attributes), (x,)) for attributes, x in cases(rng)]

    @classmethod
    def errors(cls) -> list:
        return [
            *errors_of(cls),
            bad_types(cls((2,), (2,), ((0, 0),)), "floating-point", tensor("int32", 1, 4, 1)),
        ]


def with_output(op: Any, x: TensorType, g: TensorType) -> None:
    expected = pooled(op, x)
    require_same(op, x.with_shape(), g.with_shape())
    if g.ndim != expected.ndim or not all(same(*ab) for ab in zip(g.shape, expected.shape, strict=True)):
        raise ShapeError(f"pooling {x} gives {expected}, but its gradient is {g}.")


@dataclass(frozen=True)
class MaxPoolGradient(_Pool):
    """Each output's gradient, sent to the first greatest element of its window and summed there.

    x [batch, *spatial, channels], g [batch, *out, channels] -> [batch, *spatial, channels].
    Source: PyTorch max_pool2d backward.
    """

    accumulates = True

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pads

    def infer(self, x: TensorType, g: TensorType) -> TensorType:
        with_output(self, x, g)
        return x

    def evaluate(self, x: np.ndarray, g: np.ndarray) -> np.ndarray:
        chosen = self.first_greatest(np, x, g.shape[1:-1])
        padded = np.zeros((x.shape[0], *self._padded(x.shape), x.shape[-1]), x.dtype)
        for number, (_, window) in enumerate(self.geometry.offsets(self.window, g.shape[1:-1])):
            padded[window] += np.where(chosen == number, g, 0)
        return self.geometry.crop(padded, x.shape[1:-1])

    def _padded(self, shape: tuple[int, ...]) -> list[int]:
        return [n + sum(p) for n, p in zip(shape[1:-1], self.padding, strict=True)]

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, given: Value) -> Any:
        return None, MaxPoolGather(**self.attributes())(x, g)  # which element is chosen changes in steps

    def lower(self, low: Any, x: Any, g: Any) -> Any:
        if self.has_routine(low, x, g):
            if len(self.window) < 3:
                return self.by_routine(low, "max_pool_gradient", x.shape, x, g)
            # The first greatest element lies in the first plane that has one: 1.9 ms for 4.5 (2x2x2 windows on
            # [4, 32, 32, 32, 16], forward and backward, 2 cores, Zen 4).
            best = MaxPool(**self.attributes()).of_planes(low, x)
            given = g.reshape(*g.shape[:2], -1, g.shape[-1])
            planes = MaxPoolGradient(**self.across_planes).lower(low, best, given)
            flat = x.reshape(-1, *x.shape[2:])
            out = MaxPool(**self.within_planes).infer(TensorType.of(flat)).shape
            return MaxPoolGradient(**self.within_planes).lower(low, flat, planes.reshape(out)).reshape(x.shape)
        # Compare and pad back: 10 ms against 114 ms for select_and_scatter on AlexNet's pool1 (2 cores, Zen 3).
        low.note("compare and pad back", "11 times faster than select_and_scatter on a CPU")
        return low.boundary(partial(self._padded_back, low), x, g)

    def _padded_back(self, low: Any, x: Any, g: Any) -> Any:
        out = g.shape[1:-1]
        chosen = self.first_greatest(low.jnp, x, out)
        total = None
        for number, (place, _) in enumerate(self.geometry.offsets(self.window, out)):
            part = low.jnp.where(chosen == number, g, low.jnp.zeros((), g.dtype))
            edges = [(0, 0, 0)]
            for p, s, n, size, (pad, _) in zip(place, self.strides, out, x.shape[1:-1], self.padding, strict=True):
                edges.append((p - pad, size + pad - p - ((n - 1) * s + 1), s - 1))  # negative crops padding
            part = low.lax.pad(part, low.jnp.zeros((), g.dtype), (*edges, (0, 0, 0)))
            total = part if total is None else total + part
        return total

    def formula(self, x: TensorType, g: TensorType) -> Formula | None:
        return None  # "the first greatest element" is a search: tested against PyTorch instead

    def notation(self, x: str, g: str) -> str:
        return self.written("max_pool_gradient", x, g)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        made = []
        for attributes, x in cases(rng):
            op = cls(**attributes)
            made.append(Sample(op, (x, uniform(rng, pooled(op, TensorType.of(x)).shape))))
        return made

    @classmethod
    def errors(cls) -> list:
        g = tensor("float32", 2, 2, 2, 3)
        wrong = bad_types(cls((2, 2), (1, 1), ((0, 0), (0, 0))), "its gradient is", tensor("float32", 2, 5, 5, 3), g)
        return [*errors_of(cls, g), wrong]


@dataclass(frozen=True)
class MaxPoolGather(_Pool):
    """From each window of h the element at the place where x has its first greatest one.

    x and h [batch, *spatial, channels] -> [batch, *out, channels]. It is MaxPoolGradient transposed.
    Source: PyTorch max_pool2d double backward.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pads

    def infer(self, x: TensorType, h: TensorType) -> TensorType:
        require_same(self, x, h)
        return pooled(self, x)

    def evaluate(self, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        return self._gather(np, x, h)

    def _gather(self, xp: Any, x: Any, h: Any) -> Any:
        out = self.infer(TensorType.of(x), TensorType.of(h)).shape[1:-1]
        chosen = self.first_greatest(xp, x, out)
        padded = xp.pad(h, ((0, 0), *self.padding, (0, 0)))
        gathered = xp.zeros(chosen.shape, h.dtype)
        for number, (_, window) in enumerate(self.geometry.offsets(self.window, out)):
            gathered = xp.where(chosen == number, padded[window], gathered)
        return gathered

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, h: Value) -> Any:
        return None, MaxPoolGradient(**self.attributes())(x, g)

    def lower(self, low: Any, x: Any, h: Any) -> Any:
        return self._gather(low.jnp, x, h)

    def formula(self, x: TensorType, h: TensorType) -> Formula | None:
        return None  # a search, as MaxPoolGradient

    def notation(self, x: str, h: str) -> str:
        return self.written("max_pool_gather", x, h)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(**attributes), (x, uniform(rng, x.shape))) for attributes, x in cases(rng)]

    @classmethod
    def errors(cls) -> list:
        return errors_of(cls, tensor("float32", 2, 5, 5, 3))
