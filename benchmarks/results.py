"""What is kept: each run's numbers as JSON, and the same for readers as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.table import SUMMARY, by_speed, cells, headings, remarks, summary_cells

HERE = Path(__file__).parent / "results"


def new_path(when: datetime, directory: Path = HERE) -> Path:
    """A name that no earlier run has, without its ending."""
    directory.mkdir(parents=True, exist_ok=True)
    stem, n = when.strftime("%Y-%m-%d-%H%M%S"), 0
    while (path := directory / (f"{stem}-{n}" if n else stem)).with_suffix(".json").exists():
        n += 1
    return path


def write(path: Path, report: Mapping[str, Any]) -> None:
    """The run so far in both forms; called after each workload, so that a run that is cut short leaves what it had."""
    path.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(report))


def lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(f"| {' | '.join(r)} |" for r in rows)]


def about(report: Mapping[str, Any]) -> list[str]:
    """What the numbers depend on besides the code."""
    machine = report["machine"]
    described = [
        f"{who}: {', '.join(f'{k} {v}' for k, v in found.items())}" for who, found in report["versions"].items()
    ]
    return [
        f"`{report['command']}`, revision {report['revision'] or 'unknown'}",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, governor "
        f"{machine['governor']}, load before {machine['load']}",
        *described,
        f"{report['rounds']} rounds; ratios are medians of per-round ratios with {report['interval']}",
    ]


def markdown(report: Mapping[str, Any]) -> str:
    """A run for readers."""
    made = [f"# Benchmarks of {report['date']}", *(f"- {text}" for text in about(report)), ""]
    workloads = report["workloads"]
    if workloads:
        made += [*lines(SUMMARY, (summary_cells(result) for result in workloads)), ""]
    for result in workloads:
        made += [f"## {result['name']}", f"{result['about']}.", ""]
        if turns := [str(heat["steps_per_turn"]) for heat in result.get("heats", [])]:
            made[-1:] = [f"Steps a turn: {', '.join(turns)}.", ""]
        made += [*lines(headings(result), (cells(result, row) for row in by_speed(result["contenders"]))), ""]
        if said := remarks(result):
            made += [*(f"- {text}" for text in said), ""]
    return "\n".join(made)
