"""`python -m benchmarks`: arguments, and the order of business."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console

from benchmarks.command import INTERVAL, command_line, console, need_peers, options, read
from benchmarks.fresh import measure_fresh
from benchmarks.machine import everything
from benchmarks.measure import measure
from benchmarks.results import new_path, write
from benchmarks.roster import Contender, chosen
from benchmarks.table import contenders_table, show, summary_table
from benchmarks.workloads import Fresh, Workload, wanted

TARGET = "make bench"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, read and checked; ends the program with a message for wrong ones."""
    parser = options(
        TARGET, "Millrace beside its peers, interleaved.",
        "workloads, or groups (training, inference, startup), comma-separated, * allowed", "torch,torch-compile*",
    )  # fmt: skip
    found = read(parser, given, chosen, wanted)
    need_peers(parser, found, "PyTorch, TensorFlow, Keras and JAX", TARGET)
    return found


def result_of(one: Workload | Fresh, given: argparse.Namespace, progress: Console) -> dict[str, Any]:
    """One workload, with a line on a terminal that says what runs."""
    able: list[Contender] = [contender for contender in given.contenders if contender.takes(one)]
    with progress.status(one.name) as status:

        def say(text: str) -> None:
            status.update(f"{one.name}: {text}")

        if isinstance(one, Fresh):
            return measure_fresh(one, able, given.python, given.rounds, given.seed, say)
        return measure(one, able, given.python, given.rounds, given.seed, say)


def main() -> None:
    given = arguments()
    shown, progress = console(), console(stderr=True)
    when = datetime.now()
    path = new_path(when)
    report: dict[str, Any] = {
        "date": when.isoformat(" ", "seconds"),
        "command": command_line(TARGET, sys.argv[1:]),
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
            show(result, contenders_table(result), shown)
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
