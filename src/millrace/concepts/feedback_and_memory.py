"""`feedback-and-memory`: a damaged digit recalled, a sequence remembered, and a fact looked up by its content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from millrace import functional as mr
from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import curve_figure
from millrace.concepts.worked import number
from millrace.data.datasets import digits
from millrace.explain.pages import Listing, Math, Picture, Pictures
from millrace.layers import GRU, Dense, Input
from millrace.layers.base import set_seed
from millrace.models.hopfield import Recall, recall
from millrace.training.model import Model
from millrace.training.optimizers import Adam
from millrace.words import words

STEPS, SYMBOLS, UNITS = 12, 4, 16
EXAMPLES, HELD, EPOCHS, RATE = 1024, 512, 12, 0.02
NOISE, TRIALS = 0.1, 100
KEYS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)  # what three stored facts are found by
VALUES = np.array([[5], [7], [9]], np.float32)
QUESTION = np.array([0.5, 4, 0], np.float32)  # most like the second


@dataclass(frozen=True)
class Learned:
    """The share of held-out sequences whose first symbol a network names, after each epoch."""

    accuracy: Sequence[float]


def sequences(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Symbols one after another [count, steps, symbols], and which was the first [count]."""
    shown = np.random.default_rng(seed).integers(0, SYMBOLS, (count, STEPS))
    return np.eye(SYMBOLS, dtype=np.float32)[shown], shown[:, 0].astype(np.int32)


def feed_forward() -> Model:
    """A network that sees one step: when it is asked, the last one."""
    x = Input((STEPS, SYMBOLS))
    last = x[:, STEPS - 1]
    return Model(x, Dense(SYMBOLS, "softmax")(Dense(UNITS, "relu")(last)))


def with_memory() -> Model:
    """A network whose state goes on from step to step."""
    x = Input((STEPS, SYMBOLS))
    return Model(x, Dense(SYMBOLS, "softmax")(GRU(UNITS)(x)))


def learn(build: Callable[[], Model], seed: int = 0, epochs: int = EPOCHS, examples: int = EXAMPLES) -> Learned:
    """One training on the first symbol of sequences."""
    set_seed(seed)
    model = build()
    model.compile(Adam(RATE), "sparse_categorical_crossentropy", ["accuracy"])
    x, y = sequences(examples, 1)
    history = model.fit(x, y, 64, epochs, sequences(HELD, 2), verbose=0, seed=seed)
    return Learned([float(a) for a in history.history["val_accuracy"]])


def ten_digits() -> np.ndarray:
    """The first digit of each class, ink +1 where above half: [10, 64]."""
    data = digits()
    first = [int(np.argmax(data.y_train == label)) for label in range(10)]
    return np.where(data.x_train[first].reshape(10, -1) > 0.5, 1, -1).astype(np.float32)


def looked_up() -> tuple[np.ndarray, float]:
    """How much a question looks at each fact, and what it reads."""
    weights = np.asarray(mr.softmax(mr.as_value(KEYS @ QUESTION)))
    return weights, float(weights @ VALUES[:, 0])


def experiment(language: str, say: Callable[[str], None]) -> Finding:
    """Recall digits, train both networks, and look a fact up."""
    table = words("concepts", language)["feedback-and-memory"]
    recalled = recall("pseudo_inverse", ten_digits(), TRIALS, NOISE, engine="numpy")
    found = {}
    for key, build in (("forward", feed_forward), ("memory", with_memory)):
        found[key] = learn(build)
        say(f"  {table[key]}: {found[key].accuracy[-1]:.1%}")
    return finding(recalled, found, language)


def finding(recalled: Recall, found: dict[str, Learned], language: str) -> Finding:
    """The pictures, the table and the curves of what was measured."""
    table = words("concepts", language)["feedback-and-memory"]
    weights, read = looked_up()
    forward, memory = found["forward"].accuracy[-1], found["memory"].accuracy[-1]
    flipped = round(NOISE * 64)
    best = int(np.argmin(recalled.wrong))
    shown = [
        Picture(table[key], x[best].reshape(8, 8), table[f"about_{key}"], low=-1, high=1)
        for key, x in (("stored", recalled.stored), ("damaged", recalled.damaged), ("recalled", recalled.recalled))
    ]
    facts = [
        [", ".join(number(float(k)) for k in key), number(float(value[0])), f"{w:.1%}"]
        for key, value, w in zip(KEYS, VALUES, weights, strict=True)
    ]
    remembered = memory > 0.9 and forward < 0.4
    return Finding(
        "seen" if remembered and recalled.wrong.mean() < flipped / 2 else "unseen",
        {
            "flipped": flipped,
            "exact": recalled.exact,
            "wrong": float(recalled.wrong.mean()),
            "forward": forward,
            "memory": memory,
            "chance": 1 / SYMBOLS,
            "steps": STEPS,
            "read": read,
            "looked": float(weights[1]),
        },
        [
            Pictures(shown),
            Listing(
                [table["column_0"], table["column_1"]],
                [[table["forward"], f"{forward:.1%}"], [table["memory"], f"{memory:.1%}"]],
            ),
            curve_figure(
                table["figure"],
                {table[key]: [one.accuracy] for key, one in found.items()},
                table["epoch"],
                table["column_1"],
                language,
                percent=True,
            ),
            Listing([table["key"], table["value"], table["look"]], facts),
        ],
    )


FEEDBACK_AND_MEMORY = Concept(
    "feedback-and-memory",
    experiment,
    see=("GRU", "LSTM", "Hopfield", "MemoryNetwork", "saturation"),
    also=("feedback", "memory", "feed-forward", "recurrence", "recurrent", "hopfield-network"),
    formulas=(
        Math("y = f(x)", r"y = f(x)"),
        Math("s(t+1) = sign(W s(t))", r"s_{t+1} = \operatorname{sign}(W s_t)"),
        Math("h(t) = f(x(t), h(t-1))", r"h_t = f(x_t, h_{t-1})"),
        Math(
            "o = sum_i softmax(q . k)[i] * v[i]",
            r"o = \sum_i \operatorname{softmax}(q \cdot k)_i \, v_i",
        ),
    ),
)
