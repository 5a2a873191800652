"""Train all runs of `runs.py`, keep their numbers, and write the table of hits and misses into docs/diagnosis.md.

    MILLRACE_DATA=... python tests/diagnosis/make_table.py [--judge] [--seed N] [PART OF A NAME]

--judge: from the numbers that were kept, without training. With a part of a name only such runs are trained anew.
--seed: first weights and order of another seed than 0; then the tables are only printed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from making import Run
from runs import runs

from millrace.diagnosis.judge import NAMES, first_told
from millrace.diagnosis.record import Record

CURVES = Path(__file__).with_name("curves.json")
PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"
START, END = "<!-- table: made by tests/diagnosis/make_table.py -->", "<!-- end of the table -->"


def kept() -> dict[str, dict[str, Any]]:
    """The numbers of each run by its name."""
    return dict(json.loads(CURVES.read_text("utf-8"))) if CURVES.is_file() else {}


def lines(record: Record) -> dict[str, Any]:
    """A record as JSON has it, three digits of each number."""
    curves = {name: [short(v) for v in curve] for name, curve in record.curves.items()}
    vitals = [one.line() for one in record.vitals]
    facts = None if record.facts is None else record.facts.line()
    return {"curves": curves, "facts": facts, "vitals": vitals, "broke": record.broke}


def short(value: float) -> float:
    return float(f"{value:.4g}")


def record_of(numbers: dict[str, Any]) -> Record:
    """What `lines` was given."""
    count = len(numbers["curves"].get("loss", ()))
    metrics = [{"epoch": n + 1, **{k: float(v[n]) for k, v in numbers["curves"].items()}} for n in range(count)]
    facts = [] if numbers["facts"] is None else [{"epoch": 0, **numbers["facts"]}]
    return Record.of(metrics, [*facts, *numbers["vitals"]], numbers["broke"])


def found_in(numbers: dict[str, Any]) -> dict[str, int]:
    """What is said of a run while it trains: after which epoch, by the diagnosis."""
    return {rule: epoch for rule, (epoch, _) in first_told(record_of(numbers)).items()}


def verdicts(
    numbers: dict[str, dict[str, Any]], all_runs: list[Run]
) -> dict[str, tuple[int, int, list[str], int, int, list[str]]]:
    """For each diagnosis: of the runs that must have it, how many do, and which do not; and of those that must not."""
    found = {run.name: found_in(numbers[run.name]) for run in all_runs if run.name in numbers}
    made = {}
    for rule in NAMES:
        must = [run.name for run in all_runs if run.name in found and rule in run.wrong]
        never = [run.name for run in all_runs if run.name in found and rule not in (*run.wrong, *run.may)]
        missed = [name for name in must if rule not in found[name]]
        false = [name for name in never if rule in found[name]]
        made[rule] = (len(must) - len(missed), len(must), missed, len(false), len(never), false)
    return made


def table(numbers: dict[str, dict[str, Any]], all_runs: list[Run]) -> str:
    """The two tables of the page: by diagnosis, and by run."""
    rows = ["| diagnosis | found where it must be | found where it must not be |", "|---|---|---|"]
    for rule, (hits, must, missed, false, never, wrongly) in verdicts(numbers, all_runs).items():
        more = "".join(f"; missed: {name}" for name in missed)
        wrong = "".join(f"; {name}" for name in wrongly)
        rows.append(f"| `{rule}` | {hits} of {must}{more} | {false} of {never}{wrong} |")
    rows += ["", "| run | must be found | was said, after epoch |", "|---|---|---|"]
    for run in all_runs:
        if run.name in numbers:
            said = ", ".join(f"`{rule}` {epoch}" for rule, epoch in found_in(numbers[run.name]).items())
            wrong = ", ".join(f"`{rule}`" for rule in run.wrong)
            rows.append(f"| {run.name} | {wrong or '-'} | {said or '-'} |")
    return "\n".join(rows)


def main(arguments: list[str]) -> None:
    seed = int(arguments.pop(arguments.index("--seed") + 1)) if "--seed" in arguments else 0
    numbers, all_runs = {} if seed else kept(), runs()
    words = [word for word in arguments if not word.startswith("--")]
    for run in all_runs if "--judge" not in arguments else ():
        if all(word in run.name for word in words):
            numbers[run.name] = lines(run.made(seed))
            print(f"{run.name}: {found_in(numbers[run.name])}", flush=True)
    print(table(numbers, all_runs))
    if not seed:
        ordered = {run.name: numbers[run.name] for run in all_runs if run.name in numbers}
        CURVES.write_text(json.dumps(ordered, separators=(",", ":")).replace('},"', '},\n"') + "\n", "utf-8")
        before, rest = PAGE.read_text("utf-8").split(START, 1)
        PAGE.write_text(f"{before}{START}\n{table(numbers, all_runs)}\n{END}{rest.split(END, 1)[1]}", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
