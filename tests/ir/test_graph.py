"""Graphs: their rules, their copies, and messages that point at the user's own line."""

import os
import subprocess
import sys

import numpy as np
import pytest

import millrace as mr
from millrace.ir import location
from millrace.ir.core import layer_scope
from millrace.ir.errors import (
    ArgumentError,
    DimensionError,
    DTypeError,
    GradientError,
    GraphError,
    MillraceError,
    ShapeError,
)
from millrace.ir.graph import RULES, Graph, verify
from millrace.ir.leaves import Placeholder
from millrace.ir.state import Assign, Variable
from millrace.ir.types import TensorType


def vector(name="x", size=3, dtype="float32"):
    return Placeholder(name, TensorType(dtype, (size,)))()


def complaint(make):
    with pytest.raises(GraphError) as caught:
        make()
    return str(caught.value)


def unnamed_input():
    Graph([], [mr.tanh(vector("forgotten"))])


def computed_input():
    x = vector()
    Graph([x, mr.tanh(x)], [x])


def tampered_type():
    x = vector()
    y = mr.tanh(x)
    y.type = TensorType("float32", (4,))
    Graph([x], [y])


def two_variables_of_one_name():
    Graph([], [Variable(1.0, name="twin") + Variable(2.0, name="twin")])


def assignment_inside():
    w = Variable(1.0, name="inner")
    Graph([], [Assign(w)(w.value)])


def use_before_making():
    x = vector()
    y = mr.tanh(x)
    y.node.inputs = (y,)
    Graph([x], [y])


BROKEN = {
    "every-input-is-named": (unnamed_input, "'forgotten'"),
    "inputs-are-placeholders": (computed_input, "Tanh"),
    "types-are-inferred": (tampered_type, "Tanh"),
    "variables-have-unique-names": (two_variables_of_one_name, "'twin'"),
    "updates-are-outermost": (assignment_inside, "'inner'"),
    "inputs-come-first": (use_before_making, "before it is made"),
}


def test_every_rule_is_broken_once_below():
    assert set(BROKEN) == set(RULES)


@pytest.mark.parametrize("name", BROKEN)
def test_a_graph_that_breaks_a_rule_is_refused_by_name(name):
    make, fragment = BROKEN[name]
    message = complaint(make)
    assert f"{name}: " in message and fragment in message


def test_an_input_given_twice_is_refused():
    x = vector()
    assert "given twice" in complaint(lambda: Graph([x, x], [x]))


def test_using_the_result_of_an_assignment_is_refused():
    w = Variable(1.0, name="w")
    made = Assign(w)(w.value)
    assert "uses the result of assigning 'w'" in complaint(lambda: Graph([], [mr.tanh(made)]))


def test_a_forgotten_input_names_the_users_line():
    message = complaint(unnamed_input)
    assert "test_graph.py" in message and "return Placeholder(name" in message


def test_a_value_that_leaks_out_of_a_scan_is_refused():
    leaked = []

    def step(state, x):
        leaked.append(state)
        return state + x, None

    mr.scan(step, mr.zeros(()), mr.constant(np.ones(3, np.float32)))
    assert "'state0' is used but is not among the inputs" in complaint(lambda: Graph([], [leaked[0]]))


def test_a_good_graph_passes_verification():
    x = vector()
    verify(Graph([x], [mr.tanh(x)]))


def test_a_diamond_is_walked_once():
    x = vector()
    for _ in range(60):
        x = x + x
    source = x.node
    while source.inputs:
        source = source.inputs[0].node
    assert len(Graph([source.outputs[0]], [x]).nodes) == 61


def test_a_very_deep_graph_is_no_problem():
    x = y = vector()
    for _ in range(5000):
        y = mr.tanh(y)
    graph = Graph([x], [y])
    assert len(graph.nodes) == 5001
    assert len(mr.simplify(graph).nodes) == 5001


def test_substitute_builds_on_the_replacement_and_keeps_the_rest():
    x, other = vector("x"), vector("other")
    kept = mr.exp(other)
    y = mr.tanh(x) + kept
    z = vector("z")
    new = Graph([x, other], [y]).substitute({x: z})
    assert new[kept] is kept
    assert new[y] is not y
    got = Graph([z, other], [new[y]]).evaluate([np.float32([1, 2, 3]), np.zeros(3, np.float32)])[0]
    np.testing.assert_allclose(got, np.tanh([1, 2, 3]) + 1, rtol=1e-6)


