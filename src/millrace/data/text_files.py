"""Texts by name: a text to write on, and sentences with a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millrace.data.folder import files, published, read
from millrace.ir.errors import FileError

SHAKESPEARE_CHARACTERS = 1_115_394
SENTENCES_PER_CLASS = 5_331


@dataclass(frozen=True)
class Sentences:
    """Sentences and the class of each: texts as long as labels [sentences] int32."""

    name: str
    texts: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    source: str


def tinyshakespeare() -> str:
    """Forty thousand lines from Shakespeare's plays: 1,115,394 characters, 65 distinct ones.

    Raises FileError where it is neither there nor to be downloaded (it says what to put where), or for a file of
    another length.
    Source: A. Karpathy, tinyshakespeare.
    """
    (path,) = files("tinyshakespeare")
    text = read_text(path).replace("\r\n", "\n")
    if len(text) != SHAKESPEARE_CHARACTERS:
        raise FileError(
            f"{path} holds {len(text):,} characters, tinyshakespeare {SHAKESPEARE_CHARACTERS:,}: copy it anew."
        )
    return text


def rt_polarity() -> Sentences:
    """10,662 sentences from film reviews, half of them friendly: label 1 positive, 0 negative.

    The positive ones come first, so shuffle before holding any out. Lower case, words and punctuation apart
    by spaces already.
    Raises FileError where it is neither there nor to be downloaded (it says what to put where), or for files of
    another length.
    Source: Pang and Lee, Seeing stars, ACL 2005 (sentence polarity dataset v1.0).
    """
    texts: list[str] = []
    for path in files("rt_polarity"):
        lines = [line.strip() for line in read_text(path).split("\n")]  # splitlines would cut at U+0085 too
        found = [line for line in lines if line]
        if len(found) != SENTENCES_PER_CLASS:
            raise FileError(f"{path} holds {len(found):,} sentences, expected {SENTENCES_PER_CLASS:,}: copy it anew.")
        texts += found
    labels = np.repeat(np.array([1, 0], np.int32), SENTENCES_PER_CLASS)
    return Sentences("rt_polarity", tuple(texts), labels, ("negative", "positive"), published("rt_polarity").source)


def read_text(path: Path) -> str:
    """A text file in UTF-8, or else in Windows-1252, as older corpora are.  Raises FileError for neither."""
    return decoded_text(read(path), str(path))


def decoded_text(raw: bytes, name: str) -> str:
    """Bytes as the text that they are in UTF-8, or else in Windows-1252.  Raises FileError for neither."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise FileError(f"{name} is no text in UTF-8 or Windows-1252: is it still packed?")
