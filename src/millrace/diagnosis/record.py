"""The numbers of a run that it is judged by: its curves, what was measured inside its steps, and what its data are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Curve = Sequence[float]


@dataclass(frozen=True)
class Activity:
    """A layer's activation over an epoch.

    flat: the share of its outputs where the activation's slope is below 2% of its steepest, over units and examples.
    stuck: the share of its units that were flat for every example. units: how many there are.
    """

    kind: str  # relu, tanh or sigmoid
    units: int
    flat: float
    stuck: float


@dataclass(frozen=True)
class Sizes:
    """A weight's root mean squares over an epoch's steps: of its gradient, of its values, and of its changes."""

    gradient: float
    weight: float
    update: float

    @property
    def ratio(self) -> float:
        """How large a step is beside what it changes."""
        return self.update / self.weight if self.weight > 0 else math.nan


@dataclass(frozen=True)
class Vitals:
    """What was measured inside the steps of one epoch, the first is 1.

    activations: by layer, in the order of the network. weights: by name, in the same order; those with two axes or
    more. truth, guessed: how many examples each class has among the answers, and how many the network took for it; ()
    where the answers are no classes.
    """

    epoch: int
    activations: Mapping[str, Activity] = field(default_factory=dict)
    weights: Mapping[str, Sizes] = field(default_factory=dict)
    truth: Curve = ()
    guessed: Curve = ()

    def line(self) -> dict[str, Any]:
        """As JSON has it; what is not finite is None."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    @staticmethod
    def of(line: Mapping[str, Any]) -> Vitals:
        """From what `line` gave.  Raises KeyError or TypeError for anything else."""

        def made(kind: Any, table: Mapping[str, Any]) -> dict[str, Any]:
            return {
                name: kind(**{k: math.nan if v is None else v for k, v in one.items()}) for name, one in table.items()
            }

        return Vitals(
            line["epoch"],
            made(Activity, line["activations"]),
            made(Sizes, line["weights"]),
            line["truth"],
            line["guessed"],
        )


@dataclass(frozen=True)
class Facts:
    """What is known of the data.

    examples: how many there are to learn from. same: of `held` held-out examples, how many have the content of one
    of the `read` to learn from that were compared. near: of `compared` other held-out pictures, how many are almost one
    of those. layer, size: the dense layer that takes the data, and the root mean square of what it takes.
    """

    examples: int = 0
    held: int = 0
    read: int = 0
    same: int = 0
    compared: int = 0
    near: int = 0
    layer: str = ""
    size: float = 0.0

    def line(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


@dataclass(frozen=True)
class Record:
    """A run so far.

    curves: each metric by its name in the logs, a number an epoch. vitals: of the same epochs, as far as they were
    measured. broke: whether the run ended at a step that was not finite.
    """

    curves: Mapping[str, Curve]
    vitals: Sequence[Vitals] = ()
    facts: Facts | None = None
    broke: bool = False

    @property
    def epochs(self) -> int:
        return len(self.curves.get("loss", ()))

    @property
    def guessing(self) -> float | None:
        """The loss of who knows no more than how frequent the classes are, in nats; None where there are no classes."""
        truth = self.vitals[-1].truth if self.vitals else ()
        total = sum(truth)
        if not total:
            return None
        return -sum(n / total * math.log(n / total) for n in truth if n > 0)

    def until(self, epoch: int) -> Record:
        """The run as it was after so many epochs."""
        curves = {name: curve[:epoch] for name, curve in self.curves.items()}
        return Record(curves, [one for one in self.vitals if one.epoch <= epoch], self.facts)

    @staticmethod
    def of(metrics: Sequence[Mapping[str, Any]], vitals: Sequence[Mapping[str, Any]], broke: bool = False) -> Record:
        """From the lines that a run directory holds; a line that is none is left out.

        metrics: one an epoch. vitals: those of `Facts`, with epoch 0, and of `Vitals`.
        """
        names = (
            [name for name, value in metrics[0].items() if isinstance(value, float) and name != "seconds"]
            if metrics
            else []
        )
        curves = {name: [float(line.get(name, math.nan)) for line in metrics] for name in names}
        facts: Facts | None = None
        found: list[Vitals] = []
        for line in vitals:
            try:
                if line["epoch"]:
                    found.append(Vitals.of(line))
                else:
                    facts = Facts(**{name: value for name, value in line.items() if name != "epoch"})
            except (KeyError, TypeError, AttributeError):
                continue
        return Record(curves, found, facts, broke)


def plain(value: Any) -> Any:
    """Numbers as JSON knows them, four digits of each."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value
