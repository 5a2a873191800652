"""Damaged and hostile ONNX files: each ends in a predictor or in an error of ours, soon, and without much memory."""

import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from onnx import ModelProto, TensorProto, helper
from onnx_small import model, node, port, tensor

from millrace.inference.onnx.importing import from_onnx
from millrace.inference.onnx.translating import UntranslatedError
from millrace.ir.errors import FileError, MillraceError

EXPORTED = Path(__file__).parents[1] / "parity" / "onnx"
MEGABYTE = 2**20
RELU, VERSION = node("Relu", ["x"], ["y"]), helper.make_opsetid("", 17)


def plain(*nodes, outputs="y", **more):
    """A model of nodes from x to y."""
    return model(nodes, [port("x", [3])], outputs, **more)


def changed(change):
    """A model after a change to its graph."""
    proto = plain(node("Add", ["x", "w"], ["y"], name="A"), tensors=[tensor("w", np.ones(3))])
    change(proto.graph)
    return proto


def deep(levels):
    """Branches within branches."""
    inner = helper.make_graph([node("Relu", ["x"], ["y0"])], "g", [], [port("y0", None)])
    for n in range(1, levels):
        other = helper.make_graph([node("Neg", ["x"], [f"z{n}"])], "h", [], [port(f"z{n}", None)])
        choice = node("If", ["c"], [f"y{n}"], then_branch=inner, else_branch=other)
        inner = helper.make_graph([choice], "g", [], [port(f"y{n}", None)])
    return model([*inner.node], [port("x", [3]), port("c", [], "bool")], [inner.output[0].name])


def calling(levels, width):
    """Functions that call the one before `width` times: a text of a few lines for width^levels nodes."""
    imports = [VERSION, helper.make_opsetid("own", 1)]
    functions = [helper.make_function("own", "f0", ["a"], ["b"], [node("Relu", ["a"], ["b"])], imports)]
    for level in range(1, levels + 1):
        names = ["a", *(f"v{n}" for n in range(width - 1)), "b"]
        calls = [node(f"f{level - 1}", [names[n]], [names[n + 1]], domain="own") for n in range(width)]
        functions.append(helper.make_function("own", f"f{level}", ["a"], ["b"], calls, imports))
    call = node(f"f{levels}", ["x"], ["y"], domain="own")
    return model([call], [port("x", [3])], ["y"], opset_imports=imports, functions=functions)


def itself():
    imports = [VERSION, helper.make_opsetid("own", 1)]
    again = helper.make_function("own", "f", ["a"], ["b"], [node("f", ["a"], ["b"], domain="own")], imports)
    return model(
        [node("f", ["x"], ["y"], domain="own")], [port("x", [3])], ["y"], opset_imports=imports, functions=[again]
    )


def lying(dims, raw=b"\0" * 12):
    return changed(lambda g: g.initializer[0].CopyFrom(TensorProto(name="w", data_type=1, dims=dims, raw_data=raw)))


