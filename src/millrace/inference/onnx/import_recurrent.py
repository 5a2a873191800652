"""ONNX's recurrent operations as loops over time: RNN, GRU and LSTM, forward, backward or both.

Sequences shorter than the batch's steps: a step past a sequence's end leaves its state as it was and gives zeros. So
the backward loop, which begins at the last step, begins each sequence at its own end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from millrace.inference.onnx.recurrent_activations import Activation, activations
from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value

States = tuple[Value, ...]
Step = Callable[[Value, States], States]  # what x gives the gates, and the states before; the states after


@dataclass(frozen=True)
class _Direction:
    """One direction of a layer: its weights, gate by gate, and activations.

    to_state: R transposed [hidden, gates * hidden]; bias_x and bias_h: W's and R's halves of B [gates * hidden].
    """

    mr: Any
    call: Call
    hidden: int
    weights: Value
    to_state: Value
    bias_x: Value | None
    bias_h: Value | None
    peepholes: tuple[Value, ...]
    activations: tuple[Activation, ...]

    def from_x(self, x: Value, bias: Value | None) -> Value:
        """What x [time, batch, inputs] gives all gates at all steps, in one product."""
        made = self.mr.matmul(x, self.weights)
        return made if bias is None else self.mr.add(made, bias)

    def from_state(self, h: Value, first: int, last: int) -> Value:
        """What a state gives the gates from first up to last."""
        return self.mr.matmul(h, self.mr.slice_axis(self.to_state, 1, first * self.hidden, last * self.hidden))

    def gate(self, gates: Value, number: int) -> Value:
        return self.mr.slice_axis(gates, 1, number * self.hidden, (number + 1) * self.hidden)

    def bent(self, activation: int, x: Value) -> Value:
        """An activation of x, which `clip` limits first."""
        limit = self.call.attribute("clip")
        x = x if not limit else self.mr.clip(x, -float(limit), float(limit))
        return self.activations[activation](x)

    @property
    def both_biases(self) -> Value | None:
        return None if self.bias_x is None else self.mr.add(self.bias_x, self.bias_h)


def _rnn(d: _Direction, x: Value) -> tuple[Value, Step]:
    def step(given: Value, states: States) -> States:
        return (d.bent(0, d.mr.add(given, d.from_state(states[0], 0, 1))),)

    return d.from_x(x, d.both_biases), step


def _gru(d: _Direction, x: Value) -> tuple[Value, Step]:
    mr = d.mr
    after = bool(d.call.attribute("linear_before_reset", 0))
    bias_x, bias_new = d.both_biases, None
    if after and d.bias_x is not None:  # the new state's own bias is inside the reset gate's product
        assert d.bias_h is not None
        last = 2 * d.hidden
        bias_new = mr.slice_axis(d.bias_h, 0, last, 3 * d.hidden)
        gates = mr.add(mr.slice_axis(d.bias_x, 0, 0, last), mr.slice_axis(d.bias_h, 0, 0, last))
        bias_x = mr.concatenate([gates, mr.slice_axis(d.bias_x, 0, last, 3 * d.hidden)])

    def step(given: Value, states: States) -> States:
        (h,) = states
        gates = mr.add(mr.slice_axis(given, 1, 0, 2 * d.hidden), d.from_state(h, 0, 2))
        update, reset = d.bent(0, d.gate(gates, 0)), d.bent(0, d.gate(gates, 1))
        if after:
            inner = d.from_state(h, 2, 3)
            inner = mr.multiply(reset, inner if bias_new is None else mr.add(inner, bias_new))
        else:
            inner = d.from_state(mr.multiply(reset, h), 2, 3)
        new = d.bent(1, mr.add(d.gate(given, 2), inner))
        return (mr.add(mr.multiply(mr.subtract(1.0, update), new), mr.multiply(update, h)),)

    return d.from_x(x, bias_x), step


def _lstm(d: _Direction, x: Value) -> tuple[Value, Step]:
    mr = d.mr
    coupled = bool(d.call.attribute("input_forget", 0))

    def seeing(gate: Value, peephole: int, c: Value) -> Value:
        return mr.add(gate, mr.multiply(d.peepholes[peephole], c)) if d.peepholes else gate

    def step(given: Value, states: States) -> States:
        h, c = states
        gates = mr.add(given, d.from_state(h, 0, 4))  # in ONNX's order: input, output, forget, cell
        enter = d.bent(0, seeing(d.gate(gates, 0), 0, c))
        forget = mr.subtract(1.0, enter) if coupled else d.bent(0, seeing(d.gate(gates, 2), 2, c))
        c = mr.add(mr.multiply(forget, c), mr.multiply(enter, d.bent(1, d.gate(gates, 3))))
        leave = d.bent(0, seeing(d.gate(gates, 1), 1, c))
        return mr.multiply(leave, d.activations[2](c)), c

    return d.from_x(x, d.both_biases), step


@translates("RNN")
def rnn(mr: Any, call: Call) -> Any:
    """Y, Y_h of h = f(x W^T + h R^T + Wb + Rb)."""
    return _layer(mr, call, _rnn, gates=1, states=1, names=("Tanh",))


@translates("GRU")
def gru(mr: Any, call: Call) -> Any:
    """Y, Y_h of gates z and r and new state n: h = (1 - z) n + z h.  linear_before_reset: r after R's product."""
    return _layer(mr, call, _gru, gates=3, states=1, names=("Sigmoid", "Tanh"))


