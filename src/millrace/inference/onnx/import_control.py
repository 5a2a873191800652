"""Branches and loops: graphs within a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace.inference.onnx.translating import Call, Given, translates, value_of
from millrace.ir.core import Value


def _run(call: Call, graph: str, given: Sequence[Given]) -> list[Given]:
    proto = call.attribute(graph)
    if proto is None or call.within is None:
        raise call.refused(f"it lacks its graph {graph!r}")
    return call.within(proto, given)


def _values(call: Call, given: Sequence[Given]) -> list[Value]:
    if any(x is None for x in given):
        raise call.refused("one of its states or results is left out")
    return [value_of(x) for x in given if x is not None]


@translates("If")
def branch(mr: Any, call: Call) -> Any:
    """The branch of a condition that is known; else both, where they give the same types, and the choice between."""
    condition = call.inputs[0] if call.inputs else None
    if condition is None or isinstance(condition, Value):
        chosen = call.value(0)
        both = [_values(call, _run(call, name, [])) for name in ("then_branch", "else_branch")]
        types = [[value.type for value in side] for side in both]
        if types[0] != types[1] or chosen.type.size != 1:
            raise call.refused("its condition is computed from data, and its branches give different shapes")
        flat = mr.reshape(chosen, ())
        return tuple(mr.where(flat, a, b) for a, b in zip(*both, strict=True))
    holds = bool(call.known(0, "condition").reshape(-1)[0])
    return tuple(_run(call, "then_branch" if holds else "else_branch", []))


UNROLLED = 64  # turns of a loop that are written out; more become a scan
MOST_TURNS = 2**20


@translates("Loop")
def loop(mr: Any, call: Call) -> Any:
    """A loop whose number of turns is known: short ones are written out, long ones are a scan."""
    limit = int(call.known(0, "number of turns").reshape(-1)[0]) if call.has(0) else MOST_TURNS
    goes_on = bool(call.known(1, "condition").reshape(-1)[0]) if call.has(1) else True
    states: list[Given] = list(call.inputs[2:])
    if UNROLLED < limit < MOST_TURNS and goes_on:
        return _scanned(mr, call, limit)
    stacked: list[list[Given]] = [[] for _ in range(call.outputs - len(states))]
    turns = 0
    while goes_on and turns < limit:
        if turns == UNROLLED:
            raise call.refused(f"it takes more than {UNROLLED} turns before its condition ends it")
        made = _run(call, "body", [np.array(turns, np.int64), np.array(True), *states])
        goes_on, states = _goes_on(call, made[0]), made[1 : 1 + len(states)]
        for several, one in zip(stacked, made[1 + len(states) :], strict=True):
            several.append(one)
        turns += 1
    if not turns and stacked:
        raise call.refused("it takes no turn, and so gives nothing to stack")
    return (*states, *(_stack(mr, call, several) for several in stacked))


def _goes_on(call: Call, condition: Given) -> bool:
    if condition is None or isinstance(condition, Value):
        raise call.refused("its condition is computed from data")
    return bool(condition.reshape(-1)[0])


def _stack(mr: Any, call: Call, several: list[Given]) -> Given:
    if all(isinstance(one, np.ndarray) for one in several):
        return np.stack([one for one in several if isinstance(one, np.ndarray)])
    made: Value = mr.stack(_values(call, several))
    return made


def _scanned(mr: Any, call: Call, limit: int) -> Any:
    """A loop of many turns, whose states keep their types and whose condition always holds."""

    def step(state: tuple[Value, ...], turn: Value) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        made = _run(call, "body", [turn, np.array(True), *state])
        if not _goes_on(call, made[0]):
            raise call.refused("its condition ends it after the first turn")
        values = _values(call, made[1:])
        return tuple(values[: len(state)]), tuple(values[len(state) :])

    last, stacked = mr.scan(step, tuple(_values(call, call.inputs[2:])), mr.iota((limit,), 0, "int64"))
    return (*last, *stacked)


@translates("Scan")
def scan(mr: Any, call: Call) -> Any:
    """A loop over sequences: the body takes the states and a slice of each, gives new states and what is stacked."""
    if call.opset < 9:
        raise call.refused("it is the Scan of version 8, with a batch: export the model for version 9 or later")
    sequences = int(call.attribute("num_scan_inputs", 0))
    count = len(call.inputs) - sequences
    values = _values(call, call.inputs)
    states, xs = values[:count], values[count:]
    axes = call.attribute("scan_input_axes", [0] * sequences)
    back = call.attribute("scan_input_directions", [0] * sequences)
    xs = [mr.moveaxis(x, axis, 0) for x, axis in zip(xs, axes, strict=True)]
    xs = [mr.flip(x, 0) if reverse else x for x, reverse in zip(xs, back, strict=True)]

    def step(state: tuple[Value, ...], slices: tuple[Value, ...]) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        made = _values(call, _run(call, "body", [*state, *slices]))
        return tuple(made[:count]), tuple(made[count:])

    last, stacked = mr.scan(step, tuple(states), tuple(xs))
    out_axes = call.attribute("scan_output_axes", [0] * len(stacked))
    out_back = call.attribute("scan_output_directions", [0] * len(stacked))
    stacked = [mr.flip(y, 0) if reverse else y for y, reverse in zip(stacked, out_back, strict=True)]
    return (*last, *(mr.moveaxis(y, 0, axis) for y, axis in zip(stacked, out_axes, strict=True)))
