"""What is shown: the contenders of a workload as they finish, and one table of all workloads at the end.

Here are the words of both; `rich` lays them out for a terminal, and `results` for Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.roster import MEMORY_PEER, PEERS, REFERENCE, TUNED

Row = Mapping[str, Any]
Result = Mapping[str, Any]

SUMMARY = ("workload", "Millrace", "best peer", "Millrace is x as fast", "n", "best tuned", f"memory / {MEMORY_PEER}")


def time_text(seconds: float) -> str:
    """Seconds with three figures, in the unit that suits them."""
    if seconds >= 99.95:
        return f"{seconds:.0f} s"
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * scale:
            return f"{seconds / scale:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds / 1e-6:.0f} us"


def ratio_text(row: Row | None) -> str:
    """How many times as fast Millrace was, with the interval."""
    ratio = (row or {}).get("ratio")
    return f"{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]" if ratio else ""


def count_text(row: Row | None) -> str:
    """How many rounds the ratio comes from."""
    return str(row["ratio"]["count"]) if row and row.get("ratio") else ""


def rate_text(row: Row) -> str:
    """Examples a second."""
    return f"{row['per_second']:,.0f}" if row["per_second"] >= 100 else f"{row['per_second']:.1f}"


def memory_texts(row: Row) -> tuple[str, str]:
    """Peak memory in MiB: of the whole process, and of its steps alone."""
    memory = row.get("memory", {})
    peak, steps = (f"{memory[name]:,.0f}" if name in memory else "" for name in ("peak", "steps"))
    return peak, steps


def best(rows: Sequence[Row], tuned: bool) -> Row | None:
    """The peer that comes closest to Millrace, or passes it by most: among those as they come, or those tuned."""
    able = [row for row in rows if row["name"] in PEERS and (row["name"] in TUNED) == tuned and row.get("ratio")]
    return min(able, key=lambda row: row["ratio"]["median"], default=None)


def named(rows: Sequence[Row], name: str) -> Row | None:
    """A contender's row, if it finished."""
    return next((row for row in rows if row["name"] == name and "median" in row), None)


def memory_ratio(rows: Sequence[Row]) -> str:
    """Millrace's peak memory as a share of PyTorch's, as the processes have them."""
    own, other = (named(rows, name) for name in (REFERENCE, MEMORY_PEER))
    peaks = [row.get("memory", {}).get("peak", 0.0) if row else 0.0 for row in (own, other)]
    return f"{peaks[0] / peaks[1]:.2f}" if all(peaks) else ""


def by_speed(rows: Sequence[Row]) -> list[Row]:
    """Fastest first, without those that failed."""
    return sorted((row for row in rows if "median" in row), key=lambda row: row["median"])


def headings(result: Result) -> tuple[str, ...]:
    """Of a table of one workload's contenders."""
    if "unit" not in result:
        return ("contender", "time", "Millrace is x as fast", "n")
    return (
        "contender", "a step", f"{result['unit']}/s", "GFLOP/s", "Millrace is x as fast", "n", "peak MiB", "in steps",
    )  # fmt: skip


def cells(result: Result, row: Row) -> tuple[str, ...]:
    """A contender's row in that table."""
    compared = ("", "") if row["name"] == REFERENCE else (ratio_text(row), count_text(row))
    if "unit" not in result:
        return (row["name"], time_text(row["median"]), *compared)
    speed = (time_text(row["median"]), rate_text(row), f"{row['gflops']:.3g}")
    return (row["name"], *speed, *compared, *memory_texts(row))


def summary_cells(result: Result) -> tuple[str, ...]:
    """One workload's row in the table of all: Millrace, the best peer with its ratio, and the best tuned one's."""
    rows = result["contenders"]
    own, peer = named(rows, REFERENCE), best(rows, tuned=False)
    return (
        result["name"],
        time_text(own["median"]) if own else "failed",
        str(peer["name"]) if peer else "",
        ratio_text(peer),
        count_text(peer),
        ratio_text(best(rows, tuned=True)),
        memory_ratio(rows),
    )


def remarks(result: Result) -> list[str]:
    """Who is missing from a workload and why, and what looked wrong."""
    missing = [f"{row['name']} left out: {row['error']}" for row in result["contenders"] if row["error"]]
    heats = result.get("heats", [])
    split = [f"in {len(heats)} heats, each with {REFERENCE}: memory has not room for all"] if len(heats) > 1 else []
    return [*missing, *split, *(f"CHECK {doubt}" for doubt in result["doubts"])]


def laid_out(columns: Sequence[str], rows: Sequence[Sequence[str]], left: set[str]) -> Table:
    """A table for a terminal; columns that are not `left` hold numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def show(result: Result, table: Table, console: Console) -> None:
    """Print a workload: what it is, its table, and what is to be said of it."""
    console.print(f"{result['name']}: {result['about']}", markup=False, highlight=False)
    console.print(table)
    for text in remarks(result):
        console.print(f"  {text}", markup=False, highlight=False)
    console.print()


def contenders_table(result: Result) -> Table:
    """One workload, a row a contender."""
    rows = [cells(result, row) for row in by_speed(result["contenders"])]
    return laid_out(headings(result), rows, {"contender"})


def summary_table(results: Sequence[Result]) -> Table:
    """All workloads, a row each."""
    rows = [summary_cells(result) for result in results]
    return laid_out(SUMMARY, rows, {"workload", "best peer"})
