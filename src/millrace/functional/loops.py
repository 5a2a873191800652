"""A loop over time, written as a function of one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from millrace.functional.convert import as_value
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError
from millrace.ir.graph import Graph, again, rebuilt, topological
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.text import Body
from millrace.ops.scan import Scan


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else () if x is None else (x,)


def scan(
    step: Callable[..., Any], init: Any, xs: Any = None, length: int | None = None, reverse: bool = False
) -> tuple[Any, Any]:
    """Apply `step(state, x) -> (state, y)` along the first axis of xs, handing the state on.

    init: one value or a tuple; xs: one value, a tuple, or None (then `length` counts the steps). Returns
    the last state and the ys stacked over time, in the same forms. Values from outside that `step` uses,
    such as weights, are handed in; the gradient is a scan too.

    Raises ArgumentError if neither xs nor length says how many steps to run.
    Source: JAX lax.scan.
    """
    states = tuple(as_value(x) for x in _tuple(init))
    sequences = tuple(as_value(x) for x in _tuple(xs))
    if not sequences and length is None:
        raise ArgumentError("scan needs xs, or length to say how many steps to run.")
    steps = sequences[0].shape[0] if sequences else length

    state_in = tuple(Placeholder(f"state{n}", x.type)() for n, x in enumerate(states))
    slice_in = tuple(Placeholder(f"x{n}", x.type.with_shape(*x.shape[1:]))() for n, x in enumerate(sequences))
    one_state = state_in[0] if not isinstance(init, (tuple, list)) else state_in
    one_slice: Any = slice_in
    if not isinstance(xs, (tuple, list)):
        one_slice = slice_in[0] if slice_in else None
    result = step(one_state, one_slice)
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentError("the step of a scan must return two things: the new state, and an output or None.")
    new_states = tuple(as_value(x) for x in _tuple(result[0]))
    outputs = tuple(as_value(x) for x in _tuple(result[1]))
    if len(new_states) != len(states):
        raise ArgumentError(f"the step of a scan got {len(states)} states and returned {len(new_states)}.")

    inputs, results, outside = _closed((*state_in, *slice_in), (*new_states, *outputs))
    body = Body(Graph(inputs, results))
    made = Scan(body, len(states), len(sequences), steps, reverse)(*states, *sequences, *outside)  # type: ignore[arg-type]
    made = made if isinstance(made, tuple) else (made,)
    last, stacked = made[: len(states)], made[len(states) :]
    last = last if isinstance(init, (tuple, list)) else last[0]
    if result[1] is None:
        return last, None
    return last, stacked if isinstance(result[1], (tuple, list)) else stacked[0]


def _closed(
    inputs: Sequence[Value], results: Sequence[Value]
) -> tuple[tuple[Value, ...], tuple[Value, ...], tuple[Value, ...]]:
    """The step with every value from outside turned into an input of its own."""
    nodes = topological(results, frozenset(inputs))
    inside = set(inputs)
    for node in nodes:
        if any(x in inside for x in node.inputs):
            inside.update(node.outputs)
    used = [x for node in nodes if node.outputs[0] in inside for x in node.inputs] + list(results)
    outside = tuple(dict.fromkeys(x for x in used if x not in inside and not isinstance(x.op, Constant)))
    handed = {x: Placeholder(f"outside{n}", x.type)() for n, x in enumerate(outside)}
    new = rebuilt(
        topological(results, frozenset((*inputs, *outside))),
        lambda node, inputs: again(node, node.op, inputs),
        dict(handed),
    )
    return (*inputs, *handed.values()), tuple(new.get(x, x) for x in results), outside
