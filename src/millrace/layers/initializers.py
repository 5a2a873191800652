"""First values of weights. Each is a function of the seed and of the weight's name, so order does not matter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.core import snake
from millrace.ir.graph import Graph
from millrace.layers.identify import identified

_seed = 0


def set_seed(seed: int) -> None:
    """The seed of all weights and dropout masks of layers that are built from now on.

    Raises ArgumentError for a seed outside 0 ... 2^32 - 1.
    """
    global _seed
    mr.random_state(seed)  # checks the range
    _seed = int(seed)


def current_seed() -> int:
    return _seed


@dataclass(frozen=True)
class Initializer:
    """A rule for the first values of a weight: `initializer(shape, stream)` gives an array."""

    known: ClassVar[dict[str, type[Initializer]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith("_"):
            Initializer.known[snake(cls.__name__)] = cls

    def __call__(self, shape: tuple[int, ...], stream: str, dtype: str = "float32") -> np.ndarray:
        value = self.expression(shape, stream, dtype)
        return np.array(Graph([], [mr.as_value(value, dtype)]).evaluate([])[0])

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        raise AssertionError("an initializer defines expression(shape, stream, dtype)")

    def get_config(self) -> dict[str, Any]:
        return {"class_name": snake(type(self).__name__), "config": asdict(self)}


@dataclass(frozen=True)
class Constant(Initializer):
    """The same number everywhere.  Source: Keras Constant."""

    value: float = 0.0

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        return mr.full(shape, self.value, dtype)


@dataclass(frozen=True)
class Zeros(Constant):
    """Zeros: the usual first bias.  Source: Keras Zeros."""


@dataclass(frozen=True)
class Ones(Constant):
    """Ones.  Source: Keras Ones."""

    value: float = 1.0


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal numbers with a mean and a standard deviation.  Source: Keras RandomNormal."""

    mean: float = 0.0
    stddev: float = 0.05

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        state = mr.random_state(current_seed())
        return mr.random_normal(state, shape, stream, self.mean, self.stddev, dtype)


@dataclass(frozen=True)
class RandomUniform(Initializer):
    """Uniform numbers between two bounds.  Source: Keras RandomUniform."""

    minval: float = -0.05
    maxval: float = 0.05

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        state = mr.random_state(current_seed())
        return mr.random_uniform(state, shape, stream, self.minval, self.maxval, dtype)


def fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """How many inputs a unit of this weight sees, and how many outputs an input reaches."""
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


class _Scaled(Initializer):
    """Random numbers whose spread keeps signals alike from layer to layer."""

    scale: ClassVar[float]
    normal: ClassVar[bool]

    def fan(self, shape: tuple[int, ...]) -> float:
        raise AssertionError

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        state = mr.random_state(current_seed())
        variance = self.scale / max(self.fan(shape), 1.0)
        if self.normal:
            return mr.random_normal(state, shape, stream, 0.0, math.sqrt(variance), dtype)
        limit = math.sqrt(3 * variance)
        return mr.random_uniform(state, shape, stream, -limit, limit, dtype)


@dataclass(frozen=True)
class GlorotUniform(_Scaled):
    """Uniform in +-sqrt(6 / (inputs + outputs)): for tanh and softmax.  Source: Glorot and Bengio 2010."""

    scale, normal = 1.0, False

    def fan(self, shape: tuple[int, ...]) -> float:
        return sum(fans(shape)) / 2


@dataclass(frozen=True)
class GlorotNormal(GlorotUniform):
    """Normal with variance 2 / (inputs + outputs).  Source: Glorot and Bengio 2010."""

    normal = True


@dataclass(frozen=True)
class HeNormal(_Scaled):
    """Normal with variance 2 / inputs: for ReLU.  Source: He et al. 2015."""

    scale, normal = 2.0, True

    def fan(self, shape: tuple[int, ...]) -> float:
        return fans(shape)[0]


@dataclass(frozen=True)
class HeUniform(HeNormal):
    """Uniform with variance 2 / inputs: for ReLU.  Source: He et al. 2015."""

    normal = False


@dataclass(frozen=True)
class LecunNormal(HeNormal):
    """Normal with variance 1 / inputs.  Source: LeCun et al. 1998, Efficient BackProp."""

    scale = 1.0


def initializer(identifier: Any) -> Callable[..., np.ndarray]:
    """An initializer from a Keras name such as "he_normal", its saved form, or one as it is.

    Raises ArgumentError for an unknown name.
    """
    if callable(identifier):
        return identifier
    return identified("initializer", identifier, Initializer, Initializer.known)
