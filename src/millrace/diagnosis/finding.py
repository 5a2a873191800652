"""A finding: what is wrong with a run, the numbers that show it, and in words what it means and what helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from millrace.diagnosis.record import Record
from millrace.words import words

SHOWN = 20  # letters of a layer's name in it


@dataclass(frozen=True)
class Finding:
    """What a rule has found.

    rule: its name. numbers: what its texts are filled with. layers: those that it is about, in the network's order.
    """

    rule: str
    numbers: Mapping[str, float | str] = field(default_factory=dict)
    layers: Sequence[str] = ()

    def say(self, what: str, language: str = "en") -> str:
        """A text about it: title, advice, evidence, meaning or remedy."""
        return words("diagnosis", language)[self.rule][what].format(**self.numbers)

    def advice(self, language: str = "en") -> str:
        """One line for who watches the run."""
        short = {n: shortened(v) if isinstance(v, str) else v for n, v in self.numbers.items()}
        table = words("diagnosis", language)
        return table["line"]["advice"].format(text=table[self.rule]["advice"].format(**short))


def shortened(name: str) -> str:
    return name if len(name) <= SHOWN else f"{name[: SHOWN - 3]}..."


Rule = Callable[[Record], Finding | None]
