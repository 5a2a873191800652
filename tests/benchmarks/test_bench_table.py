"""The words of the tables, and what is kept of a run."""

import json
from datetime import datetime

import pytest
from benchmarks.results import markdown, new_path, write
from benchmarks.table import SUMMARY, best, cells, headings, remarks, summary_cells, time_text


def row(name, median, ratio=None, peak=0.0, error=""):
    made = {"name": name, "error": error, "seconds": []}
    if median:
        made |= {
            "median": median,
            "per_second": 64 / median,
            "gflops": 2.0,
            "memory": {"peak": peak, "steps": peak / 2},
        }
    if ratio:
        made["ratio"] = {"median": ratio, "low": ratio - 0.1, "high": ratio + 0.1, "coverage": 0.96, "count": 9}
    return made


RESULT = {
    "name": "lenet", "kind": "training", "about": "lenet, training step, batch 64", "unit": "images", "batch": 64,
    "doubts": ["jax has 9 parameters, expected 10"], "heats": [{"steps_per_turn": 30}],
    "contenders": [
        row("torch", 0.006, 1.5, peak=200), row("torch-compile", 0.005, 1.25, peak=300),
        row("millrace", 0.004, 1.0, peak=220), row("torch-tuned", 0.0044, 1.1, peak=250),
        row("keras-tf", None, error="ImportError: no tensorflow"),
    ],
}  # fmt: skip

START = {
    "name": "start_digits_cold", "kind": "start", "about": "digits", "doubts": [],
    "contenders": [row("torch", 1.5, 0.75), row("millrace", 2.0, 1.0)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (123.4, "123 s"), (12.34, "12.3 s"), (1.0, "1.00 s"), (0.99999, "1.00 s"), (0.1234, "123 ms"),
        (0.00764, "7.64 ms"), (0.0000456, "46 us"),
    ],
)  # fmt: skip
def test_times_have_three_figures(seconds, text):
    assert time_text(seconds) == text


def test_the_best_peer_is_the_one_that_millrace_leads_by_least_and_tuned_ones_stand_apart():
    rows = RESULT["contenders"]
    assert best(rows, tuned=False)["name"] == "torch-compile" and best(rows, tuned=True)["name"] == "torch-tuned"
    assert best([row("millrace", 1.0, 1.0)], tuned=False) is None


def test_the_summary_names_the_best_peer_with_ratio_interval_and_rounds():
    assert dict(zip(SUMMARY, summary_cells(RESULT), strict=True)) == {
        "workload": "lenet", "Millrace": "4.00 ms", "best peer": "torch-compile",
        "Millrace is x as fast": "1.25 [1.15, 1.35]", "n": "9", "best tuned": "1.10 [1.00, 1.20]",
        "memory / torch": "1.10",
    }  # fmt: skip


def test_a_summary_without_millrace_or_peers_says_so():
    failed = {**RESULT, "contenders": [row("millrace", None, error="KeyError: 'conv9'")]}
    assert summary_cells(failed) == ("lenet", "failed", "", "", "", "", "")
    assert remarks(failed)[0] == "millrace left out: KeyError: 'conv9'"


def test_each_contender_has_time_rate_ratio_and_memory():
    assert headings(RESULT)[2] == "images/s"
    assert cells(RESULT, RESULT["contenders"][1]) == (
        "torch-compile", "5.00 ms", "12,800", "2", "1.25 [1.15, 1.35]", "9", "300", "150",
    )  # fmt: skip
    assert cells(RESULT, RESULT["contenders"][2])[4:6] == ("", "")  # Millrace is not compared with itself
    assert cells(START, START["contenders"][0]) == ("torch", "1.50 s", "0.75 [0.65, 0.85]", "9")


def test_failures_doubts_and_heats_become_lines():
    assert remarks({**RESULT, "heats": [{}, {}]}) == [
        "keras-tf left out: ImportError: no tensorflow",
        "in 2 heats, each with millrace: memory has not room for all",
        "CHECK jax has 9 parameters, expected 10",
    ]


def report():
    return {
        "date": "2026-01-02 03:04:05", "command": "make bench", "revision": "abc1234", "rounds": 9, "interval": "95%",
        "machine": {"processor": "P", "cores": 2, "memory_gib": 24, "system": "S", "governor": "g", "load": [0.1]},
        "versions": {"millrace": {"python": "3.11"}, "peers": {"torch": "2.13.0"}}, "workloads": [RESULT, START],
    }  # fmt: skip


def test_a_kept_run_reads_back_and_says_what_it_depends_on(tmp_path):
    path = new_path(datetime(2026, 1, 2, 3, 4, 5), tmp_path / "new")
    write(path, report())
    assert json.loads(path.with_suffix(".json").read_text()) == report()
    text = path.with_suffix(".md").read_text()
    for part in (
        "`make bench`, revision abc1234", "P, 2 cores, 24 GiB", "peers: torch 2.13.0", "9 rounds",
        "| lenet | 4.00 ms | torch-compile | 1.25 [1.15, 1.35] | 9 | 1.10 [1.00, 1.20] | 1.10 |",
        "Steps a turn: 30.", "- keras-tf left out: ImportError: no tensorflow", "## start_digits_cold",
        "| torch | 1.50 s | 0.75 [0.65, 0.85] | 9 |",
    ):  # fmt: skip
        assert part in text
    assert new_path(datetime(2026, 1, 2, 3, 4, 5), tmp_path / "new") != path


def test_every_markdown_table_has_as_many_cells_as_columns():
    tables = [block for block in markdown(report()).split("\n\n") if "|---" in block]
    assert len(tables) == 3
    for table in tables:
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) == 1
