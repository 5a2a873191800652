"""The words of the tables of training on a GPU, on a terminal and in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.results import about, lines
from benchmarks.roster import REFERENCE
from benchmarks.table import best, by_speed, count_text, laid_out, named, rate_text, ratio_text, remarks, time_text

Row = Mapping[str, Any]
Result = Mapping[str, Any]

HEADINGS = ("contender", "a step", "images/s", "TFLOP/s", "of the peak", "Millrace is x as fast", "n")
SUMMARY = ("workload", "images/s", "of the peak", "best peer", "its images/s", "Millrace is x as fast", "n")
OTHER = "tf32"  # ends the name of who computes products of float32 with fewer bits


def share_text(result: Result, row: Row | None) -> str:
    """The step's products and convolutions, as a share of the best matrix product in its dtype."""
    if row is None or row["name"].endswith(OTHER):
        return ""
    return f"{row['gflops'] * 1e9 / result['peak']:.1%}"


def cells(result: Result, row: Row) -> tuple[str, ...]:
    """A contender's row in the table of one workload."""
    compared = ("", "") if row["name"] == REFERENCE else (ratio_text(row), count_text(row))
    speed = (time_text(row["median"]), rate_text(row), f"{row['gflops'] / 1e3:#.3g}")
    return (row["name"], *speed, share_text(result, row), *compared)


def summary_cells(result: Result) -> tuple[str, ...]:
    """One workload's row in the table of all; who computes with fewer bits is no peer."""
    rows = result["contenders"]
    own, peer = named(rows, REFERENCE), best(rows, tuned=False)
    return (
        result["name"],
        rate_text(own) if own else "failed",
        share_text(result, own),
        str(peer["name"]) if peer else "",
        rate_text(peer) if peer else "",
        ratio_text(peer),
        count_text(peer),
    )


def contenders_table(result: Result) -> Table:
    """One workload, a row a contender."""
    return laid_out(HEADINGS, [cells(result, row) for row in by_speed(result["contenders"])], {"contender"})


def summary_table(results: list[Result]) -> Table:
    return laid_out(SUMMARY, [summary_cells(result) for result in results], {"workload", "best peer"})


def on_what(report: Mapping[str, Any]) -> list[str]:
    """The devices, and their best matrix products."""
    found = [f"{who}: {', '.join(str(v) for k, v in one.items() if v)}" for who, one in seen(report).items()]
    products = [f"{dtype} {one['flops'] / 1e12:#.3g} TFLOP/s ({one['of']})" for dtype, one in report["peak"].items()]
    driver = [f"driver: {report['driver']}"] if report["driver"] else []
    return [*found, *driver, f"best matrix product, measured before: {', '.join(products)}"]


def seen(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"device of {who}": {k: f"{k} {v}" if k in ("cuda", "cudnn") else v for k, v in one.items() if k != "products"}
        for who, one in report["devices"].items()
    }


def markdown(report: Mapping[str, Any]) -> str:
    """A run for readers."""
    said = [*about(report), *on_what(report)]
    title = "Training on a GPU, tried at toy sizes on a processor" if report["toy"] else "Training on a GPU"
    made = [f"# {title}, {report['date']}", *(f"- {text}" for text in said), ""]
    made += [*lines(SUMMARY, map(summary_cells, report["workloads"])), ""]
    for result in report["workloads"]:
        made += [f"## {result['name']}", f"{result['about']}.", ""]
        made += [*lines(HEADINGS, (cells(result, row) for row in by_speed(result["contenders"]))), ""]
        if doubts := remarks(result):
            made += [*(f"- {text}" for text in doubts), ""]
    return "\n".join(made)


def write(path: Path, report: Mapping[str, Any]) -> None:
    """The run so far in both forms; called after each workload."""
    path.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(report))
