"""Rewrites: each rule fires, can be switched off, and changes no result."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

import millrace as mr
from millrace.ir.errors import ArgumentError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.text import Body
from millrace.ir.types import TensorType
from millrace.ops.compare import Cast
from millrace.ops.elementwise import IntegerPower
from millrace.ops.reduce import Sum
from millrace.ops.shape import Broadcast, Concatenate, Pad, Reshape, Size, Slice, Transpose

x = Placeholder("x", TensorType("float32", (2, 3)))()
y = Placeholder("y", TensorType("float32", (2, 3)))()


def shared_forward():
    w = mr.Variable(np.float32(0.5), name="w")
    last, _ = mr.scan(lambda s, t: (mr.tanh(s * w + t), None), mr.zeros((3,)), x)
    loss = mr.sum(last)
    return [loss, *mr.gradients(loss, [w])]


EXAMPLES = {
    "constant-folding": lambda: x + mr.tanh(mr.constant(np.ones((2, 3), np.float32))),
    "common-subexpressions": lambda: mr.exp(x) * mr.exp(x),
    "shared-forward": shared_forward,
    "-(-x) = x": lambda: mr.negative(mr.negative(x)),
    "broadcast to the same shape = x": lambda: Broadcast((2, 3), (0, 1))(x),
    "cast to the same dtype = x": lambda: Cast("float32")(x),
    "concatenate of one = x": lambda: Concatenate(0)(x),
    "reshape of reshape = one reshape": lambda: mr.reshape(mr.reshape(x, (3, 2)), (6,)),
    "reshape to the same shape = x": lambda: Reshape((2, 3))(x),
    "reverse of reverse = x": lambda: mr.flip(mr.flip(x, 0), 0),
    "shard on one device = x": lambda: mr.exp(mr.shard(x, (None, "tower"))),
    "size of a number = a constant": lambda: x * mr.cast(Size(7)(), "float32"),
    "slice of everything = x": lambda: Slice((0, 0), (2, 3), (1, 1))(x),
    "sum of pads that tile = concatenate": lambda: Pad((0, 0), (2, 0), (0, 0))(x) + Pad((2, 0), (0, 0), (0, 0))(y),
    "sum over no axes = x": lambda: Sum(())(x),
    "transpose of transpose = one transpose": lambda: mr.exp(mr.transpose(mr.transpose(x))),
    "transpose that moves nothing = x": lambda: Transpose((0, 1))(x),
    "where(constant) = its branch": lambda: mr.where(mr.constant(np.ones((2, 3), bool)), x, y),
    "x * 1 = x": lambda: x * 1.0,
    "x + -y = x - y": lambda: x + -y,
    "x + 0 = x": lambda: x + 0.0,
    "x - 0 = x": lambda: x - 0.0,
    "x / 1 = x": lambda: x / 1.0,
    "x^1 = x": lambda: IntegerPower(1)(x),
}


def graph_of(outputs):
    return Graph([x, y], outputs if isinstance(outputs, list) else [outputs])


def shape_of(graph):
    return Counter(str(node.op) for node in graph.nodes)


def arrays():
    rng = np.random.default_rng(3)
    return [rng.standard_normal((2, 3)).astype(np.float32) for _ in range(2)]


def test_every_rule_has_an_example():
    assert set(EXAMPLES) | {"dead-code"} == set(mr.rewrites())


@pytest.mark.parametrize("rule", EXAMPLES)
def test_a_rule_alone_fires(rule):
    graph = graph_of(EXAMPLES[rule]())
    everything = set(mr.rewrites())
    untouched = mr.simplify(graph, off=everything - {"dead-code"})
    assert shape_of(untouched) == shape_of(graph)
    assert shape_of(mr.simplify(graph, off=everything - {rule, "dead-code"})) != shape_of(graph)


@pytest.mark.parametrize("rule", EXAMPLES)
def test_a_rule_that_is_off_does_not_fire(rule):
    graph = graph_of(EXAMPLES[rule]())
    on = mr.function(graph.inputs, list(graph.outputs), engine="numpy")
    off = mr.function(graph.inputs, list(graph.outputs), engine="numpy", rewrites_off=[rule])
    assert shape_of(on.simplified) != shape_of(off.simplified)
    for a, b in zip(on(*arrays()), off(*arrays()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("rule", EXAMPLES)
def test_a_rule_changes_no_result(rule):
    graph = graph_of(EXAMPLES[rule]())
    simple = mr.simplify(graph)
    assert len(simple.nodes) <= len(graph.nodes)
    for a, b in zip(graph.evaluate(arrays()), simple.evaluate(arrays()), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_dead_code_is_dropped_unless_switched_off():
    graph = graph_of(mr.where(mr.constant(np.ones((2, 3), bool)), x, mr.exp(y)))
    assert "Exp" not in {n.op.name for n in mr.simplify(graph).nodes}
    assert "Exp" in {n.op.name for n in mr.simplify(graph, off=["dead-code"]).nodes}


def test_an_unknown_rule_is_refused_with_the_nearest_one():
    with pytest.raises(ArgumentError, match="Did you mean 'dead-code'"):
        mr.function([x], mr.exp(x), rewrites_off=["dead-cod"])


def test_every_rule_says_what_it_does():
    assert all(mr.rewrites().values())


@pytest.mark.parametrize("lows", [(0, 1), (0, 3), (1, 2), (0, 0)])
def test_pads_that_leave_gaps_or_overlap_are_added(lows):
    both = [Pad((low, 0), (4 - low, 0), (0, 0))(value) for low, value in zip(lows, (x, y), strict=True)]
    made = mr.simplify(graph_of(both[0] + both[1]))
    assert not any(node.op.name == "Concatenate" for node in made.nodes)


def test_the_body_of_a_loop_is_simplified_as_well():
    last, _ = mr.scan(lambda s, t: (mr.negative(mr.negative(s + t)), None), mr.zeros((3,)), x)
    (node,) = [n for n in mr.simplify(graph_of(last)).nodes if n.op.name == "Scan"]
    assert [n.op.name for n in node.op.graph.nodes if n.inputs] == ["Add"]


def test_the_inputs_stay_the_inputs():
    simple = mr.simplify(graph_of(x * 1.0))
    assert simple.inputs == (x, y) and simple.outputs == (x,)


def test_zero_and_minus_zero_are_not_taken_for_the_same():
    padded = mr.pad(x, ((1, 0), (0, 0)), 0.0), mr.pad(x, ((1, 0), (0, 0)), -0.0)
    graph = graph_of([1.0 / padded[0], 1.0 / padded[1]])
    plus, minus = mr.simplify(graph).evaluate(arrays())
    assert plus[0, 0] == np.inf and minus[0, 0] == -np.inf


def test_large_constants_are_not_unfolded():
    graph = graph_of(mr.sum(mr.ones((1000, 1000))) * x)
    assert sum(n.op.literal.array.size for n in mr.simplify(graph).nodes if n.op.name == "Constant") < 10000


def test_a_deep_tower_of_cancelling_pairs_collapses():
    z = x
    for _ in range(20):
        z = mr.negative(mr.negative(mr.transpose(mr.transpose(z))))
    assert len(mr.simplify(graph_of(z)).nodes) == 2


def bits(stream, count=0):
    return mr.random_bits(mr.constant(mr.random_state(1, count)), (8,), stream)


def test_draws_of_different_streams_are_never_merged():
    state = Placeholder("state", TensorType("uint32", (2,)))()
    a, b = (mr.random_bits(state, (8,), stream) for stream in ("left", "right"))
    graph = mr.simplify(Graph([state], [a, b]))
    assert sum(n.op.name == "RandomBits" for n in graph.nodes) == 2
    first, second = graph.evaluate([mr.random_state(1)])
    assert (first != second).any()


def test_draws_of_one_stream_and_state_always_agree():
    state = Placeholder("state", TensorType("uint32", (2,)))()
    a, b = (mr.random_uniform(state, (8,), "same") for _ in range(2))
    for graph in (Graph([state], [a, b]), mr.simplify(Graph([state], [a, b]))):
        first, second = graph.evaluate([mr.random_state(1)])
        np.testing.assert_array_equal(first, second)
    assert sum(n.op.name == "RandomBits" for n in mr.simplify(Graph([state], [a, b])).nodes) == 1


def test_draws_of_different_states_are_never_merged():
    a, b = mr.simplify(Graph([], [bits("s", 0), bits("s", 1)])).evaluate([])
    assert (a != b).any()


def test_folding_a_draw_gives_the_bits_that_it_would_have_drawn():
    graph = Graph([], [bits("s")])
    np.testing.assert_array_equal(graph.evaluate([])[0], mr.simplify(graph).evaluate([])[0])


def test_updates_survive_every_rewrite():
    w = mr.Variable(np.zeros(3, np.float32), name="w")
    graph = mr.simplify(Graph([], [], {w: w + 0.0}))
    assert list(graph.updates) == [w]
    assert graph.updates[w].node.inputs == (w.value,)


def all_nodes(graph):
    for node in graph.nodes:
        yield node
        for f in dataclasses.fields(node.op):
            inner = getattr(node.op, f.name)
            if isinstance(inner, Body) and f.name == "body":
                yield from all_nodes(inner.graph)


def recurrent_step():
    hidden = mr.Variable(np.full((4, 4), 0.1, np.float32), name="hidden")
    xs = mr.Input((5, 4), name="xs", batch_size=2)
    last, _ = mr.scan(lambda h, t: (mr.tanh(h @ hidden + t), None), mr.zeros((2, 4)), mr.swapaxes(xs, 0, 1))
    loss = mr.mean(mr.square(last))
    (gradient,) = mr.gradients(loss, [hidden])
    return xs, loss, hidden, gradient


def dots(function):
    outside = sum(n.op.name == "Dot" for n in function.simplified.nodes)
    return outside, sum(n.op.name == "Dot" for n in all_nodes(function.simplified)) - outside


@pytest.mark.parametrize("engine", ["xla", "numpy"])
def test_the_forward_pass_of_a_recurrent_network_runs_once(engine):
    xs, loss, hidden, gradient = recurrent_step()
    step = mr.function([xs], loss, {hidden: hidden - 0.1 * gradient}, engine=engine)
    assert dots(step) == (1, 2)
    assert sum(n.op.name == "Scan" for n in step.simplified.nodes) == 2


def test_without_the_rule_the_forward_pass_runs_twice():
    xs, loss, _, gradient = recurrent_step()
    assert dots(mr.function([xs], [loss, gradient], engine="numpy", rewrites_off=["shared-forward"])) == (1, 3)
    assert dots(mr.function([xs], [loss, gradient], engine="numpy")) == (1, 2)


def test_two_gradients_of_one_scan_share_its_forward_pass():
    xs, loss, _, gradient = recurrent_step()
    (dxs,) = mr.gradients(loss, [xs])
    step = mr.function([xs], [loss, gradient, dxs], engine="numpy")
    assert dots(step)[0] == 1 and sum(n.op.name == "Scan" for n in step.simplified.nodes) <= 3
