"""What the runs of `runs.py` are made of: real data, whole or with a fault in them, and small networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import millrace as mr
from millrace.data import datasets
from millrace.diagnosis.record import Record
from millrace.ir.errors import NonFiniteError
from millrace.layers.base import set_seed
from millrace.layers.initializers import RandomNormal
from millrace.models import recipe
from millrace.training.callbacks import Advice

L = mr.layers
SPARSE = "sparse_categorical_crossentropy"
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x and y to learn from, x and y that are held out


@dataclass(frozen=True)
class Run:
    """A network, its data and its training. wrong: what must be found; may: what may be besides; nothing else may."""

    name: str
    data: Callable[[], Arrays]
    build: Callable[[], Any]
    optimizer: Callable[[], Any]
    epochs: int
    wrong: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    batch: int = 64
    loss: str = SPARSE
    metrics: tuple[str, ...] = ("accuracy",)

    def made(self, seed: int = 0) -> Record:
        """Train it, silently; what it recorded."""
        set_seed(seed)
        x, y, held_x, held_y = self.data()
        model = self.build()
        model.compile(self.optimizer(), self.loss, list(self.metrics))
        told = Silent()
        try:
            model.fit(
                x, y, batch_size=self.batch, epochs=self.epochs, validation_data=(held_x, held_y), verbose=0, seed=seed,
                callbacks=[told],
            )  # fmt: skip
            broke = False
        except NonFiniteError:
            broke = True
        return Record(told.curves, told.vitals, told.facts, broke)


class Silent(Advice):
    """Advice that only keeps what it would say."""

    def tell(self, broke: bool = False) -> None:
        pass


# ---- data: real ones, and small


@lru_cache
def some(name: str, count: int, held: int) -> Arrays:
    """So many examples of a data set, and so many that are held out, of all classes."""
    found = getattr(datasets, name)()
    return found.x_train[:count], found.y_train[:count], found.x_validation[:held], found.y_validation[:held]


def of(name: str, count: int = 2000, held: int = 500) -> Callable[[], Arrays]:
    return lambda: some(name, count, held)


def changed(data: Callable[[], Arrays], change: Callable[..., Arrays]) -> Callable[[], Arrays]:
    return lambda: change(*data())


def times(factor: float) -> Callable[..., Arrays]:
    """Numbers as they come from a file: up to 255, say."""
    return lambda x, y, hx, hy: (x * np.float32(factor), y, hx * np.float32(factor), hy)


def one_class(x: Any, y: Any, hx: Any, hy: Any) -> Arrays:
    """Labels that were read wrongly."""
    return x, np.full_like(y, 3), hx, np.full_like(hy, 3)


def rare(which: int, keep: int) -> Callable[..., Arrays]:
    """Of one class every so many-th example."""

    def change(x: Any, y: Any, hx: Any, hy: Any) -> Arrays:
        left = np.ones(len(y), bool)
        left[np.flatnonzero(y == which)] = False
        left[np.flatnonzero(y == which)[::keep]] = True
        return x[left], y[left], hx, hy

    return change


def is_it(which: int) -> Callable[..., Arrays]:
    """One class against all others."""
    return lambda x, y, hx, hy: (x, (y == which).astype(np.int32), hx, (hy == which).astype(np.int32))


def noise(share: float) -> Callable[..., Arrays]:
    """Labels that have nothing to do with the pictures: so many of them are 1."""

    def change(x: Any, y: Any, hx: Any, hy: Any) -> Arrays:
        draw = np.random.default_rng(0)
        return x, (draw.random(len(x)) < share).astype(np.int32), hx, (draw.random(len(hx)) < share).astype(np.int32)

    return change


def wrong(share: float) -> Callable[..., Arrays]:
    """So many of the labels drawn by chance."""

    def change(x: Any, y: Any, hx: Any, hy: Any) -> Arrays:
        draw = np.random.default_rng(0)
        return x, np.where(draw.random(len(y)) < share, draw.integers(0, 10, len(y)), y).astype(np.int32), hx, hy

    return change


def leaked(share: float) -> Callable[..., Arrays]:
    """Some examples to learn from among those that are held out."""

    def change(x: Any, y: Any, hx: Any, hy: Any) -> Arrays:
        count = int(share * len(hx))
        return x, y, np.concatenate([x[:count], hx[count:]]), np.concatenate([y[:count], hy[count:]])

    return change


def brightened(share: float) -> Callable[..., Arrays]:
    """The same, a little brighter and with a little noise, as a picture that was saved again."""

    def change(x: Any, y: Any, hx: Any, hy: Any) -> Arrays:
        count = int(share * len(hx))
        new = x[:count] * 0.9 + 0.05 + np.random.default_rng(0).normal(0, 0.01, x[:count].shape)
        return x, y, np.concatenate([new.astype(np.float32), hx[count:]]), np.concatenate([y[:count], hy[count:]])

    return change


# ---- networks


def dense(
    shape: tuple[int, ...], *widths: int, activation: Any = "relu", start: Any = "he_normal", outputs: int = 10,
    dropout: float = 0.0, normalized: bool = False, bias: float = 0.0,
) -> Callable[[], Any]:  # fmt: skip
    """Layers of neurons, one after another."""

    def build() -> Any:
        layers: list[Any] = [mr.Input(shape), L.Flatten(name="flatten")]
        for n, width in enumerate(widths, 1):
            first = RandomNormal(stddev=start) if isinstance(start, float) else start
            own = None if normalized else activation
            layers.append(L.Dense(width, own, kernel_initializer=first, bias_initializer=at(bias), name=f"hidden{n}"))
            if normalized:
                layers += [L.BatchNormalization(name=f"norm{n}"), L.Activation(activation, name=f"act{n}")]
            layers += [L.Dropout(dropout, name=f"dropout{n}")] if dropout else []
        return mr.Sequential([*layers, L.Dense(outputs, "softmax", name="output")])

    return build


def at(bias: float) -> Any:
    """Where biases begin."""
    return mr.initializers.Constant(bias) if bias else "zeros"


def convolutions(shape: tuple[int, ...], *filters: int, bias: float = 0.0, dropout: float = 0.0) -> Callable[[], Any]:
    """Convolutions with pooling behind each."""

    def build() -> Any:
        layers: list[Any] = [mr.Input(shape)]
        for n, count in enumerate(filters, 1):
            conv = L.Conv2D(
                count, 3, padding="same", activation="relu", kernel_initializer="he_normal", bias_initializer=at(bias),
                name=f"conv{n}",
            )  # fmt: skip
            layers += [conv, L.MaxPooling2D(2, name=f"pool{n}")]
        layers += [L.Flatten(name="flatten"), *([L.Dropout(dropout)] if dropout else [])]
        return mr.Sequential([*layers, L.Dense(10, "softmax", name="output")])

    return build


def regression(shape: tuple[int, ...]) -> Callable[[], Any]:
    """One linear unit, which is to give the class's number itself."""
    return lambda: mr.Sequential([mr.Input(shape), L.Flatten(name="flatten"), L.Dense(1, name="output")])


def of_recipe(name: str) -> Callable[[], Any]:
    return lambda: recipe(name).build(None)


def adam(rate: float) -> Callable[[], Any]:
    return lambda: mr.optimizers.Adam(rate)


def sgd(rate: float, momentum: float = 0.0) -> Callable[[], Any]:
    return lambda: mr.optimizers.SGD(rate, momentum=momentum)


# Shapes of examples, and the digits, which are at hand without any folder of data.
DIGIT, MNIST, CIFAR = (8, 8, 1), (28, 28, 1), (32, 32, 3)
DIGITS = of("digits", 1438, 359)