HOSTILE = {
    "nothing": (b"", "no ONNX model: it has no graph"),
    "no protobuf": (b"PK\x03\x04" + bytes(range(256)), "no ONNX model"),
    "a cycle": (plain(node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), outputs="b"), "before anything"),
    "a missing input": (plain(node("Relu", ["z"], ["y"])), "'z' before anything"),
    "an output made twice": (plain(RELU, node("Neg", ["x"], ["y"])), "there already"),
    "an output named twice": (plain(RELU, outputs="yy"), "names one twice"),
    "an output that nothing makes": (plain(RELU, outputs="z"), "'z', which nothing makes"),
    "two inputs of one name": (model([RELU], [port("x", [3])] * 2, ["y"]), "two inputs called 'x'"),
    "an operator's output as an input": (plain(node("Relu", ["x"], ["x"]), outputs="x"), "there already"),
    "a negative size of an input": (model([RELU], [port("x", [-3])], ["y"]), "the size -3"),
    "a giant size of an input": (model([RELU], [port("x", [2**60])], ["y"]), "the size 1152921504606846976"),
    "a negative size of a tensor": (lying([-3]), "no tensor has"),
    "a giant tensor": (lying([2**40, 2**40]), "more than 2147483648 numbers"),
    "a tensor that lies about its length": (lying([2**28]), "1073741824 bytes, but holds 12"),
    "a tensor with more than it says": (lying([2]), "8 bytes, but holds 12"),
    "a tensor without content": (lying([3], b""), "12 bytes, but holds 0"),
    "a tensor of many axes": (lying([1] * 40), "no tensor has"),
    "a tensor of an unknown dtype": (changed(lambda g: setattr(g.initializer[0], "data_type", 99)), "dtype number 99"),
    "a sparse tensor": (changed(lambda g: g.sparse_initializer.add()), "sparse"),
    "a name without end": (plain(node("Relu", ["x"], ["y"], name="n" * 10**6)), "1000000 characters"),
    "an operator's name without end": (plain(node("n" * 10**6, ["x"], ["y"])), "1000000 characters"),
    "graphs within graphs": (deep(18), "graphs within graphs, more than 16"),
    "a function that calls itself": (itself(), "without end"),
    "functions that multiply": (calling(16, 4), "amount to more than 5330 nodes"),
    "an attribute of another kind": (plain(node("Concat", ["x", "x"], ["y"], axis="one")), "STRING, where INT belongs"),
    "an attribute that is missing": (plain(node("Concat", ["x", "x"], ["y"])), "lacks its attribute 'axis'"),
    "an operator without its inputs": (plain(node("MatMul", ["x"], ["y"])), "has 1 inputs"),
    "two versions of one domain": (plain(RELU, opset_imports=[VERSION, helper.make_opsetid("ai.onnx", 18)]), "two"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "why"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_an_error_that_says_what_is_wrong(source, why):
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(FileError, match=why) as error:
        from_onnx(source, engine="numpy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(str(error.value)) < 600
    assert peak < 40 * MEGABYTE and time.process_time() - began < 5


TURN = helper.make_graph(
    [node("Identity", ["c"], ["on"]), node("Relu", ["s"], ["t"]), node("Relu", ["s"], ["u"])], "body",
    [port("i", [], "int64"), port("c", [], "bool"), port("s", [3])],
    [port("on", [], "bool"), port("t", [3]), port("u", [3])],
)  # fmt: skip
ENORMOUS = {
    "ConstantOfShape": [node("ConstantOfShape", ["shape"], ["b"]), node("Add", ["x", "b"], ["y"])],
    "Expand": [node("Expand", ["one", "shape"], ["y"])],
    "Range": [node("Range", ["zero", "many", "unit"], ["y"])],
    "Tile": [node("Tile", ["x", "many"], ["y"])],
    "Pad": [node("Pad", ["x", "pads"], ["y"])],
    "reflecting Pad": [node("Pad", ["x", "pads"], ["y"], mode="reflect")],
    "OneHot": [node("OneHot", ["zero", "many", "pair"], ["y"])],
    "MatMul": [
        node("ConstantOfShape", ["row"], ["a"]), node("Reshape", ["a", "column"], ["b"]),
        node("MatMul", ["b", "a"], ["y"]),
    ],
    "Resize": [node("Resize", ["image", "", "", "large"], ["y"])],
    "AffineGrid": [node("AffineGrid", ["turn", "large"], ["y"])],
    "AveragePool": [
        node("AveragePool", ["image"], ["y"], kernel_shape=[10**8, 2], dilations=[2, 1], pads=[10**9, 0, 0, 0])
    ],
    "MaxPool": [node("MaxPool", ["image"], ["y"], kernel_shape=[10**6, 1], pads=[10**6, 0, 0, 0], dilations=[2, 1])],
    "LpPool": [node("LpPool", ["image"], ["y"], kernel_shape=[10**6, 1], pads=[10**6, 0, 0, 0])],
    "Loop": [node("Loop", ["many", "", "x"], ["y", "z"], body=TURN)],
    "doubling": [
        *(node("Concat", [f"d{n}", f"d{n}"], [f"d{n + 1}"], axis=0) for n in range(45)),
        node("Identity", ["d45"], ["y"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("nodes", ENORMOUS.values(), ids=ENORMOUS)
def test_a_small_file_that_asks_for_terabytes_is_an_error_and_takes_no_memory(nodes):
    tensors = [
        tensor("shape", np.array([10**6, 10**6])), tensor("one", np.ones((1, 1))), tensor("zero", np.int64(0)),
        tensor("many", np.array([10**12])), tensor("unit", np.int64(1)), tensor("pads", np.array([0, 10**12])),
        tensor("pair", np.zeros(2)), tensor("row", np.array([1, 10**7])), tensor("column", np.array([10**7, 1])),
        tensor("d0", np.ones(4)), tensor("image", np.ones((1, 1, 2, 2))), tensor("turn", np.ones((1, 2, 3))),
        tensor("large", np.array([1, 1, 10**6, 10**6])),
    ]  # fmt: skip
    tracemalloc.start()
    with pytest.raises(UntranslatedError):
        from_onnx(model(nodes, [port("x", [3])], ["y"], tensors, opset=20), engine="numpy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MEGABYTE


def outside(folder, location, content=b"\0\0\x80?" * 3, **more):
    """A model whose tensor lies in another file."""
    (folder / "inside").mkdir(exist_ok=True)
    path = folder / "inside" / "model.onnx"
    lying_tensor = TensorProto(name="w", data_type=1, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **more}.items():
        lying_tensor.external_data.add(key=key, value=value)
    proto = model([node("Add", ["x", "w"], ["y"])], [port("x", [3])], ["y"])
    proto.graph.initializer.append(lying_tensor)
    path.write_bytes(proto.SerializeToString())
    for place in ("inside/w.bin", "secret.bin"):
        (folder / place).write_bytes(content)
    return path


def test_tensors_beside_the_model_are_read(tmp_path):
    for more in ({}, {"offset": "4", "length": "12"}):
        path = outside(tmp_path, "w.bin", np.array([9, 1, 2, 3] if more else [1, 2, 3], np.float32).tobytes(), **more)
        np.testing.assert_array_equal(from_onnx(path, engine="numpy")(np.zeros(3, np.float32))[0], [1, 2, 3])
    with pytest.raises(FileError, match="give from_onnx the model's path"):
        from_onnx(path.read_bytes())


@pytest.mark.parametrize(
    ("location", "more", "why"),
    [
        ("../secret.bin", {}, "inside the model's own folder"),
        ("/etc/hostname", {}, "inside the model's own folder"),
        ("link.bin", {}, "inside the model's own folder"),
        ("deep/../../secret.bin", {}, "inside the model's own folder"),
        ("missing.bin", {}, "'missing.bin', which is missing: copy it beside the model"),
        (".", {}, "inside the model's own folder"),
        ("", {}, "inside the model's own folder"),
        ("w.bin\0", {}, "inside the model's own folder"),
        ("w.bin", {"offset": "4"}, "12 bytes, but w.bin holds 12 bytes and 12 from 4 on"),
        ("w.bin", {"length": "999999999999"}, "999999999999 from 0 on"),
        ("w.bin", {"offset": "-4"}, "'-4' where a number of bytes belongs"),
        ("w.bin", {"length": "8"}, "8 from 0 on"),
    ],
)
def test_a_tensor_outside_of_the_models_folder_or_of_another_length_is_refused(tmp_path, location, more, why):
    path = outside(tmp_path, location, **more)
    os.symlink(tmp_path / "secret.bin", tmp_path / "inside" / "link.bin")
    (tmp_path / "inside" / "deep").mkdir()
    with pytest.raises(FileError, match=why):
        from_onnx(path)


# Mutations


def bits(rng, content):
    made = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        made[rng.integers(len(made))] ^= 1 << int(rng.integers(8))
    return bytes(made)


def truncated(rng, content):
    return content[: int(rng.integers(len(content)))]


def spliced(rng, content):
    a, b, at = rng.integers(0, len(content), 3)
    piece = content[a : a + int(rng.integers(1, 60))] if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, 9)))
    return content[:at] + piece + content[at + (len(piece) if b % 2 else 0) :]


def messages(message):
    """A message and all that it holds."""
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else (value,):
                yield from messages(inner)


NUMBERS = (0, 1, -1, 2, 3, 7, 255, 2**31 - 1, -(2**31))
LARGE = (2**31, 2**40, 2**62, -(2**63), 2**63 - 1)


def edited(rng, content):
    """A field of the model changed: a number, a text, a piece more or less, a message of the same kind elsewhere."""
    proto = ModelProto.FromString(content)
    everything = list(messages(proto))
    for _ in range(int(rng.integers(1, 4))):
        message = everything[rng.integers(len(everything))]
        fields = message.ListFields()
        if not fields:
            continue
        field, value = fields[rng.integers(len(fields))]
        same = [m for m in everything if m.DESCRIPTOR.full_name == message.DESCRIPTOR.full_name]
        if field.is_repeated:
            how = int(rng.integers(3))
            if how == 0 or not len(value):
                message.ClearField(field.name)
            elif how == 1:
                del value[int(rng.integers(len(value)))]
            else:
                value.extend([value[int(rng.integers(len(value)))]])
        elif rng.random() < 0.2:
            message.ClearField(field.name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            value.CopyFrom(
                everything[0].graph if rng.random() < 0.02 and field.message_type.name == "GraphProto" else value
            )
        elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            setattr(
                message,
                field.name,
                getattr(same[rng.integers(len(same))], field.name) if rng.random() < 0.5 else value[: len(value) // 2],
            )
        elif field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
            setattr(message, field.name, float(rng.choice([0.0, -1.0, np.inf, np.nan, 1e30])))
        else:
            wide = field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64)
            numbers = NUMBERS + LARGE if wide else NUMBERS
            if field.type == FieldDescriptor.TYPE_ENUM:
                numbers = tuple(field.enum_type.values_by_number)
            setattr(message, field.name, int(rng.choice(numbers)))
    return proto.SerializeToString()


def victims():
    names = ("convolutional_script", "recurrent_script", "transformer_dynamo")
    found = [(EXPORTED / f"{name}.onnx").read_bytes() for name in names]
    return [*found, calling(2, 2).SerializeToString(), deep(3).SerializeToString()]


def test_a_thousand_mutations_end_in_a_predictor_or_an_error_of_ours():
    rng, files = np.random.default_rng(8), victims()
    ways, ends, slowest = (bits, truncated, spliced, edited, edited, edited), {}, 0.0
    for count in range(1000):
        mutant = ways[count % len(ways)](rng, files[int(rng.integers(len(files)))])
        began = time.process_time()
        try:
            end = type(from_onnx(mutant, engine="numpy")).__name__
        except MillraceError as error:
            end = type(error).__name__
        ends[end] = ends.get(end, 0) + 1
        slowest = max(slowest, time.process_time() - began)
    assert set(ends) == {"Predictor", "FileError", "UntranslatedError"} and min(ends.values()) > 50, ends
    assert slowest < 2
