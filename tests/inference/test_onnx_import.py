"""ONNX models read: held to PyTorch's and ONNX Runtime's results; what is open stays open; what is refused says why."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_small import model, node, port, runtime, tensor

import millrace as mr
from millrace.inference import About
from millrace.inference.onnx.importing import from_onnx
from millrace.inference.onnx.translating import UntranslatedError
from millrace.ir.errors import ArgumentError, FileError, ShapeError

EXPORTED = Path(__file__).parents[1] / "parity" / "onnx"
X = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


def read(proto, **more):
    return from_onnx(proto, engine="numpy", **more)


def agree(proto, *arrays, tolerance=1e-6):
    """The import and ONNX Runtime give the same; returned for a look at it."""
    predictor = read(proto)
    mine, theirs = predictor(*arrays), runtime(proto, *arrays)
    assert [x.dtype for x in mine] == [x.dtype for x in theirs]
    for a, b in zip(mine, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    return predictor


# What PyTorch exports


@pytest.mark.parametrize(
    "name", ["convolutional_script", "convolutional_dynamo", "recurrent_script", "recurrent_dynamo"]
)
def test_what_pytorch_exports_predicts_as_in_pytorch_for_any_batch(name):
    predictor, kept = from_onnx(EXPORTED / f"{name}.onnx", engine="numpy"), np.load(EXPORTED / f"{name}.npz")
    assert predictor.about.name == name
    assert str(predictor.inputs[0].type).startswith(("float32[batch,", "int64[batch,"))
    for count in (1, 2, 6):
        np.testing.assert_allclose(predictor.predict(kept["x"][:count]), kept["y"][:count], atol=1e-6)


def test_a_transformer_with_two_open_sizes_predicts_as_in_pytorch_and_on_both_engines():
    kept = np.load(EXPORTED / "transformer_dynamo.npz")
    numpy, xla = (from_onnx(EXPORTED / "transformer_dynamo.onnx", engine=engine) for engine in ("numpy", "xla"))
    assert str(numpy.inputs[0].type) == "float32[batch, length, 8]"
    for predictor in (numpy, xla):
        np.testing.assert_allclose(predictor.predict(kept["x"]), kept["y"], atol=2e-6)
    assert numpy.predict(kept["x"][:2, :4]).shape == (2, 32)
    with pytest.raises(ShapeError):  # its table of places has 32 rows
        numpy.predict(np.zeros((1, 33, 8), np.float32))


def test_a_size_that_the_exporter_took_for_fixed_can_be_named():
    path, kept = EXPORTED / "transformer_script.onnx", np.load(EXPORTED / "transformer_script.npz")
    with pytest.raises(UntranslatedError, match=r"(?s)self_attn.*\(Reshape\).*value of batch, length.*sizes="):
        from_onnx(path)
    predictor = from_onnx(path, engine="numpy", sizes={"length": 6})
    assert str(predictor.inputs[0].type) == "float32[batch, 6, 8]"
    np.testing.assert_allclose(predictor.predict(kept["x"]), kept["y"], atol=2e-6)
    with pytest.raises(ArgumentError, match="Did you mean 'length'"):
        from_onnx(path, sizes={"lenth": 6})


def test_what_was_imported_can_be_trained_on():
    predictor, kept = from_onnx(EXPORTED / "convolutional_script.onnx"), np.load(EXPORTED / "convolutional_script.npz")
    network = mr.Model(list(predictor.graph.inputs), list(predictor.graph.outputs))
    network.compile(mr.optimizers.SGD(0.5), mr.losses.SparseCategoricalCrossentropy(), engine="numpy")
    before = network.predict(kept["x"])
    np.testing.assert_allclose(before, kept["y"], atol=1e-6)
    losses = network.fit(kept["x"], np.array([0, 1, 2] * 2), batch_size=6, epochs=6, verbose=0, seed=0).history["loss"]
    assert losses[-1] < losses[0] - 0.05
    moved = {variable.name for variable in predictor.graph.variables if variable.trainable}
    assert {"head.weight", "head.bias", "second.weight"} <= moved


def test_statistics_of_batch_normalization_are_not_trained():
    names = ["scale", "shift", "mean", "variance"]
    proto = model(
        [node("BatchNormalization", ["x", *names], ["y"])], [port("x", ["n", 4, 5])], ["y"],
        [tensor(name, np.full(4, 0.5 + k)) for k, name in enumerate(names)],
    )  # fmt: skip
    trainable = {v.name: v.trainable for v in agree(proto, X).graph.variables}
    assert trainable == {"scale": True, "shift": True, "mean": False, "variance": False}


# Sizes


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["N", 3], ["N", "T"], ["float32[batch, 3]", "float32[batch, T]"]),
        ([None, 3], [None, 3], ["float32[batch, 3]", "float32[batch, 3]"]),
        ([7, 3], ["batch", 3], ["float32[7, 3]", "float32[batch, 3]"]),
        (["a", 3], ["b", 3], ["float32[a, 3]", "float32[b, 3]"]),
        (["N", "a-b"], ["N", "a b"], ["float32[batch, a_b]", "float32[batch, a_b_2]"]),
        (["N", "2*N + 1"], ["N", "class"], ["float32[batch, size_2_N___1]", "float32[batch, size_class]"]),
        (["N", None], ["N", 0], ["float32[batch, one_size1]", "float32[batch, 0]"]),
    ],
)
def test_open_sizes_get_names(first, second, expected):
    proto = model(
        [node("Exp", ["one"], ["y"]), node("Exp", ["two"], ["z"])], [port("one", first), port("two", second)], "yz"
    )
    assert [str(port.type) for port in read(proto).inputs] == expected


def test_inputs_outputs_and_tensors_keep_their_places():
    inputs = [port("b", ["N", 5]), port("weight", [5]), port("a.1", ["N", 5])]
    nodes = [node("Add", ["a.1", "weight"], ["sum"]), node("Mul", ["sum", "b"], ["product"])]
    predictor = read(model(nodes, inputs, ["product", "sum", "b"], [tensor("weight", np.ones(5))]))
    assert [port.name for port in predictor.inputs] == ["b", "a.1"]  # a tensor of the model is none
    assert [port.name for port in predictor.outputs] == ["product", "sum", "b"]
    product, total, b = predictor(X[0], 2 * X[0])
    np.testing.assert_array_equal(total, 2 * X[0] + 1)
    np.testing.assert_array_equal(product, (2 * X[0] + 1) * b)


SHAPE_OF = [node("Shape", ["x"], ["shape"])]
BATCH = [*SHAPE_OF, node("Gather", ["shape", "zero"], ["batch"]), node("Unsqueeze", ["batch", "first"], ["sizes"])]
WHOLE = {"zero": 0, "first": [0], "rest": [-1], "two": [2], "one": [1], "three": [3], "fives": [4, 5], "far": [2**62]}


@pytest.mark.parametrize(
    "nodes",
    [
        [*BATCH, node("Concat", ["sizes", "rest"], ["to"], axis=0), node("Reshape", ["x", "to"], ["y"])],
        [*SHAPE_OF, node("Slice", ["shape", "first", "one"], ["head"]),
         node("Slice", ["shape", "one", "far"], ["tail"]),
         node("ReduceProd", ["tail"], ["product"]), node("Concat", ["head", "product"], ["to"], axis=0),
         node("Reshape", ["x", "to"], ["y"])],
        [*BATCH, node("Mul", ["sizes", "two"], ["twice"]), node("Div", ["twice", "two"], ["once"]),
         node("Concat", ["once", "fives"], ["like"], axis=0), node("ConstantOfShape", ["like"], ["zeros"]),
         node("Add", ["x", "zeros"], ["y"])],
        [*BATCH, node("Concat", ["rest", "fives"], ["asked"], axis=0), node("Equal", ["asked", "rest"], ["open"]),
         node("ConstantOfShape", ["three"], ["ones"], value=tensor("", [1])),
         node("Where", ["open", "ones", "asked"], ["to"]),
         node("Expand", ["x", "to"], ["y"])],
        [*BATCH, node("Squeeze", ["sizes"], ["n"]), node("Range", ["zero", "n", "unit"], ["counted"]),
         node("Cast", ["counted"], ["numbers"], to=1), node("Unsqueeze", ["numbers", "plane"], ["column"]),
         node("Mul", ["x", "column"], ["y"])],
        [*BATCH, node("Cast", ["batch"], ["n"], to=1), node("Div", ["x", "n"], ["y"])],
        [*SHAPE_OF, node("Split", ["shape", "parts"], ["n", "rows", "columns"]),
         node("Concat", ["columns", "n", "rows"], ["to"], axis=0),
         node("Reshape", ["x", "to"], ["y"])],
        [*BATCH, node("Sub", ["sizes", "one"], ["last"]), node("Slice", ["x", "last", "far", "first"], ["y"])],
    ],
)  # fmt: skip
def test_a_batch_that_exporters_carry_through_shapes_stays_open(nodes):
    whole = [tensor(name, np.asarray(value, np.int64)) for name, value in WHOLE.items()]
    whole += [tensor("unit", np.int64(1)), tensor("plane", np.array([1, 2])), tensor("parts", np.array([1, 1, 1]))]
    predictor = agree(model(nodes, [port("x", ["N", 4, 5])], ["y"], whole, opset=13), X)
    assert len(predictor(np.concatenate([X, X]))[0]) in (6, 5, 1)
    np.testing.assert_allclose(predictor(X[:1])[0], runtime_of(nodes, whole, X[:1]), rtol=1e-6)


def runtime_of(nodes, whole, x):
    return runtime(model(nodes, [port("x", ["N", 4, 5])], ["y"], whole, opset=13), x)[0]


# One operator, as different versions write it


@pytest.mark.parametrize(
    ("opset", "nodes"),
    [
        (11, [node("Unsqueeze", ["x"], ["u"], axes=[0, 2]), node("Squeeze", ["u"], ["y"], axes=[0])]),
        (13, [node("Unsqueeze", ["x", "axes"], ["u"]), node("Squeeze", ["u"], ["y"])]),
        (9, [node("Slice", ["x"], ["y"], starts=[1, -3], ends=[9, -1], axes=[1, 2])]),
        (13, [node("Slice", ["x", "from", "to", "both", "steps"], ["y"])]),
        (8, [node("Clip", ["x"], ["y"], min=-0.5, max=0.25)]),
        (12, [node("Clip", ["x", "", "quarter"], ["y"])]),
        (10, [node("Pad", ["x"], ["y"], pads=[0, 1, 0, 0, 0, 2], value=1.5)]),
        (11, [node("Pad", ["x", "pads"], ["y"], mode="reflect")]),
        (11, [node("ReduceSum", ["x"], ["y"], axes=[1], keepdims=0)]),
        (13, [node("ReduceSum", ["x", "axes"], ["y"])]),
        (13, [node("ReduceSum", ["x", "none"], ["y"], noop_with_empty_axes=1)]),
        (13, [node("ReduceMax", ["x"], ["y"], axes=[-1])]),
        (18, [node("ReduceMax", ["x", "axes"], ["y"])]),
        (11, [node("Split", ["x"], ["y", "z"], axis=1, split=[1, 3])]),
        (13, [node("Split", ["x", "split"], ["y", "z"], axis=1)]),
        (18, [node("Split", ["x"], ["y", "z"], axis=2, num_outputs=2)]),
        (11, [node("Softmax", ["x"], ["y"])]),
        (12, [node("LogSoftmax", ["x"], ["y"], axis=2)]),
        (13, [node("Softmax", ["x"], ["y"], axis=1)]),
        (11, [node("Hardmax", ["x"], ["y"])]),
        (10, [node("Dropout", ["x"], ["y"], ratio=0.7)]),
        (13, [node("Dropout", ["x", "quarter"], ["y", "z"])]),
        (9, [node("TopK", ["x"], ["y", "z"], k=2)]),
        (10, [node("TopK", ["x", "two"], ["y", "z"])]),
        (11, [node("TopK", ["x", "two"], ["y", "z"], axis=1, largest=0)]),
        (9, [node("Cast", ["x"], ["i"], to=7), node("Abs", ["i"], ["y"])]),
        (8, [node("Sum", ["x", "x", "x"], ["s"]), node("Mean", ["s", "x"], ["y"])]),
        (9, [node("Flatten", ["x"], ["y"], axis=2)]),
        (11, [node("Gemm", ["m", "m"], ["g"], transB=1, alpha=0.5), node("MatMul", ["x", "w"], ["y"])]),
        (13, [node("Gather", ["x", "both"], ["y"], axis=2)]),
        (11, [node("CumSum", ["x", "axis"], ["y"], exclusive=1, reverse=1)]),
        (12, [node("ArgMax", ["x"], ["y"], axis=1, keepdims=0, select_last_index=1)]),
        (12, [node("Einsum", ["x", "w"], ["y"], equation="...j,jk->...k")]),
        (13, [node("Pow", ["x", "square"], ["y"])]),
        (14, [node("Trilu", ["x"], ["y"], upper=0)]),
    ],
    ids=lambda given: f"{given[0].op_type}" if isinstance(given, list) else str(given),
)  # fmt: skip
def test_each_version_of_an_operator_means_what_it_meant(opset, nodes):
    tensors = [
        tensor("axes", np.array([1])), tensor("from", np.array([3, -1])), tensor("to", np.array([-9, -9])),
        tensor("both", np.array([1, 2])), tensor("steps", np.array([-1, -2])), tensor("quarter", np.float32(0.25)),
        tensor("pads", np.array([0, 2, 1, 0, 0, 3])), tensor("two", np.array([2])),
        tensor("split", np.array([1, 3])), tensor("m", X[0]), tensor("w", X[0].T), tensor("axis", np.int64(1)),
        tensor("square", np.float32(2)), tensor("none", np.array([], np.int64)),
    ]  # fmt: skip
    used = {name for one in nodes for name in one.input}
    made = {name for one in nodes for name in one.output}
    outputs = [name for name in ("y", "z") if name in made]
    agree(model(nodes, [port("x", ["N", 4, 5])], outputs, [t for t in tensors if t.name in used], opset=opset), X)


# Functions, branches and loops


def scaled_twice(**more):
    """A model whose function `Twice` scales by `factor`, 3 where it is not given, in a function of its own."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    referring = node("Scale", ["v"], ["w"], domain="own")
    referring.attribute.append(
        onnx.AttributeProto(name="factor", ref_attr_name="factor", type=onnx.AttributeProto.FLOAT)
    )
    constant = node("Constant", [], ["c"])
    constant.attribute.append(
        onnx.AttributeProto(name="value_float", ref_attr_name="factor", type=onnx.AttributeProto.FLOAT)
    )
    scale = helper.make_function(
        "own", "Scale", ["a"], ["b"], [constant, node("Mul", ["a", "c"], ["b"])], imports, ["factor"]
    )
    twice = helper.make_function(
        "own", "Twice", ["v"], ["z"], [referring, node("Add", ["w", "w"], ["z"])], imports,
        attribute_protos=[helper.make_attribute("factor", 3.0)],
    )  # fmt: skip
    call = node("Twice", ["x"], ["y"], domain="own", **more)
    return model([call], [port("x", ["N", 4, 5])], ["y"], opset_imports=imports, functions=[scale, twice])


