"""Arrays as a page draws them: maps, units in a row, steps of a sequence; and numbers on their way to a browser."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.explain.activations import LayerCall
from millrace.layers.activations import activation_name

DOTS, FEW = 8, 10  # circles of a layer in the drawing; all of them where there are few
THUMB = 12  # pixels of a side of the map in a circle, at most
SHARES = ("Softmax", "Sigmoid")  # layers whose numbers lie between 0 and 1
AT_ONCE = 300_000  # numbers that one answer carries of maps, at most, but for a single larger map


@dataclass(frozen=True)
class Drawn:
    """What a call made, as maps [count, height, width], and what they are.

    form: "maps" of images; "units" of a vector, each a map of one number; "steps" of a sequence, one map whose rows are
    steps; "number". top: the upper end of the scale, where that is known, such as 1 for probabilities.
    """

    form: str
    maps: np.ndarray
    top: float | None = None

    @property
    def low(self) -> float:
        """The lower end of the common scale: the least number; 0 where none is below."""
        return min(float(self.maps.min()), 0.0) if self.maps.size else 0.0

    @property
    def high(self) -> float:
        """The upper end of the common scale; above the lower one."""
        if self.top is not None:
            return self.top
        most = float(self.maps.max()) if self.maps.size else 0.0
        return most if most > self.low else self.low + 1.0


def drawn(call: LayerCall) -> Drawn:
    """What a call made, as maps. Volumes [depth, height, width, channels] are maps of every depth and channel."""
    array = np.asarray(call.output, np.float32)
    top = 1.0 if call.kind in SHARES or activation_of(call.layer) in ("softmax", "sigmoid") else None
    if array.ndim == 0:
        return Drawn("number", array.reshape(1, 1, 1), top)
    if array.ndim == 1:
        if call.output.dtype.kind in "iub" and call.kind == "Input":  # words or characters
            return Drawn("steps", array[None, :, None])
        return Drawn("units", array.reshape(-1, 1, 1), top)
    if array.ndim == 2:
        return Drawn("steps", array[None], top)
    return Drawn("maps", np.moveaxis(array, -1, 0).reshape(-1, *array.shape[-3:-1]), top)


def activation_of(layer: Any) -> str:
    """The name of a layer's activation; "linear" where it has none."""
    found = activation_name(getattr(layer, "activation", None))
    return found if isinstance(found, str) else getattr(found, "__name__", "linear" if found is None else "activation")


def dots(one: Drawn, towers: int = 1) -> list[dict[str, Any]]:
    """The circles that stand for a call: of maps with a small picture, of others with one number, from 0 to 1.

    towers: of maps as many from each of so many parts of the channels.
    """
    scale = 1 / (one.high - one.low)
    if one.form == "steps":
        values = np.sqrt(np.mean(np.square(one.maps[0]), axis=1))
        values = values / (values.max() or 1.0)
        return [{"value": float(value)} for value in values[: shown(len(values))]]
    found: list[dict[str, Any]] = []
    count, each = len(one.maps), shown(len(one.maps)) // towers
    for grid in (one.maps[tower * (count // towers) + n] for tower in range(towers) for n in range(each)):
        level = (grid - one.low) * scale
        if grid.size == 1:
            found.append({"value": float(level.ravel()[0])})
            continue
        steps = [max(1, -(-size // THUMB)) for size in grid.shape]
        small = level[:: steps[0], :: steps[1]]
        picture = base64.b64encode(np.round(255 * small).astype(np.uint8).tobytes()).decode()
        found.append({"value": float(level.mean()), "thumb": picture, "size": list(small.shape)})
    return found


def shown(count: int) -> int:
    """How many circles stand for so many maps, units or steps."""
    return count if count <= FEW else DOTS


def packed(array: np.ndarray) -> str:
    """Numbers as base64 of little-endian float32, in the order of their indices."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()
