"""Which pixels of a picture mattered for an answer: by what changes when they are covered, and by the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.engines.function import function
from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.errors import ArgumentError
from millrace.ir.graph import Graph, rebuilt
from millrace.training.forms import in_use
from millrace.training.model import Model

PATCHES = 14  # places along the longer side at which a picture is covered, about
TINY = 1e-30  # keeps the logarithm of a probability of 0 finite
LEAST = 3  # pixels of a patch's side: less hides nothing in a small picture
BATCH = 64  # covered pictures that are answered together


@dataclass(frozen=True)
class Sensitivity:
    """How the answer depends on each pixel of what the network's layers see.

    picture [height, width, channels]: what they see, after cropping and scaling. slope [height, width]: by how much the
    logarithm of the answer's probability changes with a pixel, the largest of its channels without sign.
    """

    picture: np.ndarray
    slope: np.ndarray


@dataclass(frozen=True)
class Covered:
    """What covering does: drop [height, width], by how much the answer's probability falls while a patch lies there.

    Where patches overlap it is their mean; below 0 where covering makes the network surer. patch: pixels of its side.
    """

    drop: np.ndarray
    patch: int
    places: int


class Sight:
    """A network of pictures that answers with one probability for each class, ready to be asked about pixels.

    Raises ArgumentError for a network that takes something else, or answers otherwise.
    """

    def __init__(self, model: Model, engine: Any = "numpy"):
        if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or len(model.outputs) != 1:
            raise ArgumentError(
                f"{model.name} takes {', '.join(str(value.type) for value in model.inputs)}: which pixels mattered can "
                "be told of networks that take one picture [batch, height, width, channels]."
            )
        if len(model.outputs[0].shape) != 2:
            raise ArgumentError(f"{model.name} gives {model.outputs[0].type}: expected a probability for each class.")
        made = [value for step in model.steps for value in step.outputs]
        used = rebuilt(Graph(model.inputs, made).nodes, in_use, {})
        given = model.inputs[0]
        seen = self._first_float([given, *made], used)
        answer = mr.Input((), dtype="int32", name="answer")
        p = used[model.outputs[0]]
        chosen = mr.sum(p * mr.one_hot(answer, p.shape[1]), axis=1)
        slopes = mr.gradients(mr.sum(mr.log(chosen + TINY)), [seen], unconnected="zero")
        self.channels = int(given.shape[3])
        self._slopes = function([given, answer], [seen, slopes[0]], engine=engine)
        self.model, self.engine = model, engine
        size = given.shape[0]
        self._fixed = None if isinstance(size, Dim) else int(size)

    @staticmethod
    def _first_float(values: Sequence[Value], used: dict[Value, Value]) -> Value:
        """The first picture of floating-point numbers on the way: bytes have no gradient."""
        for value in values:
            now = used.get(value, value)
            if now.type.is_float and now.ndim == 4:
                return now
        raise ArgumentError("no layer of the network gives a picture of floating-point numbers.")

    def probabilities(self, pictures: np.ndarray) -> np.ndarray:
        """Of pictures [pictures, height, width, channels]: [pictures, classes]."""
        found: np.ndarray = self.model.predict(pictures, batch_size=BATCH, engine=self.engine)
        return found.astype(np.float32)

    def slope(self, picture: np.ndarray, answer: int) -> Sensitivity:
        """By the gradient.  Source: Simonyan, Vedaldi and Zisserman 2014, section 3."""
        batch = np.repeat(picture[None], self._fixed or 1, axis=0)
        seen, slopes = self._slopes(batch, np.full(len(batch), answer, np.int32))
        return Sensitivity(np.asarray(seen)[0], np.abs(np.asarray(slopes)[0]).max(axis=-1))

    def covered(self, picture: np.ndarray, answer: int) -> Covered:
        """By laying a patch of the picture's mean colour over it, place by place.

        Source: Zeiler and Fergus 2014, section 4.2.
        """
        height, width = picture.shape[:2]
        step = max(1, round(max(height, width) / PATCHES))
        patch = min(max(2 * step, LEAST), height, width)
        mean = picture.mean(axis=(0, 1)).astype(picture.dtype)
        corners = [(y, x) for y in starts(height, patch, step) for x in starts(width, patch, step)]
        variants = np.repeat(picture[None], len(corners), axis=0)
        for one, (y, x) in zip(variants, corners, strict=True):
            one[y : y + patch, x : x + patch] = mean
        before = float(self.probabilities(picture[None])[0, answer])
        after = self.probabilities(variants)[:, answer]
        total, count = np.zeros((height, width)), np.zeros((height, width))
        for (y, x), p in zip(corners, after, strict=True):
            total[y : y + patch, x : x + patch] += before - float(p)
            count[y : y + patch, x : x + patch] += 1
        return Covered(total / count, patch, len(corners))


def starts(size: int, patch: int, step: int) -> list[int]:
    """Where a patch begins, so that all of `size` is covered, to the last pixel."""
    return sorted({*range(0, size - patch + 1, step), size - patch})
