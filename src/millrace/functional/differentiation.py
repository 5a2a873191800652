"""Gradients, as values of the graph."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from millrace.functional.convert import as_value
from millrace.ir import gradient
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError
from millrace.ir.state import Variable


def _namespace() -> Any:
    return sys.modules["millrace.functional"]


def gradients(loss: Value, wrt: Sequence[Value | Variable], unconnected: str = "error") -> list[Value]:
    """How `loss` changes with each of `wrt`, as new values of the graph.

    loss: one float, shape []. wrt: variables, inputs, or any values. Each gradient has its value's type,
    and can be printed, simplified and differentiated again. `unconnected="zero"` gives zeros, instead of
    an error, where the loss does not depend on a value.

    Raises GradientError where there is no gradient: why, and at which of your lines.
    Source: Griewank and Walther, Evaluating Derivatives, ch. 3.
    """
    if unconnected not in ("error", "zero"):
        raise ArgumentError(f"unconnected must be 'error' or 'zero', got {unconnected!r}.")
    if isinstance(wrt, (Value, Variable)):
        raise ArgumentError("gradients takes a list of values: mr.gradients(loss, [w]).")
    for x in wrt:
        if not isinstance(x, (Value, Variable)):
            raise ArgumentError(f"gradients are taken with respect to values and variables, got {x!r}.")
    names = [f"variable {x.name!r}" if isinstance(x, Variable) else f"the {x.op.name} value" for x in wrt]
    exact = [x.value if isinstance(x, Variable) else x for x in wrt]  # not as autocast reads it
    return gradient.gradients(_namespace(), as_value(loss), exact, names, unconnected)


def vjp(outputs: Any, inputs: Sequence[Value], cotangents: Any) -> tuple[Value | None, ...]:
    """Cotangents of the inputs from those of the outputs; the inputs are held fixed to each other."""
    outs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    given = cotangents if isinstance(cotangents, (tuple, list)) else (cotangents,)
    wanted = [x for x in inputs if x.type.is_float]
    found, _ = gradient.pull_back(_namespace(), outs, given, wanted, partial=True)
    by_input = dict(zip(wanted, found, strict=True))
    return tuple(by_input.get(x) for x in inputs)
