"""The words of the tables of input speed, on a terminal and in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.inputs.roster import NAMES, REFERENCE
from benchmarks.inputs.workloads import MEMORY
from benchmarks.results import about, lines
from benchmarks.table import by_speed, laid_out, named, remarks

Row = Mapping[str, Any]
Result = Mapping[str, Any]

HEADINGS = (
    "contender", "images/s", "Millrace x", "images/s a core", "Millrace x a core", "n", "pixels off by", "peak MiB",
)  # fmt: skip
SUMMARY = (
    "workload", "Millrace/s", "best peer", "Millrace x", "best peer a core", "Millrace x a core", "by hand", "n",
)  # fmt: skip
MARKS = (
    "* its pixels are others: not compared. + shuffled and gathered by the user's own code: shown apart, as `by hand`"
)


def rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def ratio(row: Row | None, name: str) -> str:
    """A median ratio with its interval."""
    found = (row or {}).get(name)
    return f"{found['median']:.2f} [{found['low']:.2f}, {found['high']:.2f}]" if found else ""


def same_images(result: Result, row: Row) -> bool:
    """Whether a row's pixels are near enough to Pillow's; exactly the same where nothing is decoded."""
    return bool(row.get("pixels", 0.0) <= (0.0 if result["kind"] == MEMORY else result["far"]))


def best(result: Result, name: str, by_hand: bool = False) -> Row | None:
    """The peer that comes closest to Millrace, or passes it by most, by the ratio of that name."""
    able = [
        row
        for row in result["contenders"]
        if row.get(name) and same_images(result, row) and NAMES[row["name"]].is_peer
        if NAMES[row["name"]].by_hand == by_hand
    ]
    return min(able, key=lambda row: row[name]["median"], default=None)


def cells(result: Result, row: Row) -> tuple[str, ...]:
    """A contender's row in the table of one workload."""
    own = row["name"] == REFERENCE
    mark = " *" if not same_images(result, row) else " +" if NAMES[row["name"]].by_hand else ""
    return (
        row["name"] + mark, rate(row["per_second"]), "" if own else ratio(row, "ratio"), rate(row["per_core"]),
        "" if own else ratio(row, "core_ratio"), "" if own or "ratio" not in row else str(row["ratio"]["count"]),
        f"{row['pixels']:.2f}", rate(row.get("memory", {}).get("steps", 0.0)),
    )  # fmt: skip


def summary_cells(result: Result) -> tuple[str, ...]:
    """A workload's row in the table of all."""
    own = named(result["contenders"], REFERENCE)
    fast, thrifty, by_hand = best(result, "ratio"), best(result, "core_ratio"), best(result, "core_ratio", by_hand=True)
    return (
        result["name"], rate(own["per_second"]) if own else "failed", fast["name"] if fast else "",
        ratio(fast, "ratio"), thrifty["name"] if thrifty else "", ratio(thrifty, "core_ratio"),
        f"{by_hand['core_ratio']['median']:.2f}" if by_hand else "", str(fast["ratio"]["count"]) if fast else "",
    )  # fmt: skip


def contenders_table(result: Result) -> Table:
    rows = [cells(result, row) for row in by_speed(result["contenders"])]
    return laid_out(HEADINGS, rows, {"contender"})


def summary_table(results: Sequence[Result]) -> Table:
    return laid_out(
        SUMMARY, [summary_cells(result) for result in results], {"workload", "best peer", "best peer a core"}
    )


def markdown(report: Mapping[str, Any]) -> str:
    """A run for readers."""
    made = [f"# Input speed, {report['date']}", *(f"- {text}" for text in about(report)), ""]
    made += (
        [*lines(SUMMARY, map(summary_cells, report["workloads"])), "", f"{MARKS}.", ""] if report["workloads"] else []
    )
    for result in report["workloads"]:
        made += [f"## {result['name']}", f"{result['about']}.", ""]
        made += [*lines(HEADINGS, (cells(result, row) for row in by_speed(result["contenders"]))), ""]
        if said := remarks(result):
            made += [*(f"- {text}" for text in said), ""]
    return "\n".join(made)


def write(path: Path, report: Mapping[str, Any]) -> None:
    """The run so far in both forms; called after each workload."""
    path.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(report))
