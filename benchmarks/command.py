"""What the commands of the benchmarks share: their options, and how a run is given again elsewhere."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.machine import versions

PEERS = Path(__file__).parent.parent / ".venv-bench" / "bin" / "python"
INTERVAL = "exact 95% intervals between order statistics (below 6 rounds: the smallest and the largest)"
LOCAL = ("--python", "--data")
WIDTH = 120  # columns of what is not written to a terminal


def options(target: str, description: str, only: str, contenders: str) -> argparse.ArgumentParser:
    """A parser with the options that all have: what is measured, who takes part, how often, where the peers are."""
    parser = argparse.ArgumentParser(prog=f"{target} ARGS=...", description=description)
    parser.add_argument("--only", help=only)
    parser.add_argument("--contenders", help=f"who takes part, comma-separated, * allowed: {contenders}")
    parser.add_argument("--rounds", type=int, default=9, help="rounds for each workload (default 9)")
    parser.add_argument("--seed", type=int, default=0, help="of the order within rounds")
    parser.add_argument(
        "--python", default=os.environ.get("BENCH_PYTHON") or str(PEERS), help="the interpreter that has the peers"
    )
    return parser


def read(
    parser: argparse.ArgumentParser, given: Sequence[str] | None, chosen: Callable[..., object],
    wanted: Callable[..., object],
) -> argparse.Namespace:  # fmt: skip
    """The arguments, with contenders and workloads for their names; ends the program with a message for wrong ones."""
    found = parser.parse_args(given)
    if found.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {found.rounds}")
    try:
        found.contenders, found.only = chosen(found.contenders), wanted(found.only)
    except ValueError as error:
        parser.error(str(error))
    return found


def need_peers(parser: argparse.ArgumentParser, found: argparse.Namespace, packages: str, target: str) -> None:
    """End the program with a message where peers take part and their interpreter does not run."""
    if any(contender.is_peer for contender in found.contenders) and not versions(found.python):
        parser.error(
            f"{found.python} does not run. It should be a Python with {packages}: `{target}` sets one up, --python "
            "names another, and --contenders millrace does without."
        )


def command_line(target: str, given: Sequence[str]) -> str:
    """The command that makes the same run elsewhere, without what names places of this machine."""
    kept, skip = [], False
    for word in given:
        own = word.split("=")[0] in LOCAL
        if not own and not skip:
            kept.append(word)
        skip = own and "=" not in word
    return f"{target} ARGS={shlex.quote(shlex.join(kept))}" if kept else target


def console(stderr: bool = False) -> Console:
    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=WIDTH)
