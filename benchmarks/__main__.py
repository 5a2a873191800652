"""`python -m benchmarks`: arguments, and the order of business."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.fresh import measure_fresh
from benchmarks.machine import everything, versions
from benchmarks.measure import measure
from benchmarks.results import new_path, write
from benchmarks.roster import Contender, chosen
from benchmarks.table import contenders_table, remarks, summary_table
from benchmarks.workloads import Fresh, Workload, wanted

PEERS = Path(__file__).parent.parent / ".venv-bench" / "bin" / "python"
INTERVAL = "exact 95% intervals between order statistics (below 6 rounds: the smallest and the largest)"
WIDTH = 120  # columns of what is not written to a terminal


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, read and checked; ends the program with a message for wrong ones."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description="Millrace beside its peers, interleaved.")
    parser.add_argument(
        "--only", help="workloads, or groups (training, inference, startup), comma-separated, * allowed"
    )
    parser.add_argument("--contenders", help="who takes part, comma-separated, * allowed: torch,torch-compile*")
    parser.add_argument("--rounds", type=int, default=9, help="rounds for each workload (default 9)")
    parser.add_argument("--seed", type=int, default=0, help="of the order within rounds")
    parser.add_argument(
        "--python", default=os.environ.get("BENCH_PYTHON") or str(PEERS), help="the interpreter that has the peers"
    )
    read = parser.parse_args(given)
    if read.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {read.rounds}")
    try:
        read.contenders, read.only = chosen(read.contenders), wanted(read.only)
    except ValueError as error:
        parser.error(str(error))
    if any(contender.is_peer for contender in read.contenders) and not versions(read.python):
        parser.error(
            f"{read.python} does not run. It should be a Python with PyTorch, TensorFlow, Keras and JAX: `make bench` "
            "sets one up, --python names another, and --contenders millrace does without."
        )
    return read


def command_line(given: Sequence[str]) -> str:
    """The command that makes the same run elsewhere: without the interpreter, whose versions are kept beside it."""
    kept = [
        word
        for before, word in zip(["", *given], given, strict=False)
        if before != "--python" and not word.startswith("--python")
    ]
    return f"make bench ARGS={shlex.quote(shlex.join(kept))}" if kept else "make bench"


def result_of(one: Workload | Fresh, given: argparse.Namespace, progress: Console) -> dict[str, Any]:
    """One workload, with a line on a terminal that says what runs."""
    able: list[Contender] = [contender for contender in given.contenders if contender.takes(one)]
    with progress.status(one.name) as status:

        def say(text: str) -> None:
            status.update(f"{one.name}: {text}")

        if isinstance(one, Fresh):
            return measure_fresh(one, able, given.python, given.rounds, given.seed, say)
        return measure(one, able, given.python, given.rounds, given.seed, say)


def console(stderr: bool = False) -> Console:
    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=WIDTH)


def main() -> None:
    given = arguments()
    shown, progress = console(), console(stderr=True)
    when = datetime.now()
    path = new_path(when)
    report: dict[str, Any] = {
        "date": when.isoformat(" ", "seconds"),
        "command": command_line(sys.argv[1:]),
        "rounds": given.rounds,
        "interval": INTERVAL,
        **everything(given.python),
        "workloads": [],
    }
    stopped = False
    try:
        for one in given.only:
            result = result_of(one, given, progress)
            report["workloads"].append(result)
            write(path, report)
            shown.print(f"{result['name']}: {result['about']}", markup=False, highlight=False)
            shown.print(contenders_table(result))
            for text in remarks(result):
                shown.print(f"  {text}", markup=False, highlight=False)
            shown.print()
    except KeyboardInterrupt:
        stopped = True
    if report["workloads"]:
        shown.print("All workloads")
        shown.print(summary_table(report["workloads"]))
        shown.print(f"\nKept in {os.path.relpath(path)}.json and .md")
    if stopped:
        progress.print("stopped before all was measured")
        sys.exit(130)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # contenders are ended on the way out
    main()
