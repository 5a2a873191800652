"""`millrace experiment`: a claim of the paper, tried."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from millrace import __version__
from millrace.data.folder import files
from millrace.experiments import EXPERIMENTS, Experiment, Outcome, Setting, experiment_named
from millrace.ir.errors import ArgumentError
from millrace.training.checkpoint import write_whole
from millrace.training.progress import duration

WIDTH = 80  # columns that everything fits in


def list_experiments() -> None:
    """Print every experiment with its claim."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    console.width = WIDTH
    table = Table(pad_edge=False, box=None)
    table.add_column("Experiment", no_wrap=True)
    table.add_column("What the paper says", overflow="fold")
    for one in EXPERIMENTS.values():
        table.add_row(one.name, f"{one.claim} ({one.source})")
    console.print(table)
    console.print(
        "\n`millrace experiment NAME` tries one, within 10 minutes on two cores (overfitting: 40); --full takes longer."
    )


def run_experiment(
    name: str, full: bool, seeds: int | None, out: Path, trained: Path | None = None, images: int | None = None,
    epochs: int | None = None,
) -> None:  # fmt: skip
    """Run an experiment, print what it found, and write that into a directory of its name.

    trained: a run whose network is looked at, by the experiments that can.

    Raises ArgumentError for an unknown name, a number of seeds below 1 or a run that the experiment cannot look at,
    FileError where data are missing or the directory cannot be written, KeyboardInterrupt with what that means for the
    files.
    """
    chosen = experiment_named(name)
    for option, value in (("--seeds", seeds), ("--images", images), ("--epochs", epochs)):
        if value is not None and value < 1:
            raise ArgumentError(f"{option} must be at least 1, got {value}.")
    if trained is not None and (seeds is not None or not chosen.reads_run):
        able = ", ".join(one.name for one in EXPERIMENTS.values() if one.reads_run)
        raise ArgumentError(
            f"--run gives the trained network that {able} look at; {name} "
            + ("trains none then: leave --seeds out." if chosen.reads_run else "trains its own: leave --run out.")
        )
    for data in () if trained is not None else chosen.data:
        files(data)  # raises FileError that says where to put them, before anything is done
    place = out / name
    setting = chosen.setting(place, told, full, seeds, trained, images, epochs)
    print(introduction(chosen, setting))
    started = time.perf_counter()
    try:
        found = chosen.run(setting)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped: {place} is as it was before.") from None
    seconds = time.perf_counter() - started
    text = result(found)
    print(f"\n{text}")
    write_whole(place / "table.txt", f"{introduction(chosen, setting)}\n\n{text}".encode())
    kept = numbers(chosen, setting, found, seconds)
    write_whole(place / "numbers.json", (json.dumps(kept, indent=1, default=float) + "\n").encode())
    print(f"Took {duration(seconds)}.")
    for path in [*found.figures, place / "table.txt", place / "numbers.json"]:
        print(f"  {path}")


def told(line: str) -> None:
    """A line on how far it is, at once: somebody may be watching through a pipe."""
    print(wrapped(line, "    "), flush=True)


def introduction(chosen: Experiment, setting: Setting) -> str:
    """What is about to be tried."""
    seeds = len(setting.seeds)
    count = "1 seed" if seeds == 1 else f"seeds {setting.seeds[0]} to {setting.seeds[-1]}"
    form = chosen.quick if setting.quick else chosen.full
    how = f"The {setting.form} form, {count}: {form}."
    usual = chosen.quick_scale if setting.quick else chosen.full_scale
    asked = [(setting.scale.images, usual.images, "images"), (setting.scale.epochs, usual.epochs, "epochs at most")]
    changed = [f"{value:,} {what}" for value, before, what in asked if value != before]
    if changed:
        how += f" But, as asked: {', '.join(changed)}."
    if setting.trained is not None:
        how = f"It looks at the network of {setting.trained}."
    return "\n".join(
        [
            wrapped(f"{chosen.name}: the paper says that {chosen.claim} ({chosen.source}).", "  "),
            wrapped(how, "  "),
        ]
    )


def result(found: Outcome) -> str:
    """What an experiment found: its table, the paper's figure, the verdict, and how it was measured."""
    lines = [table(found.columns, found.rows), "", wrapped(f"Paper: {found.paper}.", "  ")]
    lines.append(wrapped(f"Here: {found.verdict}", "  "))
    lines += [wrapped(f"({note})", "  ") for note in found.notes]
    return "\n".join(lines) + "\n"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as text, no line longer than 80 columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    made = Table(pad_edge=False, box=box.SIMPLE_HEAD)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*row)
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(made)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


def wrapped(text: str, indent: str) -> str:
    """Text in lines of at most 80 columns, all but the first indented."""
    from textwrap import wrap

    first = text[: len(text) - len(text.lstrip())]
    return "\n".join(wrap(text.strip(), WIDTH, initial_indent=first, subsequent_indent=first + indent))


def numbers(chosen: Experiment, setting: Setting, found: Outcome, seconds: float) -> Mapping[str, Any]:
    """What was found, for programs: with the setting that it was found in."""
    return {
        "experiment": chosen.name,
        "claim": chosen.claim,
        "source": chosen.source,
        "form": setting.form,
        "scale": asdict(setting.scale),
        "seeds": list(setting.seeds),
        "seconds": round(seconds, 1),
        "millrace": __version__,
        "paper": found.paper,
        "verdict": found.verdict,
        "notes": list(found.notes),
        "columns": list(found.columns),
        "rows": [list(row) for row in found.rows],
        "figures": [path.name for path in found.figures],
        "numbers": found.numbers,
    }
