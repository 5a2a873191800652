"""Products: of matrices, of kernels with images; and pooling. NumPy's and PyTorch's shapes of arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace.functional.convert import Like, as_value, broadcast_shapes, broadcast_to, common_dtype, listed_axes
from millrace.functional.reductions import sum as sum_
from millrace.functional.shaping import reshape, transpose
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ops import averaging, convolution, pooling
from millrace.ops.contract import Dot


def matmul(x: Like, y: Like) -> Value:
    """The matrix product over the last two axes; earlier axes are batch axes and broadcast.

    Source: NumPy matmul.
    """
    x, y = common_dtype(x, y)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(f"matmul takes vectors or matrices, got {x.type} and {y.type}.")
    if y.ndim <= 2:  # no batch axes of y: one product over the last axis of x
        return Dot((x.ndim - 1,), (max(y.ndim - 2, 0),))(x, y)
    if x.ndim == 1:
        return reshape(matmul(reshape(x, (1, -1)), y), (*y.shape[:-2], y.shape[-1]))
    batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = broadcast_to(x, (*batch, *x.shape[-2:])), broadcast_to(y, (*batch, *y.shape[-2:]))
    axes = tuple(range(len(batch)))
    return Dot((x.ndim - 1,), (y.ndim - 2,), axes, axes)(x, y)


def dot(x: Like, y: Like) -> Value:
    """The sum over the last axis of x and the last but one of y.  Source: NumPy dot."""
    x, y = common_dtype(x, y)
    return x * y if x.ndim == 0 or y.ndim == 0 else Dot((x.ndim - 1,), (max(y.ndim - 2, 0),))(x, y)


def tensordot(x: Like, y: Like, axes: int | Sequence[Sequence[int]] = 2) -> Value:
    """The sum over pairs of axes: the last n of x with the first n of y, or those named.  Source: NumPy tensordot."""
    x, y = common_dtype(x, y)
    if isinstance(axes, (int, np.integer)) and 0 <= axes <= min(x.ndim, y.ndim):
        return Dot(tuple(range(x.ndim - int(axes), x.ndim)), tuple(range(int(axes))))(x, y)
    if not isinstance(axes, (list, tuple)) or len(axes) != 2:
        raise ArgumentError(
            f"tensordot of {x.type} and {y.type} takes as axes 0 to {min(x.ndim, y.ndim)}, or (axes of x, axes of y), "
            f"got {axes!r}."
        )
    left, right = listed_axes(axes[0], x.ndim, "axis of x"), listed_axes(axes[1], y.ndim, "axis of y")
    if len(left) != len(right):
        raise ArgumentError(f"tensordot sums over pairs of axes, got {axes[0]} of x and {axes[1]} of y.")
    return Dot(left, right)(x, y)


def outer(x: Like, y: Like) -> Value:
    """Each element of x times each of y.  Source: NumPy outer."""
    x, y = common_dtype(x, y)
    return Dot((), ())(reshape(x, (-1,)), reshape(y, (-1,)))


def einsum(subscripts: str, x: Like, y: Like) -> Value:
    """Einstein's sum of two operands, e.g. "bij,bjk->bik".

    Unlike NumPy's it takes two operands, an arrow, no "..." and no letter twice in one term, and sizes of one letter
    must be equal: size 1 does not stretch.  Source: NumPy einsum.
    """
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    x, y = common_dtype(x, y)
    well_formed = arrow and len(terms) == 2 and len(terms[0]) == x.ndim and len(terms[1]) == y.ndim
    if not well_formed or any(len(set(t)) != len(t) for t in (*terms, out)) or not set(out) <= set(left):
        raise ArgumentError(
            f"einsum {subscripts!r} does not fit {x.type} and {y.type}: write one letter an axis, as in 'ij,jk->ik'."
        )
    for position, (labels, value) in enumerate(((terms[0], x), (terms[1], y))):
        alone = [n for n, c in enumerate(labels) if c not in terms[1 - position] + out]
        if alone:
            reduced = sum_(value, alone)
            terms[position] = "".join(c for n, c in enumerate(labels) if n not in alone)
            x, y = (reduced, y) if position == 0 else (x, reduced)
    a, b = terms
    batch = [c for c in a if c in b and c in out]
    summed = [c for c in a if c in b and c not in out]
    made = Dot(
        tuple(a.index(c) for c in summed), tuple(b.index(c) for c in summed),
        tuple(a.index(c) for c in batch), tuple(b.index(c) for c in batch),
    )(x, y)  # fmt: skip
    letters = batch + [c for c in a if c not in b] + [c for c in b if c not in a]
    return transpose(made, [letters.index(c) for c in out])


Padding = str | int | Sequence[Any]


def _each(value: int | Sequence[int], rank: int, name: str) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or not all(isinstance(v, int) for v in values):
        raise ArgumentError(f"{name} must be one whole number or {rank} of them, got {value!r}.")
    return values


def padding_pairs(
    padding: Padding,
    spatial: Sequence[Any],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> convolution.Pads:
    """(before, after) for each spatial axis, from "valid", "same", a number, or numbers.

    "same" gives ceil(size / stride) outputs; an odd total puts the larger part after, as Keras does.
    """
    rank = len(window)
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "same":
        pairs = []
        for size, k, s, d in zip(spatial, window, strides, dilation, strict=True):
            if not isinstance(size, int):
                raise ShapeError(f"padding='same' needs a known spatial size, got {size}.")
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            pairs.append((total // 2, total - total // 2))
        return tuple(pairs)
    if isinstance(padding, str):
        raise ArgumentError(f"unknown padding {padding!r}: use 'valid', 'same', a number, or (before, after) pairs.")
    if isinstance(padding, int) and padding >= 0:
        return ((padding, padding),) * rank
    sides = [(p, p) if isinstance(p, int) else p for p in padding] if isinstance(padding, (list, tuple)) else []
    pairs_fit = len(sides) == rank and all(isinstance(p, (list, tuple)) and len(p) == 2 for p in sides)
    if not pairs_fit or not all(isinstance(n, int) and n >= 0 for p in sides for n in p):
        raise ArgumentError(
            f"padding {padding!r} must have a number or a (before, after) pair for each of {rank} axes."
        )
    return tuple((int(a), int(b)) for a, b in sides)


def conv(
    x: Like, kernel: Like, strides: int | Sequence[int] = 1, padding: Padding = "valid",
    dilation: int | Sequence[int] = 1, groups: int = 1,
) -> Value:  # fmt: skip
    """Convolution in 1, 2 or 3 dimensions, as many as the kernel has.

    x [batch, *spatial, channels], kernel [*kernel, channels / groups, filters] -> [batch, *out, filters].

    Raises ShapeError where they do not fit, ArgumentError for an unknown padding.
    Source: Keras conv; Goodfellow et al. 2016, section 9.1.
    """
    x, kernel = common_dtype(x, kernel)
    rank = kernel.ndim - 2
    if not 1 <= rank <= 3 or x.ndim != kernel.ndim:
        raise ShapeError(
            f"conv takes x [batch, *spatial, channels] and kernel [*kernel, channels / groups, filters] in 1, 2 or "
            f"3 dimensions, got {x.type} and {kernel.type}."
        )
    step, spread = _each(strides, rank, "strides"), _each(dilation, rank, "dilation")
    if min(step + spread) < 1:
        raise ArgumentError(f"strides {strides} and dilation {dilation} must be at least 1.")
    pads = padding_pairs(padding, x.shape[1:-1], kernel.shape[:-2], step, spread)
    return convolution.Convolution(step, pads, spread, groups)(x, kernel)


def conv_transpose(
    x: Like, kernel: Like, output_size: Sequence[int], strides: int | Sequence[int] = 1, padding: Padding = 0,
    dilation: int | Sequence[int] = 1, groups: int = 1,
) -> Value:  # fmt: skip
    """Transposed convolution: what leads from a convolution's output back to its input.

    x [batch, *spatial, channels], kernel [*kernel, filters / groups, channels] -> [batch, *output_size,
    filters]. strides, padding and dilation are those of the convolution that leads from output_size to x.

    Raises ShapeError where they do not fit.
    Source: Keras conv_transpose; Dumoulin and Visin 2016, chapter 4.
    """
    x, kernel = common_dtype(x, kernel)
    rank = kernel.ndim - 2
    step, spread = _each(strides, rank, "strides"), _each(dilation, rank, "dilation")
    pads = padding_pairs(padding, output_size, kernel.shape[:-2], step, spread)
    return convolution.ConvolutionInputGradient(tuple(output_size), step, pads, spread, groups)(x, kernel)


def _pool_arguments(x: Value, window: Any, strides: Any, padding: Padding) -> dict[str, Any]:
    rank = x.ndim - 2
    if not 1 <= rank <= 3:
        raise ShapeError(f"pooling takes [batch, *spatial, channels] in 1, 2 or 3 dimensions, got {x.type}.")
    size = _each(window, rank, "pool_size")
    step = size if strides is None else _each(strides, rank, "strides")
    if min(size + step) < 1:
        raise ArgumentError(f"pool_size {window} and strides {strides} must be at least 1.")
    return {
        "window": size,
        "strides": step,
        "padding": padding_pairs(padding, x.shape[1:-1], size, step, (1,) * rank),
    }


def max_pool(x: Like, pool_size: Any, strides: Any = None, padding: Padding = "valid") -> Value:
    """The greatest element of each window; strides default to the window.  Source: Keras max_pool."""
    x = as_value(x)
    return pooling.MaxPool(**_pool_arguments(x, pool_size, strides, padding))(x)


def average_pool(
    x: Like, pool_size: Any, strides: Any = None, padding: Padding = "valid", count_padding: bool = False
) -> Value:
    """The mean of each window; padding counts only where `count_padding`.  Source: Keras average_pool."""
    x = as_value(x)
    return averaging.AveragePool(**_pool_arguments(x, pool_size, strides, padding), count_padding=count_padding)(x)
