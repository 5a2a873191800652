"""What a run's numbers say about it, for its report: findings with evidence and remedy, and curves by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from millrace.diagnosis.finding import Finding
from millrace.diagnosis.judge import NAMES, first_told, judge
from millrace.diagnosis.record import Record
from millrace.explain.charts import STYLES, Line, chart
from millrace.words import words

T = TypeVar("T")
Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Said:
    """One finding as texts."""

    title: str
    clear: str
    evidence: str
    meaning: str
    remedy: str


@dataclass(frozen=True)
class Curves:
    """A chart under its caption."""

    caption: str
    svg: str


@dataclass(frozen=True)
class RunFindings:
    """The section of a report: its heading, the findings, what there is to say where there are none, and curves.

    labels: what evidence, meaning and remedy are called. groups: charts that belong together, and what is usual there.
    watched: all that is looked for, each as what it is called and what it means.
    """

    heading: str
    said: Sequence[Said]
    note: str
    labels: Mapping[str, str]
    groups: Sequence[tuple[Sequence[Curves], str]]
    watched: Sequence[tuple[str, str]]


def run_findings(record: Record, language: str = "en") -> RunFindings:
    """What a record of a run says."""
    texts = words("diagnosis", language)["line"]
    found, first = judge(record), first_told(record)
    note = "" if found else texts["none"].format(rules=len(NAMES))
    if not record.vitals:
        note = f"{note} {texts['unmeasured']}".strip()
    clear = [said(one, first[one.rule][0], texts, language) for one in found]
    groups = [group for group in by_layer(record, texts) if group[0]]
    return RunFindings(texts["part"], clear, note, texts, groups, watched(language))


def watched(language: str) -> list[tuple[str, str]]:
    """Each thing that a run is watched for: what it is called, and what it means."""
    table = words("diagnosis", language)
    return [(table[name]["title"], table[name]["meaning"]) for name in NAMES]


def said(found: Finding, epoch: int, texts: Mapping[str, str], language: str) -> Said:
    """A finding in words, with the epoch after which it was clear."""
    clear = texts["clear"].format(epoch=epoch) if epoch else texts["before"]
    return Said(
        found.say("title", language), clear,
        *(found.say(what, language) for what in ("evidence", "meaning", "remedy")),
    )  # fmt: skip


def by_layer(record: Record, texts: Mapping[str, str]) -> list[tuple[list[Curves], str]]:
    """Charts over epochs, a curve a layer: flat outputs and stuck units; gradients, and updates beside weights."""
    acts = [(vitals.epoch, vitals.activations) for vitals in record.vitals]
    sizes = [(vitals.epoch, vitals.weights) for vitals in record.vitals]
    units = [
        *drawn(texts["flat"], points(acts, lambda one: one.flat), texts["epoch"]),
        *drawn(texts["stuck"], points(acts, lambda one: one.stuck), texts["epoch"]),
    ]
    steps = [
        *drawn(texts["gradients"], points(sizes, lambda one: one.gradient), texts["epoch"], texts["size"]),
        *drawn(texts["updates"], points(sizes, lambda one: one.ratio), texts["epoch"], texts["ratio"]),
    ]
    return [(units, texts["units_note"]), (steps, texts["sizes_note"])]


def points(epochs: Sequence[tuple[int, Mapping[str, T]]], number: Callable[[T], float]) -> dict[str, Points]:
    """Of each layer the epochs and its numbers, those that are finite."""
    names = spread(list(epochs[-1][1])) if epochs else []
    found = {
        name: [(epoch, v) for epoch, table in epochs if name in table and math.isfinite(v := number(table[name]))]
        for name in names
    }
    return {name: some for name, some in found.items() if some}


def spread(names: Sequence[str]) -> list[str]:
    """As many names as there are styles of lines, the first and the last among them."""
    if len(names) <= STYLES:
        return list(names)
    return [names[round(n * (len(names) - 1) / (STYLES - 1))] for n in range(STYLES)]


def drawn(caption: str, series: Mapping[str, Points], x_label: str, y_label: str = "") -> list[Curves]:
    """The chart of some series, if there are any: of shares, or of sizes on a logarithmic axis, which has no 0."""
    log = "y" if y_label else ""
    shown = {name: [(x, y) for x, y in some if y > 0 or not log] for name, some in series.items()}
    lines = [
        Line(name.removesuffix("/kernel"), [x for x, _ in some], [y for _, y in some], style)
        for style, (name, some) in enumerate((name, some) for name, some in shown.items() if some)
    ]
    return [Curves(caption, chart(caption, lines, x_label, y_label, percent=not log, log=log))] if lines else []
