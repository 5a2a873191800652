"""After how many epochs a training error is reached: measured, or at least so many where it was not in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from millrace.experiments.spread import deviation, half_width, mean, spread_text


@dataclass(frozen=True)
class Reached:
    """After how many epochs an error was reached, or up to where it was not."""

    epochs: float
    reached: bool

    def __str__(self) -> str:
        return f"{self.epochs:.1f}" if self.reached else f"> {self.epochs:.1f}"


def middles(errors: Sequence[float]) -> list[float]:
    """Where on the axis of epochs the mean error of each epoch's steps stands: in the middle of the epoch."""
    return [n + 0.5 for n in range(len(errors))]


def ends(errors: Sequence[float]) -> list[float]:
    """Where on the axis of epochs an error stands that was measured after each epoch."""
    return [n + 1.0 for n in range(len(errors))]


def reached(errors: Sequence[float], target: float, start: float, places: Sequence[float] | None = None) -> Reached:
    """When a curve of errors first is at the target, along straight lines from epoch to epoch.

    errors: one an epoch; start: the error before the first step, such as 0.9 for ten classes; places: where the errors
    stand on the axis of epochs, those of `middles` unless given.
    """
    before, at = start, 0.0
    for error, place in zip(errors, middles(errors) if places is None else places, strict=True):
        if error <= target:
            share = (before - target) / (before - error) if before > error else 1.0
            return Reached(at + share * (place - at), True)
        before, at = error, place
    return Reached(at, False)


@dataclass(frozen=True)
class Factor:
    """How many times as many epochs `slow` takes as `fast`, seed by seed.

    What was not reached is known from below alone, and so is a factor of it.
    """

    slow: Sequence[Reached]
    fast: Sequence[Reached]

    @property
    def each(self) -> list[float]:
        """The factor of each seed; where the slow one did not get there, the least it can be."""
        return [s.epochs / f.epochs for s, f in zip(self.slow, self.fast, strict=True)]

    @property
    def kind(self) -> str:
        """ "measured"; "at least", where some slow ones did not get there; "unknown" where a fast one did not."""
        if not all(one.reached for one in self.fast):
            return "unknown"
        return "measured" if all(one.reached for one in self.slow) else "at least"

    @property
    def mean(self) -> float:
        """The mean factor, or what it is at least."""
        return mean(self.each)

    @property
    def half(self) -> float | None:
        """Half of the 95% interval of a factor that was measured; None for one seed."""
        return half_width(self.each) if self.kind == "measured" else None

    def __str__(self) -> str:
        if self.kind == "unknown":
            return "unknown"
        return spread_text(self.each) if self.kind == "measured" else f"> {self.mean:.1f}"

    @property
    def numbers(self) -> dict[str, object]:
        """The factor as a JSON file keeps it."""
        spread = deviation(self.each) if self.kind == "measured" else None
        return {"kind": self.kind, "each": self.each, "mean": self.mean, "deviation": spread}


def mean_text(reaches: Sequence[Reached]) -> str:
    """The mean over seeds with its spread, or what it is at least."""
    epochs = [one.epochs for one in reaches]
    return spread_text(epochs) if all(one.reached for one in reaches) else f"> {mean(epochs):.1f}"


def told(factor: Factor, slow: str, fast: str, paper: float, goal: str, form: str) -> str:
    """What a factor says of a claim that `slow` takes `paper` times as many epochs as `fast` to a goal.

    goal: such as "25% training error"; form: "quick" or "full".
    """
    if factor.kind == "unknown":
        return f"{fast} did not come to {goal} from every seed in time, so that the factor is not known."
    times = f"{slow} takes {factor.mean:.1f} times as many epochs to {goal} as {fast}"
    if factor.kind == "at least":
        beside = "that is at least" if factor.mean >= paper else "it may be"
        return (
            f"{slow} did not come to {goal} from every seed in time: it takes more than {factor.mean:.1f} times as "
            f"many epochs as {fast}; {beside} the paper's {paper:g}."
        )
    if factor.half is None:
        return f"{times}, in the paper {paper:g}; one seed shows no spread. --seeds 3 tells more."
    low, high = factor.mean - factor.half, factor.mean + factor.half
    bounds = f"95% interval {low:.1f} to {high:.1f} over {len(factor.each)} seeds"
    if low <= 1 <= high:
        return (
            f"{times} ({bounds}), which is no clear difference: the spread over the seeds is as large, and the {form} "
            "form cannot tell which is faster."
        )
    if low <= paper <= high:
        beside = f"the paper's {paper:g} is within it"
    else:
        beside = f"{'less' if high < paper else 'more'} than the paper's {paper:g}"
    agrees = "is slower, as the paper says" if low > 1 else "is faster, the paper says slower"
    return f"{slow} {agrees}: it takes {factor.mean:.1f} times as many epochs to {goal} ({bounds}), {beside}."
