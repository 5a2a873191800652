"""`millrace bench-serve`: a server under load, and a table of what became of it."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from millrace.cli.bar import printable
from millrace.inference.opening import opened
from millrace.inference.predictor import Predictor
from millrace.inference.under_load.client import Address, Connection
from millrace.inference.under_load.hostile import NONE
from millrace.inference.under_load.load import Outcome, load
from millrace.inference.under_load.probe import probes_for, target_at
from millrace.inference.under_load.server import serving
from millrace.ir.errors import ArgumentError, FileError
from millrace.layers.arguments import number, whole

ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}(/.*)?$")  # without http://
MIB = 2**20
FLAT = 0.02  # by how much the server's memory may differ after its first tenth of the requests


def bench(target: str, requests: int, concurrency: int, hostile: float, seed: int) -> None:
    """Load a server that runs, or a model that is served with and without batching, and print what was measured.

    The exit code is 1 where an answer was lost, mixed up, or of another status than it has to have.
    """
    whole(requests, "--requests")
    whole(concurrency, "--concurrency")
    number(hostile, "--hostile", 0, 1)
    if concurrency > 256:
        raise ArgumentError(
            f"--concurrency must be at most 256, since a server queues 256 requests; got {concurrency}."
        )
    if target.startswith(("http:", "https:")):
        address = Address.of(target)
        name = unquote(target.partition("/v2/models/")[2].strip("/")) or None
        found = {f"{address}": asyncio.run(once(address, name, None, requests, concurrency, hostile, seed))}
    else:
        if ADDRESS.match(target) and not Path(target).exists():
            raise ArgumentError(f"{target} is no address: write http://{target}.")
        predictor = opened(Path(target))
        found = {}
        for title, options in {"batching": [], "--max-batch 1": ["--max-batch", "1"]}.items():
            Progress(title, requests).say("starting a server")
            with serving(Path(target), [*options, "--name", "model"]) as address:
                found[title] = asyncio.run(
                    once(address, "model", predictor, requests, concurrency, hostile, seed, title)
                )
    show(found, requests, concurrency, hostile, seed)
    if not all(outcome.is_flawless for outcome in found.values()):
        raise SystemExit(1)


async def once(
    address: Address, name: str | None, predictor: Predictor | None, requests: int, concurrency: int, hostile: float,
    seed: int, title: str = "",
) -> Outcome:  # fmt: skip
    """One measurement.  Raises FileError where nobody answers."""
    connection = Connection(address)
    try:
        target = await target_at(connection, name)
        probes = await probes_for(target, seed, connection, predictor)
    except (OSError, EOFError, TimeoutError) as error:
        raise FileError(f"no server answers at {address} ({error or type(error).__name__}).") from None
    finally:
        connection.close()
    with Progress(title or str(address), requests) as progress:
        return await load(address, probes, requests, concurrency, hostile, seed, progress)


class Progress:
    """A line on a terminal that says how far it came."""

    def __init__(self, title: str, count: int):
        self.title, self.count, self.done, self.last = title, count, 0, 0.0
        self.on = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __call__(self, number: int) -> None:
        """Request `number` is answered: they end in any order, so they are counted."""
        self.done += 1
        now = time.monotonic()
        if self.done == self.count:
            self.say("all are sent, the slow senders among them are still at it")
        elif now - self.last > 0.2:
            self.last = now
            self.say(f"{self.done:,} of {self.count:,} requests")

    def say(self, text: str) -> None:
        if self.on:
            print(f"\r\x1b[K{printable(self.title)}: {text}", end="", file=sys.stderr, flush=True)


def show(found: Mapping[str, Outcome], requests: int, concurrency: int, hostile: float, seed: int) -> None:
    """Print the table of the good requests, and that of the hostile ones."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"{requests:,} requests, {concurrency} at a time, {hostile:.0%} of them hostile, seed {seed}", soft_wrap=True
    )
    table = Table(pad_edge=False)
    table.add_column("Good requests")
    for title in found:
        table.add_column(title, justify="right", overflow="fold")
    rows = [measured(outcome) for outcome in found.values()]
    for label in rows[0]:
        table.add_row(label, *(row[label] for row in rows))
    console.print(table)
    if not hostile:
        return
    if len(found) > 1:
        console.print(f"The hostile requests of all {len(found)} measurements together:", soft_wrap=True)
    table = Table(pad_edge=False)
    table.add_column("Hostile requests")
    table.add_column("sent", justify="right")
    table.add_column("answers", justify="right")
    table.add_column("wrong", justify="right")
    together: dict[str, list[Outcome]] = {}
    for outcome in found.values():
        for kind in outcome.hostile:
            together.setdefault(kind, []).append(outcome)
    for kind, outcomes in sorted(together.items()):
        statuses = sum((one.hostile[kind] for one in outcomes), start=type(outcomes[0].statuses)())
        table.add_row(
            kind, f"{statuses.total():,}", ", ".join(answer(status) for status in sorted(statuses)),
            f"{sum(one.wrong[kind] for one in outcomes):,}",
        )  # fmt: skip
    console.print(table)


def answer(status: int) -> str:
    return "none" if status == NONE else str(status)


def measured(outcome: Outcome) -> dict[str, str]:
    """The rows of one measurement."""
    rows = {
        "sent": f"{outcome.good:,}",
        "statuses": ", ".join(f"{count:,} x {status}" for status, count in sorted(outcome.statuses.items())),
        "lost": f"{outcome.lost:,}",
        "mixed up or wrong": f"{outcome.mixed:,}",
        "requests/s": f"{outcome.per_second:,.0f}",
        **{f"p{share} ms": f"{1000 * outcome.percentile(share):.2f}" for share in (50, 99)},
        "max ms": f"{1000 * outcome.percentile(100):.2f}",
    }
    if len(outcome.memory) > 2:
        before, warm, *_, end = outcome.memory
        sent = outcome.good + sum(statuses.total() for statuses in outcome.hostile.values())
        rows |= {
            "its processor": f"{1000 * (outcome.processor[-1] - outcome.processor[0]) / sent:.2f} ms/request",
            "memory before": f"{before / MIB:.1f} MiB",
            "after a tenth": f"{warm / MIB:.1f} MiB",
            "at the end": f"{end / MIB:.1f} MiB",
            "memory": flat(outcome.memory[1:]),
        }
    else:
        rows["memory"] = "not told"
    return rows


def flat(memory: list[float]) -> str:
    """Whether memory stayed what it was after the first tenth of the requests."""
    growth = memory[-1] / memory[0] - 1
    return "flat" if abs(growth) <= FLAT else f"{growth:+.1%}"
