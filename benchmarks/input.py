"""`python -m benchmarks.input`: how fast input is read, beside PyTorch's DataLoader, tf.data and Grain."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.command import INTERVAL, command_line, console, need_peers, options, read
from benchmarks.inputs.measure import measure
from benchmarks.inputs.places import prepared
from benchmarks.inputs.roster import chosen
from benchmarks.inputs.table import MARKS, contenders_table, summary_table, write
from benchmarks.inputs.workloads import InputWorkload, wanted
from benchmarks.machine import everything
from benchmarks.results import new_path
from benchmarks.table import show

TARGET = "make bench-input"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, read and checked; ends the program with a message for wrong ones."""
    parser = options(
        TARGET, "Input of Millrace beside its peers, interleaved.",
        "workloads, comma-separated, * allowed: memory,imagenette*", "torch*,tfdata",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("MILLRACE_DATA"), help="where the data sets lie (MILLRACE_DATA)"
    )
    found = read(parser, given, chosen, wanted)
    if found.data is None:
        parser.error("where do the data sets lie? Set MILLRACE_DATA, or give --data.")
    need_peers(parser, found, "PyTorch, TensorFlow and Grain", TARGET)
    return found


def result_of(one: InputWorkload, given: argparse.Namespace) -> dict[str, Any]:
    """One workload, with a line on a terminal that says what runs."""
    readers = [reader for reader in given.contenders if one.kind in reader.kinds]
    with console(stderr=True).status(one.name) as status, tempfile.TemporaryDirectory() as into:

        def say(text: str) -> None:
            status.update(f"{one.name}: {text}")

        places = prepared(one, Path(given.data), Path(into))
        return measure(one, readers, places, given.python, given.rounds, given.seed, say)


def main() -> None:
    given = arguments()
    shown = console()
    when = datetime.now()
    path = new_path(when)
    path = path.with_name(f"{path.name}-input")
    report: dict[str, Any] = {
        "date": when.isoformat(" ", "seconds"),
        "command": command_line(TARGET, sys.argv[1:]),
        "rounds": given.rounds,
        "interval": INTERVAL,
        **everything(given.python),
        "workloads": [],
    }
    for one in given.only:
        try:
            result = result_of(one, given)
        except FileNotFoundError as error:
            shown.print(f"{one.name} left out: {error}", markup=False, highlight=False)
            continue
        report["workloads"].append(result)
        write(path, report)
        show(result, contenders_table(result), shown)
    if report["workloads"]:
        shown.print("All workloads")
        shown.print(summary_table(report["workloads"]))
        shown.print(f"\n{MARKS}", markup=False)
        shown.print(f"Kept in {os.path.relpath(path)}.json and .md")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # contenders are ended on the way out
    main()
