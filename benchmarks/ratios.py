"""Statistics of rounds: the median of per-round ratios, and an interval that holds it in 95 of 100 cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

Times = Sequence[float | None]  # seconds a step, one a round; None in rounds that were sat out


@dataclass(frozen=True)
class Spread:
    """A median with its interval; `coverage` is how often such an interval holds the true median.

    The interval runs between two order statistics, so it supposes nothing of how the values are distributed. Below
    six values even the smallest and the largest hold the median less often than in 95 of 100 cases.
    """

    median: float
    low: float
    high: float
    coverage: float
    count: int


def coverage(count: int, rank: int) -> float:
    """How often the rank-th smallest and the rank-th largest of so many values have the median between them."""
    return 1 - 2 * sum(comb(count, k) for k in range(rank)) / 2**count


def spread(values: Sequence[float], wanted: float = 0.95) -> Spread:
    """The median and the narrowest symmetric interval of order statistics that holds it as often as wanted."""
    if not values:
        raise ValueError("a median needs at least one value")
    ordered, count, rank = sorted(values), len(values), 1
    while rank < count / 2 and coverage(count, rank + 1) >= wanted:
        rank += 1
    return Spread(median(ordered), ordered[rank - 1], ordered[-rank], coverage(count, rank), count)


def ratios(times: Times, reference: Times) -> list[float]:
    """How many times as long a step took as the reference's, for each round that both ran in."""
    both = zip(times, reference, strict=True)
    return [mine / theirs for mine, theirs in both if mine is not None and theirs is not None]


def ran(times: Times) -> list[float]:
    """The times of the rounds that were run."""
    return [t for t in times if t is not None]
