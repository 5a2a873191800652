"""One workload from start to end: contenders started, checked, timed in rounds, and summed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.interleave import Entrant, Say, run_rounds
from benchmarks.live import Died, Live, command
from benchmarks.machine import available, resident
from benchmarks.ratios import Times, ran, ratios, spread
from benchmarks.roster import REFERENCE, SECOND_BIAS, Contender
from benchmarks.workloads import Workload

NEAR = 0.5  # how far the first loss may be from the logarithm of the number of classes, as a share of it
ROOM = 2.0  # times the largest contender's memory that must be free before one more is started


def start(contender: Contender, workload: Workload, peers: str) -> Entrant:
    """A contender's process, after its first step; one that fails has an error instead."""
    process = None
    try:
        process = Live(command(contender, workload, peers), contender.environment)
        said = process.answer()
        return Entrant(contender.name, process, parameters=said["parameters"], first=said["first"])
    except Died as error:
        return Entrant(contender.name, process, error=str(error))


def doubts(workload: Workload, entrants: Sequence[Entrant], peers: Mapping[str, str]) -> list[str]:
    """What speaks against all contenders computing the same; `peers` maps their names to their modules."""
    alive = [e for e in entrants if not e.error]
    if not alive:
        return []
    found = []
    own = {e.name: e.parameters - SECOND_BIAS.get((peers[e.name], workload.network.name), 0) for e in alive}
    expected = own.get(REFERENCE, next(iter(own.values())))
    for entrant in alive:
        if own[entrant.name] != expected:
            found.append(f"{entrant.name} has {entrant.parameters:,} parameters, expected {expected:,}")
        wanted = workload.network.first_loss if workload.training else 1.0
        near = NEAR * wanted if workload.training else 1e-3
        if not abs(entrant.first - wanted) < near:
            what = "first loss" if workload.training else "sum of an example's probabilities"
            found.append(f"{entrant.name}: {what} {entrant.first:.4g}, expected about {wanted:.4g}")
    return found


def timed(name: str, error: str, times: Times, reference: Times) -> dict[str, Any]:
    """What is shown and kept of one contender's times beside the reference's."""
    kept: dict[str, Any] = {"name": name, "seconds": list(times), "error": error}
    if ran(times):
        kept["median"] = median(ran(times))
    both = ratios(times, reference) if len(reference) == len(times) else []
    return kept | ({"ratio": asdict(spread(both))} if both else {})


def row(workload: Workload, entrant: Entrant, reference: Times) -> dict[str, Any]:
    """The same with rates and memory."""
    kept = timed(entrant.name, entrant.error, entrant.times, reference)
    if "median" in kept:
        kept |= {
            "per_second": workload.batch / kept["median"],
            "gflops": workload.flop / kept["median"] / 1e9,
            "parameters": entrant.parameters,
            "first": entrant.first,
            "memory": entrant.memory,
        }
    return kept


def started(
    contenders: Sequence[Contender], workload: Workload, peers: str, entrants: list[Entrant], say: Say
) -> list[Contender]:
    """Start contenders into `entrants` as long as memory has room for them; gives those that were not started.

    The reference and one more are always started.
    """
    for n, contender in enumerate(contenders):
        largest = max((resident(e.process.pid) for e in entrants if not e.error), default=0)
        if n > 1 and available() < ROOM * largest:
            return list(contenders[n:])
        say(f"starting {contender.name}")
        entrants.append(start(contender, workload, peers))
    return []


def measure(
    workload: Workload, contenders: Sequence[Contender], peers: str, rounds: int, seed: int, say: Say
) -> dict[str, Any]:
    """Everything that is known of a workload afterwards, as plain data.

    Where memory has not room for all contenders at once, they run in several heats, each with the reference.
    """
    modules = {c.name: c.peer for c in contenders}
    reference = [c for c in contenders if c.name == REFERENCE]
    waiting = [c for c in contenders if c.name != REFERENCE]
    rows: list[dict[str, Any]] = []
    heats: list[dict[str, Any]] = []
    found: list[str] = []
    while waiting or not heats:
        entrants: list[Entrant] = []
        try:
            waiting = started([*reference, *waiting], workload, peers, entrants, say)
            found += [text for text in doubts(workload, entrants, modules) if text not in found]
            steps = run_rounds(entrants, rounds, seed, say)
        finally:
            for entrant in entrants:
                if entrant.process is not None:
                    entrant.process.stop()
        own: Times = next((e.times for e in entrants if e.name == REFERENCE), [])
        heats.append({"contenders": [e.name for e in entrants], "steps_per_turn": steps, "reference": own})
        rows += [row(workload, e, own) for e in entrants if e.name not in {r["name"] for r in rows}]
    return {
        "name": workload.name,
        "kind": workload.kind,
        "about": workload.about,
        "unit": workload.network.unit,
        "batch": workload.batch,
        "flop": workload.flop,
        "rounds": rounds,
        "heats": heats,
        "doubts": found,
        "contenders": rows,
    }