def test_functions_of_the_model_are_read_with_their_attributes():
    np.testing.assert_allclose(read(scaled_twice())(X)[0], 6 * X, rtol=1e-6)
    np.testing.assert_allclose(read(scaled_twice(factor=0.5))(X)[0], X, rtol=1e-6)


def branches(condition, inputs, tensors=()):
    sides = [helper.make_graph([node(op, ["x", "two"], [op])], op, [], [port(op, None)]) for op in ("Mul", "Add")]
    choice = node("If", [condition], ["y"], then_branch=sides[0], else_branch=sides[1])
    return model([choice], [port("x", ["N", 4, 5]), *inputs], ["y"], [tensor("two", np.array([2.0])), *tensors])


def test_a_condition_chooses_now_or_when_data_arrives():
    assert "where" not in str(read(branches("yes", [], [tensor("yes", np.array(True))])).graph)
    proto = branches("c", [port("c", [], "bool")])
    for condition in (True, False):
        agree(proto, X, np.array(condition))


def test_loops_are_written_out_or_scanned():
    for turns in (0, 3, 200):
        body = helper.make_graph(
            [node("Cast", ["i"], ["n"], to=1), node("Mul", ["state", "w"], ["scaled"]),
             node("Add", ["scaled", "n"], ["next"]), node("Identity", ["c"], ["on"])],
            "body", [port("i", [], "int64"), port("c", [], "bool"), port("state", [2])],
            [port("on", [], "bool"), port("next", [2])],
        )  # fmt: skip
        tensors = [tensor("turns", np.int64(turns)), tensor("w", np.array([0.5, 0.9]))]
        agree(
            model([node("Loop", ["turns", "", "x"], ["y"], body=body)], [port("x", [2])], ["y"], tensors), X[0, 0, :2]
        )


