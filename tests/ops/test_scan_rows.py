"""Loops whose steps treat each row by itself run by a routine: what it gives, and which loops it takes."""

import numpy as np
import pytest

import millrace as mr
from millrace.engines import native
from millrace.engines.tracing import lowering
from millrace.ir.graph import Graph
from millrace.layers import GRU, LSTM, SimpleRNN

pytestmark = pytest.mark.skipif(not native.offered(), reason="no routines were built here")
RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def by_routine(graph):
    """For each loop of a graph: whether a routine runs it."""
    found = lowering(mr.simplify(graph), {})
    loops = [node for node in found.graph.nodes if node.op.name == "Scan"]
    chosen = {node for node, choice, _ in found.notes if choice == "routine of its own"}
    return [node in chosen for node in loops]


def compared(inputs, outputs, *arrays, taken=True):
    """The results of the compiled graph, which must be the interpreter's."""
    graph = Graph(inputs, outputs)
    found = by_routine(graph)
    assert found and all(x is taken for x in found)
    got = [np.asarray(x) for x in mr.function(inputs, outputs)(*arrays)]
    for a, b in zip(got, graph.evaluate(arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * max(1e-6, np.abs(b).max(initial=0)))
    return got


CASES = {
    "lstm": (LSTM, {}, 1, 1, 1), "lstm of five": (LSTM, {"return_sequences": True}, 5, 3, 4),
    "lstm of 17": (LSTM, {"go_backwards": True}, 17, 70, 3), "lstm of 128": (LSTM, {"return_state": True}, 128, 150, 2),
    "lstm without bias": (LSTM, {"use_bias": False}, 17, 1, 5), "gru": (GRU, {}, 1, 1, 1),
    "gru of 17": (GRU, {"return_sequences": True}, 17, 9, 4), "gru of 128": (GRU, {}, 128, 20, 2),
    "gru that resets before": (GRU, {"reset_after": False}, 17, 65, 3), "simple": (SimpleRNN, {}, 33, 10, 4),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_recurrent_layers_and_their_gradients(case):
    layer_class, options, units, batch, steps = CASES[case]
    layer = layer_class(units, **options)
    x = mr.Input((steps, 3), batch_size=batch, name="x")
    made = layer(x)
    made = made if isinstance(made, list) else [made]
    loss = sum(mr.sum(mr.sin(y) * (n + 1.0)) for n, y in enumerate(made))
    compared([x], [*made, *mr.gradients(loss, [x, *layer.weights])], draw(batch, steps, 3))


@pytest.mark.parametrize("batch", [1, 2, 40])
@pytest.mark.parametrize(
    "layer", [GRU(9), LSTM(17, return_sequences=True), SimpleRNN(5, activation="relu", go_backwards=True)], ids=str
)
def test_steps_that_a_mask_skips_and_the_gradient_of_relu(layer, batch):
    x, mask = mr.Input((6, 3), batch_size=batch, name="x"), mr.Input((6,), dtype="bool", batch_size=batch, name="mask")
    y = layer(x, mask=mask)
    gradients = mr.gradients(mr.sum(mr.sin(y)), [x, *layer.weights])
    compared([x, mask], [y, *gradients], draw(batch, 6, 3), RNG.random((batch, 6)) > 0.4)


def scanned(step, *states, xs, outside=()):
    values = [mr.Input(a.shape[1:], batch_size=a.shape[0], name=f"a{n}") for n, a in enumerate((*states, xs, *outside))]
    first, x, others = values[: len(states)], values[len(states)], values[len(states) + 1 :]
    last, ys = mr.scan(lambda s, at: step(s, at, *others), tuple(first), x)
    return values, [*last, *ys], (*states, xs, *outside)


def test_every_operation_that_the_routine_knows():
    def step(s, x, bias, matrix):
        h, n = s
        a = mr.relu(h) - mr.maximum(x, -x) / (2.0 + mr.square(h))
        both = mr.concatenate([a, mr.minimum(h, x)], 1)
        y = mr.tanh(mr.matmul(both, matrix) + bias)
        return (mr.sigmoid(y[:, :5]) * h, n + both), (y, h, x, both, a, both)

    values, outputs, arrays = scanned(
        step, draw(11, 5), draw(11, 10), xs=draw(4, 11, 5), outside=(draw(7), draw(10, 7))
    )
    compared(values, outputs, *arrays)


def test_what_is_true_or_false_of_each_number():
    def step(s, x):
        (h,) = s
        near = mr.where(mr.less(h, x), h, mr.where(mr.greater_equal(x, 0.5), 1.0, x))
        return (mr.where(mr.greater(h, 0.0), x, near),), (mr.less_equal(x, h), near)

    values, outputs, arrays = scanned(step, draw(7, 19), xs=draw(5, 7, 19).round(1))
    compared(values, outputs, *arrays)


def test_states_that_change_places_are_left_to_xla():
    values, outputs, arrays = scanned(
        lambda s, x: ((s[1], s[0] + x), (s[0],)), draw(3, 2), draw(3, 2), xs=draw(4, 3, 2)
    )
    compared(values, outputs, *arrays, taken=False)


def test_sums_over_the_batch_are_left_to_xla():
    values, outputs, arrays = scanned(
        lambda s, x: ((s[0] + mr.sum(x, 0, keepdims=True),), ()), draw(3, 3), xs=draw(2, 3, 3)
    )
    compared(values, outputs, *arrays, taken=False)


def test_a_row_is_the_same_to_the_last_bit_in_any_batch():
    """So the way in which rows are shared out, and so the number of threads, changes nothing."""

    def step(s, p, matrix):
        h, c = s
        i, f, g, o = mr.split(p + mr.matmul(h, matrix), 4, -1)
        c = mr.sigmoid(f) * c + mr.sigmoid(i) * mr.tanh(g)
        return (mr.sigmoid(o) * mr.tanh(c), c), (c,)

    first, xs, matrix = draw(130, 37), draw(6, 130, 148), draw(37, 148)
    whole = None
    for batch in (130, 64, 9, 1):
        values, outputs, arrays = scanned(step, first[:batch], first[:batch], xs=xs[:, :batch], outside=(matrix,))
        found = [np.asarray(y) for y in mr.function(values, outputs)(*arrays)]
        whole = whole or found
        np.testing.assert_array_equal(found[0], whole[0][:batch])
        np.testing.assert_array_equal(found[2], whole[2][:, :batch])


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_functions_are_within_a_few_units_in_the_last_place(name):
    x = np.concatenate([np.linspace(-20, 20.01, 4001), np.geomspace(1e-30, 200, 300), -np.geomspace(1e-30, 80, 299)])
    x = x.astype(np.float32).reshape(1, 46, 100)
    values, outputs, arrays = scanned(lambda s, at: ((s[0],), (getattr(mr, name)(at),)), np.zeros((46, 1), "f4"), xs=x)
    (got,) = compared(values, outputs, *arrays)[1:]
    wide = x.astype(np.float64)
    exact = np.tanh(wide) if name == "tanh" else 1 / (1 + np.exp(-wide))
    assert np.max(np.abs(got - exact) / np.abs(exact)) < 1e-6


@pytest.mark.parametrize(("name", "ends"), [("tanh", (-1, 1)), ("sigmoid", (0, 1))])
def test_functions_of_what_is_no_number(name, ends):
    x = np.array([[[-np.inf, -1e30, np.inf, 1e30, np.nan]]], np.float32)
    values, outputs, arrays = scanned(lambda s, at: ((s[0],), (getattr(mr, name)(at),)), np.zeros((1, 1), "f4"), xs=x)
    got = np.asarray(mr.function(values, outputs)(*arrays)[1])[0, 0]
    np.testing.assert_allclose(got, [ends[0], ends[0], ends[1], ends[1], np.nan], rtol=1e-6, atol=1e-30)