def test_substitute_replaces_an_intermediate_value():
    x, z = vector("x"), vector("z")
    h = mr.tanh(x)
    y = mr.exp(h)
    new = Graph([x], [y]).substitute({h: z})
    assert new[y].node.inputs == (z,)


def test_substitute_replaces_one_of_several_outputs_of_a_node():
    xs = vector("xs")
    last, running = mr.scan(lambda s, x: (s + x, s + x), mr.zeros(()), xs)
    total = mr.sum(running) + last
    z = vector("z")
    new = Graph([xs], [total]).substitute({running: z})
    assert new[running] is z
    got = Graph([xs, z], [new[total]]).evaluate([np.float32([1, 2, 3]), np.float32([10, 20, 30])])[0]
    assert got == 66


def test_substitute_with_nothing_gives_back_the_same_values():
    x = vector()
    y = mr.tanh(x)
    assert Graph([x], [y]).substitute({})[y] is y


def test_bind_replaces_named_dimensions_everywhere():
    x = mr.Input((4,), name="x")
    y = mr.reshape(mr.mean(mr.tanh(x), axis=0, keepdims=True) + x, (-1,)) * mr.cast(mr.size(x.shape[0]), "float32")
    graph = Graph([x], [y])
    assert graph.free_names == {"batch"}
    bound = graph.bind({"batch": 2})
    assert bound.free_names == frozenset()
    assert all(value.type.is_concrete for node in bound.nodes for value in node.outputs)
    array = np.arange(8, dtype=np.float32).reshape(2, 4)
    expected = (np.tanh(array).mean(0, keepdims=True) + array).ravel() * 2
    np.testing.assert_allclose(bound.evaluate([array])[0], expected, rtol=1e-6)


def test_bind_reaches_into_the_body_of_a_scan():
    xs = Placeholder("xs", TensorType("float32", (5, mr.dim("batch"))))()
    last, _ = mr.scan(lambda s, x: (s + x * mr.ones_like(x), None), mr.zeros((mr.dim("batch"),)), xs)
    bound = Graph([xs], [last]).bind({"batch": 3})
    assert bound.outputs[0].shape == (3,)
    np.testing.assert_array_equal(bound.evaluate([np.ones((5, 3), np.float32)])[0], [5, 5, 5])


def test_binding_leaves_the_original_alone():
    x = mr.Input((4,), name="x")
    graph = Graph([x], [mr.tanh(x)])
    graph.bind({"batch": 2})
    assert str(graph.outputs[0].type) == "float32[batch, 4]"


def test_a_value_knows_the_line_that_made_it():
    y = mr.tanh(vector())
    assert y.node.location.file == __file__
    assert "y = mr.tanh(vector())" in y.node.place()


def test_a_line_of_a_helper_module_of_another_name_is_the_users_line():
    theirs = location.PACKAGE.rstrip(os.sep) + "_plugin/train.py"
    scope = {"mr": mr, "x": vector()}
    exec(compile("y = mr.tanh(x)", theirs, "exec"), scope)
    assert scope["y"].node.location.file == theirs


def test_a_shape_error_says_the_shapes_and_the_line():
    x, w = mr.Input((4,), name="x"), Variable(np.zeros((5, 2), np.float32), name="w")
    with pytest.raises(ShapeError) as caught:
        x @ w
    message = str(caught.value)
    assert "float32[batch, 4]" in message and "float32[5, 2]" in message
    assert "test_graph.py" in message and "x @ w" in message


def test_a_broadcast_error_says_the_shapes_and_the_line():
    x, y = vector(size=3), vector(size=4)
    with pytest.raises(ShapeError) as caught:
        x + y
    message = str(caught.value)
    assert "[3]" in message and "[4]" in message
    assert "test_graph.py" in message and "x + y" in message


def test_a_dtype_error_says_the_dtypes_and_the_line():
    x = vector(dtype="bool")
    with pytest.raises(DTypeError) as caught:
        x + x
    assert "bool[3]" in str(caught.value)
    assert "test_graph.py" in str(caught.value) and "x + x" in str(caught.value)


