"""Text as numbers and back: tokens, vocabularies, rows of one length, and text cut for next-token training."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from millrace.ir.errors import ArgumentError, DataError, one_of

PADDING, UNKNOWN = "", "[UNK]"
_TOKEN = re.compile(r"(?<=\w)['’](?:s|t|d|m|re|ve|ll)\b|\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """The words of a text in lower case, punctuation and endings such as 's apart.

    words("It's HERE, isn't it?") is it 's here , isn 't it ?
    """
    return _TOKEN.findall(text.lower())


SPLITS: dict[str, tuple[Callable[[str], Iterable[str]], str]] = {"words": (words, " "), "characters": (list, "")}


class Vocabulary:
    """Tokens and their numbers: 0 is padding, 1 any token that it does not hold, the others follow.

    tokens: the list that `to_list` gave, padding and unknown first. split: "words" or "characters", how a text
    falls into tokens.

    Raises ArgumentError for an unknown split, a token twice, or a list that begins otherwise.
    Source: Keras TextVectorization.
    """

    def __init__(self, tokens: Sequence[str], split: str = "words"):
        if split not in SPLITS:
            raise one_of("split", split, list(SPLITS))
        if isinstance(tokens, str) or list(tokens[:2]) != [PADDING, UNKNOWN]:
            raise ArgumentError(
                f"the tokens of a vocabulary begin with {PADDING!r} (padding) and {UNKNOWN!r} (unknown), got "
                f"{list(tokens[:2])}. Vocabulary.from_texts makes one from texts."
            )
        strange = next((token for token in tokens if not isinstance(token, str)), None)
        if strange is not None:
            raise ArgumentError(f"the tokens of a vocabulary are strings, got {strange!r}.")
        self.tokens, self.split = tuple(tokens), split
        self._numbers = {token: n for n, token in enumerate(self.tokens)}
        if len(self._numbers) < len(self.tokens):
            twice = Counter(self.tokens).most_common(1)[0][0]
            raise ArgumentError(f"the token {twice!r} stands twice in the vocabulary.")
        # such a word in a text is not the reserved token
        del self._numbers[PADDING], self._numbers[UNKNOWN]

    @classmethod
    def from_texts(cls, texts: Iterable[str], max_tokens: int | None = None, split: str = "words") -> Vocabulary:
        """The most frequent tokens of texts, the most frequent first, those equally frequent in alphabetical order.

        max_tokens: the size with padding and unknown, or None for all tokens.

        Raises ArgumentError for an unknown split, one text in place of many, or max_tokens below 3.
        """
        if split not in SPLITS:
            raise one_of("split", split, list(SPLITS))
        if isinstance(texts, str):
            raise ArgumentError("from_texts takes many texts: give one text as [text].")
        fits = max_tokens is None or (
            isinstance(max_tokens, (int, np.integer)) and not isinstance(max_tokens, bool) and max_tokens > 2
        )
        if not fits:
            raise ArgumentError(
                f"max_tokens must be a whole number of at least 3 (padding, unknown, one token), got {max_tokens!r}."
            )
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(SPLITS[split][0](text))
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        return cls([PADDING, UNKNOWN, *ranked[: None if max_tokens is None else max_tokens - 2]], split)

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> np.ndarray:
        """A text as numbers: [tokens] int32."""
        if not isinstance(text, str):
            raise ArgumentError(f"encode takes one text, got {type(text).__name__}: encode each in turn.")
        tokens = SPLITS[self.split][0](text)
        return np.array([self._numbers.get(token, 1) for token in tokens], np.int32)

    def decode(self, numbers: Iterable[int]) -> str:
        """Numbers as text: padding left out, words apart by spaces.  Raises DataError for a number it lacks."""
        made = np.asarray(numbers if hasattr(numbers, "__len__") else list(numbers))
        if made.ndim != 1 or (made.size and made.dtype.kind not in "iu"):
            raise DataError(f"decode takes one row of whole numbers, got {made.dtype} of shape {list(made.shape)}.")
        bad = made[(made < 0) | (made >= len(self))]
        if bad.size:
            raise DataError(f"the vocabulary has the numbers 0 to {len(self) - 1}, not {bad[0]}.")
        return SPLITS[self.split][1].join(self.tokens[n] for n in made if n)

    def to_list(self) -> list[str]:
        """The tokens as plain JSON: `Vocabulary(tokens, split)` makes it anew."""
        return list(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self.split}: {', '.join(map(repr, self.tokens[:5]))}, ...)"


def pad_sequences(
    sequences: Sequence[Any], maxlen: int | None = None, dtype: Any = "int32", padding: str = "pre",
    truncating: str = "pre", value: float = 0,
) -> np.ndarray:  # fmt: skip
    """Sequences as rows of one length: [sequences, maxlen, ...], filled up or cut at the front or the end.

    maxlen: None is the longest one's length. padding and truncating: "pre" fills or cuts at the front, "post" at
    the end. value: what fills.

    Raises ArgumentError for an unknown side or a maxlen below 1, DataError for elements of different shapes.
    Source: Keras pad_sequences.
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ArgumentError(f"{name} must be 'pre' or 'post', got {side!r}.")
    if maxlen is not None and (isinstance(maxlen, bool) or not isinstance(maxlen, (int, np.integer)) or maxlen < 1):
        raise ArgumentError(f"maxlen must be None or a whole number of at least 1, got {maxlen!r}.")
    if not hasattr(sequences, "__len__") or not all(
        hasattr(s, "__len__") and not isinstance(s, str) for s in sequences
    ):
        raise DataError("pad_sequences takes a list of sequences of numbers, such as [[1, 2, 3], [4]].")
    length = max((len(s) for s in sequences), default=0) if maxlen is None else int(maxlen)
    element = next((np.shape(s)[1:] for s in sequences if len(s)), ())
    try:
        rows = np.full((len(sequences), length, *element), value, dtype=dtype)
        for n, sequence in enumerate(sequences):
            kept = np.asarray(sequence[-length:] if truncating == "pre" else sequence[:length], dtype=dtype)
            if len(kept) and kept.shape[1:] != element:
                raise DataError(
                    f"an element of sequence {n} has the shape {list(kept.shape[1:])}, those before {list(element)}."
                )
            if len(kept):
                rows[n, slice(length - len(kept), None) if padding == "pre" else slice(len(kept))] = kept
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"pad_sequences cannot write these as {dtype}: {error}.") from None
    return rows


