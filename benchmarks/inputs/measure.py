"""One workload from start to end: contenders started, timed in rounds, compared with Pillow, and summed up."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.inputs.agreement import FAR, Expected, doubts, expected
from benchmarks.inputs.places import Places
from benchmarks.inputs.roster import QUIET, REFERENCE, Reader
from benchmarks.inputs.workloads import MEMORY, InputWorkload
from benchmarks.interleave import Entrant, Say, ask, run_rounds
from benchmarks.live import Died, Live
from benchmarks.measure import timed
from benchmarks.ratios import Times, ran, ratios, spread


@dataclass
class Metered:
    """A contender's process that keeps what its turns answered besides the seconds."""

    process: Any
    turns: list[dict[str, float]] = field(default_factory=list)

    def ask(self, line: str) -> dict[str, Any]:
        said: dict[str, Any] = self.process.ask(line)
        if line == "warm":  # who seems slow runs seldom, so a thread that woke late must not make one seem so
            said = min(said, self.process.ask(line), key=lambda answer: answer["seconds"])
        if line.startswith("go"):
            self.turns.append(said)
        return said

    def stop(self) -> None:
        self.process.stop()


def start(reader: Reader, workload: InputWorkload, places: Places, peers: str) -> Entrant:
    """A contender's process, after its first epoch; one that fails has an error instead."""
    process = None
    try:
        root = places.peers if reader.is_peer else places.own
        process = Metered(Live(reader.command(workload, root, peers), QUIET))
        process.process.answer()
        return Entrant(reader.name, process)
    except Died as error:
        return Entrant(reader.name, process, error=str(error))


def check(entrant: Entrant, wanted: Expected, exact: bool) -> tuple[float, list[str]]:
    """How far its pixels are from Pillow's, and what looks wrong."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "first.npz"
        if not ask(entrant, f"check {path}"):
            return float("nan"), []
        with np.load(path) as found:
            return doubts(entrant.name, found, wanted, [turn["images"] for turn in entrant.process.turns], exact)


def computed(entrant: Entrant) -> Times:
    """Seconds of processor time an epoch, for each counted round that it ran in."""
    counted = ran(entrant.times)
    kept = iter([turn["cpu"] for turn in entrant.process.turns][-len(counted) :] if counted else [])
    return [None if seconds is None else next(kept) for seconds in entrant.times]


def row(entrant: Entrant, reference: Entrant | None, count: int, away: float) -> dict[str, Any]:
    """What is shown and kept of a contender beside the reference."""
    kept = timed(entrant.name, entrant.error, entrant.times, reference.times if reference else [])
    if "median" not in kept:
        return kept
    cpu = computed(entrant)
    kept |= {
        "cpu": list(cpu),
        "per_second": count / kept["median"],
        "per_core": count / median(ran(cpu)),
        "pixels": away,
        "memory": entrant.memory,
    }
    own = computed(reference) if reference else []
    both = ratios(cpu, own) if len(own) == len(cpu) else []
    return kept | ({"core_ratio": asdict(spread(both))} if both else {})


def measure(
    workload: InputWorkload, readers: Sequence[Reader], places: Places, peers: str, rounds: int, seed: int, say: Say
) -> dict[str, Any]:
    """Everything that is known of a workload afterwards, as plain data."""
    say("decoding with Pillow, to compare")
    wanted = expected(workload, places.peers)
    entrants: list[Entrant] = []
    found: list[str] = []
    away: dict[str, float] = {}
    try:
        for reader in readers:
            say(f"starting {reader.name}")
            entrants.append(start(reader, workload, places, peers))
        epochs = run_rounds(entrants, rounds, seed, say)
        for entrant in entrants:
            if not entrant.error:
                say(f"comparing {entrant.name}")
                away[entrant.name], said = check(entrant, wanted, workload.kind == MEMORY)
                found += said
    finally:
        for entrant in entrants:
            if entrant.process is not None:
                entrant.process.stop()
    own = next((e for e in entrants if e.name == REFERENCE and ran(e.times)), None)
    return {
        "name": workload.name,
        "kind": workload.kind,
        "about": f"{workload.about}; {wanted.count:,} images an epoch, {epochs} epochs a turn",
        "images": wanted.count,
        "rounds": rounds,
        "epochs_per_turn": epochs,
        "doubts": found,
        "far": FAR,
        "contenders": [row(e, own, wanted.count, away.get(e.name, float("nan"))) for e in entrants],
    }