def test_a_tensor_of_a_loops_body_is_one_variable_in_all_turns():
    body = helper.make_graph(
        [node("Mul", ["state", "w"], ["next"]), node("Identity", ["c"], ["on"])], "body",
        [port("i", [], "int64"), port("c", [], "bool"), port("state", [2])],
        [port("on", [], "bool"), port("next", [2])], [tensor("w", np.array([0.5, 0.9]))],
    )  # fmt: skip
    loop = node("Loop", ["turns", "", "x"], ["y"], body=body)
    predictor = agree(model([loop], [port("x", [2])], ["y"], [tensor("turns", np.int64(3))]), X[0, 0, :2])
    assert [variable.name for variable in predictor.graph.variables] == ["w"]


# What is refused, and what is said of a model


def test_all_missing_operators_are_named_at_once():
    nodes = [node("Nonsense", ["x"], ["a"], name="one"), node("Relu", ["a"], ["b"]),
             node("Det", ["b"], ["c"], name="two"), node("Nonsense", ["c"], ["y"]),
             node("Unheard", ["x"], ["unused"])]  # fmt: skip
    with pytest.raises(UntranslatedError, match=r"Det \('two' \(Det\)\); Nonsense \(2 nodes, first 'one'") as refusal:
        read(model(nodes, [port("x", [3, 3])], ["y"]))
    assert "Unheard" not in str(refusal.value)  # nothing rests on it