def test_an_undecidable_broadcast_says_so():
    x, y = mr.Input((mr.dim("rows"),), name="x"), mr.Input((4,), name="y")
    with pytest.raises(DimensionError, match="cannot decide whether"):
        x + y


def test_an_error_names_the_layer():
    x = vector()
    with layer_scope("encoder"), layer_scope("dense"), pytest.raises(ShapeError, match="encoder/dense"):
        mr.transpose(x, (1, 0, 2))


def test_the_place_is_said_once():
    with pytest.raises(MillraceError) as caught:
        vector() @ vector(size=4)
    assert str(caught.value).count("test_graph.py") <= 1


def test_gradient_nodes_keep_the_line_and_the_layer_of_what_caused_them():
    x = vector()
    with layer_scope("squash"):
        y = mr.tanh(x)
    line = y.node.location
    (dx,) = mr.gradients(mr.sum(y), [x])
    assert dx.node.layer == "squash" and dx.node.location == line


def test_a_value_has_no_truth_value():
    with pytest.raises(ArgumentError, match=r"mr\.where"):
        bool(vector() > 0)


def test_a_variable_has_no_truth_value_either():
    with pytest.raises(ArgumentError):
        bool(Variable(0.0, name="w"))


def test_values_and_variables_are_iterated_and_unpacked_along_their_first_axis():
    assert [v.shape for v in vector(size=3)] == [(), (), ()]
    assert [v.shape for v in Variable(np.zeros((2, 5), np.float32), name="w")] == [(5,), (5,)]


def test_a_named_axis_cannot_be_iterated():
    with pytest.raises(ShapeError, match="not a known number"):
        list(mr.Input((3,)))


def test_numpy_arrays_on_the_left_leave_the_operator_to_the_value():
    assert isinstance(np.ones(3, np.float32) * vector(), mr.Value)
    assert isinstance(np.ones(3, np.float32) - Variable(np.ones(3, np.float32), name="w"), mr.Value)
    assert isinstance(np.float32(2) * vector(), mr.Value)


def test_a_variable_copies_what_it_is_given():
    array = np.zeros(3, np.float32)
    w = Variable(array, name="w")
    array[:] = 9
    np.testing.assert_array_equal(w.numpy(), [0, 0, 0])
    w.numpy()[:] = 5
    np.testing.assert_array_equal(w.numpy(), [0, 0, 0])


def test_assigning_another_shape_or_kind_is_refused():
    w = Variable(np.zeros(3, np.float32), name="w")
    with pytest.raises(ShapeError, match=r"'w' is float32\[3\].*\[4\]"):
        w.assign(np.zeros(4, np.float32))
    with pytest.raises(DTypeError, match="complex"):
        w.assign(np.zeros(3, complex))


def test_assigning_a_whole_number_that_does_not_fit_is_refused():
    count = Variable(np.int32(1), name="count")
    with pytest.raises(DTypeError):
        count.assign(2**40)
    assert count.numpy() == 1


def test_a_plain_python_number_can_be_assigned_to_an_unsigned_counter():
    count = Variable(np.uint32(1), name="count")
    count.assign(5)
    assert count.numpy() == 5


def test_an_update_of_another_type_names_the_variable_and_both_types():
    w = Variable(np.zeros(3, np.float32), name="w")
    with pytest.raises(ShapeError, match=r"'w' is float32\[3\], but its update is float32\[4\]"):
        Graph([], [], {w: mr.zeros((4,))})
    with pytest.raises(DTypeError, match=r"'w' is float32\[3\], but its update is int32\[3\]"):
        Graph([], [], {w: mr.zeros((3,), "int32")})


def test_errors_can_be_caught_as_pythons_own():
    assert issubclass(ShapeError, ValueError) and issubclass(DTypeError, TypeError)
    assert issubclass(GradientError, MillraceError)


def test_the_line_is_named_from_a_script_too(tmp_path):
    script = tmp_path / "train_it.py"
    script.write_text("import millrace as mr\nx = mr.Input((3,))\ny = x @ mr.zeros((4, 2))  # wrong\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert "at train_it.py:3: y = x @ mr.zeros((4, 2))" in done.stderr
