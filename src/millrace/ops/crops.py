"""Windows cut out of images, each at a place of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Primitive, Sample, Value
from millrace.ir.dims import Dim, same
from millrace.ir.errors import DTypeError, ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType
from millrace.ops.sampling import bad_types, tensor, uniform


@dataclass(frozen=True)
class Crop(Primitive):
    """A window of each image: out[b, i, j, c] = x[b, top[b] + i, left[b] + j, c].

    x [batch, height, width, channels], top and left int32[batch] -> the same with this height and width. A window that
    would reach outside is moved inside.  Source: JAX lax.dynamic_slice, one for each image.
    """

    moves = True

    height: int
    width: int

    def infer(self, x: TensorType, top: TensorType, left: TensorType) -> TensorType:
        if x.ndim != 4 or any(isinstance(size, Dim) for size in x.shape[1:]):
            raise ShapeError(f"crop takes images [batch, height, width, channels] of known size, got {x}.")
        for name, one in (("top", top), ("left", left)):
            if one.dtype != "int32":
                raise DTypeError(f"crop takes int32 positions, got {name} as {one}. Convert with mr.cast(i, 'int32').")
            if one.ndim != 1 or not same(one.shape[0], x.shape[0]):
                raise ShapeError(f"crop takes one {name} for each image of {x}, got {one}.")
        if not (1 <= self.height <= x.shape[1] and 1 <= self.width <= x.shape[2]):
            raise ShapeError(
                f"a window of height {self.height} and width {self.width} does not fit into images of height "
                f"{x.shape[1]} and width {x.shape[2]} ({x}): make it smaller, or the images larger."
            )
        return x.with_shape(x.shape[0], self.height, self.width, x.shape[3])

    def evaluate(self, x: np.ndarray, top: np.ndarray, left: np.ndarray) -> np.ndarray:
        out = np.empty((len(x), self.height, self.width, x.shape[3]), x.dtype)
        rows, columns = np.clip(top, 0, x.shape[1] - self.height), np.clip(left, 0, x.shape[2] - self.width)
        for b, (row, column) in enumerate(zip(rows, columns, strict=True)):
            out[b] = x[b, row : row + self.height, column : column + self.width]
        return out

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, top: Value, left: Value) -> Any:
        batch, h, w, channels = x.shape
        row, column = mr.clip(top, 0, h - self.height), mr.clip(left, 0, w - self.width)
        image = mr.iota((batch,), 0, "int64") * h  # the first row of each image among the rows of all
        first = ((image + mr.cast(row, "int64")) * w + mr.cast(column, "int64")) * channels
        within = mr.iota((self.height, 1), 0, "int64") * (w * channels)
        places = mr.reshape(first, (batch, 1, 1)) + within + mr.iota((1, self.width * channels), 1, "int64")
        flat = mr.scatter_add(mr.ravel(mr.zeros_like(x)), mr.ravel(places), mr.ravel(g))
        return mr.reshape(flat, x.shape), None, None

    def lower(self, low: Any, x: Any, top: Any, left: Any) -> Any:
        # On a CPU one window after another: a loop, which XLA fuses with nothing, and which copies whole rows. uint8
        # [128, 256, 256, 3] to 224 x 224, medians of 11, 2 cores, Zen 4: 2.8 ms, as a gather by positions 4.4; with a
        # random flip and a mean taken off after it 6.3 ms for 182, since the gather is fused and its positions are
        # found anew for each number. A shift by powers of two, chosen bit by bit, takes 43 ms. A middle crop, which
        # needs no positions, 1.8 ms alone and 3.9 with flip and mean.
        size = (self.height, self.width, x.shape[3])
        top, left = low.jnp.clip(top, 0, x.shape[1] - size[0]), low.jnp.clip(left, 0, x.shape[2] - size[1])

        def window(given: Any) -> Any:
            image, row, column = given
            return low.lax.dynamic_slice(image, (row, column, np.int32(0)), size)

        if low.platform == "cpu" and low.devices is None:  # a loop over images is a loop over all of them, everywhere
            low.note("a loop over images", "a gather fused with what follows is many times slower on a CPU")
            return low.lax.map(window, (x, top, left))
        rows = top[:, None, None] + low.jnp.arange(size[0], dtype=np.int32)[None, :, None]
        columns = left[:, None, None] + low.jnp.arange(size[1], dtype=np.int32)[None, None, :]
        return x[low.jnp.arange(x.shape[0], dtype=np.int32)[:, None, None], rows, columns]

    def formula(self, x: TensorType, top: TensorType, left: TensorType) -> Formula:
        b, i, j, c = index = indices("i", 4)
        row = f"min(max(top[{b}], 0), {x.shape[1]} - {self.height}) + {i}"
        column = f"min(max(left[{b}], 0), {x.shape[2]} - {self.width}) + {j}"
        return Formula(f"{at('out', index)} = {at('x', [b, row, column, c])}")

    def notation(self, x: str, top: str, left: str) -> str:
        return f"crop({x}, {self.height} x {self.width} at {top}, {left})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        places = np.array([0, 2], np.int32), np.array([1, 0], np.int32)
        return [
            Sample(cls(3, 2), (uniform(rng, (2, 5, 4, 3)), *places)),
            Sample(cls(1, 4), (rng.integers(0, 256, (2, 3, 4, 1)).astype(np.uint8), *places)),
            Sample(cls(3, 2), (uniform(rng, (2, 4, 3, 1)), np.array([-1, 9], np.int32), np.array([9, -1], np.int32))),
        ]

    @classmethod
    def errors(cls) -> list:
        x, place = tensor("float32", 2, 5, 4, 3), tensor("int32", 2)
        return [
            bad_types(cls(6, 2), "does not fit", x, place, place),
            bad_types(cls(2, 5), "height 5 and width 4", x, place, place),
            bad_types(cls(0, 2), "does not fit", x, place, place),
            bad_types(cls(2, 2), "int32 positions", x, tensor("int64", 2), place),
            bad_types(cls(2, 2), "one left", x, place, tensor("int32", 3)),
            bad_types(cls(2, 2), "[batch, height, width, channels]", tensor("float32", 5, 4, 3), place, place),
        ]