def plain(*nodes, shape=(3,), more=(), **settings):
    return model(nodes, [port("x", shape), *more], ["y"], **settings)


@pytest.mark.parametrize(
    ("proto", "why"),
    [
        (plain(node("Relu", ["x"], ["y"]), opset=6), "version 6.*7 to 28.*version_converter"),
        (plain(node("Reshape", ["x", "s"], ["y"], name="R"), more=[port("s", [1], "int64")]), "'R'.*computed"),
        (plain(node("MatMul", ["x", "x"], ["y"], name="M"), shape=[3, 4]), "'M' .MatMul.*4"),
        (plain(node("Relu", ["x"], ["y"]), shape=None), "how many axes"),
        (plain(node("Pad", ["x"], ["y"], mode="wrapped", pads=[0, 1], name="P"), shape=["N"], opset=10), "'P'.*wrap"),
        (plain(node("Concat", ["x", "x"], ["y"], axis=3, name="C")), "'C'.*axis 3"),
        (plain(node("Constant", [], ["y"], value_string="text")), "no tensor of numbers"),
        (plain(node("Cast", ["x"], ["y"], name="T", to=17)), "to of node 'T' .Cast. has dtype float8e4m3fn"),
        (plain(node("MatMul", ["x", "x"], ["y"]), shape=["N", 3]), r"value of batch\. .*\. If the model is made for"),
        (plain(node("Dropout", ["x", "", "on"], ["y"]), tensors=[tensor("on", np.array(True))]), "training mode"),
    ],
    ids=lambda given: "" if isinstance(given, str) else given.graph.node[0].op_type,
)  # fmt: skip
def test_what_cannot_be_imported_says_which_node_and_why(proto, why):
    with pytest.raises(UntranslatedError, match=f"(?s){why}"):
        read(proto)