@translates("LSTM")
def lstm(mr: Any, call: Call) -> Any:
    """Y, Y_h, Y_c of gates i, o, f and cell c, with peepholes and coupled gates (input_forget) where given."""
    return _layer(mr, call, _lstm, gates=4, states=2, names=("Sigmoid", "Tanh", "Tanh"))


def _layer(mr: Any, call: Call, cell: Any, gates: int, states: int, names: tuple[str, ...]) -> tuple[Value, ...]:
    """All outputs. With layout 1 the batch is the first axis of what goes in and comes out."""
    batch_first = bool(call.attribute("layout", 0))
    direction = call.attribute("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise call.refused(f"direction={direction!r} is none of forward, reverse, bidirectional")
    x = mr.swapaxes(call.value(0), 0, 1) if batch_first else call.value(0)
    if x.ndim != 3:
        raise call.refused(f"its input is {x.type}, and has to have three axes: steps, batch, inputs")
    backwards = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[direction]
    bent = activations(mr, call, names * len(backwards))
    ys, lasts = [], []
    for number, reverse in enumerate(backwards):
        mine = tuple(bent[number * len(names) : (number + 1) * len(names)])
        given, step = cell(_direction(mr, call, number, gates, mine), x)
        initial = tuple(_initial(mr, call, 5 + n, number, x, batch_first) for n in range(states))
        y, last = _run(mr, call, given, step, initial, reverse)
        ys.append(y)
        lasts.append(last)
    y = mr.stack(ys, 1)  # [steps, directions, batch, hidden]
    outputs = (y, *(mr.stack(each, 0) for each in zip(*lasts, strict=True)))
    if not batch_first:
        return outputs
    return mr.transpose(y, (2, 0, 1, 3)), *(mr.swapaxes(last, 0, 1) for last in outputs[1:])


def _direction(mr: Any, call: Call, number: int, gates: int, bent: tuple[Activation, ...]) -> _Direction:
    part = partial(_part, mr, call, number)
    to_state = part(2)
    hidden = to_state.shape[1] if to_state is not None and to_state.ndim == 2 else None
    if not isinstance(hidden, int) or to_state.shape[0] != gates * hidden:
        raise call.refused(f"its R is {call.value(2).type}, and has to be [directions, {gates} * hidden, hidden]")
    if call.attribute("hidden_size", hidden) != hidden:
        raise call.refused(f"hidden_size={call.attribute('hidden_size')} is not that of its R {call.value(2).type}")
    bias, peep = part(3), part(7)
    size = gates * hidden
    return _Direction(
        mr, call, hidden, mr.transpose(part(1)), mr.transpose(to_state),
        None if bias is None else mr.slice_axis(bias, 0, 0, size),
        None if bias is None else mr.slice_axis(bias, 0, size, 2 * size),
        () if peep is None else tuple(mr.split(peep, 3)), bent,
    )  # fmt: skip


def _part(mr: Any, call: Call, number: int, index: int) -> Any:
    """One direction's part of an input, or None where the input is left out."""
    if not call.has(index):
        return None
    whole = call.value(index)
    return mr.squeeze(mr.slice_axis(whole, 0, number, number + 1), 0)


def _initial(mr: Any, call: Call, index: int, number: int, x: Value, batch_first: bool) -> Value:
    """A direction's first state [batch, hidden]: as given, or zeros."""
    if not call.has(index):
        return mr.zeros((x.shape[1], call.value(2).shape[2]), x.dtype)
    axis = 1 if batch_first else 0
    return mr.squeeze(mr.slice_axis(call.value(index), axis, number, number + 1), axis)


def _run(mr: Any, call: Call, given: Value, step: Step, initial: States, reverse: bool) -> tuple[Value, States]:
    """The loop: every step's h [steps, batch, hidden], and the last states."""
    if not call.has(4):

        def plain(states: States, now: Value) -> tuple[States, Value]:
            new = step(now, states)
            return new, new[0]

        last, y = mr.scan(plain, initial, given, reverse=reverse)
        return y, last

    def masked(states: States, now: tuple[Value, Value]) -> tuple[States, Value]:
        new = step(now[0], states)
        kept = tuple(mr.where(now[1], after, before) for before, after in zip(states, new, strict=True))
        return kept, mr.where(now[1], new[0], 0.0)

    steps = mr.reshape(mr.iota((given.shape[0],), 0), (given.shape[0], 1, 1))
    lengths = mr.reshape(mr.cast(call.value(4), "int32"), (1, -1, 1))
    last, y = mr.scan(masked, initial, (given, mr.less(steps, lengths)), reverse=reverse)
    return y, last
