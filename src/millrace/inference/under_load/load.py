"""Requests sent to a server, so many at a time, and what became of each."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from millrace.inference.under_load.client import Address, Connection, request
from millrace.inference.under_load.hostile import NONE, Hostile, kinds_for, plan
from millrace.inference.under_load.probe import Probe

WARMING = 0.1  # share of the requests after which the server's memory is read first
LOOKS = 5  # how often it is read until the end
RESIDENT = re.compile(rb"^process_resident_memory_bytes (\S+)$", re.M)
PROCESSOR = re.compile(rb"^process_cpu_seconds_total (\S+)$", re.M)


@dataclass
class Outcome:
    """What became of all requests.

    latencies: seconds of each good request that was answered with 200. statuses: how many good requests got each, and
    `lost` got none. mixed: good requests with another's answer, or a wrong one. hostile: of each kind how many there
    were, and how many got a status that is not right for them, with the statuses. memory: the server's, in bytes,
    before the load, after the first tenth, and at LOOKS places until the end; empty where it does not tell. processor:
    seconds of its processor time until then, at the same places.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    mixed: int = 0
    hostile: dict[str, Counter[int]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @property
    def good(self) -> int:
        return sum(self.statuses.values()) + self.lost

    @property
    def per_second(self) -> float:
        """Good requests that were answered with 200, a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Seconds within which that share of the good requests was answered."""
        return float(np.percentile(self.latencies, share)) if self.latencies else float("nan")

    @property
    def is_flawless(self) -> bool:
        """Whether every good request got its right answer, and every hostile one the status that it has to get."""
        return not (self.lost or self.mixed or self.wrong or set(self.statuses) - {200})


async def look(address: Address, outcome: Outcome) -> None:
    """Note the server's memory and processor time, as its metrics tell them; nothing where they do not."""
    connection = Connection(address)
    try:
        page = (await connection.ask(request("GET", "/metrics"))).body
    except (OSError, EOFError, TimeoutError):
        return
    finally:
        connection.close()
    resident, processor = RESIDENT.search(page), PROCESSOR.search(page)
    if resident and processor:
        outcome.memory.append(float(resident[1]))
        outcome.processor.append(float(processor[1]))


async def load(
    address: Address, probes: Sequence[Probe], count: int, concurrency: int, share: float, seed: int,
    report: Callable[[int], None] = lambda done: None,
) -> Outcome:  # fmt: skip
    """Send `count` requests, of which a share is hostile, and check what comes back.

    Slow senders do not take part in `concurrency`, or they would be the load.
    """
    outcome = Outcome()
    await look(address, outcome)
    todo = enumerate(plan(count, share, kinds_for(probes[0]), seed))
    looks = {round(count * (WARMING + (1 - WARMING) * n / LOOKS)) for n in range(LOOKS)}
    apart: list[asyncio.Task[None]] = []

    async def worker() -> None:
        connection = Connection(address)
        for number, kind in todo:
            if kind is None:
                await ask(connection, probes[number % len(probes)], f"{seed}-{number}", outcome)
            else:
                task = asyncio.ensure_future(
                    offend(address, probes[number % len(probes)], kind, Random(number), outcome)
                )
                if kind.name == "slow sender":
                    apart.append(task)
                else:
                    await task
            if number in looks:
                await look(address, outcome)
            report(number)
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    outcome.seconds = time.perf_counter() - started
    await asyncio.gather(*apart)
    await look(address, outcome)
    return outcome


async def ask(connection: Connection, probe: Probe, id: str, outcome: Outcome) -> None:
    """A good request.  One on a connection that the server has just closed is sent again, as HTTP wants."""
    content = probe.request(id)
    for attempt in range(2):
        kept = connection.streams is not None
        started = time.perf_counter()
        try:
            answer = await connection.ask(content)
        except (OSError, EOFError, TimeoutError) as error:
            if attempt == 0 and kept and not isinstance(error, TimeoutError) and not getattr(error, "partial", b""):
                continue
            outcome.lost += 1
            return
        outcome.statuses[answer.status] += 1
        if answer.status == 200:
            outcome.latencies.append(time.perf_counter() - started)
            outcome.mixed += not probe.is_right(answer, id)
        return


async def offend(address: Address, probe: Probe, kind: Hostile, rng: Random, outcome: Outcome) -> None:
    """A hostile request, on a connection of its own."""
    connection = Connection(address)
    try:
        status = await kind.send(connection, probe, rng)
    except (OSError, EOFError, TimeoutError):
        status = NONE
    finally:
        connection.close()
    outcome.hostile.setdefault(kind.name, Counter())[status] += 1
    if status not in kind.right:
        outcome.wrong[kind.name] += 1
