"""What the compiler chose and where its time went, seen from outside."""

from types import SimpleNamespace

import numpy as np
import pytest

import millrace as mr
from millrace.engines.tracing import _events, divided, lowering, timed
from millrace.ir.graph import Graph


def test_a_moment_in_which_several_operations_run_is_divided_equally():
    events = [("a", 0.0, 4.0), ("b", 2.0, 6.0)]
    shares, idle = divided(events, set(), (0.0, 10.0))
    assert shares == {"a": 3.0, "b": 3.0}
    assert idle == 4.0


def test_a_loop_has_only_the_time_that_its_operations_leave():
    events = [("loop", 0.0, 10.0), ("body", 1.0, 4.0), ("body", 5.0, 9.0)]
    shares, idle = divided(events, {"loop"}, (0.0, 10.0))
    assert shares == {"body": 7.0, "loop": 3.0}
    assert idle == 0.0


def test_what_lies_outside_the_window_does_not_count():
    shares, idle = divided([("a", -5.0, 1.0), ("b", 9.0, 20.0), ("c", 30.0, 40.0)], set(), (0.0, 10.0))
    assert shares == {"a": 1.0, "b": 1.0}
    assert idle == 8.0


def test_all_times_add_up_to_the_time_of_the_step_and_belong_to_nodes():
    x = mr.Input((64, 64), name="x")
    w = mr.Variable(np.ones((64, 64), np.float32), name="w")
    f = mr.function([x], mr.sum(mr.tanh(x @ w)), {w: w * 0.5}, engine="xla")
    found = timed(f, [np.ones((32, 64, 64), np.float32)], 3)
    assert sum(found.nodes.values()) + found.elsewhere + found.idle == pytest.approx(found.watched, rel=1e-6)
    for number, parts in found.parts.items():
        assert sum(parts.values()) == pytest.approx(found.nodes[number])
    names = {found.graph.nodes[number].op.name for number in found.nodes}
    assert "Dot" in names
    assert found.elsewhere < 0.1 * found.watched


def test_the_operations_of_a_loop_count_for_the_loops_node():
    x = mr.Input((50, 32), batch_size=8, name="x")
    start = mr.zeros((8, 32))
    w = mr.Variable(np.eye(32, dtype=np.float32) * 0.5, name="w")
    _, out = mr.scan(lambda h, t: ((new := mr.tanh(h @ w + t)), new), start, mr.transpose(x, (1, 0, 2)))
    f = mr.function([x], mr.sum(out), engine="xla")
    found = timed(f, [np.ones((8, 50, 32), np.float32)], 2)
    spent = {found.graph.nodes[number].op.name: seconds for number, seconds in found.nodes.items()}
    assert max(spent, key=spent.get) == "Scan"


def test_choices_are_known_without_compiling(xla_alone):
    x = mr.Input((8, 8, 4), name="x")
    kernel = mr.Variable(np.ones((3, 3, 2, 6), np.float32), name="kernel")
    out = mr.conv(x, kernel.value, padding="same", groups=2)
    found = lowering(Graph([x], [out]), {"batch": 3})
    assert found.graph.outputs[0].shape == (3, 8, 8, 6)
    assert any("YNNPACK" in reason for reason in found.plan.reasons)
    assert [(node.op.name, choice) for node, choice, _ in found.notes] == [("Convolution", "2 convolutions")]


def profile(*threads):
    """What XLA's profiler would say of these threads' events: name, start, length (seconds), facts."""
    lines = [
        SimpleNamespace(
            events=[SimpleNamespace(name=n, start_ns=s * 1e9, duration_ns=d * 1e9, stats=f) for n, s, d, f in e]
        )
        for e in threads
    ]
    return SimpleNamespace(planes=[SimpleNamespace(lines=lines)])


def test_an_operation_of_two_threads_ends_where_the_last_goes_on_with_another():
    """The second thread says that "add" has ended when "product", which waited for it, has run there."""
    add, end = ("add", 0, 1, {"hlo_op": "add", "_p": 7}), ("end: add", 9, 0, {"_c": 7})
    product = ("product", 3, 6, {"hlo_op": "product"})
    assert _events(profile([add], [product, end]))[1] == [("add", 0, 3), ("product", 3, 9)]
    assert _events(profile([add], [end]))[1] == [("add", 0, 9)]
    early = ("product", -2, 6, {"hlo_op": "product"})  # it began before: the thread came to its part of "add" later
    assert _events(profile([add], [early, end]))[1][0] == ("add", 0, 9)
