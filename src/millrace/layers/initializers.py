"""First values of weights. Each is a function of the seed and of the weight's name, so order does not matter."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.core import snake
from millrace.ir.dims import shape_text
from millrace.ir.errors import ArgumentError, ShapeError, one_of
from millrace.ir.graph import Graph
from millrace.layers.identify import identified
from millrace.layers.keras_names import absent

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

    def __post_init__(self) -> None:
        _number(self, "value")

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        return mr.full(shape, self.value, dtype)


@dataclass(frozen=True)
class Zeros(Constant):
    """Zeros: the usual first bias.  Source: Keras Zeros."""


@dataclass(frozen=True)
class Ones(Constant):
    """Ones.  Source: Keras Ones."""

    value: float = 1.0


def _number(rule: Initializer, argument: str, least: float = -math.inf, open: bool = False) -> None:
    """Raises ArgumentError where an argument is not a finite number, below `least`, or at it where `open`."""
    value = getattr(rule, argument)
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < least or (open and value == least):
        bound = "" if least == -math.inf else f" {'above' if open else 'of at least'} {least:g}"
        raise ArgumentError(f"{type(rule).__name__}: {argument} must be a finite number{bound}, got {value!r}.")


@dataclass(frozen=True)
class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere.  Raises ShapeError for other shapes.  Source: Keras Identity."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        _number(self, "gain")

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        if len(shape) != 2:
            raise ShapeError(f"Identity makes matrices, not a weight of shape {shape_text(shape)}.")
        return self.gain * np.eye(*shape)


class _Random(Initializer):
    """Random numbers, from `seed`, or from the seed of `mr.set_seed` where it is None."""

    seed: int | None

    def __post_init__(self) -> None:
        if self.seed is not None:
            mr.random_state(self.seed)  # checks the range

    @property
    def state(self) -> np.ndarray:
        return mr.random_state(current_seed() if self.seed is None else self.seed)


def truncated_normal(
    state: np.ndarray, shape: tuple[int, ...], stream: str, mean: float, stddev: float, dtype: str
) -> np.ndarray:
    """Normal numbers of which those beyond two standard deviations are not drawn: by the inverse of their CDF."""
    from scipy.special import ndtr, ndtri  # half a second: only who draws pays

    wide = dtype == "float64"
    share = mr.random_uniform(state, shape, stream, dtype="float64" if wide else "float32")
    drawn = Graph([], [share]).evaluate([])[0].astype(np.float64) + 2.0 ** (-54 if wide else -25)  # mid-step: no bias
    low, high = ndtr(-2.0), ndtr(2.0)
    return mean + stddev * np.clip(ndtri(low + drawn * (high - low)), -2.0, 2.0)


@dataclass(frozen=True)
class RandomNormal(_Random):
    """Normal numbers with a mean and a standard deviation.  Source: Keras RandomNormal."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _number(self, "mean")
        _number(self, "stddev", 0)

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        return mr.random_normal(self.state, shape, stream, self.mean, self.stddev, dtype)


@dataclass(frozen=True)
class TruncatedNormal(RandomNormal):
    """Normal numbers, none further than two standard deviations from the mean.

    `stddev` is that of the whole normal; what is left of it has 0.8796 times as much.
    Source: Keras TruncatedNormal.
    """

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        return truncated_normal(self.state, shape, stream, self.mean, self.stddev, dtype)


