"""Products that sum over shared axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Primitive, Sample, Value
from millrace.ir.dims import same
from millrace.ir.errors import DTypeError, ShapeError
from millrace.ir.formula import ATOM, MATRIX_PRODUCT, POWER, Formula, Term, at, indices, within
from millrace.ir.types import HALVES, TensorType
from millrace.ir.typeset import enclosed, transposed
from millrace.ir.work import elements
from millrace.native.operations import NOTHING
from millrace.ops.sampling import bad_types, tensor, uniform
from millrace.ops.shape import inverse_permutation

Axes = tuple[int, ...]
AWAKE = 1  # to `dense`: other threads need not be woken

FEWEST, MANY = 8, 2**19  # rows at most, and numbers of the matrix at least if there is but one, for a routine
FEW, LARGE = 128, 2**22  # rows at most, and numbers of the matrix at least, where the large factor goes first


@dataclass(frozen=True)
class Dot(Primitive):
    """Multiply and sum over pairs of axes: the matrix product and its relatives.

    The axes `x_contract` and `y_contract` are summed over in pairs; `x_batch` and `y_batch` run along
    together. The output has the batch axes, then the free axes of x, then those of y.
    Source: StableHLO dot_general.
    """

    x_contract: Axes = (1,)
    y_contract: Axes = (0,)
    x_batch: Axes = ()
    y_batch: Axes = ()

    def x_free(self, ndim: int) -> Axes:
        return tuple(a for a in range(ndim) if a not in self.x_contract + self.x_batch)

    def y_free(self, ndim: int) -> Axes:
        return tuple(a for a in range(ndim) if a not in self.y_contract + self.y_batch)

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        if x.dtype != y.dtype or x.dtype == "bool":
            raise DTypeError(f"a product takes numbers of one dtype, got {x} and {y}. Convert with mr.cast.")
        for name, type, axes in (
            ("x", x, self.x_contract + self.x_batch),
            ("y", y, self.y_contract + self.y_batch),
        ):
            if len(set(axes)) != len(axes) or any(not 0 <= a < type.ndim for a in axes):
                raise ShapeError(f"a product sums over axes {axes} of {name}, which is {type}.")
        for a, b in zip(self.x_contract + self.x_batch, self.y_contract + self.y_batch, strict=True):
            if not same(x.shape[a], y.shape[b]):
                raise ShapeError(
                    f"cannot multiply {x} by {y}: axis {a} of the first has {x.shape[a]} elements, "
                    f"axis {b} of the second has {y.shape[b]}; they must be equal."
                )
        batch = [x.shape[a] for a in self.x_batch]
        free = [x.shape[a] for a in self.x_free(x.ndim)] + [y.shape[a] for a in self.y_free(y.ndim)]
        return x.with_shape(*batch, *free)

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """As one stack of matrix products [batch, rows, inner] @ [batch, inner, columns]."""
        x_free, y_free = self.x_free(x.ndim), self.y_free(y.ndim)
        batch = tuple(x.shape[a] for a in self.x_batch)
        rows = tuple(x.shape[a] for a in x_free)
        columns = tuple(y.shape[a] for a in y_free)
        inner = int(np.prod([x.shape[a] for a in self.x_contract], dtype=int))
        count = int(np.prod(batch, dtype=int))
        left = x.transpose(self.x_batch + x_free + self.x_contract).reshape(count, int(np.prod(rows, dtype=int)), inner)
        right = y.transpose(self.y_batch + self.y_contract + y_free)
        out = left @ right.reshape(count, inner, int(np.prod(columns, dtype=int)))
        return out.reshape(batch + rows + columns)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, y: Value) -> Any:
        """Each factor's gradient is the product of the output's with the other factor."""
        x_free, y_free = self.x_free(x.ndim), self.y_free(y.ndim)
        batch = tuple(range(len(self.x_batch)))
        g_x = tuple(range(len(batch), len(batch) + len(x_free)))
        g_y = tuple(range(len(batch) + len(x_free), g.ndim))

        # [batch, free of x, contracted], the contracted axes in the order that y has them
        dx = Dot(g_y, y_free, batch, self.y_batch)(g, y)
        order = sorted(range(len(self.y_contract)), key=self.y_contract.__getitem__)
        dx_axes = self.x_batch + x_free + tuple(self.x_contract[n] for n in order)

        # [batch, contracted in the order that x has them, free of y]: for matrices just x.T @ g
        dy = Dot(x_free, g_x, self.x_batch, batch)(x, g)
        order = sorted(range(len(self.x_contract)), key=self.x_contract.__getitem__)
        dy_axes = self.y_batch + tuple(self.y_contract[n] for n in order) + y_free
        return mr.transpose(dx, inverse_permutation(dx_axes)), mr.transpose(dy, inverse_permutation(dy_axes))

    def flop(self, x: TensorType, y: TensorType) -> int:
        return 2 * elements(self.infer(x, y)) * math.prod(int(x.shape[a]) for a in self.x_contract)

    def is_few_by_transposed(self, x: Any, y: Any) -> bool:
        """Whether x has a few rows, and y is a large matrix whose rows they are multiplied by."""
        matrices = x.ndim == y.ndim == 2 and self.x_contract == self.y_contract == (1,)
        return matrices and x.dtype.name == "float32" and 1 < x.shape[0] <= FEW and y.size >= LARGE

    def is_few_by_matrix(self, x: Any, y: Any) -> bool:
        """Whether x has a few rows, which are multiplied by a matrix y."""
        matrices = x.ndim == y.ndim == 2 and (self.x_contract, self.y_contract) == ((1,), (0,))
        return matrices and x.shape[0] <= FEWEST and x.size * y.size > 0

    def is_rows_by_matrix(self, x: Any, y: Any) -> bool:
        """Whether each row of x, along its last axis, is multiplied by the matrix y or by its transpose."""
        return y.ndim == 2 and x.ndim > 1 and self.x_contract == (x.ndim - 1,) and len(self.y_contract) == 1

    def is_gradient_over_rows(self, x: Any, y: Any) -> bool:
        """Whether both are summed over all their rows, which lie along their last axes."""
        rows = tuple(range(x.ndim - 1))
        return x.ndim == y.ndim > 1 and self.x_contract == self.y_contract == rows and math.prod(x.shape[:-1]) > 0

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        made = self._by_routine(low, x, y) if low.has_routine(x, y) else None
        if made is not None:
            return made
        axes = ((self.x_contract, self.y_contract), (self.x_batch, self.y_batch))
        if x.dtype.name not in HALVES:
            if low.platform == "cpu" and self.is_few_by_transposed(x, y):
                # The backward pass of a large dense layer: 6.8 ms for 13.3 at [32, 4096] by [9216, 4096], 22.8 for
                # 25.7 at 128 rows, but 0.34 for 0.21 at [128, 512] by [512, 512] (2 cores, Zen 5).
                low.note("large factor first", "twice as fast as a few rows by a large transposed matrix on a CPU")
                turned = low.boundary(low.jnp.transpose, x)
                out = low.lax.dot(y, turned, precision=low.lax.Precision.HIGHEST)
                return low.boundary(low.jnp.transpose, out)
            return low.lax.dot_general(x, y, axes, precision=low.lax.Precision.HIGHEST)
        return low.lax.dot_general(x, y, axes, preferred_element_type=np.float32).astype(x.dtype)

    def _by_routine(self, low: Any, x: Any, y: Any) -> Any:
        """The product by one of Millrace's own routines; None where XLA's is no slower."""
        if self.is_few_by_matrix(x, y) and (low.bundled or x.shape[0] > 1 or y.size >= MANY):
            # 2.5 ms for 6.8 at [2, 4096] by [4096, 4096], 3.8 for 4.4 with one row; 0.8 to 1 of the time where the
            # matrix fits the caches, but no less with one row; 1.1 times at 16 rows (2 cores, Zen 4).
            low.note("routine of its own", "XLA's takes up to 2.7 times as long on a CPU for a few rows")
            return low.routine("dense", (x.shape[0], y.shape[1]), x, y, how=(AWAKE,) if low.bundled else ())
        if self.is_gradient_over_rows(x, y) and (x.ndim == 2 or low.bundled):
            # [784, 128] by [128, 512]: 0.52 ms for 0.66; [512, 64] by [64, 512]: 0.18 for 0.28; by 10 columns 0.04 for
            # 0.18; 1.05 to 1.2 times as fast for AlexNet's (2 cores, Zen 4). Most others are no faster so.
            low.note("routine of its own", "XLA's takes 1.1 to 4.6 times as long on a CPU for gradients of weights")
            x, y = (z.reshape((math.prod(z.shape[:-1]), z.shape[-1])) for z in (x, y))
            return low.routine("dense_gradient", (x.shape[1], y.shape[1]), x, y)
        if self.is_rows_by_matrix(x, y) and low.bundled and x.size * y.size > 0:
            # Alone no faster than XLA's (0.5 to 1.1 times), but nobody has to be woken for it, and biases and
            # activations that follow find its rows in the cache.
            turned, rows = self.y_contract == (1,), math.prod(x.shape[:-1])
            shape = rows, y.shape[0 if turned else 1]
            made = low.routine("dense_rows", shape, x.reshape((rows, x.shape[-1])), y, how=(turned, *NOTHING))
            return made.reshape((*x.shape[:-1], shape[1]))
        return None

    def formula(self, x: TensorType, y: TensorType) -> Formula:
        x_free, y_free = self.x_free(x.ndim), self.y_free(y.ndim)
        index = indices("i", len(self.x_batch) + len(x_free) + len(y_free))
        summed = indices("p", len(self.x_contract))
        x_axes = self.x_batch + x_free
        y_index: dict[int, str] = dict(zip(self.y_batch, index, strict=False))
        y_index |= dict(zip(y_free, index[len(x_axes) :], strict=True))
        y_index |= dict(zip(self.y_contract, summed, strict=True))
        x_index = dict(zip(x_axes, index, strict=False)) | dict(zip(self.x_contract, summed, strict=True))
        left = at("x", [x_index[a] for a in range(x.ndim)])
        right = at("y", [y_index[a] for a in range(y.ndim)])
        loops = "".join(f" for {n} in range({x.shape[a]})" for n, a in zip(summed, self.x_contract, strict=True))
        body = f"sum({left} * {right}{loops})" if loops else f"{left} * {right}"
        return Formula(f"{at('out', index)} = {body}")

    def notation(self, x: str, y: str) -> str:
        if not self.x_batch and not self.x_contract:
            return f"outer({x}, {y})"
        if self.x_batch or len(self.x_contract) != 1:
            return f"dot({x}, {y}, sum over {self.x_contract} and {self.y_contract})"
        left = f"{within(x, ATOM)}.T" if self.x_contract == (0,) else within(x, ATOM)
        right = f"{within(y, ATOM)}.T" if self.y_contract == (1,) else within(y, ATOM)
        return Term(f"{left} @ {right}", MATRIX_PRODUCT)

    def latex(self, x: str, y: str) -> str:
        if not self.x_batch and not self.x_contract:
            return Term(rf"{enclosed(x, POWER)} \otimes {enclosed(y, POWER)}", MATRIX_PRODUCT)
        if self.x_batch or len(self.x_contract) != 1:
            return super().latex(x, y)
        left = transposed(x) if self.x_contract == (0,) else enclosed(x, POWER)
        right = transposed(y) if self.y_contract == (1,) else enclosed(y, POWER)
        return Term(rf"{left} \, {right}", MATRIX_PRODUCT)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        def make(op: Dot, x: tuple[int, ...], y: tuple[int, ...], dtype: str = "float32") -> Sample:
            return Sample(op, (uniform(rng, x, dtype=dtype), uniform(rng, y, dtype=dtype)))

        return [
            make(cls(), (2, 3), (3, 4)),
            make(cls((2,), (1,), (0,), (0,)), (2, 3, 4), (2, 4, 5)),
            make(cls((1, 0), (0, 2)), (2, 3, 4), (3, 5, 2)),
            make(cls((0,), (0,)), (3,), (3,)),
            make(cls((), ()), (2,), (3,)),
            make(cls((1,), (1,), (2,), (0,)), (2, 3, 4), (4, 3, 5), "float64"),
            make(cls(), (1, 2), (2, 1), "int32"),
        ]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(), "must be equal", tensor("float32", 2, 3), tensor("float32", 4, 5)),
            bad_types(cls(), "one dtype", tensor("float32", 2, 3), tensor("int32", 3, 5)),
            bad_types(cls((2,), (0,)), "sums over axes", tensor("float32", 2, 3), tensor("float32", 3)),
        ]
