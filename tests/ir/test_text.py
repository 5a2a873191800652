"""The text form of a graph: written, read back to the same, and never run."""

import os
import random

import numpy as np
import pytest

import millrace as mr
from millrace.ir.core import layer_scope
from millrace.ir.errors import GraphError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.text import literals, parse, text
from millrace.ir.types import TensorType

HOSTILE = "__import__('os').system('true')"


def round_trip(graph, variables=None):
    written = text(graph)
    back = parse(written, variables, literals(graph))
    assert text(back) == written
    return back


def inputs(*shape, dtype="float32", name="x"):
    return Placeholder(name, TensorType(dtype, shape))()


def training_graph():
    w = mr.Variable(np.array([1.0, 2.0], np.float32), name="w")
    count = mr.Variable(np.int32(0), name="count", trainable=False)
    x = mr.Input((2,), name="x")
    loss = mr.mean(mr.square(mr.tanh(x * w)))
    (dw,) = mr.gradients(loss, [w])
    return Graph([x], [loss, dw], {w: w - 0.1 * dw, count: count + 1}), w, count


def test_a_training_step_round_trips_with_its_variables():
    graph, w, count = training_graph()
    back = round_trip(graph, {"w": w, "count": count})
    assert set(back.updates) == {w, count}
    x = np.ones((3, 2), np.float32)
    old, new = (g.bind({"batch": 3}).evaluate([x]) for g in (graph, back))
    for a, b in zip(old, new, strict=True):
        np.testing.assert_array_equal(a, b)


def test_variables_that_are_not_given_are_made_with_type_and_trainability():
    graph, _, _ = training_graph()
    back = round_trip(graph)
    made = {v.name: v for v in back.variables}
    assert str(made["w"].type) == "float32[2]" and made["w"].trainable
    assert not made["count"].trainable
    np.testing.assert_array_equal(made["w"].numpy(), [0, 0])


def test_a_variable_that_is_only_written_is_kept():
    seen = mr.Variable(np.zeros(3, np.float32), name="seen")
    x = inputs(3)
    back = round_trip(Graph([x], [], {seen: x}))
    assert [v.name for v in back.updates] == ["seen"] and back.outputs == ()


def test_a_given_variable_of_another_type_is_refused():
    graph, _, _ = training_graph()
    other = mr.Variable(np.zeros(5, np.float32), name="w")
    with pytest.raises(GraphError, match=r"'w' is float32\[5\], the text says float32\[2\]"):
        parse(text(graph), {"w": other})


@pytest.mark.parametrize("name", ["dense/kernel", "it's", 'say "w"', "a : float32[2]", "back\\slash", "w\nw", "ø"])
def test_names_of_any_kind_round_trip(name):
    w = mr.Variable(np.zeros(2, np.float32), name=name)
    back = round_trip(Graph([], [w * 2.0]))
    assert back.variables[0].name == name
    x = inputs(2, name=name)
    assert round_trip(Graph([x], [mr.tanh(x)])).inputs[0].op.label == name