def test_what_a_file_says_of_its_model_is_read_where_it_fits():
    proto = model([node("Relu", ["x"], ["y"])], [port("x", [3])], ["y"])
    assert read(proto).about.name == "small"
    said = {"name": "digits", "classes": ["0", "1"], "settings": {"units": 5, "deep": {"a": [1]}}}
    proto.metadata_props.add(key="millrace", value=json.dumps(said | {"measured": {"accuracy": 0.9}}))
    about = read(proto).about
    assert (about.name, about.classes, about.precision) == ("digits", ("0", "1"), "float32")
    assert (about.settings, about.measured) == ({"units": 5, "deep": {"a": [1]}}, {"accuracy": 0.9})
    for damaged in (
        "[" * 100_000,
        "",
        "3",
        "{",
        json.dumps(said | {"precision": 3}),
        json.dumps(said | {"classes": 1}),
    ):
        proto.metadata_props[0].value = damaged
        assert read(proto).about == About("small")


def test_a_path_bytes_and_a_model_are_the_same_and_nothing_else_is_taken(tmp_path):
    proto = model([node("Neg", ["x"], ["y"])], [port("x", [3])], ["y"])
    path = tmp_path / "negative.onnx"
    path.write_bytes(proto.SerializeToString())
    x = np.ones(3, np.float32)
    for source in (path, str(path), path.read_bytes(), proto):
        np.testing.assert_array_equal(read(source)(x)[0], -x)
    with pytest.raises(ArgumentError, match="takes a path"):
        read(3)
    with pytest.raises(FileError, match="cannot be read"):
        read(tmp_path / "missing.onnx")
