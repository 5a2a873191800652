"""A model as a table: layers, their hyperparameters, shapes, parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from millrace.ir.core import Node, Value, snake
from millrace.ir.dims import Dim, Size, bind, product, shape_text
from millrace.ir.errors import ArgumentError
from millrace.ir.state import Variable
from millrace.layers.base import Layer
from millrace.layers.calls import Call
from millrace.layers.saved import saved_form
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
    hyperparameters: dict[str, Any] = field(default_factory=dict)


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
        hyperparameters: dict[str, Any] = {}
        if isinstance(step.made_by, Node):
            name, kind, parameters = snake(step.made_by.op.name), step.made_by.op.name, 0
        else:
            assert isinstance(step.made_by, Call)
            layer = step.made_by.layer
            name, kind, hyperparameters = layer.name, type(layer).__name__, layer.hyperparameters
            parameters = 0 if layer in counted else layer.count_params()
            counted.add(layer)
        for value in step.outputs:
            names[value] = name
        inputs = tuple(names.get(value, "?") for value in step.inputs)
        made.append(Row(name, kind, step.outputs[0].shape, parameters, inputs, hyperparameters))
    return made


def hyperparameters_text(row: Row) -> str:
    """What was decided about a layer, in one line: units=10, activation=softmax."""
    return ", ".join(f"{name}={_short(value)}" for name, value in row.hyperparameters.items())


def _short(value: Any) -> str:
    if isinstance(value, Layer):
        return type(value).__name__
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_short, value))})"
    if isinstance(value, Mapping) and "class_name" in value:  # from a file
        config = {k: v for k, v in value.get("config", {}).items() if v is not None}
        return f"{value['class_name']}({', '.join(f'{k}={_short(v)}' for k, v in config.items())})"
    if isinstance(value, str):
        return value
    if hasattr(value, "get_config"):
        return _short(saved_form(value))
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return f"{value:g}" if isinstance(value, float) else str(value)


def parameter_counts(model: Summarized) -> tuple[int, int]:
    """Trainable and other parameters."""
    learned, other = (
        sum(int(product(v.shape)) for v in variables if v.type.is_float)
        for variables in (model.trainable_weights, model.non_trainable_weights)
    )
    return learned, other


def output_numbers(table: list[Row]) -> Size:
    """How many numbers the layers make of one batch: a multiple of the batch size."""
    total: Size = 0
    for row in table:
        if row.kind != "Input":
            total = total + product(row.shape)
    return total


def print_summary(model: Summarized, batch_size: int | None = None) -> None:
    """Print the table; with a batch size, its numbers stand where the batch's name is otherwise."""
    from rich.console import Console
    from rich.table import Table

    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise ArgumentError(f"batch_size must be a whole number of at least 1, got {batch_size!r}.")
    sizes = {} if batch_size is None else {"batch": batch_size}
    lines = rows(model)
    straight = all(row.inputs == (before.name,) for before, row in pairwise(lines))
    table = Table(title=f"Model {model.name}", title_justify="left", pad_edge=False)
    for column in ("Layer", "Kind and hyperparameters", "Output", *(() if straight else ("From",))):
        table.add_column(column, overflow="fold")
    table.add_column("Parameters", justify="right", no_wrap=True)
    for row in lines:
        origin = () if straight else (", ".join(row.inputs),)
        shape = shape_text(tuple(bind(size, sizes) for size in row.shape)).replace("[", r"\[")
        decided = hyperparameters_text(row).replace("[", r"\[")
        kind = f"{row.kind}\n[dim]{decided}[/dim]" if decided else row.kind
        table.add_row(row.name, kind, shape, *origin, f"{row.parameters:,}")
    learned, other = parameter_counts(model)
    numbers = output_numbers(lines)
    shown = f"{numbers:,}" if isinstance(numbers, int) else str(numbers)
    if sizes and isinstance(numbers, Dim):
        bound = bind(numbers, sizes)
        shown = f"{shown} = {bound:,}" if isinstance(bound, int) else str(bound)
    console = Console(highlight=False)
    console.print(table)
    console.print(f"{learned + other:,} parameters: {learned:,} learned, {other:,} not. No batch size is in them.")
    console.print(f"The layers make {shown} numbers: twice the batch, twice as many.")
