"""Files of models made to do harm: each opens or is refused, at once, with little memory, and runs nothing."""

import json
import os
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import millrace as mr
from millrace.inference import Predictor, load, opened, save
from millrace.inference.saved import packed_up
from millrace.ir.bounds import Bounds
from millrace.ir.errors import FileError, GraphError, MillraceError
from millrace.ir.graph import Graph
from millrace.ir.text import parse, text
from millrace.ops.stages import ReadRecords
from millrace.training.checkpoint import load_arrays, save_arrays

MEMORY = 48 << 20  # bytes that a small file may make the reader take for moments
SECONDS = 3.0  # of processor time, while memory is traced
X = "  v0 = Placeholder(label='x', type=type('float32', (batch, 2)))() : float32[batch, 2]\n"
ONE = "  v1 = Constant(literal=literal('float32', (), [1.0]))() : float32[]\n"


@pytest.fixture(scope="module")
def model():
    x = mr.Input((2,), name="x")
    made = mr.Model(x, mr.layers.Dense(3, name="out")(mr.layers.Dense(5, "relu", name="in")(x)), name="m")
    made.compile("adam", "mse", ["mae"], engine="numpy")
    return made


@pytest.fixture(scope="module")
def kept(model, tmp_path_factory):
    """A saved model: its arrays and its description."""
    path = tmp_path_factory.mktemp("kept") / "m.safetensors"
    model.save(path)
    arrays, about = load_arrays(path)
    return arrays, {key: value for key, value in about.items() if key not in ("format", "crc32", "check")}


@pytest.fixture(scope="module")
def predictor(model):
    return packed_up(Predictor.of(model))


def bounded(call):
    """What a call gives, which may take neither much memory nor long."""
    tracemalloc.start()
    begun = time.process_time()
    try:
        return call()
    finally:
        took, peak = time.process_time() - begun, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY, f"{peak / 1e6:.0f} MB"
        assert took < SECONDS, f"{took:.1f} s"


def refused(path, read=opened):
    """What is said of a file that is refused."""

    def call():
        with pytest.raises(FileError) as caught:
            read(path)
        return str(caught.value)

    said = bounded(call)
    assert str(path) in said and len(said) < 3000
    assert "nable to allocate" not in said and said.replace("\n", "").isprintable()
    return said


def with_graph(path, predictor, text, **more):
    arrays, about = predictor
    save_arrays(path, {**arrays, **more}, {**about, "graph": text})
    return path


def graph(*lines, inputs="v0", result="v0", first=X):
    return f"graph main({inputs}) {{\n{first}" + "".join(f"  {line}\n" for line in lines) + f"  return {result}\n}}\n"


def unary(source, type):
    return graph(f"v2 = {source} : {type}", first=X + ONE, result="v2")


