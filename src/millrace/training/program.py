"""A training run as one graph: input, step, evaluation, recording and saving, joined by queues and variables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from millrace.diagnosis.record import Facts
from millrace.engines.function import Function
from millrace.ir.core import Value
from millrace.ir.dims import solve
from millrace.ir.graph import Graph
from millrace.ir.state import Variable
from millrace.ir.stream import Stage
from millrace.ops.stages import Dequeue, Evaluate, Every
from millrace.training.facts import facts_of
from millrace.training.inputs import Input
from millrace.training.parts import TRAINING, VALIDATION, program_text
from millrace.training.step import Steps


class Program:
    """What a run does as one graph, before it does it; `show` prints it, region by region.

    graphs: "training", and "validation" where the run has held-out data. Each begins with the stages of its input and
    goes on, behind a queue, with the compiled step; in the training graph the stages that evaluate, record and save
    follow, each behind an `Every` that says when. The two share the model's variables.
    """

    def __init__(
        self, steps: Steps, training: Input, validation: Input | None, effects: Sequence[tuple[Every, Stage]],
        name: str = "model",
    ):  # fmt: skip
        self.steps, self.training, self.validation, self.effects = steps, training, validation, tuple(effects)
        self.name = name

    @cached_property
    def graphs(self) -> dict[str, Graph]:
        outputs, updates = joined(self.steps.train, self.training)
        completed = updates[self.steps.completed]
        times: dict[Every, Value] = {}
        if self.validation is not None:
            times[Every()] = Evaluate(VALIDATION)(Every()(completed))
            outputs.append(times[Every()])
        for every, stage in self.effects:
            if every not in times:
                times[every] = every(completed)
            outputs.append(stage(times[every]))
        made = {TRAINING: Graph([], outputs, updates)}
        if self.validation is not None:
            made[VALIDATION] = Graph([], *joined(self.steps.test, self.validation))
        return made

    @cached_property
    def facts(self) -> Facts:
        """What is known of the data before the first step: it reads them, in seconds at most."""
        return facts_of(self.steps, self.training, self.validation)

    def show(self) -> None:
        """Print the regions, what each does, and the queues between them."""
        print(self)

    def __str__(self) -> str:
        return program_text(self.graphs, self.name)


def joined(function: Function, given: Input) -> tuple[list[Value], dict[Variable, Value]]:
    """A step behind its input's queue: what it gives, and the new values of its variables."""
    taken = Dequeue()(given.queue)
    arrays = taken if isinstance(taken, tuple) else (taken,)
    sizes: dict[str, int] = {}
    for placeholder, array in zip(function.graph.inputs, arrays, strict=True):
        for size, value in zip(placeholder.shape, array.shape, strict=True):
            solve(size, value, sizes)
    graph = function.graph.bind(sizes)
    new = graph.substitute(dict(zip(graph.inputs, arrays, strict=True)))
    assigned = {variable: value.node.inputs[0] for variable, value in graph.updates.items()}
    return [new.get(x, x) for x in graph.outputs], {variable: new.get(x, x) for variable, x in assigned.items()}
