"""A model's layers and how they are joined, as plain data: for saving, loading, summaries and drawings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millrace.functional import Input
from millrace.ir.core import Node, Value
from millrace.ir.errors import ArgumentError, FileError, GraphError, MillraceError, one_of
from millrace.ir.leaves import Placeholder
from millrace.ir.state import Read
from millrace.ir.text import operation_text, read_operation
from millrace.ir.types import TensorType
from millrace.layers.base import LAYERS, Layer
from millrace.layers.calls import Call, Given, call_of
from millrace.layers.saved import saved_form


@dataclass(frozen=True)
class Step:
    """One thing that a model does: a call of a layer, or a bare operation between layers."""

    made_by: Call | Node
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    @property
    def layer(self) -> Layer | None:
        return self.made_by.layer if isinstance(self.made_by, Call) else None


def steps_of(inputs: Sequence[Value], outputs: Sequence[Value]) -> list[Step]:
    """Every step from inputs to outputs, each after those that it needs."""
    order: list[Step] = []
    done: set[Value] = set(inputs)

    stack = [(value, False) for value in reversed(outputs)]
    while stack:
        current, ready = stack.pop()
        if current in done:
            continue
        made = call_of(current) or current.node
        if ready:
            order.append(Step(made, made.inputs, made.outputs))
            done.update(made.outputs)
        else:
            if not isinstance(made, Call) and isinstance(made.op, Placeholder):
                raise GraphError(f"the outputs use the input {made.op.label!r}, which is not among the model's inputs.")
            stack.append((current, True))
            stack.extend((x, False) for x in reversed(made.inputs) if x not in done)
    return order


def to_config(inputs: Sequence[Value], outputs: Sequence[Value], name: str) -> dict[str, Any]:
    """The model as JSON has it.  Raises ArgumentError for what cannot be saved."""
    numbers: dict[Value, int] = {}
    saved_inputs: list[dict[str, Any]] = []
    saved_steps: list[dict[str, Any]] = []
    layers: dict[Layer, int] = {}
    for value in inputs:
        numbers[value] = len(numbers)
        op: Any = value.op
        saved_inputs.append({"name": op.label, "type": str(value.type)})
    for step in steps_of(inputs, outputs):
        made = step.made_by
        positional = made.positional if isinstance(made, Call) else len(step.inputs)
        entry: dict[str, Any] = {"inputs": [numbers[x] for x in step.inputs[:positional]]}
        if isinstance(made, Call) and made.keywords:
            entry["keywords"] = {k: _by_name(g, [numbers[x] for x in step.inputs]) for k, g in made.keywords.items()}
        for value in step.outputs:
            numbers[value] = len(numbers)
        entry["outputs"] = [numbers[x] for x in step.outputs]
        if isinstance(made, Call):
            if made.layer in layers:
                entry["shared_with"] = layers[made.layer]
            else:
                layers[made.layer] = len(saved_steps)
                entry |= {"class_name": type(made.layer).__name__, "config": made.layer.get_config()}
        else:
            entry["operation"] = _operation_text(made)
        saved_steps.append(entry)
    return {"name": name, "inputs": saved_inputs, "steps": saved_steps, "outputs": [numbers[x] for x in outputs]}


def _by_name(given: Given, numbers: Sequence[int]) -> dict[str, Any]:
    """What a call was given by name: {"value": n}, {"values": [n, ...]} or {"setting": x}."""
    if given.positions is None:
        return {"setting": saved_form(given.setting)}
    return {"values" if isinstance(given.positions, tuple) else "value": given.among(numbers)}


def _given_by_name(saved: Mapping[str, Any], values: Sequence[Value]) -> Any:
    if "setting" in saved:
        return saved["setting"]
    return values[saved["value"]] if "value" in saved else [values[n] for n in saved["values"]]


def _operation_text(node: Node) -> str:
    written = operation_text(node.op)
    if isinstance(node.op, Read) or "sha256=" in written:
        what = "a variable" if isinstance(node.op, Read) else "a large constant"
        raise ArgumentError(
            f"{what} is used outside of any layer ({node.place()}), so the model cannot be saved: "
            "make it a weight of a layer with add_weight."
        )
    return written


def from_config(
    config: Mapping[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None
) -> tuple[list[Value], list[Value]]:
    """The inputs and outputs of a saved model, its layers made anew.

    Raises FileError for a layer that is unknown or a description that is not one.
    """
    known = {**LAYERS, **(custom_objects or {})}
    values: list[Value] = []
    layers: list[Layer | None] = []
    try:
        inputs = []
        for saved in config["inputs"]:
            type = TensorType.parse(saved["type"])
            batch_size = type.shape[0] if isinstance(type.shape[0], int) else None  # stateful layers need one
            inputs.append(Input(type.shape[1:], name=saved["name"], dtype=type.dtype, batch_size=batch_size))
        values += inputs
        for entry in config["steps"]:
            given = [values[n] for n in entry["inputs"]]
            if "operation" in entry:
                result: Any = _operation(entry["operation"], given)
                layers.append(None)
            else:
                layer = _layer(entry, known, layers)
                layers.append(layer)
                named = {k: _given_by_name(v, values) for k, v in entry.get("keywords", {}).items()}
                result = layer(*given, **named)
            values += result if isinstance(result, (list, tuple)) else [result]
        if not inputs or not config["outputs"]:
            raise FileError("the description of the model names no input or no output.")
        return inputs, [values[n] for n in config["outputs"]]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise FileError(f"the description of the model is damaged ({error!r}).") from None


def _layer(entry: Mapping[str, Any], known: Mapping[str, type[Layer]], layers: Sequence[Layer | None]) -> Layer:
    if "shared_with" in entry:
        shared = layers[entry["shared_with"]]
        assert shared is not None
        return shared
    name, config = entry["class_name"], entry["config"]
    if name not in known:
        error = one_of("layer", name, list(known))
        raise FileError(
            f"the model has a layer {config.get('name', '')!r} of class {name!r}: {error.args[0]}\n"
            f"  If the class is your own, pass it: load_model(path, custom_objects={{{name!r}: {name}}})."
        )
    try:
        takes = inspect.signature(known[name].from_config).parameters
        return known[name].from_config(config, **({"custom_objects": known} if "custom_objects" in takes else {}))
    except (TypeError, MillraceError) as error:
        raise FileError(
            f"layer {config.get('name', '')!r} ({name}) cannot be made from its description: {error}"
        ) from None


def _operation(source: str, given: Sequence[Value]) -> Any:
    """A bare operation, read with the reader of graph texts, which runs nothing."""
    return read_operation(source)(*given)
