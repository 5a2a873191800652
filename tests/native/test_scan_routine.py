"""Loops over time in C with few rows, in which threads wait for each other, against the interpreter in float64."""

import numpy as np
import pytest
from calling import Pool, call

import millrace as mr
from millrace.ir.graph import Graph
from millrace.layers import GRU, LSTM, SimpleRNN
from millrace.ops.scan_rows import program


def loops(layer, batch, steps):
    """The loops of a recurrent layer and of its gradients, each with inputs drawn for it."""
    x = mr.Input((steps, 3), batch_size=batch)
    y = layer(x)
    gradients = mr.gradients(mr.sum(mr.sin(y)), [x, *layer.weights])
    nodes = mr.simplify(Graph([x], [y, *gradients])).nodes
    rng = np.random.default_rng(0)
    return [
        (node.op, [rng.normal(size=value.shape).astype(np.float32) * 0.05 for value in node.inputs])
        for node in nodes
        if node.op.name == "Scan"
    ]


def run(library, op, arrays, pool):
    how = program(op.graph, op.carries, op.sequences, op.length, op.reverse)
    states, outputs = arrays[: op.carries], op.graph.outputs[op.carries :]
    shapes = [x.shape for x in states] + [(op.length, len(states[0]), int(y.shape[1])) for y in outputs]
    return call(library, "scan", shapes, arrays, how, pool)


def of_rows(op, arrays, count):
    """The inputs of the same loop for the first few rows of the batch."""
    n, m = op.carries, op.carries + op.sequences
    return [x[:count] if k < n else x[:, :count] if k < m else x for k, x in enumerate(arrays)]


@pytest.mark.parametrize(
    ("layer", "steps"),
    [
        (LSTM(200), 4),  # deeper than the panel that a product takes at once
        (
            GRU(131, return_sequences=True, reset_after=False),
            11,
        ),  # two products a step, and columns that fill no vector
        (SimpleRNN(160), 21),
        (LSTM(5), 3),  # too small for a second thread
    ],
)
def test_few_rows_give_the_same_bits_in_any_batch_and_on_any_number_of_threads(libraries, layer, steps):
    for op, arrays in loops(layer, 9, steps):
        expected = op.evaluate(*(x.astype(np.float64) for x in arrays))
        for library in libraries.values():
            whole = run(library, op, arrays, Pool(1))
            for got, exact in zip(whole, expected, strict=True):
                np.testing.assert_allclose(got, exact, rtol=2e-5, atol=2e-5 * max(1e-6, np.abs(exact).max()))
            for rows in (1, 2, 3, 4):
                for count in (1, 2, 3, 8, 64):
                    found = run(library, op, of_rows(op, arrays, rows), Pool(count))
                    for k, (part, all) in enumerate(zip(found, whole, strict=True)):
                        assert (part == (all[:rows] if k < op.carries else all[:, :rows])).all(), (rows, count)


@pytest.mark.parametrize("when", ["here", "late", "never"])
def test_no_step_waits_for_a_thread_that_has_not_come(libraries, when):
    """Tasks may run before the first step, or when all is done, or be refused."""
    for op, arrays in loops(LSTM(90), 1, 20):
        for library in libraries.values():
            expected = run(library, op, arrays, Pool(1))
            for count in (2, 64):
                for got, alone in zip(run(library, op, arrays, Pool(count, when)), expected, strict=True):
                    assert (got == alone).all()


def test_a_loop_of_no_steps_returns_its_states(libraries):
    (op, arrays), *_ = loops(LSTM(200), 1, 4)
    how = program(op.graph, op.carries, op.sequences, 0, False)
    for library in libraries.values():
        found = call(
            library, "scan", [x.shape for x in arrays[:2]] + [(0, 1, 200)] * (len(op.graph.outputs) - 2), arrays, how
        )
        assert all((got == x).all() for got, x in zip(found, arrays[:2], strict=False))
