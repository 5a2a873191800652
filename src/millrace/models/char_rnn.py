"""A character-level language model: an LSTM reads text letter by letter and says what comes next.

Asked again and again, and shown its own answers, it writes. Loss is in nats a character: 4.17 for a guess
among 65 characters, about 3.3 for knowing how often each occurs.
Source: Graves 2013, Generating Sequences With Recurrent Neural Networks; A. Karpathy, char-rnn, 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.data.datasets import Dataset
from millrace.data.text import Vocabulary, windows
from millrace.data.text_files import tinyshakespeare
from millrace.engines.function import function
from millrace.ir.errors import ArgumentError
from millrace.layers import LSTM, Dense, Dropout, Embedding, Input
from millrace.models.recipe import Recipe
from millrace.training.model import Model, Sequential
from millrace.training.optimizers import Adam

STEPS, UNITS, WIDTH = 100, 256, 64


def network(data: Dataset | None = None, characters: int | None = None, steps: int = STEPS) -> Model:
    """The network: characters [batch, steps] as numbers, to the probabilities of each next one.

    Output [batch, steps, characters], where `characters` counts padding and unknown too.
    """
    size = characters or (len(data.classes) if data is not None else 67)
    return Sequential(
        [
            Input((steps,), dtype="int32", name="text"),
            Embedding(size, WIDTH, name="embedding"),
            LSTM(UNITS, return_sequences=True, name="lstm"),
            Dropout(0.2, name="dropout"),
            Dense(size, activation="softmax", name="output"),
        ],
        name="char_rnn",
    )


def shakespeare(seed: int = 0) -> Dataset:
    """Shakespeare's plays in windows of 100 characters; the last tenth of the text is held out."""
    text = tinyshakespeare()
    vocabulary = Vocabulary.from_texts([text], split="characters")
    numbers = vocabulary.encode(text)
    cut = len(numbers) * 9 // 10
    (x, y), (x_held, y_held) = windows(numbers[:cut], STEPS), windows(numbers[cut:], STEPS)
    return Dataset(
        "tinyshakespeare", x, y, x_held, y_held, tuple(vocabulary.to_list()),
        "tinyshakespeare (A. Karpathy, from the plays of William Shakespeare)",
    )  # fmt: skip


class Writer:
    """A trained network that writes: one step at a time, its state handed on.

    Made from any model of Embedding, one LSTM and Dense, whatever number of steps it was trained on.
    """

    def __init__(self, model: Model, vocabulary: Vocabulary):
        found = {type(layer): layer for layer in model.layers}
        if not {Embedding, LSTM, Dense} <= set(found):
            raise ArgumentError("a writer is made of a model with an Embedding, an LSTM and a Dense layer.")
        embedding, lstm, dense = (found[kind] for kind in (Embedding, LSTM, Dense))
        self.vocabulary, self.units = vocabulary, lstm.units  # type: ignore[attr-defined]
        letter = Input((1,), dtype="int32", name="letter")
        h, c = Input((self.units,), name="h"), Input((self.units,), name="c")
        cell: Any = lstm.cell  # type: ignore[attr-defined]
        out, new = cell.call(mr.squeeze(embedding(letter), 1), [h, c])
        self.step = function([letter, h, c], [dense(out), *new])

    def write(self, length: int, seed: int = 0, start: str = "\n", temperature: float = 1.0) -> str:
        """`length` characters after `start`, drawn by probability; a low temperature takes the likelier ones."""
        rng = np.random.default_rng(seed)
        h = c = np.zeros((1, self.units), np.float32)
        written: list[int] = []
        for number in self.vocabulary.encode(start):
            p, h, c = self.step(np.array([[number]], np.int32), h, c)
        for _ in range(length):
            weights = np.log(np.maximum(np.asarray(p[0], np.float64), 1e-30)) / temperature
            weights[:2] = -np.inf  # padding and unknown are no letters
            chances = np.exp(weights - weights.max())
            written.append(int(rng.choice(len(chances), p=chances / chances.sum())))
            p, h, c = self.step(np.array([[written[-1]]], np.int32), h, c)
        return self.vocabulary.decode(written)


def sample(model: Model, data: Dataset) -> str:
    """Four hundred characters that the network writes."""
    vocabulary = Vocabulary(data.classes, split="characters")
    text = Writer(model, vocabulary).write(400, temperature=0.8)
    return f"What it writes (temperature 0.8):\n\n{text}"


CHAR_RNN = Recipe(
    name="char_rnn",
    about="an LSTM on the plays of Shakespeare, letter by letter",
    build=network,
    data=shakespeare,
    epochs=10,
    batch_size=64,
    learning_rate=0.003,
    optimizer=lambda rate: Adam(rate, global_clipnorm=1.0),
    show=sample,
    unit="windows",
    seconds="about five minutes",
)
