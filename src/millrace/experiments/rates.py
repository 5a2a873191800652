"""The learning rate that suits a network best: a search that is part of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from millrace.experiments.arms import Curve
from millrace.experiments.reach import Reached, reached
from millrace.training.callbacks import Logs

RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FIRST = 0.01  # the paper's rate
LAG = 1  # epochs that a rate may be behind the best one, before it is given up

Train = Callable[[float, Callable[[Logs], bool]], Curve]  # trains at a rate until it is enough


@dataclass(frozen=True)
class Tried:
    """A rate, and how far it came."""

    rate: float
    curve: Curve
    found: Reached
    given_up: bool

    def __str__(self) -> str:
        if self.curve.diverged:
            return f"{self.rate:.2g}: broke down"
        return f"{self.rate:.2g}: {self.found} epochs" + (", given up as slower" if self.given_up else "")

    def better_than(self, other: Tried) -> bool:
        """Whether it got there sooner, or came further where neither got there."""
        if self.curve.diverged or other.curve.diverged:
            return other.curve.diverged and not self.curve.diverged
        if self.found.reached or other.found.reached:
            return self.found.reached and (not other.found.reached or self.found.epochs < other.found.epochs)
        if self.given_up or other.given_up:
            return other.given_up and not self.given_up
        return self.curve["error"][-1] < other.curve["error"][-1]


def best_rate(train: Train, target: float, start: float, first: float = FIRST) -> list[Tried]:
    """Try rates of `RATES`, from `first` to both sides, until both neighbours of the best are worse.

    The best comes first in the list, then the others as they were tried. What is behind the best by more than `LAG`
    epochs is given up. target: the error to reach; start: the error before the first step.
    """
    best = tried(train, first, None, target, start)
    others: list[Tried] = []
    for step in (1, -1):
        place = RATES.index(first) + step
        while 0 <= place < len(RATES):
            one = tried(train, RATES[place], best, target, start)
            if not one.better_than(best):
                others.append(one)
                break
            others.append(best)
            best, place = one, place + step
        if best.rate != first:
            break  # the neighbour on the other side is known to be worse
    return [best, *others]


def tried(train: Train, rate: float, best: Tried | None, target: float, start: float) -> Tried:
    """One rate, until it gets there or is clearly behind the best so far."""
    made: list[float] = []
    given_up = False

    def enough(logs: Logs) -> bool:
        nonlocal given_up
        made.append(logs["error"])
        if logs["error"] <= target:
            return True
        given_up = best is not None and behind(made, best.curve["error"])
        return given_up

    curve = train(rate, enough)
    return Tried(rate, curve, reached(made, target, start), given_up)


def behind(errors: Sequence[float], best: Sequence[float]) -> bool:
    """Whether the last error is worse than the best rate's some epochs before, or that had ended by then."""
    then = len(errors) - 1 - LAG
    return then >= len(best) or (then >= 0 and errors[-1] > best[then])
