"""Windows that move over space: what convolution and pooling share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Geometry:
    """How a window moves over space; the attributes that convolution and its gradients share."""

    strides: tuple[int, ...]
    padding: Pads
    dilation: tuple[int, ...]

    def length(self, axis: int, size: int, kernel: int) -> int:
        """The number of window positions along an axis."""
        low, high = self.padding[axis]
        reach = (kernel - 1) * self.dilation[axis] + 1
        return (size + low + high - reach) // self.strides[axis] + 1

    def offsets(self, kernel: tuple[int, ...], out: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Any]]:
        """Each place in the kernel, and the slice of the padded input that it meets at all positions."""
        for place in product(*(range(k) for k in kernel)):
            spans = []
            for p, d, s, n in zip(place, self.dilation, self.strides, out, strict=True):
                spans.append(slice(p * d, p * d + (n - 1) * s + 1, s))
            yield place, (slice(None), *spans)

    def reads(self, position: list[str], place: list[str]) -> list[str]:
        """Which input element window `position` meets at `place`, for each axis, as formula text."""
        texts = []
        for i, s, p, d, (low, _) in zip(position, self.strides, place, self.dilation, self.padding, strict=True):
            text = f"{i} * {s}" if s != 1 else i
            text += f" + {p} * {d}" if d != 1 else f" + {p}"
            texts.append(f"{text} - {low}" if low else text)
        return texts

    def pad(self, x: np.ndarray, fill: float = 0.0) -> np.ndarray:
        return np.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=fill)

    def crop(self, padded: np.ndarray, spatial: tuple[int, ...]) -> np.ndarray:
        spans = (slice(low, low + size) for (low, _), size in zip(self.padding, spatial, strict=True))
        return padded[(slice(None), *spans)]
