"""Windows that move over space: what convolution and pooling layers share of arguments, axes and checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.functional.products import padding_pairs
from millrace.ir.dims import Dim
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.base import Layer

AXES = {1: ("steps",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def checked_padding(padding: Any, rank: int, more: Sequence[str] = ()) -> Any:
    """A padding that can be: "valid", "same", a number, or numbers or (before, after) pairs for each axis.

    Raises ArgumentError that names what is allowed.
    """
    if isinstance(padding, str) and padding in ("valid", "same", *more):
        return padding
    sides = [padding] * rank if isinstance(padding, int) else padding
    fine = isinstance(sides, (list, tuple)) and len(sides) == rank
    for side in sides if fine else ():
        pair = side if isinstance(side, (list, tuple)) else (side, side)
        fine = fine and len(pair) == 2 and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in pair)
    if not fine:
        names = ", ".join(repr(name) for name in ("valid", "same", *more))
        each = "" if rank == 1 else f", or one for each of {rank} axes"
        raise ArgumentError(
            f"padding must be {names}, a whole number of at least 0{each}, or (before, after) pairs; got {padding!r}."
        )
    return padding


class Windowed(Layer):
    """A layer whose window of `rank` axes moves over space: [batch, *space, channels]."""

    rank: int
    window_argument = "kernel_size"  # what its window is called, for messages

    def space(self, x: TensorType) -> tuple[Any, ...]:
        """The sizes of the axes that the window moves over.  Raises ShapeError for another number of axes."""
        if x.ndim != self.rank + 2 or isinstance(x.shape[-1], Dim):
            axes = ", ".join(AXES[self.rank])
            raise ShapeError(f"{type(self).__name__} takes [batch, {axes}, channels], got {x}.{_mend(x, self.rank)}")
        return tuple(x.shape[1:-1])

    def pads(
        self, x: TensorType, window: Sequence[int], strides: Sequence[int], padding: Any, dilation: Sequence[int]
    ) -> tuple[tuple[int, int], ...]:
        """(before, after) of each axis.  Raises ShapeError where the window is larger than what it moves over."""
        space = self.space(x)
        if padding == "causal":  # no step sees a later one
            return (((window[0] - 1) * dilation[0], 0),)
        pairs = padding_pairs(padding, space, window, strides, dilation)
        for axis, size, k, d, (before, after) in zip(AXES[self.rank], space, window, dilation, pairs, strict=True):
            reach = (k - 1) * d + 1
            if isinstance(size, int) and reach > size + before + after:
                spread = f" (with dilation_rate={d} it reaches over {reach})" if d > 1 else ""
                padded = f", {size + before + after} with its padding" if before + after else ""
                raise ShapeError(
                    f"{self.window_argument}={k} is larger than the {axis} of the input, {size}{padded}{spread}. "
                    f"Use a smaller {self.window_argument} or padding='same'."
                )
        return pairs


def _mend(x: TensorType, rank: int) -> str:
    if x.ndim == rank + 1:
        return " Give it a channel axis: Reshape((..., 1)) or x[..., None]."
    if x.ndim == 2:
        return " After Flatten or Dense there is no space left to move over: put this layer before them."
    return ""
