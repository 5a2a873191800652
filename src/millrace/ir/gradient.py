"""Reverse-mode differentiation, graph to graph.

Each operation says how a change of its output changes its inputs; this file walks the graph backwards
and adds up. What it builds is a graph like any other: print it, simplify it, differentiate it again.
Source: Griewank and Walther, Evaluating Derivatives, ch. 3 (reverse mode).
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from millrace.ir.core import Node, Value, made_by, none, snake
from millrace.ir.errors import GradientError, GraphError
from millrace.ir.graph import topological

STEPWISE = "its result does not change smoothly with its inputs"


@dataclass(frozen=True)
class Applied:
    """One operation's gradient rule as it was applied.

    arrived: how the loss changes with each output; given: what the rule says of each input, None for one that does not
    matter; total: all that has come to each input so far, where it is used more than once. inside: how many rules of
    operations that are made of others this one belongs to.
    """

    node: Node
    arrived: tuple[Value | None, ...]
    given: tuple[Value | None, ...]
    total: tuple[Value | None, ...]
    inside: int


_observer: contextvars.ContextVar[Callable[[Applied], None] | None] = contextvars.ContextVar("observer", default=None)
_inside: contextvars.ContextVar[int] = contextvars.ContextVar("inside", default=0)


@contextmanager
def observed(observe: Callable[[Applied], None]) -> Iterator[None]:
    """Differentiation inside tells `observe` each rule that it applies, in its order."""
    token = _observer.set(observe)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def _within_a_rule() -> Iterator[None]:
    token = _inside.set(_inside.get() + 1)
    try:
        yield
    finally:
        _inside.reset(token)


def pull_back(
    mr: Any, outputs: Sequence[Value], cotangents: Sequence[Value | None], wrt: Sequence[Value], partial: bool
) -> tuple[list[Value | None], list[Node]]:
    """Cotangents of `wrt`, None where nothing flows; and the nodes where the flow was stopped.

    `partial` holds the values of `wrt` fixed to each other: nothing flows through one to another.
    """
    stop = frozenset(wrt) if partial else frozenset()
    nodes = topological(outputs, stop)
    active: set[Value] = set(wrt)
    for node in nodes:
        if any(value in active for value in node.inputs):
            active.update(node.outputs)

    sums: dict[Value, Value] = {}

    def add(value: Value, cotangent: Value) -> None:
        if cotangent.type != value.type:
            raise GraphError(f"a gradient of {value.type} has type {cotangent.type} ({value.node.place()})")
        sums[value] = mr.add(sums[value], cotangent) if value in sums else cotangent

    for value, seed in zip(outputs, cotangents, strict=True):
        if seed is not None and value in active:
            add(value, seed)
    stopped: list[Node] = []
    for node in reversed(nodes):
        flowing = [sums.get(value) for value in node.outputs]
        if not any(g is not None for g in flowing) or not any(value in active for value in node.inputs):
            continue
        if isinstance(node.op.gradient, none):
            stopped.append(node)
            continue
        with made_by(node), _within_a_rule():
            if len(node.outputs) == 1:
                given = node.op.gradient(mr, flowing[0], node.outputs[0], *node.inputs)
            else:
                full = tuple(mr.zeros_like(v) if g is None else g for g, v in zip(flowing, node.outputs, strict=True))
                given = node.op.gradient(mr, full, node.outputs, *node.inputs)
            parts = given if isinstance(given, (tuple, list)) else (given,)
            if all(part is None for part, x in zip(parts, node.inputs, strict=True) if x in active):
                stopped.append(node)
            used = tuple(part if x in active else None for part, x in zip(parts, node.inputs, strict=True))
            for value, part in zip(node.inputs, used, strict=True):
                if part is not None:
                    add(value, part)
        observe = _observer.get()
        if observe is not None:
            observe(Applied(node, tuple(flowing), used, tuple(sums.get(x) for x in node.inputs), _inside.get()))
    return [sums.get(value) for value in wrt], stopped


def gradients(mr: Any, loss: Value, wrt: Sequence[Value], names: Sequence[str], unconnected: str) -> list[Value]:
    """The gradient of a scalar `loss` with respect to each value; see `millrace.gradients`."""
    if loss.shape != () or not loss.type.is_float:
        raise GradientError(
            f"the gradient of a {loss.type} is not defined: reduce it to one float, for example with mr.mean."
            f"\n  {loss.node.place()}"
        )
    found, stopped = pull_back(mr, [loss], [mr.ones_like(loss)], wrt, partial=False)
    results = []
    for value, name, gradient in zip(wrt, names, found, strict=True):
        if not value.type.is_float:
            raise GradientError(f"{name} is {value.type}: only floating-point values have gradients.")
        if gradient is None and unconnected == "error":
            reasons = [
                f"{snake(node.op.name)} {node.place()}: {getattr(node.op.gradient, 'reason', STEPWISE)}"
                for node in stopped
                if value.node in set(topological(node.outputs))
            ]
            why = "every path to it ends:\n  " + "\n  ".join(reasons) if reasons else "the loss does not use it."
            raise GradientError(
                f"the loss has no gradient with respect to {name}: {why}\n"
                "  Pass unconnected='zero' if zero is what you want."
            )
        results.append(mr.zeros_like(value) if gradient is None else gradient)
    return results
