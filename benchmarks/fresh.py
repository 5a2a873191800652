"""What a new process does each time, timed from its start: imports, and all that comes before a first finished step."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.interleave import SELDOM, Say, is_slow, order
from benchmarks.live import Died, Live, command
from benchmarks.measure import timed
from benchmarks.roster import REFERENCE, Contender
from benchmarks.workloads import Fresh


@dataclass
class Runner:
    """A contender in rounds of new processes. caches: where its processes keep compiled programs."""

    contender: Contender
    caches: str
    times: list[float | None] = field(default_factory=list)
    error: str = ""


def caches_in(directory: str) -> dict[str, str]:
    """Variables that send every framework's compiled programs into one directory."""
    base = Path(directory)
    return {
        "MILLRACE_CACHE": str(base / "millrace"),
        "TORCHINDUCTOR_CACHE_DIR": str(base / "inductor"),
        "XDG_CACHE_HOME": str(base / "other"),
    }


def once(one: Fresh, contender: Contender, peers: str, caches: str) -> float:
    """Seconds from the start of a new process to its answer.  Raises Died where there is none."""
    if one.workload is None:
        python = peers if contender.is_peer else sys.executable
        arguments = [python, "-c", f"{contender.imports}\nprint('{{}}', flush=True)"]
    else:
        arguments = command(contender, one.workload, peers)
    process = Live(arguments, {**contender.environment, **caches_in(caches)})
    try:
        process.answer()
        return process.age()
    finally:
        process.stop()


def run(one: Fresh, runner: Runner, peers: str) -> float | None:
    """The same with the caches that the workload wants, or nothing from a contender that failed."""
    try:
        if one.cached or one.workload is None:
            return once(one, runner.contender, peers, runner.caches)
        with tempfile.TemporaryDirectory() as empty:
            return once(one, runner.contender, peers, empty)
    except Died as error:
        runner.error = str(error)
        return None


def measure_fresh(
    one: Fresh, contenders: Sequence[Contender], peers: str, rounds: int, seed: int, say: Say
) -> dict[str, Any]:
    """Everything that is known of it afterwards, as plain data.

    The first round is not counted: it fills caches, and the system's memory of files.
    """
    with tempfile.TemporaryDirectory() as above:
        runners = {c.name: Runner(c, str(Path(above) / c.name)) for c in contenders}
        latest: dict[str, float] = {}
        for turn in range(-1, rounds):
            for name in order(list(runners), turn, seed):
                runner = runners[name]
                slow = bool(latest) and is_slow(latest.get(name, 0.0), min(latest.values()), steps=1)
                sits_out = bool(runner.error) or (slow and turn >= 0 and turn % SELDOM != 0)
                say(f"round {turn + 1} of {rounds}: {name}")
                seconds = None if sits_out else run(one, runner, peers)
                if turn >= 0:
                    runner.times.append(seconds)
                if seconds is not None:
                    latest[name] = seconds
    own = runners[REFERENCE].times if REFERENCE in runners else []
    return {
        "name": one.name,
        "kind": one.kind,
        "about": one.about,
        "rounds": rounds,
        "doubts": [],
        "contenders": [timed(name, r.error, r.times, own) for name, r in runners.items()],
    }
