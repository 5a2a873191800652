"""What a page shows: a network, one example, and what the answers are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from millrace.training.model import Model


@dataclass(frozen=True)
class Subject:
    """A network with one example to look at.

    example: as the network takes it, without the batch axis; a list of them for several inputs. about: what the example
    is, a file's name or that of a data set. held: whether it is the first held-out example of that. classes: what the
    answers are called, () where nobody knows. tokens: the words or characters behind the whole numbers of a text, ()
    for pictures. truth: the class that the example is known to have. origin: the file that the weights come from; ""
    for first weights, which nothing was learned into.
    """

    name: str
    model: Model
    example: Any
    about: str
    classes: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    truth: str = ""
    origin: str = ""
    held: bool = False
