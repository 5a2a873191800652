"""Rounds: all contenders of a workload are alive at once, and each runs its steps in turn."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from benchmarks.live import Died

TURN = 0.2  # seconds that a turn of the fastest contender lasts at least
PAUSE = 0.1  # seconds between two turns, in which threads that wait for more work stop spinning
SLOW = 4.0  # seconds a turn, from which on a contender that is also 3 times slower than the fastest ...
SELDOM = 3  # ... runs in every third round only

Say = Callable[[str], None]


@dataclass
class Entrant:
    """A contender in one workload: its process, and what is known of it."""

    name: str
    process: Any
    times: list[float | None] = field(default_factory=list)
    estimate: float = 0.0
    parameters: int = 0
    first: float = 0.0  # what its first step gave
    memory: dict[str, float] = field(default_factory=dict)
    error: str = ""


def steps_per_turn(estimates: Sequence[float]) -> int:
    """So many that the fastest contender's turn lasts `TURN` seconds, the same number for all."""
    return max(1, ceil(TURN / min(estimates)))


def is_slow(estimate: float, fastest: float, steps: int) -> bool:
    """Whether a contender would hold up all others."""
    return estimate * steps > SLOW and estimate > 3 * fastest


def order(names: Sequence[str], turn: int, seed: int) -> list[str]:
    """Who runs when in a round: shuffled, so that no contender always follows the same one."""
    shuffled = list(names)
    random.Random(f"{seed}/{turn}").shuffle(shuffled)
    return shuffled


def ask(entrant: Entrant, line: str) -> dict[str, Any]:
    """An answer, or nothing from a contender that died; then its error is kept, and it takes no further part."""
    try:
        return entrant.process.ask(line)
    except Died as error:
        entrant.error = str(error)
        return {}


def run_rounds(entrants: Sequence[Entrant], rounds: int, seed: int = 0, say: Say = lambda text: None) -> int:
    """Warm all up, then let them take turns, round after round; returns how many steps a turn had.

    Each entrant's `times` then holds its seconds a step for each round, or None where it sat out or had died.
    """

    def alive() -> list[Entrant]:
        return [e for e in entrants if not e.error]

    for entrant in alive():
        say(f"warming up {entrant.name}")
        entrant.estimate = ask(entrant, "warm").get("seconds", 0.0)
    if not alive():
        return 0
    fastest = min(e.estimate for e in alive())
    steps = steps_per_turn([fastest])
    seldom = {e.name for e in alive() if is_slow(e.estimate, fastest, steps)}
    by_name = {e.name: e for e in entrants}
    for turn in range(-1 if steps > 1 else 0, rounds):  # one more, so that all have run turns of this length
        for name in order([e.name for e in entrants], turn, seed):
            entrant = by_name[name]
            sits_out = bool(entrant.error) or (name in seldom and turn % SELDOM != 0)
            say(f"round {turn + 1} of {rounds}: {name}")
            seconds = None
            if not sits_out:
                time.sleep(PAUSE)
                seconds = ask(entrant, f"go {steps}").get("seconds")
            if turn >= 0:
                entrant.times.append(seconds)
    for entrant in alive():
        entrant.memory = ask(entrant, "memory")
    return steps
