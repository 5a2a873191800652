"""Layers that remember or look around, at work: recurrent ones and their cells, attention, memories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from millrace import layers as L
from millrace.explain.at_work import real_inputs as real
from millrace.explain.at_work.cases import Case, Step
from millrace.explain.at_work.layers import case, on
from millrace.ir.core import layer_scope
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType

UNITS = 8
STATES = {"SimpleRNNCell": ("h",), "GRUCell": ("h",), "LSTMCell": ("h", "c")}


def one_step(kind: str) -> Callable[[], Step]:
    """A cell's step as values of a graph: what goes in, and what it hands on, marked with a dash."""

    def make() -> Step:
        names = STATES[kind]
        x = Placeholder("x", TensorType("float32", (1, UNITS)))()
        states = [Placeholder(name, TensorType("float32", (1, UNITS)))() for name in names]
        cell = getattr(L, kind)(UNITS, name="cell")
        cell.build(x.type)
        _, new = cell.call(x, states)
        return {"x": x, **dict(zip(names, states, strict=True))}, dict(zip([f"{n}'" for n in names], new, strict=True))

    return make


def recurrent(code: str, cell: str) -> Callable[[], Case]:
    return lambda: on(code, real.rows_of_a_digit(), "rows", "drawn", "recurrent", step=one_step(cell), compare=False)


case("SimpleRNN")(recurrent("SimpleRNN(8, return_sequences=True)", "SimpleRNNCell"))
case("GRU")(recurrent("GRU(8, return_sequences=True)", "GRUCell"))
case("LSTM")(recurrent("LSTM(8, return_sequences=True)", "LSTMCell"))
case("RNN")(recurrent('RNN(SimpleRNNCell(8, name="cell"), return_sequences=True)', "SimpleRNNCell"))
case("Bidirectional")(recurrent('Bidirectional(LSTM(8, return_sequences=True, name="lstm"))', "LSTMCell"))


def cell(name: str) -> Callable[[], Case]:
    """A cell's step on the second row of a digit, after its first."""

    def make() -> Case:
        one = getattr(L, name)(UNITS)
        states = STATES[name]
        rows = real.rows_of_a_digit()
        inputs = {"x": rows[:, 1], **{state: np.zeros((1, UNITS), np.float32) for state in states}}

        def call(x: Any, *before: Any) -> Any:
            with layer_scope(one.name):
                if not one.built:
                    one.build(x.type)
                    one.built = True
                return one.call(x, list(before))[1]

        named = tuple(f"{state}'" for state in states)
        return Case(f"{name}({UNITS})", inputs, call, "row", ("drawn", "first_step"), one, False, None, named)

    return make


for _name in STATES:
    case(_name)(cell(_name))


class _Fading(L.Cell):  # the underscore keeps it out of the layers that files may name
    """A cell of one's own, as an example: the state keeps half of what it was."""

    def __init__(self, units: int, **common: Any):
        super().__init__(**common)
        self.state_size = units

    def step(self, p: Any, states: Any) -> Any:
        h = 0.5 * states[0] + 0.5 * p
        return h, [h]


@case("Cell")
def _() -> Case:
    inputs = {"x": real.rows_of_a_digit()[:, 1], "h": real.rows_of_a_digit()[:, 0]}
    one = _Fading(UNITS)

    def call(x: Any, h: Any) -> Any:
        return one.call(x, [h])[0]

    return Case("class Fading(Cell): step = 0.5 * h + 0.5 * x", inputs, call, "row", ("own_cell",), one, named=("h'",))


@case("Embedding")
def _() -> Case:
    return on("Embedding(27, 8)", real.letters(), "sentence", "drawn", compare=False)


def looking(code: str, *notes: str) -> Callable[[], Case]:
    """An attention of one digit's rows over another's."""

    def make() -> Case:
        layer = eval(code, {name: getattr(L, name) for name in L.__all__})
        inputs = {"query": real.rows_of_a_digit(3), "value": real.rows_of_a_digit(8)}

        def call(query: Any, value: Any) -> Any:
            return layer(query, value, return_attention_scores=True)

        named = ("y", "weights")
        return Case(f"{code}(query, value)", inputs, call, "two_rows", notes, layer, False, None, named)

    return make


case("Attention")(looking("Attention()"))
case("AdditiveAttention")(looking("AdditiveAttention()", "drawn"))
case("MultiHeadAttention")(looking("MultiHeadAttention(2, 4)", "drawn"))


@case("MemoryNetwork")
def _() -> Case:
    layer = L.MemoryNetwork(len(real.WORDS), 8, hops=1)
    inputs = {"story": real.numbers_of(real.STORY)[None], "question": real.numbers_of((real.QUESTION,))}

    def call(story: Any, question: Any) -> Any:
        return layer(story, question, return_attention_scores=True)

    code = "MemoryNetwork(10, 8, hops=1)(story, question)"
    return Case(code, inputs, call, "story", ("drawn",), layer, False, None, ("y", "weights"))


def signs() -> np.ndarray:
    """Digits 0, 1, 2 and 3 as patterns of +1 (ink) and -1: [4, 64]."""
    return np.where(real.all_digits()[0][:4].reshape(4, 64) > 0.5, 1, -1).astype(np.float32)


def disturbed() -> np.ndarray:
    """The 3 with its lower half turned white: [1, 64]."""
    x = signs()[3:4].copy()
    x[:, 40:] = -1
    return x


@case("Hopfield")
def _() -> Case:
    layer = L.Hopfield(mode="synchronous", sweeps=3)
    layer.store(signs())
    return Case('Hopfield(mode="synchronous", sweeps=3)', {"x": disturbed()}, layer, "disturbed", ("stored",), layer)


@case("ModernHopfield")
def _() -> Case:
    layer = L.ModernHopfield(beta=0.25)
    inputs = {"x": disturbed(), "patterns": signs()[None]}
    code = "ModernHopfield(beta=0.25)(x, patterns)"
    return Case(code, inputs, lambda x, patterns: layer(x, patterns), "disturbed", ("stored",), layer)