@dataclass(frozen=True)
class RandomUniform(_Random):
    """Uniform numbers between two bounds.  Source: Keras RandomUniform."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _number(self, "minval")
        _number(self, "maxval")
        if self.minval > self.maxval:
            raise ArgumentError(f"RandomUniform: minval must be at most maxval, got {self.minval} and {self.maxval}.")

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        return mr.random_uniform(self.state, shape, stream, self.minval, self.maxval, dtype)


@dataclass(frozen=True)
class Orthogonal(_Random):
    """A random orthogonal matrix times `gain`: its rows, or its columns where they are fewer, have length 1 and
    stand at right angles. A weight with more axes is such a matrix [all but the last, last], reshaped.

    Raises ShapeError for fewer than two axes.  Source: Saxe et al. 2014, section 4; Keras Orthogonal.
    """

    gain: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _number(self, "gain")

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal makes weights of two axes or more, not of shape {shape_text(shape)}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(Graph([], [mr.random_normal(self.state, tall, stream, dtype="float64")]).evaluate([])[0])
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # the decomposition is unique then, and q uniform
        return self.gain * (q.T if rows < columns else q).reshape(shape)


def fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """How many inputs a unit of this weight sees, and how many outputs an input reaches."""
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


FANS: dict[str, Callable[[float, float], float]] = {
    "fan_in": lambda inputs, outputs: inputs,
    "fan_out": lambda inputs, outputs: outputs,
    "fan_avg": lambda inputs, outputs: (inputs + outputs) / 2,
}
DISTRIBUTIONS: Sequence[str] = ("truncated_normal", "untruncated_normal", "uniform")
LEFT_BY_TRUNCATION = 0.87962566103423978  # the standard deviation of a standard normal cut at -2 and 2


class _Scaled(_Random):
    """Random numbers whose spread keeps signals alike from layer to layer: with variance scale / fan."""

    scale: Any
    mode: Any
    distribution: Any

    def expression(self, shape: tuple[int, ...], stream: str, dtype: str) -> Any:
        variance = self.scale / max(FANS[self.mode](*fans(shape)), 1.0)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return mr.random_uniform(self.state, shape, stream, -limit, limit, dtype)
        if self.distribution == "untruncated_normal":
            return mr.random_normal(self.state, shape, stream, 0.0, math.sqrt(variance), dtype)
        return truncated_normal(self.state, shape, stream, 0.0, math.sqrt(variance) / LEFT_BY_TRUNCATION, dtype)


@dataclass(frozen=True)
class VarianceScaling(_Scaled):
    """Random numbers with variance scale / fan.

    mode: the fan is "fan_in" (inputs of a unit), "fan_out" (outputs of an input) or "fan_avg", their mean.
    distribution: "truncated_normal", "untruncated_normal" or "uniform".
    Raises ArgumentError for a scale of 0 or less, or an unknown mode or distribution.
    Source: He et al. 2015, section 2.2; Keras VarianceScaling.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _number(self, "scale", 0, open=True)
        if self.mode not in FANS:
            raise one_of("VarianceScaling mode", self.mode, list(FANS))
        if self.distribution not in DISTRIBUTIONS:
            raise one_of("VarianceScaling distribution", self.distribution, list(DISTRIBUTIONS))


@dataclass(frozen=True)
class GlorotUniform(_Scaled):
    """Uniform in +-sqrt(6 / (inputs + outputs)): for tanh and softmax.  Source: Glorot and Bengio 2010."""

    seed: int | None = None
    scale, mode, distribution = 1.0, "fan_avg", "uniform"


@dataclass(frozen=True)
class GlorotNormal(GlorotUniform):
    """Truncated normal with variance 2 / (inputs + outputs).  Source: Glorot and Bengio 2010; Keras GlorotNormal."""

    distribution = "truncated_normal"


@dataclass(frozen=True)
class HeNormal(_Scaled):
    """Truncated normal with variance 2 / inputs: for ReLU.  Source: He et al. 2015; Keras HeNormal."""

    seed: int | None = None
    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


@dataclass(frozen=True)
class HeUniform(HeNormal):
    """Uniform with variance 2 / inputs: for ReLU.  Source: He et al. 2015."""

    distribution = "uniform"


@dataclass(frozen=True)
class LecunNormal(HeNormal):
    """Truncated normal with variance 1 / inputs: for selu.  Source: LeCun et al. 1998, Efficient BackProp."""

    scale = 1.0


@dataclass(frozen=True)
class LecunUniform(LecunNormal):
    """Uniform with variance 1 / inputs.  Source: LeCun et al. 1998, Efficient BackProp."""

    distribution = "uniform"


SHORT = {"normal": "random_normal", "uniform": "random_uniform"}


def initializer(identifier: Any) -> Callable[..., np.ndarray]:
    """An initializer from a Keras name such as "he_normal", its saved form, or one as it is.

    Raises ArgumentError for an unknown name.
    """
    if callable(identifier):
        return identifier
    return identified("initializer", identifier, Initializer, Initializer.known, SHORT)


def first_values(identifier: Any, shape: tuple[int, ...], stream: str, dtype: str) -> np.ndarray:
    """A weight's first values, by an initializer, its name, or a function of the user's own.

    A function takes (shape), (shape, dtype) or (shape, name, dtype).
    Raises ArgumentError for a function that takes something else or gives another shape.
    """
    rule = initializer(identifier)
    if isinstance(rule, Initializer):
        return rule(shape, stream, dtype)
    for arguments in ((shape, stream, dtype), (shape, dtype), (shape,)):
        try:
            inspect.signature(rule).bind(*arguments)
        except TypeError:
            continue
        made = np.asarray(rule(*arguments)).astype(dtype)
        if made.shape != shape:
            raise ArgumentError(f"the initializer {rule!r} gave {list(made.shape)}, the weight is {list(shape)}.")
        return made
    raise ArgumentError(f"an initializer is a function of (shape) or (shape, dtype); {rule!r} takes something else.")


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Keras's second names: he_normal for HeNormal."""
        if name in Initializer.known:
            return Initializer.known[name]
        raise absent("initializers", name, [*Initializer.known, *globals()])