DEEP = 100_000
GRAPHS = {
    "a variable of terabytes": (
        graph("v1 = Read(variable=variable('big'))() : float32[1000000, 1000000]", result="v1",
              first="  variable 'big' : float32[1000000, 1000000]\n" + X), "this machine's memory"),
    "a variable that the file has otherwise": (
        graph("v1 = Read(variable=variable('in/kernel'))() : float32[2, 50000]", result="v1",
              first="  variable 'in/kernel' : float32[2, 50000]\n" + X), "is float32[2, 5] in the file"),
    "a variable that the file lacks": (
        graph("v1 = Read(variable=variable('none'))() : float32[3]", result="v1",
              first="  variable 'none' : float32[3]\n" + X), "'none', which the file does not hold"),
    "a constant spread over terabytes": (
        unary("Broadcast(shape=(1000000, 1000000), axes=())(v1)", "float32[1000000, 1000000]"), "memory"),
    "one spread over them for each example": (
        unary("Broadcast(shape=(batch, 1000000, 1000000), axes=())(v1)", "float32[batch, 1000000, 1000000]"), "memory"),
    "numbers counted up to 10^12": (
        graph("v1 = Iota(dtype='int32', shape=(1000000000000,), axis=0)() : int32[1000000000000]", result="v1"), ""),
    "a rim of 10^12": (
        unary("Pad(low=(1000000000000,), high=(0,), interior=(0,), fill=0.0)(v1)", "float32[1000000000001]"), ""),
    "a shape beyond all numbers": (unary(f"Broadcast(shape=({10**30},), axes=())(v1)", f"float32[{10**30}]"), "memory"),
    "another number of elements": (unary("Reshape(shape=(999999,))(v1)", "float32[999999]"), "line 4"),
    "a negative shape": (unary("Reshape(shape=(-1,))(v1)", "float32[-1]"), "line 4"),
    "a literal of gigantic words": (
        graph("v1 = Constant(literal=literal('S1000000000', (), ['a']))() : float32[]", result="v1"), "unknown dtype"),
    "a literal of objects": (
        graph("v1 = Constant(literal=literal('object', (), [None]))() : float32[]", result="v1"), "unknown dtype"),
    "a long constant that is not there": (
        graph("v1 = Constant(literal=literal('float32', (99,), sha256='00'))() : float32[99]", result="v1"), "missing"),
    "brackets without end": (unary("Reshape(shape=" + "(" * DEEP + ")" * DEEP + ")(v1)", "float32[]"), "nests more"),
    "lists without end": (unary("Reshape(shape=" + "[" * DEEP + ")(v1)", "float32[]"), "nests more"),
    "signs without end": (unary("Reshape(shape=" + "-" * DEEP + "1)(v1)", "float32[]"), "signs in a row"),
    "sums without end": (unary("Reshape(shape=(" + "1+" * DEEP + "1,))(v1)", "float32[]"), "signs in a row"),
    "calls without end": (unary("Exp" + "()" * DEEP + "(v1)", "float32[]"), "signs in a row"),
    "attributes of attributes": (unary("a" + ".a" * DEEP + "()(v1)", "float32[]"), "line 4"),
    "lambdas": (unary("(lambda: " * 30 + "0" + ")" * 30 + "()(v1)", "float32[]"), "line 4"),
    "powers": (unary("Reshape(shape=(2**2**2**2**2**2,))(v1)", "float32[]"), "line 4"),
    "a factorial of a dimension": (
        unary("Reshape(shape=(" + "*".join(["batch"] * 90) + ",))(v1)", "float32[]"), "at most 64"),
    "a product of many sums": (
        unary("Reshape(shape=(" + "*".join(f"(a{n}+b{n})" for n in range(40)) + ",))(v1)", "float32[]"), "at most 64"),
    "a product of many large numbers": (
        unary("Reshape(shape=(batch*" + "*".join(["0x" + "f" * 2000] * 90) + ",))(v1)", "float32[]"), "line 4"),
    "a shape of many sums": (
        unary("Broadcast(shape=(" + ", ".join(f"a{n}+b{n}" for n in range(40)) + ",), axes=())(v1)",
              "float32[" + ", ".join(f"a{n}+b{n}" for n in range(40)) + "]"), "no predictor"),
    "a number of a million digits": (unary("Reshape(shape=(" + "9" * 10**6 + ",))(v1)", "float32[]"), "line 4"),
    "a number of a million hexadecimal digits": (
        unary("Reshape(shape=(0x" + "f" * 10**6 + ",))(v1)", "float32[]"), "line 4"),
    "a value that is made later": (graph("v1 = Exp()(v2) : float32[]", "v2 = Exp()(v1) : float32[]"), "uses 'v2'"),
    "a value that is made of itself": (graph("v1 = Exp()(v1) : float32[]"), "uses 'v1'"),
    "a value that is made twice": (graph("v0 = Exp()(v0) : float32[batch, 2]"), "made twice"),
    "a variable that is declared twice": (
        graph(first="  variable 'a' : float32[1]\n  variable 'a' : float32[1]\n" + X), "declared twice"),
    "an input that is no input": (graph("v1 = Exp()(v0) : float32[batch, 2]", inputs="v0, v1"), "must be an mr.Input"),
    "a reader of files": (
        graph("v1 = ReadRecords(source='/etc/passwd', elements=(), records=1, seed=0)() : stream<>", result="v1"), ""),
    "a stage of a run": (graph("v1 = Every(count=1, unit='epoch')() : stream<>", result="v1"), ""),
    "a random word as an operation": (unary("Op()(v1)", "float32[]"), "unknown operation 'Op'"),
    "a NUL in a name": (graph(first=X.replace("'x'", "'x\x00'")), "line 2"),
    "half a character in a name": (graph(first=X.replace("'x'", "'\ud800'")), "line 2"),
    "a line that controls the terminal": (graph("\x1b[2J\x1b]0;owned\x07"), "x1b"),
    "a label that is a number": (graph(first=X.replace("'x'", "5")), ""),
    "an empty text": ("", "ends before"),
    "two graphs": (graph() + graph(), "ended already"),
    "a megabyte of types": ("graph main(v0) {\n  v0 = A()() " + ": f[] @ '" * 120_000 + "\n", "line 2"),
    "a megabyte of names": ("graph main(" + "v0, " * 250_000 + "[) {\n", "line 1"),
    "a megabyte of names on the left": ("graph main() {\n  " + "a " * 500_000 + "\n", "line 2"),
    "a megabyte of quotes": ("graph main() {\n  variable '" + "'" * 10**6 + "\n", "line 2"),
    "a megabyte of backslashes": ("graph main() {\n  variable '" + "\\" * 10**6 + " : f[]\n", "line 2"),
    "a megabyte of a type": ("graph main() {\n  v0 = A()() : " + "f" * 10**6 + "\n", "line 2"),
    "a megabyte of a size": ("graph main() {\n  variable 'a' : float32[" + "[" * 10**6 + "]\n", "line 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_a_hostile_graph_is_refused(name, predictor, tmp_path):
    source, said = GRAPHS[name]
    assert said in refused(with_graph(tmp_path / "p.safetensors", predictor, source))


def test_a_graph_that_reads_files_is_refused(predictor, tmp_path):
    stage = ReadRecords.samples()[0].op
    path = with_graph(tmp_path / "p.safetensors", predictor, text(Graph([], [stage()])))
    assert "holds ReadRecords, which does more than compute" in refused(path)


def test_a_loop_of_10_to_the_12_steps_is_not_run(predictor, tmp_path):
    body = (
        "graph body(v0) {\\n  v0 = Placeholder(label='s', type=type('float32', ()))() : float32[]\\n  return v0\\n}\\n"
    )
    line = (
        f'v2 = Scan(body=body("{body}"), carries=1, sequences=0, length=1000000000000, reverse=False, extends=None)(v1)'
    )
    path = with_graph(tmp_path / "p.safetensors", predictor, graph(line + " : float32[]", first=X + ONE, result="v2"))
    assert bounded(lambda: load(path, engine="numpy")).outputs[0].type.shape == ()
    mr.simplify(bounded(lambda: load(path, engine="numpy")).graph)  # nor when it is made ready


def test_loops_within_loops_are_read_within_bounds(predictor, tmp_path):
    """Each level doubles the backslashes of the one inside it: so deep that the text has megabytes."""
    inner = "graph body(v0) {\n  v0 = Placeholder(label='s', type=type('float32', ()))() : float32[]\n  return v0\n}\n"
    for _ in range(11):
        scan = f"Scan(body=body({inner!r}), carries=1, sequences=0, length=1, reverse=False, extends=None)"
        start = "graph body(v0) {\n  v0 = Placeholder(label='s', type=type('float32', ()))() : float32[]\n"
        inner = f"{start}  v1 = {scan}(v0) : float32[]\n  return v1\n}}\n"
    scan = f"v2 = Scan(body=body({inner!r}), carries=1, sequences=0, length=1, reverse=False, extends=None)(v1)"
    path = with_graph(tmp_path / "p.safetensors", predictor, graph(scan + " : float32[]", first=X + ONE, result="v2"))
    load(path)


def test_thousands_of_inputs_are_an_honest_graph(predictor, tmp_path):
    names = ", ".join(f"v{n}" for n in range(3000))
    lines = "".join(X[2:].replace("v0", f"v{n}").replace("'x'", f"'x{n}'") + "  " for n in range(3000))
    source = f"graph main({names}) {{\n  {lines.rstrip()}\n  return v0\n}}\n"
    assert len(load(with_graph(tmp_path / "p.safetensors", predictor, source)).inputs) == 3000


def test_a_constant_that_is_used_a_thousand_times_is_held_once(tmp_path):
    x = mr.Input((2,), name="x")
    table = mr.constant(np.arange(100_000, dtype=np.float32))
    arrays, about = packed_up(Predictor(mr.ir.graph.Graph([x], [table]), ["y"]))
    line = next(line for line in about["graph"].splitlines() if "sha256" in line).strip()
    lines = [line.replace("v1 =", f"v{n} =") for n in range(2, 1000)]
    source = about["graph"].replace(line, "\n".join([line, *lines]))
    save_arrays(tmp_path / "p.safetensors", arrays, {**about, "graph": source})
    bounded(lambda: load(tmp_path / "p.safetensors"))


def test_a_constant_of_another_content_is_refused(tmp_path):
    x = mr.Input((2,), name="x")
    arrays, about = packed_up(Predictor(mr.ir.graph.Graph([x], [mr.constant(np.arange(100))]), ["y"]))
    save_arrays(tmp_path / "p.safetensors", {name: array + 1 for name, array in arrays.items()}, about)
    assert "has another one" in refused(tmp_path / "p.safetensors")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("graph", None), ("graph", 5), ("graph", []), ("outputs", []), ("outputs", ["a", "a"]), ("outputs", [5]),
        ("outputs", None), ("about", None), ("about", []), ("about", {"name": 5}), ("about", {"classes": "abc"}),
        ("about", {"classes": [1]}), ("about", {"vocabulary": {}}), ("about", {"settings": []}),
        ("about", {"measured": {"a": "b"}}), ("about", {"precision": None}), ("version", None), ("version", 0),
        ("version", -1), ("version", "1"), ("version", 1.5), ("kind", "../../x"), ("kind", ["predictor"]),
    ],
)  # fmt: skip
def test_a_description_of_other_kinds_is_refused(key, value, predictor, tmp_path):
    arrays, about = predictor
    save_arrays(tmp_path / "p.safetensors", arrays, {**about, key: value})
    refused(tmp_path / "p.safetensors", load)


