"""What comes of arms that are compared by where they end: a table, a verdict, a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from millrace.experiments.arms import LAST, Curve
from millrace.experiments.experiment import Outcome, Setting
from millrace.experiments.figure import draw_curves, draw_dots
from millrace.experiments.spread import Difference, each_text, percent_text

MOST_CURVES = 4  # arms whose curves one chart can hold; of more it shows where they end
SAYS = {-1: "lower", 1: "higher"}


def compared(
    setting: Setting, curves: Mapping[str, Sequence[Curve]], base: str, claims: Mapping[str, int],
    paper_rows: Mapping[str, str], paper: str, title: str, file: str,
    column: str = "val_error", measure: str = "validation error",
) -> Outcome:  # fmt: skip
    """The outcome of arms of which one, `base`, is held against every other.

    claims: for each other arm what the paper says its error is against the base's: -1 lower, 1 higher. paper_rows: the
    paper's figure for each arm, as the table shows it. column, measure: what is compared, and what it is called; an
    arm ends at the mean of its last epochs. file: of the figure, such as "lrn.svg".
    """
    ends = {name: [curve.final(column) for curve in arm] for name, arm in curves.items()}
    rows, verdicts, differences = [], [], {}
    over = seeds_text(len(setting.seeds))
    for name, values in ends.items():
        told = "-"
        if name != base:
            differences[name] = points(values, ends[base])
            told = differences[name].text()
            verdicts.append(verdict(differences[name], name, base, claims[name], setting, measure))
        rows.append([name, paper_rows.get(name, "-"), percent_text(values), each_text([100 * v for v in values]), told])
    if len(curves) > MOST_CURVES:
        figure = draw_dots(setting.out / file, title, ends, measure)
    else:
        drawn = {name: [curve[column] for curve in arm] for name, arm in curves.items()}
        figure = draw_curves(setting.out / file, title, drawn, measure)
    return Outcome(
        columns=["Network", "Paper", measure.capitalize(), "Each seed, %", "Difference, points"],
        rows=rows, paper=paper, verdict=" ".join(verdicts), figures=[figure],
        numbers={
            measure: ends,
            "differences in points": {
                name: {"mean": one.mean, "half of 95% interval": one.half, "each": one.each}
                for name, one in differences.items()
            },
            "curves": {name: [asdict(curve) for curve in arm] for name, arm in curves.items()},
        },
        notes=[
            f"{measure.capitalize()}: mean of the last {LAST} epochs; ± standard deviation over {over}. Difference "
            f"to {base}: ± half of the 95% interval of the mean, seed by seed (Student's t)."
        ],
    )  # fmt: skip


def points(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The difference of shares from 0 to 1, in percentage points."""
    return Difference([100 * v for v in first], [100 * v for v in second])


def verdict(
    difference: Difference, name: str, base: str, claim: int, setting: Setting, measure: str = "validation error"
) -> str:  # fmt: skip
    """What a difference in points says of a claim, from its numbers alone.

    claim: -1 where the paper says that the measure is lower with `name` than with `base`, 1 where it is higher.
    """
    count = len(difference.first)
    size = f"{abs(difference.mean):.1f} points"
    than = base if base.startswith("without ") else f"with {base}"
    seen = -1 if difference.mean < 0 else 1
    if difference.half is None:
        return (
            f"{name}: the {measure} is {size} {SAYS[seen]} than {than}, from one seed, which shows no spread: "
            "that may be chance. --seeds 3 tells more."
        )
    bounds = f"{difference.text()} points, 95% over {seeds_text(count)}"
    if not difference.clear:
        return (
            f"{name}: the difference to {base} in {measure} ({bounds}) is within the spread over the seeds: the "
            f"{setting.form} form cannot tell. {more(setting)}"
        )
    agrees = "as the paper says" if seen == claim else f"the paper says {SAYS[claim]}"
    return f"{name}: the {measure} is {size} {SAYS[seen]} than {than} ({bounds}): {agrees}."


def more(setting: Setting) -> str:
    """What would tell more than this form did."""
    return "--full or more --seeds may." if setting.quick else "More --seeds may."


def seeds_text(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"