def windows(numbers: Any, steps: int, stride: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A text as independent examples: x [examples, steps], and y, the token after each of x's.

    A window begins every `stride` tokens, None for `steps`, so that each token is used once; what does not fill
    a window at the end is left out.

    Raises ArgumentError for steps or stride below 1, DataError for a text too short for one window.
    """
    row = _row(numbers)
    steps, stride = _count(steps, "steps"), _count(steps if stride is None else stride, "stride")
    if len(row) < steps + 1:
        raise DataError(f"a text of {len(row)} tokens is too short for one window: it takes {steps} and the next.")
    both = np.lib.stride_tricks.sliding_window_view(row, steps + 1)[::stride]
    return both[:, :-1].copy(), both[:, 1:].copy()


def stateful_batches(numbers: Any, batch_size: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """A text as batches that go on: row k of each batch goes on where row k of the batch before ended.

    The text is cut into batch_size long pieces, side by side. x and y [batches * batch_size, steps], batch after
    batch: train without shuffling, with this batch_size, and layers that keep their state. y holds the token after
    each of x's. What does not fill a batch at the end of a piece is left out.

    Raises ArgumentError for sizes below 1, DataError for a text too short for one batch.
    Source: Keras, stateful recurrent layers.
    """
    row = _row(numbers)
    batch_size, steps = _count(batch_size, "batch_size"), _count(steps, "steps")
    batches = (len(row) - 1) // (batch_size * steps)
    if batches < 1:
        raise DataError(
            f"a text of {len(row)} tokens is too short: one batch takes {batch_size} * {steps} and the next one."
        )
    used = batches * batch_size * steps
    both = (row[first : first + used].reshape(batch_size, batches, steps) for first in (0, 1))
    x, y = (piece.swapaxes(0, 1).reshape(-1, steps).copy() for piece in both)
    return x, y


def _row(numbers: Any) -> np.ndarray:
    row = np.asarray(numbers)
    if row.ndim != 1 or row.dtype.kind not in "iu":
        raise DataError(
            f"a text must be one row of whole numbers, got {row.dtype} of shape {list(row.shape)}: "
            "Vocabulary.encode makes them."
        )
    return row.astype(np.int32)


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(f"{name} must be a whole number of at least 1, got {value!r}.")
    return int(value)
