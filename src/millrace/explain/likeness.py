"""The training examples that a network takes for most alike to one example: near in its last hidden layer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.data.decode import decode_image
from millrace.data.source import Source
from millrace.engines.function import function
from millrace.explain.nearest import nearest
from millrace.ir.core import Value
from millrace.ir.errors import DataError
from millrace.ir.graph import Graph, rebuilt
from millrace.training.forms import in_use
from millrace.training.model import Model

MOST = 2_000  # training examples that are looked through: evenly taken, where there are more
SOME = 200  # of them whose own nearest is looked for, to know what distance is usual
FAR = 2  # times the usual distance: what is further is unlike all that was learned from
BATCH = 64


@dataclass(frozen=True)
class Alike:
    """The nearest training examples: their pictures, classes and distances, the nearest first.

    layer: in which layer's numbers they are near. looked: how many examples were looked through, of how many.
    usual: the median distance from a training example to its nearest other one, over `measured` of them; 0 where there
    are too few to say.
    """

    pictures: list[np.ndarray]
    classes: list[int]
    distances: list[float]
    layer: str
    looked: int
    total: int
    usual: float = 0.0
    measured: int = 0

    @property
    def far(self) -> bool:
        """Whether the picture is unlike all that was looked through."""
        return bool(self.usual and self.distances and self.distances[0] > FAR * self.usual)


def alike(model: Model, picture: np.ndarray, x: Any, y: Any, count: int, engine: Any = "numpy") -> Alike:
    """The training examples nearest to a picture in the last layer before the answer.

    x, y: arrays [examples, height, width, channels] and [examples], or a source of picture files with their classes.
    """
    last = hidden(model)
    used = rebuilt(Graph(model.inputs, [last]).nodes, in_use, {})
    made = {used.get(value): step.layer.name for step in reversed(model.steps) if step.layer for value in step.outputs}
    layer = made[used[last]]  # the first with these numbers: dropout only passes them on
    features = function(model.inputs, used[last], engine=engine)
    given = model.inputs[0]
    size = given.shape[0] if isinstance(given.shape[0], int) else BATCH

    def of(pictures: np.ndarray) -> np.ndarray:
        some = np.concatenate([pictures, np.repeat(pictures[-1:], -len(pictures) % size, axis=0)])
        rows = [np.asarray(features(some[n : n + size]), np.float32) for n in range(0, len(some), size)]
        return np.concatenate(rows).reshape(len(some), -1)[: len(pictures)]

    total = x.count if isinstance(x, Source) else len(x)
    chosen = np.linspace(0, total - 1, min(total, MOST)).astype(np.int64)
    pictures, classes = taken(x, y, chosen, given)
    query, known = of(picture[None])[0], of(pictures)
    near = nearest(query[None], known, min(count, len(known)))[0]
    apart = usual_distances(known)
    return Alike(
        [pictures[n] for n in near], [int(classes[n]) for n in near], between(known[near], query).tolist(), layer,
        len(pictures), total, float(np.median(apart)) if len(apart) else 0.0, len(apart),
    )  # fmt: skip


def usual_distances(known: np.ndarray) -> np.ndarray:
    """How far some examples, evenly taken, are from their nearest other one: [examples looked at]."""
    if len(known) < 2:
        return np.zeros(0)
    some = np.linspace(0, len(known) - 1, min(len(known), SOME)).astype(np.int64)
    second = nearest(known[some], known, 2)[:, 1]  # the first is the example itself, or its equal
    return between(known[some], known[second])


def between(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances, row by row."""
    made: np.ndarray = np.sqrt(((x.astype(np.float64) - y) ** 2).sum(axis=1))
    return made


def hidden(model: Model) -> Value:
    """The last value before the network's answer is made: what the last layer with weights takes."""
    weighted = [step for step in model.steps if step.layer is not None and step.layer.weights]
    last = weighted[-1].inputs[0] if weighted else model.inputs[0]
    names = {value for step in model.steps for value in step.outputs}
    return last if last in names else model.outputs[0]


def taken(x: Any, y: Any, chosen: np.ndarray, given: Value) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as the network takes them, and their classes; files that cannot be read are left out."""
    if not isinstance(x, Source):
        return x[chosen], np.asarray(y)[chosen]
    height, width, channels = (int(n) for n in given.shape[1:])
    pictures, classes = [], []
    for start in range(0, len(chosen), BATCH):
        some = x.take(chosen[start : start + BATCH])
        for place, (content, label) in enumerate(zip(some.columns[0], np.asarray(some.columns[1]), strict=True)):
            if place not in some.broken:
                with suppress(DataError):
                    pictures.append(decode_image(content, height, width, channels).astype(given.dtype))
                    classes.append(int(label))
    if not pictures:
        raise DataError(f"none of the {x.count:,} pictures of {x.name} can be read.")
    return np.stack(pictures), np.asarray(classes)
