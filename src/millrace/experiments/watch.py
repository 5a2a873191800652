"""How far an experiment is: a line now and then, with the time that is left."""

from __future__ import annotations

import time

from millrace.experiments.experiment import Say
from millrace.training.progress import duration

PAUSE = 5.0  # seconds between two lines within one training


class Watch:
    """Counts epochs of all trainings together, of `total` that are planned, and tells what is left of them."""

    def __init__(self, say: Say, total: int):
        self.say, self.total, self.done = say, total, 0
        self.started = time.perf_counter()
        self.said = self.started

    def epoch(self, told: str) -> None:
        """One more epoch is over: a line, if the last one is some seconds ago."""
        self.done += 1
        now = time.perf_counter()
        if now - self.said >= PAUSE:
            self.said = now
            self.say(f"  {told}{self.left(now)}")

    def over(self, told: str, spared: int = 0) -> None:
        """One training is over: a line. spared: epochs of it that were planned and not needed; below 0, needed more."""
        self.spare(spared)
        self.said = time.perf_counter()
        self.say(f"{told}{self.left(self.said)}")

    def spare(self, epochs: int) -> None:
        """Epochs that were planned and will not be needed; fewer than 0 where more are."""
        self.total -= epochs

    def left(self, now: float) -> str:
        """The time that is left for what is planned, at the rate so far."""
        if not 0 < self.done < self.total:
            return ""
        seconds = (self.total - self.done) * (now - self.started) / self.done
        return f"; about {duration(seconds)} left"
