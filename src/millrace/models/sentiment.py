"""A recurrent network that reads a sentence of a film review both ways and says whether it is friendly.

Words become vectors that are learned here from 9,596 sentences alone, so dropout is strong; padded steps are
masked, so that a short sentence is not read on into nothing.
Source: the data, Pang and Lee 2005; the network, Schuster and Paliwal 1997 and Cho et al. 2014.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data.arrays import epoch_order
from millrace.data.datasets import Dataset
from millrace.data.text import Vocabulary, pad_sequences
from millrace.data.text_files import decoded_text, read_text, rt_polarity
from millrace.ir.errors import DataError
from millrace.layers import GRU, Bidirectional, Dense, Dropout, Embedding, GlobalMaxPooling1D, Input, SpatialDropout1D
from millrace.models.recipe import Recipe
from millrace.training.callbacks import EarlyStopping
from millrace.training.model import Model, Sequential

STEPS, WORDS = 40, 12_000


def network(data: Dataset | None = None, words: int | None = None) -> Model:
    """The network: words [batch, 40] as numbers, to the probabilities of negative and positive, [batch, 2]."""
    size = words or (len(data.vocabulary) if data is not None else WORDS)
    return Sequential(
        [
            Input((STEPS,), dtype="int32", name="sentence"),
            Embedding(size, 64, mask_zero=True, name="embedding"),
            SpatialDropout1D(0.4, name="dropout1"),
            Bidirectional(GRU(48, return_sequences=True), name="reader"),
            GlobalMaxPooling1D(name="strongest"),
            Dropout(0.5, name="dropout2"),
            Dense(2, activation="softmax", name="output"),
        ],
        name="sentiment",
    )


def reviews(seed: int = 0) -> Dataset:
    """Sentences as rows of 40 numbers, every tenth (of an order by seed) held out, half of them friendly."""
    raw = rt_polarity()
    order = epoch_order(len(raw.texts), seed, 0)
    held, kept = order[: len(order) // 10], order[len(order) // 10 :]
    vocabulary = Vocabulary.from_texts((raw.texts[n] for n in kept), WORDS)
    x = encoded(raw.texts, vocabulary)
    return Dataset(
        "rt_polarity", x[kept], raw.labels[kept], x[held], raw.labels[held], raw.classes, raw.source,
        tuple(vocabulary.to_list()),
    )  # fmt: skip


def encoded(texts: Sequence[str], vocabulary: Vocabulary) -> np.ndarray:
    """Texts as rows of 40 numbers: longer ones lose their beginning, shorter ones end in padding."""
    return pad_sequences([vocabulary.encode(text) for text in texts], STEPS, padding="post")


def example(given: str | bytes, vocabulary: Sequence[str]) -> Any:
    """A sentence as the network reads it.  Raises DataError for one without a known word.

    given: the sentence or a text file's path; or content, which is never taken for a path.
    """
    if isinstance(given, bytes):
        text = decoded_text(given, "the sentence")
    else:
        text = read_text(Path(given)) if Path(given).suffix and os.path.isfile(given) else given
    row = encoded([text], Vocabulary(vocabulary))[0]
    if not (row > 1).any():
        shown = text if len(text) <= 80 else f"{text[:80]} ..."
        raise DataError(f"the network knows none of these words: {shown!r}. Give a sentence in English.")
    return row


SENTIMENT = Recipe(
    name="sentiment",
    about="a recurrent network on 10,662 sentences of film reviews",
    build=network,
    data=reviews,
    epochs=6,
    batch_size=64,
    learning_rate=0.001,
    example=example,
    callbacks=lambda: [EarlyStopping("val_loss", patience=2, restore_best_weights=True)],
    unit="sentences",
    seconds="about half a minute",
)
