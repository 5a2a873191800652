"""A model as a table: layers, shapes, parameters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from millrace.ir.core import Node, Value, snake
from millrace.ir.dims import Size, product, shape_text
from millrace.ir.state import Variable
from millrace.layers.base import Call
from millrace.training.architecture import Step


class Summarized(Protocol):
    """What of a model its table shows."""

    name: str
    inputs: list[Value]
    steps: list[Step]

    @property
    def trainable_weights(self) -> list[Variable]: ...

    @property
    def non_trainable_weights(self) -> list[Variable]: ...


@dataclass(frozen=True)
class Row:
    """One line of the table. `parameters` is 0 where a layer is used again."""

    name: str
    kind: str
    shape: tuple[Size, ...]
    parameters: int
    inputs: tuple[str, ...]


def rows(model: Summarized) -> list[Row]:
    """The table's lines: the inputs, then each step in order."""
    made: list[Row] = []
    names: dict[Any, str] = {}
    for value in model.inputs:
        op: Any = value.op
        names[value] = op.label
        made.append(Row(op.label, "Input", value.shape, 0, ()))
    counted: set[Any] = set()
    for step in model.steps:
        if isinstance(step.made_by, Node):
            name, kind, parameters = snake(step.made_by.op.name), step.made_by.op.name, 0
        else:
            assert isinstance(step.made_by, Call)
            layer = step.made_by.layer
            name, kind = layer.name, type(layer).__name__
            parameters = 0 if layer in counted else layer.count_params()
            counted.add(layer)
        for value in step.outputs:
            names[value] = name
        inputs = tuple(names.get(value, "?") for value in step.inputs)
        made.append(Row(name, kind, step.outputs[0].shape, parameters, inputs))
    return made


def parameter_counts(model: Summarized) -> tuple[int, int]:
    """Trainable and other parameters."""
    learned, other = (
        sum(int(product(v.shape)) for v in variables if v.type.is_float)
        for variables in (model.trainable_weights, model.non_trainable_weights)
    )
    return learned, other


def print_summary(model: Summarized) -> None:
    from rich.console import Console
    from rich.table import Table

    lines = rows(model)
    straight = all(row.inputs == (before.name,) for before, row in pairwise(lines))
    table = Table(title=f"Model {model.name}", title_justify="left", pad_edge=False)
    for column in ("Layer", "Kind", "Output", *(() if straight else ("From",))):
        table.add_column(column, overflow="fold")
    table.add_column("Parameters", justify="right")
    for row in lines:
        origin = () if straight else (", ".join(row.inputs),)
        table.add_row(row.name, row.kind, shape_text(row.shape).replace("[", r"\["), *origin, f"{row.parameters:,}")
    learned, other = parameter_counts(model)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{learned + other:,} parameters: {learned:,} learned, {other:,} not. The batch size is in none of them."
    )