# ---- the safetensors file itself


def file_of(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), start=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


CONTENTS = {
    "nothing": b"",
    "zeros": b"\x00" * 64,
    "a header of 2^63 bytes": file_of({}, length=2**63),
    "a header of 2^64 - 1 bytes": file_of({}, length=2**64 - 1),
    "a header longer than the file": file_of({}, length=10**6),
    "an array outside of the file": file_of({"w": entry(end=2**40, shape=(2**38,))}, b"\x00" * 8),
    "an array of 2^62 numbers": file_of({"w": entry(end=8, shape=(2**62,))}, b"\x00" * 8),
    "a shape that overflows": file_of({"w": entry(end=8, shape=(2**33, 2**33))}, b"\x00" * 8),
    "a shape that overflows with a zero": file_of({"w": entry(end=0, shape=(2**63 - 1, 2**63 - 1, 0))}),
    "a huge shape of nothing": file_of({"w": entry(end=0, shape=(2**62, 0))}),
    "many axes": file_of({"w": entry(shape=[1] * 5000 + [2])}, b"\x00" * 8),
    "arrays that overlap": file_of({"a": entry(), "b": entry(start=4, end=12)}, b"\x00" * 12),
    "offsets the wrong way round": file_of({"w": entry(start=8, end=0)}, b"\x00" * 8),
    "negative offsets": file_of({"w": entry(start=-8, end=0)}, b"\x00" * 8),
    "another dtype than its length": file_of({"w": entry("F64")}, b"\x00" * 8),
    "a dtype that NumPy lacks": file_of({"w": entry("F8_E4M3", (8,))}, b"\x00" * 8),
    "an unknown dtype": file_of({"w": entry("O")}, b"\x00" * 8),
    "a hole": file_of({"w": entry(start=4, end=12)}, b"\x00" * 12),
    "more at the end": file_of({"w": entry()}, b"\x00" * 80),
    "no JSON": file_of(b"{" * 40),
    "deep JSON": file_of(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "metadata that are a list": file_of({"__metadata__": [1]}),
    "metadata that are numbers": file_of({"__metadata__": {"millrace": 5}}),
    "metadata that nest deep": file_of({"__metadata__": {"millrace": "[" * 200_000}}),
    "metadata of a huge number": file_of({"__metadata__": {"millrace": '{"format": ' + "9" * 10**6 + "}"}}),
    "metadata of no number": file_of({"__metadata__": {"millrace": '{"format": NaN}'}}),
    "metadata of half a character": file_of({"__metadata__": {"millrace": '{"format": 2, "x": "\\ud800"}'}}),
    "a pickle": b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "a zip file": b"PK\x03\x04" + b"\x00" * 100,
    "text": b"import os\nos.system('true')\n",
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("read", [opened, load, mr.load_model], ids=["opened", "load", "load_model"])
def test_a_hostile_safetensors_file_is_refused(read, name, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(CONTENTS[name])
    refused(tmp_path / "m.safetensors", read)


@pytest.mark.parametrize("kind", ["predictor", "model"])
def test_a_file_cut_off_at_every_64th_is_refused(kind, model, tmp_path):
    path = tmp_path / "m.safetensors"
    model.save(path) if kind == "model" else save(model, path)
    content = path.read_bytes()
    for n in range(64):
        path.write_bytes(content[: len(content) * n // 64])
        with pytest.raises(FileError, match="damaged or no safetensors file"):
            opened(path)


@pytest.mark.parametrize("read", [opened, load, mr.load_model], ids=["opened", "load", "load_model"])
def test_what_is_no_file_is_not_read(read, tmp_path):
    """A pipe would be waited for without end, a device has no end."""
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    (tmp_path / "gone.safetensors").symlink_to("nowhere")
    (tmp_path / "folder.safetensors").mkdir()
    for path in sorted(tmp_path.iterdir()):
        refused(path, read)


def test_a_link_to_a_file_is_the_file(model, tmp_path):
    save(model, tmp_path / "p.safetensors")
    (tmp_path / "link.safetensors").symlink_to("p.safetensors")
    assert opened(tmp_path / "link.safetensors").about.name == "m"


# ---- files of model.save


def layers_of(about):
    return [step for step in about["architecture"]["steps"] if "config" in step]


def dense(**config):
    def edit(about):
        layers_of(about)[0]["config"].update(config)

    return edit


def layer(class_name, **config):
    def edit(about):
        layers_of(about)[0].update(class_name=class_name, config=config)

    return edit


def input_of(type):
    def edit(about):
        about["architecture"]["inputs"][0]["type"] = type

    return edit


def set_in(*keys, to):
    def edit(about):
        holder = about
        for key in keys[:-1]:
            holder = holder[key]
        holder[keys[-1]] = to

    return edit


def doubling(about):
    """Models within models, each used twice by the one around it: 2^40 operations."""
    inner = {"name": "m", "inputs": [{"name": "x", "type": "float32[batch, 2]"}], "outputs": [1],
             "steps": [{"inputs": [0], "outputs": [1], "operation": "Exp()"}]}  # fmt: skip
    for n in range(40):
        inner = {"name": f"m{n}", "inputs": inner["inputs"], "outputs": [2], "steps": [
            {"inputs": [0], "outputs": [1], "class_name": "Model", "config": inner},
            {"inputs": [1], "outputs": [2], "shared_with": 0},
        ]}  # fmt: skip
    about["architecture"] = inner


def nested(about):
    inner = about["architecture"]
    for n in range(20):
        inner = {"name": f"m{n}", "inputs": inner["inputs"], "outputs": [1],
                 "steps": [{"inputs": [0], "outputs": [1], "class_name": "Model", "config": inner}]}  # fmt: skip
    about["architecture"] = inner


def many_layers(about):
    steps = [{"inputs": [n], "outputs": [n + 1], "operation": "Exp()"} for n in range(500)]
    about["architecture"]["steps"] = [*steps, *about["architecture"]["steps"]]


ARCHITECTURES = {
    "a layer of 10^9 units": dense(units=10**9),
    "a layer of 10^400 units": dense(units=10**400),
    "a layer of no units": dense(units=0),
    "a kernel of 10^10 pixels": layer("Conv2D", filters=2, kernel_size=[10**5, 10**5], name="c"),
    "a table of 10^9 words": layer("Embedding", input_dim=10**9, output_dim=10**3, name="e"),
    "a cell of 10^6 units": layer("LSTM", units=10**6, name="l"),
    "attention of 10^6 heads": layer("MultiHeadAttention", num_heads=10**6, key_dim=10**6, name="a"),
    "measured numbers of a shape alone": layer("Normalization", mean={"shape": [10**10]}, variance={"shape": [10**10]}),
    "means of a shape alone": layer("MeanSubtraction", mean={"shape": [10**5, 10**5]}, name="s"),
    "10^9 hops": layer("MemoryNetwork", input_dim=5, output_dim=3, hops=10**9, name="n"),
    "10^9 updates at once": layer("ModernHopfield", steps=10**9, stored=2, name="h"),
    "sweeps without end": layer("Hopfield", sweeps=10**12, name="h"),
    "an input of 10^12 numbers": input_of("float32[batch, 1000000000000]"),
    "an input of a hostile size": input_of("float32[batch, " + "(" * 10**5 + "]"),
    "an input of no size": input_of("float32[batch, -2]"),
    "an input without a type": input_of(None),
    "an input of objects": input_of("object[batch, 2]"),
    "a class that is none": layer("os.system", command="true"),
    "a class of another kind": layer("Adam"),
    "a class without a name": layer(["Dense"], units=1),
    "a class of a dictionary": layer({"Dense": 1}, units=1),
    "a config that is a list": set_in("architecture", "steps", 0, "config", to=[1]),
    "a config that is text": set_in("architecture", "steps", 0, "config", to="units"),
    "a config that is none": set_in("architecture", "steps", 0, "config", to=None),
    "a name that leads elsewhere": dense(name="../../etc/passwd"),
    "a name that is a number": dense(name=5),
    "a name of all names": dense(name=["a"]),
    "a function of ours that is no mathematics": dense(activation={"function": "set_functional"}),
    "a function of Python's": dense(activation={"function": "__import__"}),
    "a function without a name": dense(activation={"function": ["relu"]}),
    "an activation that is a layer": dense(activation={"layer": "Dense", "config": {"units": 10**9}}),
    "an unknown activation": dense(activation="os.system"),
    "an unknown initializer": dense(kernel_initializer={"class_name": "os", "config": {}}),
    "an initializer of other arguments": dense(kernel_initializer={"class_name": "zeros", "config": {"x": 1}}),
    "an unknown regularizer": dense(kernel_regularizer={"class_name": "L2", "config": {"l2": "x"}}),
    "an argument that is none": dense(command="true"),
    "steps that are a number": set_in("architecture", "steps", to=5),
    "steps of numbers": set_in("architecture", "steps", to=[5]),
    "inputs that are none": set_in("architecture", "inputs", to=[]),
    "outputs that are none": set_in("architecture", "outputs", to=[]),
    "outputs that nobody makes": set_in("architecture", "outputs", to=[99]),
    "outputs that are words": set_in("architecture", "outputs", to=["a"]),
    "a layer shared with none": set_in("architecture", "steps", 1, to={"inputs": [1], "shared_with": 99}),
    "a layer shared with an operation": set_in("architecture", "steps", 1, to={"inputs": [1], "shared_with": "x"}),
    "an operation that reads a file": set_in("architecture", "steps", 0, to={
        "inputs": [], "operation": "ReadRecords(source='/etc/passwd')"}),
    "an operation that is code": set_in("architecture", "steps", 0, to={
        "inputs": [0], "operation": "__import__('os').system('true')"}),
    "an operation that nests": set_in("architecture", "steps", 0, to={"inputs": [0], "operation": "(" * 10**5}),
    "an operation that is a number": set_in("architecture", "steps", 0, to={"inputs": [0], "operation": 5}),
    "an architecture that is a list": set_in("architecture", to=[1]),
    "weights that are a number": lambda about: (set_in("weights", to=5)(about), dense(name="other")(about)),
    "no progress": set_in("progress", to=None),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_hostile_model_is_refused(name, kept, tmp_path):
    arrays, about = kept[0], json.loads(json.dumps(kept[1]))
    ARCHITECTURES[name](about)
    save_arrays(tmp_path / "m.safetensors", arrays, about)
    for read in (opened, mr.load_model):
        refused(tmp_path / "m.safetensors", read)


COMPILED = {
    "metrics of 10^12 numbers": [{"class_name": "MeanIoU", "config": {"num_classes": 10**6}}],
    "thresholds of 10^10": [{"class_name": "AUC", "config": {"num_thresholds": 10**10}}],
    "a metric that is none": ["os.system"],
    "a metric that is a number": [5],
    "a metric of a function": [{"function": "set_functional"}],
}


@pytest.mark.parametrize("name", COMPILED)
def test_hostile_metrics_are_refused(name, kept, tmp_path):
    arrays, about = kept[0], json.loads(json.dumps(kept[1]))
    about["compile"]["metrics"] = COMPILED[name]
    save_arrays(tmp_path / "m.safetensors", arrays, about)
    assert "how the model was trained" in refused(tmp_path / "m.safetensors", mr.load_model)
    opened(tmp_path / "m.safetensors", engine="numpy")  # to predict, that is of no account


def test_models_within_models_twice_each_are_refused_before_they_are_built(kept, tmp_path):
    about = json.loads(json.dumps(kept[1]))
    doubling(about)
    save_arrays(tmp_path / "m.safetensors", kept[0], about)
    begun = time.process_time()
    with pytest.raises(FileError, match="far more operations than"):
        opened(tmp_path / "m.safetensors")
    assert time.process_time() - begun < SECONDS


def test_a_layer_of_many_steps_is_an_honest_network(tmp_path):
    x = mr.Input((8,), name="x")
    mr.Model(x, mr.layers.ModernHopfield(steps=1000, stored=4)(x)).save(tmp_path / "m.safetensors")
    assert mr.load_model(tmp_path / "m.safetensors", engine="numpy").count_params() == 32


def test_layers_of_a_users_own_may_be_many_operations(tmp_path, monkeypatch):
    class Long(mr.layers.Layer):
        def call(self, x):
            for _ in range(20):
                x = mr.tanh(x)
            return x

    x = mr.Input((2,), name="x")
    mr.Model(x, Long()(x)).save(tmp_path / "m.safetensors")
    monkeypatch.setattr("millrace.training.model.bounds_of", lambda *_: Bounds({()}, 9, 9, 10))
    assert mr.load_model(tmp_path / "m.safetensors", {"Long": Long}, engine="numpy").built
    assert "far more operations" in refused(tmp_path / "m.safetensors", mr.load_model)


def test_models_within_models_are_an_honest_network(kept, tmp_path):
    about = json.loads(json.dumps(kept[1]))
    nested(about)
    save_arrays(tmp_path / "m.safetensors", kept[0], about)
    with suppress(MillraceError):
        bounded(lambda: opened(tmp_path / "m.safetensors"))


@pytest.mark.parametrize("value", [5, [], [1], "sgd", {"optimizer": "os.system"}, {"optimizer": 5}, {"engine": "x"},
                                   {"loss": {"class_name": "x"}, "optimizer": "sgd"}, {"x": 1}])  # fmt: skip
def test_a_hostile_optimizer_is_refused(value, kept, tmp_path):
    arrays, about = kept
    save_arrays(tmp_path / "m.safetensors", arrays, {**about, "compile": value})
    refused(tmp_path / "m.safetensors", mr.load_model)


def test_many_operations_take_time_in_proportion(kept, tmp_path):
    arrays, about = kept[0], json.loads(json.dumps(kept[1]))
    many_layers(about)
    save_arrays(tmp_path / "m.safetensors", arrays, about)
    with suppress(MillraceError):
        bounded(lambda: mr.load_model(tmp_path / "m.safetensors", compile=False))


def test_loading_draws_no_first_values(kept, tmp_path, monkeypatch):
    save_arrays(tmp_path / "m.safetensors", *kept)

    def drawn(*_):
        raise AssertionError("first values are drawn")

    monkeypatch.setattr("millrace.layers.base.first_values", drawn)
    model = mr.load_model(tmp_path / "m.safetensors", engine="numpy")
    for variable in model.weights:
        np.testing.assert_array_equal(variable.numpy(), kept[0][variable.name])


def test_a_hostile_size_in_a_text_takes_no_memory():
    """The text alone is read for its layout; a run's program has all of its variables in it."""
    source = "graph main() {\n  variable 'w' : float32[1000000, 100000]\n  v0 = Read(variable=variable('w'))() : "
    made = bounded(lambda: parse(source + "float32[1000000, 100000]\n  return v0\n}\n"))
    assert made.variables[0].shape == (10**6, 10**5)
    with pytest.raises(GraphError, match="line 2"):
        parse(source.replace("1000000", "10000000000000") + "\n")


# ---- many files


def mutated(kind, seed, count, folder):
    """What became of `count` damaged files, read in one process of bounded memory."""
    script = Path(__file__).parent / "mutations.py"
    ran = subprocess.run(
        [sys.executable, script, kind, str(seed), str(count), folder], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout)
    assert found["wrong"] == [] and found["ran"] == []
    assert found["slowest"] < 5 and found["grown_kib"] < 300_000
    assert found["outcomes"].keys() <= {"opened", "FileError", "DamagedError"}
    assert sum(found["outcomes"].values()) == count and len(found["outcomes"]) == 3


@pytest.mark.parametrize("kind", ["predictor", "model"])
def test_damaged_files_open_or_are_refused(kind, tmp_path):
    mutated(kind, 0, 150, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", ["predictor", "model"])
def test_a_thousand_damaged_files_open_or_are_refused(kind, seed, tmp_path):
    mutated(kind, seed, 1000, tmp_path)
