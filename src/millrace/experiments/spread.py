"""What seeds tell: means with their spread, and whether a difference is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

# Student's t, two-sided 95%, for 1 to 9 degrees of freedom.  Source: any table of it.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def mean(values: Sequence[float]) -> float:
    """The mean.  Values: one a seed, at least one."""
    return sum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation over seeds, with n - 1; None for one seed, which shows no spread."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return sqrt(sum((v - middle) ** 2 for v in values) / (len(values) - 1))


def student(freedom: int) -> float:
    """How many standard errors to each side of a mean the 95% interval reaches."""
    return STUDENT[freedom - 1] if freedom <= len(STUDENT) else 1.96 + 2.4 / freedom + 2.8 / freedom**2


def half_width(values: Sequence[float]) -> float | None:
    """Half of the 95% interval of the mean; None for one seed."""
    spread = deviation(values)
    return None if spread is None else student(len(values) - 1) * spread / sqrt(len(values))


def spread_text(values: Sequence[float], digits: int = 1, unit: str = "") -> str:
    """The mean and the standard deviation over seeds: "38.2 ± 0.6%"; without a deviation where there is one seed."""
    spread = deviation(values)
    middle = f"{mean(values):.{digits}f}"
    return f"{middle}{unit}" if spread is None else f"{middle} ± {spread:.{digits}f}{unit}"


def percent_text(values: Sequence[float], digits: int = 1) -> str:
    """Shares from 0 to 1 as `spread_text` has them, in percent."""
    return spread_text([100 * v for v in values], digits, "%")


def each_text(values: Sequence[float], digits: int = 1) -> str:
    """Every seed's value: "37.6, 38.1, 38.9"."""
    return ", ".join(f"{v:.{digits}f}" for v in values)


@dataclass(frozen=True)
class Difference:
    """By how much two arms differ: `first` less `second`, seed by seed.

    Two arms of a seed see the same examples in the same order, so that they are compared seed by seed (paired).
    """

    first: Sequence[float]
    second: Sequence[float]

    @property
    def each(self) -> list[float]:
        """The differences, one a seed."""
        return [a - b for a, b in zip(self.first, self.second, strict=True)]

    @property
    def mean(self) -> float:
        return mean(self.each)

    @property
    def half(self) -> float | None:
        """Half of the 95% interval of the mean difference; None for one seed."""
        return half_width(self.each)

    @property
    def clear(self) -> bool:
        """Whether the 95% interval leaves 0 out."""
        half = self.half
        return half is not None and abs(self.mean) > half

    def text(self, digits: int = 1) -> str:
        """ "-0.6 ± 1.1", with the half width of the 95% interval."""
        half = self.half
        return f"{self.mean:+.{digits}f}" if half is None else f"{self.mean:+.{digits}f} ± {half:.{digits}f}"
