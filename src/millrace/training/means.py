"""Running totals that live in the graph: added up by every step, read when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from millrace import functional as mr
from millrace.ir.bounds import check_elements
from millrace.ir.core import Value, layer_scope
from millrace.ir.state import Variable


@dataclass(frozen=True)
class Statistic:
    """What one shown number is made of, for one batch: totals [k] over its examples, and their count."""

    totals: Value
    count: Value

    @staticmethod
    def of(examples: Value, weights: Value) -> Statistic:
        """From [batch] or [batch, k], each example by its weight [batch]."""
        rows = examples if examples.ndim == 2 else mr.expand_dims(examples, 1)
        return Statistic(mr.sum(rows * mr.expand_dims(weights, 1), axis=0), mr.sum(weights))


class Means:
    """Totals of several statistics in two variables, so that no step waits for them to be looked at."""

    def __init__(self, sizes: Sequence[int], prefix: str):
        self.sizes, self.prefix = list(sizes), prefix
        check_elements((sum(sizes),), "what the metrics add up")
        self.totals = Variable(np.zeros(sum(sizes), np.float32), f"{prefix}/totals", False)
        self.counts = Variable(np.zeros(len(sizes), np.float32), f"{prefix}/counts", False)

    def updates(self, statistics: Sequence[Statistic]) -> dict[Variable, Value]:
        """The totals with this batch's added."""
        with layer_scope(self.prefix):
            totals = mr.concatenate([s.totals for s in statistics])
            counts = mr.stack([s.count for s in statistics])
            return {self.totals: self.totals + totals, self.counts: self.counts + counts}

    def reset(self) -> None:
        self.totals.assign(np.zeros(sum(self.sizes), np.float32))
        self.counts.assign(np.zeros(len(self.sizes), np.float32))

    def read(self) -> list[tuple[np.ndarray, float]]:
        """Totals and count of each statistic so far; waits for the steps that are under way."""
        parts = np.split(self.totals.numpy(), np.cumsum(self.sizes)[:-1])
        return list(zip(parts, map(float, self.counts.numpy()), strict=True))

    @property
    def variables(self) -> list[Variable]:
        return [self.totals, self.counts]
