"""Advice while a network learns: one line as soon as it is clear what is wrong."""

from __future__ import annotations

import sys
from typing import Any

from millrace.diagnosis.finding import Finding
from millrace.diagnosis.judge import judge
from millrace.diagnosis.record import Facts, Record, Vitals
from millrace.training.callback import Callback, Logs


class Advice(Callback):
    """Prints a line when it becomes clear that something is wrong with a run; each thing is said once.

    `fit` has one unless verbose=0. language: "en" or "zh". What it knows, and how sure that is, stands in
    docs/diagnosis.md; `findings` is what it has said in this process.
    """

    everywhere = False
    rank = 1
    early = True  # a checkpoint holds what it has seen, up to the epoch that it stands for

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self.reset()

    def reset(self) -> None:
        """As before a run."""
        self.curves: dict[str, list[float]] = {}
        self.vitals: list[Vitals] = []
        self.facts: Facts | None = None
        self.findings: list[Finding] = []
        self.told: list[str] = []

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        self.steps = plan["program"].steps
        if not plan["initial_epoch"] and not plan["initial_step"]:
            self.reset()
        if self.steps.gauges is not None:
            self.facts = self.facts or plan["program"].facts  # of a run that goes on they are known
            self.tell()

    def on_vitals(self, epoch: int, vitals: Vitals) -> None:
        self.vitals.append(vitals)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        for name, value in logs.items():
            self.curves.setdefault(name, []).append(value)
        self.tell()

    def on_finish(self) -> None:
        if hasattr(self, "steps") and not bool(self.steps.healthy.numpy()):
            self.tell(broke=True)

    def tell(self, broke: bool = False) -> None:
        """Say what is clear now, and was not."""
        for found in judge(Record(self.curves, self.vitals, self.facts, broke)):
            if found.rule not in self.told:
                self.told.append(found.rule)
                self.findings.append(found)
                print(found.advice(self.language), file=sys.stdout, flush=True)

    def state(self) -> dict[str, Any]:
        return {
            "told": list(self.told),
            "curves": {k: list(v) for k, v in self.curves.items()},
            "vitals": [one.line() for one in self.vitals],
            "facts": None if self.facts is None else self.facts.line(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.told = list(state["told"])
        self.curves = {name: list(curve) for name, curve in state["curves"].items()}
        self.vitals = [Vitals.of(line) for line in state["vitals"]]
        self.facts = Facts(**state["facts"]) if state.get("facts") else None
