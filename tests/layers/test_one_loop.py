"""Recurrent layers run as one loop forwards and one backwards, with as few products in them as there can be."""

import numpy as np
import pytest

import millrace as mr
from millrace.ir.graph import Graph
from millrace.layers import GRU, LSTM, SimpleRNN
from millrace.ops.contract import Dot
from millrace.ops.scan import Scan


def training_graph(layer, steps=7):
    x = mr.Input((steps, 5), name="x")
    loss = mr.mean(mr.square(layer(x)))
    gradients = mr.gradients(loss, layer.weights)
    return mr.simplify(Graph([x], [loss, *gradients]))


def products(graph):
    return sum(isinstance(node.op, Dot) for node in graph.nodes)


@pytest.mark.parametrize("layer", [SimpleRNN, LSTM, GRU])
def test_a_step_forwards_and_one_backwards_have_one_product_each(layer):
    graph = training_graph(layer(4, return_sequences=True))
    loops = [node.op for node in graph.nodes if isinstance(node.op, Scan)]
    assert [loop.reverse for loop in loops] == [False, True]
    assert [products(loop.graph) for loop in loops] == [1, 1]  # the state through its kernel, and back
    # outside: the input through its kernel, and a gradient for each of the two kernels, all steps at once
    assert products(graph) == 3


@pytest.mark.parametrize("layer", [SimpleRNN, LSTM, GRU])
@pytest.mark.parametrize("sequences", [False, True])
def test_nothing_is_stacked_over_time_twice(layer, sequences):
    graph = training_graph(layer(4, return_sequences=sequences))
    for loop in (node.op for node in graph.nodes if isinstance(node.op, Scan)):
        stacked = loop.graph.outputs[loop.carries :]
        assert len(set(stacked)) == len(stacked)
        if loop.reverse:  # nor what the loop forwards has stacked
            assert not set(stacked) & set(loop.graph.inputs)


@pytest.mark.parametrize("layer", [SimpleRNN, LSTM, GRU])
def test_outputs_that_nobody_reads_are_not_stacked(layer):
    x = mr.Input((7, 5), name="x")
    (loop,) = (node.op for node in Graph([x], [layer(4)(x)]).nodes if isinstance(node.op, Scan))
    assert len(loop.graph.outputs) == loop.carries  # the last state is the last output
    (loop,) = (node.op for node in Graph([x], [layer(4, return_sequences=True)(x)]).nodes if isinstance(node.op, Scan))
    assert len(loop.graph.outputs) == loop.carries + 1


def test_the_graph_is_no_longer_for_a_longer_sequence():
    short, long = (training_graph(LSTM(4), steps) for steps in (3, 300))
    assert len(short.nodes) == len(long.nodes)


def test_gradients_through_a_hundred_steps_are_those_of_finite_differences():
    mr.set_seed(0)
    rng = np.random.default_rng(0)
    layer = GRU(3, return_sequences=True)
    x = mr.Input((100, 2), dtype="float64")
    loss = mr.sum(mr.sin(layer(x)))
    weight = layer.weights[1]
    (slope,) = mr.gradients(loss, [weight])
    run = mr.function([x], [loss, slope])
    given = rng.standard_normal((2, 100, 2))
    exact = float(np.sum(np.asarray(run(given)[1]) * (direction := rng.standard_normal(weight.shape))))
    before, losses = weight.numpy(), []
    for step in (1e-3, -1e-3):
        weight.assign(before + (step * direction).astype(np.float32))
        losses.append((float(run(given)[0]), weight.numpy()))
    moved = losses[0][1].astype(np.float64) - losses[1][1].astype(np.float64)
    scale = np.sum(moved * direction) / np.sum(direction * direction)
    assert (losses[0][0] - losses[1][0]) / scale == pytest.approx(exact, rel=2e-3)