@pytest.mark.parametrize(
    "array",
    [
        np.array([np.inf, -np.inf, np.nan, -0.0, 0.0], np.float32),
        np.array(-0.0),
        np.array(np.inf, np.float16),
        np.array([1e-45, 3.4028235e38, 0.1], np.float32),
        np.array([5e-324, 1.7976931348623157e308, 1 / 3]),
        np.array([0, 2**64 - 1], np.uint64),
        np.array([-(2**63), 2**63 - 1], np.int64),
        np.array([[True], [False]]),
        np.zeros((0, 3), np.float32),
        np.array(7, np.uint8),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_short_constants_round_trip_to_the_bit(array):
    back = round_trip(Graph([], [mr.constant(array)]))
    (got,) = back.evaluate([])
    assert got.dtype == array.dtype and got.shape == array.shape
    assert got.tobytes() == array.tobytes()


def test_long_constants_stand_beside_the_text_by_hash():
    array = np.random.default_rng(0).standard_normal((50, 50)).astype(np.float32)
    graph = Graph([], [mr.constant(array) + mr.constant(array)])
    kept = literals(graph)
    assert len(kept) == 1 and len(text(graph)) < 600
    (digest,) = kept
    assert digest in text(graph)
    np.testing.assert_array_equal(round_trip(graph).evaluate([])[0], array + array)


def test_a_missing_long_constant_is_named():
    graph = Graph([], [mr.constant(np.arange(100))])
    with pytest.raises(GraphError, match=r"line 2: the constant with sha256 .* is missing"):
        parse(text(graph))


def test_a_long_constant_inside_a_scan_stands_beside_the_text_too():
    table = mr.constant(np.arange(40, dtype=np.float32))
    xs = inputs(4)
    last, _ = mr.scan(lambda s, x: (s + mr.sum(table * x), None), mr.zeros(()), xs)
    graph = Graph([xs], [last])
    assert len(literals(graph)) == 1
    assert round_trip(graph).evaluate([np.ones(4, np.float32)])[0] == 4 * 780


def test_a_scan_in_a_scan_round_trips_with_its_gradient():
    w = mr.Variable(np.float32(0.5), name="w")
    xs = inputs(3, 4, name="xs")

    def outer(state, row):
        inner, _ = mr.scan(lambda s, x: (s * w + x, None), state, row)
        return inner, inner

    last, ys = mr.scan(outer, mr.zeros(()), xs)
    loss = last + mr.sum(ys)
    graph = Graph([xs], [loss, *mr.gradients(loss, [w, xs])])
    back = round_trip(graph, {"w": w})
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for a, b in zip(graph.evaluate([array]), back.evaluate([array]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_outputs_and_nodes_with_several_outputs_round_trip():
    xs = inputs(3)
    last, ys = mr.scan(lambda s, x: (s + x, s), mr.zeros(()), xs)
    back = round_trip(Graph([xs], [ys, last, ys, xs]))
    got = back.evaluate([np.array([1, 2, 3], np.float32)])
    np.testing.assert_array_equal(got[0], [0, 1, 3])
    assert got[1] == 6
    assert back.outputs[0] is back.outputs[2] and back.outputs[3] is back.inputs[0]


def test_inputs_that_nobody_uses_and_their_order_are_kept():
    a, b = inputs(1, name="a"), inputs(2, name="b")
    back = round_trip(Graph([b, a], [mr.tanh(a)]))
    assert [v.op.label for v in back.inputs] == ["b", "a"]


def test_a_graph_of_nothing_round_trips():
    round_trip(Graph([], []))


def test_named_dimensions_round_trip():
    batch, rows = mr.dim("batch"), mr.dim("rows")
    x = inputs(batch, rows * 2, 3)
    y = mr.reshape(x, (batch * rows, -1)) * mr.cast(mr.size(batch * rows + 1), "float32")
    back = round_trip(Graph([x], [y]))
    assert str(back.outputs[0].type) == "float32[batch*rows, 6]"


def test_a_scan_of_named_length_round_trips():
    xs = inputs(mr.dim("time"), 2)
    last, ys = mr.scan(lambda s, x: (s + x, s), mr.zeros((2,)), xs)
    back = round_trip(Graph([xs], [last, ys]))
    assert back.free_names == {"time"}
    np.testing.assert_array_equal(back.bind({"time": 3}).evaluate([np.ones((3, 2), np.float32)])[0], [3, 3])


def test_layer_names_round_trip():
    x = inputs(2)
    with layer_scope("encoder"), layer_scope("dense-1"):
        y = mr.tanh(x)
    back = round_trip(Graph([x], [mr.exp(y)]))
    assert [node.layer for node in back.nodes] == ["", "encoder/dense-1", ""]


@pytest.mark.parametrize("name", ["my layer", "a @ b", "conv : float32[2]", "x\ny", "größe", "] : int32[1"])
def test_layer_names_of_any_kind_round_trip(name):
    x = inputs(2)
    with layer_scope(name):
        y = mr.tanh(x)
    assert round_trip(Graph([x], [y])).outputs[0].node.layer == name


def test_a_variable_that_is_first_read_inside_a_layer_round_trips():
    w = mr.Variable(np.zeros(2, np.float32), name="w")
    with layer_scope("dense"):
        y = w * 2.0
    graph = Graph([], [y], {w: y})
    round_trip(graph, {"w": w})
    round_trip(graph)


def test_a_layer_in_a_scan_body_round_trips():
    def step(state, x):
        with layer_scope("cell"):
            return mr.tanh(state + x), None

    xs = inputs(3)
    last, _ = mr.scan(step, mr.zeros(()), xs)
    assert "cell" in text(Graph([xs], [last]))
    round_trip(Graph([xs], [last]))


def test_the_simplified_and_the_bound_graph_round_trip():
    graph, w, count = training_graph()
    variables = {"w": w, "count": count}
    round_trip(mr.simplify(graph), variables)
    round_trip(graph.bind({"batch": 2}), variables)


def test_one_operation_a_line_with_type():
    x = inputs(2)
    lines = text(Graph([x], [mr.tanh(x)])).splitlines()
    assert lines == [
        "graph main(v0) {",
        "  v0 = Placeholder(label='x', type=type('float32', (2,)))() : float32[2]",
        "  v1 = Tanh()(v0) : float32[2]",
        "  return v1",
        "}",
    ]


GOOD = """graph main(v0) {
  variable 'w' : float32[2]
  v0 = Placeholder(label='x', type=type('float32', (2,)))() : float32[2]
  v1 = Read(variable=variable('w'))() : float32[2]
  v2 = Constant(literal=literal('float32', (2,), [1.0, 2.0]))() : float32[2]
  v3 = Add()(v0, v1) : float32[2]
  v4 = Sum(axes=(0,))(v3) : float32[]
  v5 = Multiply()(v2, v3) : float32[2]
  v6 = Assign(variable=variable('w'))(v5) : float32[2]
  update v6
  return v4, v5
}
"""


def test_the_example_that_is_broken_below_is_good():
    assert len(parse(GOOD).outputs) == 2


BREAKS = {
    "no graph": ("graph main(v0) {", "graf main(v0) {", 1),
    "unknown dtype": ("variable 'w' : float32[2]", "variable 'w' : float33[2]", 2),
    "variable of open size": ("variable 'w' : float32[2]", "variable 'w' : float32[n]", 2),
    "variable of negative size": ("variable 'w' : float32[2]", "variable 'w' : float32[-1]", 2),
    "variable of two shapes": ("variable 'w' : float32[2]", "variable 'w' : float32[1], [2]", 2),
    "variable beyond all memory": ("variable 'w' : float32[2]", "variable 'w' : float32[9999999999999999]", 2),
    "unknown variable": ("Read(variable=variable('w'))", "Read(variable=variable('u'))", 4),
    "number as a variable": ("Read(variable=variable('w'))", "Read(variable=3)", 4),
    "number as a literal": ("literal('float32', (2,), [1.0, 2.0])", "3", 5),
    "literal of the wrong shape": ("literal('float32', (2,), [1.0, 2.0])", "literal('float32', (3,), [1.0, 2.0])", 5),
    "literal of objects": ("literal('float32', (2,), [1.0, 2.0])", "literal('object', (2,), [1.0, 2.0])", 5),
    "unknown operation": ("Add()(v0, v1)", "Ad()(v0, v1)", 6),
    "unknown attribute": ("Add()(v0, v1)", "Add(axis=1)(v0, v1)", 6),
    "too few operands": ("Add()(v0, v1)", "Add()(v0)", 6),
    "unknown operand": ("Add()(v0, v1)", "Add()(v0, v9)", 6),
    "no attributes": ("Add()(v0, v1)", "Add(v0, v1)", 6),
    "open parenthesis": ("Add()(v0, v1)", "Add()(v0, v1", 6),
    "something after": ("Add()(v0, v1)", "Add()(v0, v1) + 1", 6),
    "keyword operand": ("Add()(v0, v1)", "Add()(v0, v1, y=v1)", 6),
    "wrong type": ("Add()(v0, v1) : float32[2]", "Add()(v0, v1) : float32[3]", 6),
    "no type": ("Add()(v0, v1) : float32[2]", "Add()(v0, v1)", 6),
    "too many names": ("v3 = Add", "v3, v30 = Add", 6),
    "a name made twice": ("  v4 = Sum", "  v3 = Add()(v0, v1) : float32[2]\n  v4 = Sum", 7),
    "number instead of a tuple": ("axes=(0,)", "axes=0", 7),
    "axis out of range": ("axes=(0,)", "axes=(1,)", 7),
    "word as an axis": ("axes=(0,)", "axes=('a',)", 7),
    "star": ("axes=(0,)", "**{}", 7),
    "deep parentheses": ("axes=(0,)", "axes=" + "(" * 400 + "0" + ")" * 400, 7),
    "many signs": ("axes=(0,)", "axes=" + "-" * 20000 + "1", 7),
    "unknown update": ("update v6", "update v77", 10),
    "update of no assignment": ("update v6", "update v5", 10),
    "unknown result": ("return v4", "return v44", 11),
}


def check_broken(old, new, line):
    assert old in GOOD
    with pytest.raises(GraphError) as caught:
        parse(GOOD.replace(old, new, 1))
    assert f"line {line}" in str(caught.value)


@pytest.mark.parametrize("name", BREAKS)
def test_a_line_that_cannot_be_read_is_named(name):
    check_broken(*BREAKS[name])


@pytest.mark.parametrize("kept", range(11))
def test_a_text_that_was_cut_off_is_refused(kept):
    with pytest.raises(GraphError):
        parse("\n".join(GOOD.splitlines()[:kept]))


POSITIONS = {
    "graph's name": ("graph main(v0)", f"graph {HOSTILE}(v0)"),
    "input": ("main(v0)", f"main({HOSTILE})"),
    "variable's name": ("variable 'w' : float32[2]", f"variable {HOSTILE} : float32[2]"),
    "variable's name among quotes": ("variable 'w' :", f"variable 'w' + {HOSTILE} + 'w' :"),
    "variable's size": ("variable 'w' : float32[2]", f"variable 'w' : float32[{HOSTILE}]"),
    "dtype": ("type=type('float32', (2,))", f"type=type({HOSTILE}, (2,))"),
    "shape": ("type=type('float32', (2,))", f"type=type('float32', ({HOSTILE},))"),
    "label": ("label='x'", f"label={HOSTILE}"),
    "variable": ("Read(variable=variable('w'))", f"Read(variable=variable({HOSTILE}))"),
    "literal's dtype": ("literal('float32', (2,)", f"literal({HOSTILE}, (2,)"),
    "literal's shape": ("literal('float32', (2,)", f"literal('float32', {HOSTILE}"),
    "literal's content": ("[1.0, 2.0]", f"[1.0, {HOSTILE}]"),
    "hash": ("literal('float32', (2,), [1.0, 2.0])", f"literal('float32', (2,), sha256={HOSTILE})"),
    "operation": ("Add()(v0, v1)", f"{HOSTILE}(v0, v1)"),
    "operation's name": ("Add()(v0, v1)", f"({HOSTILE})()(v0, v1)"),
    "operand": ("Add()(v0, v1)", f"Add()(v0, {HOSTILE})"),
    "attribute": ("axes=(0,)", f"axes={HOSTILE}"),
    "inner attribute": ("axes=(0,)", f"axes=({HOSTILE},)"),
    "attribute's name": ("axes=(0,)", f"{HOSTILE}=(0,)"),
    "lambda": ("axes=(0,)", f"axes=(lambda: {HOSTILE})()"),
    "comprehension": ("axes=(0,)", f"axes=[{HOSTILE} for _ in (1,)]"),
    "f-string": ("label='x'", f"label=f'{{{HOSTILE!r}}}'"),
    "walrus": ("axes=(0,)", f"axes=(a := {HOSTILE})"),
    "type": ("v3 = Add()(v0, v1) : float32[2]", f"v3 = Add()(v0, v1) : float32[{HOSTILE}]"),
    "value's name": ("v3 = Add", f"{HOSTILE} = Add"),
    "update": ("update v6", f"update {HOSTILE}"),
    "return": ("return v4", f"return {HOSTILE}"),
    "own line": ("  update v6", f"  {HOSTILE}"),
    "own line with type": ("  update v6", f"  v8 = {HOSTILE} : float32[2]"),
    "body": ("Add()(v0, v1)", f"Scan(body=body({HOSTILE}), carries=1, sequences=0, length=1)(v0)"),
    "text of a body": ("Add()(v0, v1)", f"Scan(body=body({HOSTILE!r}), carries=1, sequences=0, length=1)(v0)"),
    "dunder": ("Add()(v0, v1)", "Add.__class__()(v0, v1)"),
    "abstract class": ("Add()(v0, v1)", "Op()(v0, v1)"),
}


@pytest.mark.parametrize("position", POSITIONS)
def test_hostile_text_is_refused_and_never_run(position, monkeypatch):
    ran = []
    monkeypatch.setattr(os, "system", ran.append)
    old, new = POSITIONS[position]
    assert old in GOOD
    with pytest.raises(GraphError):
        parse(GOOD.replace(old, new, 1))
    assert not ran


def test_text_with_random_damage_is_read_or_refused_but_never_breaks():
    rng = random.Random(7)
    pieces = ["(", ")", "[", "]", ",", "'", ":", "=", "v1", "0", "-", " ", "\\", "None", "1.5", "@ a", "*", "()", ""]
    for _ in range(1500):
        damaged = GOOD
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(damaged))
            damaged = damaged[:at] + rng.choice(pieces) + damaged[at + rng.randint(0, 4) :]
        try:
            parse(damaged)
        except GraphError:
            pass
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n{damaged}")
