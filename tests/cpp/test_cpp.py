"""The C++ interface in cpp/: built with CMake, and held against Millrace and ONNX Runtime in Python."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from exported_networks import NETWORKS, lively
from onnx import TensorProto, helper

import millrace as mr
from millrace.inference import export
from millrace.inference.onnx.exporting import to_onnx
from millrace.inference.predictor import About, Predictor
from millrace.layers import Dense, Flatten, Input

ROOT = Path(__file__).parents[2]
DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
BATCHES = (1, 7, 64)
HEADERS = "com.github.asus4.onnxruntime@0.4.9"  # ONNX Runtime for Unity, with the headers of ONNX Runtime 1.29
CHECKSUM = "e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d"


def command(*arguments, **settings):
    return subprocess.run(
        list(map(str, arguments)), capture_output=True, text=True, errors="replace", timeout=300, **settings
    )


def well(*arguments, **settings):
    """What a program prints that has to succeed."""
    done = command(*arguments, **settings)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def library():
    """The shared library in Python's package onnxruntime, whatever it is called here."""
    found = sorted(
        file
        for pattern in ("libonnxruntime.so.*", "libonnxruntime*.dylib", "onnxruntime.dll")
        for file in (Path(onnxruntime.__file__).parent / "capi").glob(pattern)
    )
    if not found:
        pytest.skip(f"Python's onnxruntime {onnxruntime.__version__} has no library for C++: install 1.24 or newer")
    return found[0]


@pytest.fixture(scope="session")
def built():
    """The folder of the programs, built as `make cpp` does; MILLRACE_CPP_BUILD names another one than build/cpp."""
    if not shutil.which("cmake"):
        pytest.skip("the C++ interface needs CMake to be built: none was found")
    if not any(map(shutil.which, [os.environ.get("CXX", "c++"), "g++", "clang++", "cl"])):
        pytest.skip("the C++ interface needs a C++ compiler to be built: none was found")
    folder = Path(os.environ.get("MILLRACE_CPP_BUILD", ROOT / "build" / "cpp"))
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock"):
        well("cmake", "-S", ROOT / "cpp", "-B", folder, f"-DMILLRACE_ONNXRUNTIME={library()}")
        well("cmake", "--build", folder, "--parallel", os.cpu_count() or 1, "--config", "Release")
    return folder


class alone:
    """One process at a time builds in a folder."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.file = self.path.open("w")
        if os.name == "posix":
            import fcntl

            fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *error):
        self.file.close()


@pytest.fixture(scope="session")
def program(built):
    return built / "millrace-predict"


@pytest.fixture(scope="session")
def tests(built):
    return built / "millrace-tests"


def saved(path, nodes, inputs, outputs, about=None, initializers=()):
    """A small ONNX model: inputs and outputs are (name, dtype, shape), with a name for an open dimension."""

    def infos(given):
        return [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
            for name, dtype, shape in given
        ]

    graph = helper.make_graph(nodes, "graph", infos(inputs), infos(outputs), list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if about is not None:
        helper.set_model_props(model, {"millrace": about if isinstance(about, str) else json.dumps(about)})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def doubler(tmp_path_factory):
    """y = x + x on float32[batch, 3], with classes."""
    path = tmp_path_factory.mktemp("doubler") / "doubler.onnx"
    about = {"name": "doubler", "classes": ["no", "é", "\x1b[31m"], "measured": {"loss": float("nan")}}
    x, y = [("x", "float32", ["batch", 3])], [("y", "float32", ["batch", 3])]
    return saved(path, [helper.make_node("Add", ["x", "x"], ["y"])], x, y, about)


def npy(folder, name, array):
    np.save(folder / f"{name}.npy", array)
    return folder / f"{name}.npy"


# ---- the networks


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_predicts_as_in_python(name, program, tmp_path):
    mr.set_seed(0)
    model, x = NETWORKS[name]()
    lively(model)
    arrays = x if isinstance(x, list) else [x]
    predictor = Predictor.of(model, About(name=name, classes=("first", "second")))
    path = tmp_path / f"{name}.onnx"
    onnx.save(to_onnx(predictor), path)
    expected = predictor.predict(x, batch_size=64)
    session = onnxruntime.InferenceSession(path)
    ports = [port.name for port in session.get_inputs()]
    assert float(np.abs(expected - expected[:1]).max()) > 1e-3, "all answers are the same"
    for size in BATCHES:
        parts = [array[-size:] for array in arrays]
        files = [npy(tmp_path, f"in{n}", part) for n, part in enumerate(parts)]
        well(program, path, *files, "--out", tmp_path / "out.npy")
        made = np.load(tmp_path / "out.npy")
        np.testing.assert_allclose(made, expected[-size:], rtol=0, atol=1e-5)
        theirs = session.run(None, dict(zip(ports, parts, strict=True)))[0]
        np.testing.assert_allclose(made, theirs, rtol=0, atol=1e-5)


# ---- inputs and outputs


def test_tensors_and_what_a_model_says_of_itself(tests):
    assert well(tests, "alone") == "all right\n"


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_goes_in_and_comes_out(dtype, program, tmp_path):
    kinds = [("x", dtype, ["batch", 2])], [("y", dtype, ["batch", 2])]
    model = saved(tmp_path / "same.onnx", [helper.make_node("Identity", ["x"], ["y"])], *kinds)
    x = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    if x.dtype.kind in "iu":
        x[0] = np.iinfo(dtype).min, np.iinfo(dtype).max
    printed = well(program, model, npy(tmp_path, "x", x), "--out", tmp_path / "y.npy")
    y = np.load(tmp_path / "y.npy")
    assert y.dtype == x.dtype and np.array_equal(y, x)
    assert f"y: {dtype}[3, 2]" in printed


def test_several_inputs_and_outputs_in_order_and_by_name(tests, program, tmp_path):
    nodes = [
        helper.make_node("Add", ["left", "right"], ["sum"]),
        helper.make_node("Sub", ["left", "right"], ["difference"]),
    ]
    inputs = [(name, "float32", ["batch", 3]) for name in ("left", "right")]
    outputs = [(name, "float32", ["batch", 3]) for name in ("sum", "difference")]
    model = saved(tmp_path / "two.onnx", nodes, inputs, outputs)
    assert well(tests, "two", model) == "all right\n"
    one, two = np.ones((1, 3), np.float32), np.full((1, 3), 2, np.float32)
    files = [f"right={npy(tmp_path, 'one', one)}", f"left={npy(tmp_path, 'two', two)}"]
    well(program, model, *files, "--out", tmp_path / "a.npy", "--out", tmp_path / "b.npy")
    assert np.array_equal(np.load(tmp_path / "a.npy"), one + two)
    assert np.array_equal(np.load(tmp_path / "b.npy"), two - one)


def test_eight_threads_ask_one_model_and_nothing_is_mixed_up(tests, tmp_path):
    rng = np.random.default_rng(0)
    weights = onnx.numpy_helper.from_array(rng.normal(size=(50, 40)).astype(np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])]
    ports = [("x", "float32", ["batch", 50])], [("y", "float32", ["batch", 40])]
    model = saved(tmp_path / "product.onnx", nodes, *ports, initializers=[weights])
    x = npy(tmp_path, "x", rng.normal(size=(16, 50)).astype(np.float32))
    assert well(tests, "threads", model, x) == "all right\n"


def test_the_program_describes_a_model_and_names_the_classes(program, doubler, tmp_path):
    assert well(program, doubler) == "doubler\n  in   x: float32[batch, 3]\n  out  y: float32[batch, 3]\n  3 classes\n"
    x = npy(tmp_path, "x", np.array([[0.25, 2, 0.5], [1, np.nan, 3]], np.float32))
    printed = well(program, doubler, x, "--top", 2)
    assert printed == "y: float32[2, 3]\n  0: é 4, ?[31m 1\n  1: ?[31m 6, no 2\n"
    timed = well(program, doubler, x, "--repeat", 20, "--threads", 1)
    assert re.search(r"median [\d.e-]+ ms, 10% below .*20 times, ONNX Runtime " + onnxruntime.__version__, timed)


def test_numbers_that_are_no_probabilities_stay_in_their_order(program, tmp_path):
    """Such as those of several independent labels: sorted, they would look like classes of which one is right."""
    kinds = [("x", "float32", ["batch", 3])], [("y", "float32", ["batch", 3])]
    model = saved(tmp_path / "labels.onnx", [helper.make_node("Identity", ["x"], ["y"])], *kinds, "")
    x = npy(tmp_path, "x", np.array([[0.25, 0.5, 0.75], [0.25, 0.125, 0.625]], np.float32))
    printed = well(program, model, x, "--top", 2)
    assert printed == "y: float32[2, 3]\n  0: 0.25, 0.5 ...\n  1: 2 0.625, 0 0.25\n"


@pytest.mark.parametrize("about", ["", "{", "\x00\xff", '{"classes": [1], "name": 2}', "[" * 9999, '{"classes": 5}'])
def test_a_model_whose_description_is_damaged_predicts_all_the_same(about, program, tmp_path):
    kinds = [("x", "float32", ["batch"])], [("y", "float32", ["batch"])]
    model = saved(tmp_path / "plain.onnx", [helper.make_node("Neg", ["x"], ["y"])], *kinds, about)
    printed = well(program, model, npy(tmp_path, "x", np.float32([1, 2])))
    assert printed == "y: float32[2]\n  0: -1\n  1: -2\n"


# ---- what goes wrong


def refused(text, program, *arguments):
    done = command(program, *arguments)
    assert done.returncode in (1, 2), done
    assert text in done.stderr and done.stderr.startswith("millrace-predict: "), done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 4), np.float32), "input 'x' has to be float32[batch, 3], got float32[2, 4]."),
        (np.zeros((2, 3), np.float64), "input 'x' has to be float32[batch, 3], got float64[2, 3]."),
        (np.zeros((2, 3), np.int64), "has to be float32[batch, 3], got int64[2, 3]."),
        (np.zeros(3, np.float32), "got float32[3]. The first axis counts the examples"),
        (np.zeros((1, 2, 3), np.float32), "got float32[1, 2, 3]."),
        (np.zeros((0, 3), np.float32), "got float32[0, 3]. There is nothing in it."),
        (np.float32(1), "got float32[]."),
    ],
)
def test_an_input_that_does_not_fit_is_refused_with_both_shapes(array, message, program, doubler, tmp_path):
    refused(message, program, doubler, npy(tmp_path, "x", array))


def test_what_is_no_model_is_refused(program, doubler, tmp_path):
    garbage = tmp_path / "garbage.onnx"
    refused("does not exist", program, tmp_path / "none.onnx")
    refused("is a directory", program, tmp_path)
    for content in (b"", b"garbage", np.random.default_rng(0).bytes(3000), doubler.read_bytes()[:-60]):
        garbage.write_bytes(content)
        refused(f"'{garbage}' is no ONNX model that ONNX Runtime {onnxruntime.__version__} can load", program, garbage)
    strings = tmp_path / "strings.onnx"
    info = [helper.make_tensor_value_info(name, TensorProto.STRING, ["batch"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "graph", info[:1], info[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), strings)
    refused("input 'x' is of ONNX's element type 8: only float32", program, strings)


def test_what_the_program_cannot_do_is_said(program, doubler, tmp_path):
    x = npy(tmp_path, "x", np.zeros((1, 3), np.float32))
    refused("takes 1 input, got 2", program, doubler, x, x)
    refused(f"'{tmp_path}' is a directory: expected a .npy file", program, doubler, tmp_path)
    refused("a model is missing", program)
    refused("there is no option --tpo", program, doubler, x, "--tpo", 1)
    refused("--top lacks its value", program, doubler, x, "--top")
    refused("--repeat takes a whole number from 1, got '2x'", program, doubler, x, "--repeat", "2x")
    refused("has 1 outputs, but --out is given 2 times", program, doubler, x, "--out", "a.npy", "--out", "b.npy")
    assert well(program, "--help").startswith("millrace-predict MODEL.onnx [INPUT.npy ...]")


def test_where_there_is_no_onnx_runtime_it_says_how_to_get_one(program, doubler, tmp_path):
    other = tmp_path / "libother.so"
    other.write_bytes(b"no library")
    for path in (other, tmp_path / "none.so"):
        done = command(program, doubler, env={**os.environ, "MILLRACE_ONNXRUNTIME": str(path)})
        assert done.returncode == 1 and f"Tried:\n  {path}: " in done.stderr, done.stderr
        assert "Name its library in MILLRACE_ONNXRUNTIME, such as the one in Python's package" in done.stderr


def test_an_onnx_runtime_that_is_too_old_says_its_version(program, doubler, tmp_path):
    source, old = tmp_path / "old.c", tmp_path / "libold.so"
    source.write_text("""
        static const void* table(unsigned version) { return version > 15 ? 0 : &table; }
        static const char* named(void) { return "1.15.1"; }
        static const void* base[2] = {(const void*)table, (const void*)named};
        const void* OrtGetApiBase(void) { return base; }
    """)
    compiler = shutil.which("cc") or shutil.which("gcc") or pytest.skip("needs a C compiler: none was found")
    well(compiler, "-shared", "-fPIC", "-w", source, "-o", old)
    done = command(program, doubler, env={**os.environ, "MILLRACE_ONNXRUNTIME": str(old)})
    assert done.returncode == 1 and "1.16 or newer was not found" in done.stderr
    assert f"{old}: it is version 1.15.1" in done.stderr


# ---- .npy files


def stored(array, version=None):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


def with_header(header, data=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def read_all(tests, folder):
    return dict(line.split("\t", 1) for line in well(tests, "npy", folder).splitlines())


def test_npy_files_are_read_and_written_as_numpy_does(tests, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for dtype in DTYPES:
        for shape in [(), (5,), (3, 4), (2, 1, 3, 0), (1,) * 9]:
            arrays[f"{dtype}{len(shape)}"] = (100 * rng.random(shape)).astype(dtype)
    for version in ((1, 0), (2, 0), (3, 0)):
        arrays[f"version{version[0]}"] = array = np.arange(6).reshape(2, 3)
        (tmp_path / f"version{version[0]}.npy").write_bytes(stored(array, version))
    for name, array in arrays.items():
        if "version" not in name:
            np.save(tmp_path / f"{name}.npy", array)
    answers = read_all(tests, tmp_path)
    for name, array in arrays.items():
        assert answers[f"{name}.npy"] == "read"
        written = (tmp_path / f"{name}.npy.again").read_bytes()
        again = np.load(io.BytesIO(written))
        assert again.dtype == array.dtype and again.shape == array.shape and again.tobytes() == array.tobytes(), name
        assert (len(written) - array.nbytes) % 64 == 0


def test_npy_files_that_no_tensor_holds_are_refused(tests, tmp_path):
    good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
    cases = {
        "Fortran's order": stored(np.asfortranarray(np.ones((2, 3)))),
        "big-endian": stored(np.ones(3, ">f4")),
        "'<U3'": stored(np.array(["abc"])),
        "'<c8'": stored(np.ones(3, np.complex64)),
        "'<f2'": stored(np.ones(3, np.float16)),
        "'|O'": stored(np.array([None])),
        "holds '': expected": with_header(good.replace("<f4", ""), bytes(8)),
        "holds 'xu1'": with_header(good.replace("<f4", "xu1"), bytes(2)),
        "records": stored(np.zeros(2, [("a", "f4"), ("b", "i4")])),
        "does not begin": b"PK\x03\x04 and so on",
        "does not begin as": b"",
        "format 4.0": b"\x93NUMPY\x04\x00" + bytes(100),
        "format 1.1": b"\x93NUMPY\x01\x01" + bytes(100),
        "within its header": with_header(good)[:40],
        "ends within": b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        "needs more than its 7 bytes": with_header(good, bytes(7)),
        "has 9 bytes of data: float32[2] takes 8": with_header(good, bytes(9)),
        "needs more than its 8 bytes": with_header(good.replace("2,", "9" * 18 + ",")),
        "header is damaged": with_header(good.replace("2,", "9" * 30 + ",")),
    }
    cases["needs more than its 8 bytes"] += bytes(8)
    for change in ("2", "2 2", "-2,", "02,", "2.,", ",", "2,,", "(2,)"):
        cases[f"header is damaged {change}"] = with_header(good.replace("2,", change), bytes(8))
    for n, header in enumerate(
        ("", "{", "{}", "1", good[:-20], good + "x", good.replace("False", "false"), "{'descr'")
    ):
        cases[f"header is damaged no {n}"] = with_header(header, bytes(8))
    for n, content in enumerate(cases.values()):
        (tmp_path / f"{n}.npy").write_bytes(content)
    answers = read_all(tests, tmp_path)
    for n, message in enumerate(cases):
        part = re.sub("(damaged) .*", r"\1", message)
        assert part in answers[f"{n}.npy"], (message, answers[f"{n}.npy"])


def test_damaged_npy_files_are_read_as_numpy_reads_them_or_not_at_all(tests, tmp_path):
    rng = np.random.default_rng(0)
    kinds = (("<f4", (1, 0)), ("<i8", (2, 0)), ("u1", (3, 0)), ("?", (1, 0)))
    whole = [stored(np.arange(12).reshape(3, 4).astype(dtype), version) for dtype, version in kinds]
    for n in range(600):
        content = bytearray(whole[n % 4])
        for _ in range(1 + n % 2):
            at = int(rng.integers(0, len(content) if rng.random() < 0.5 else 80))
            match rng.integers(0, 8):
                case 0:
                    del content[at : at + int(rng.integers(1, 9))]
                case 1:
                    content[at:at] = rng.integers(32, 127, int(rng.integers(1, 9)), np.uint8).tobytes()
                case 2 | 3:
                    content[at % len(content)] = int(rng.integers(0, 256))
                case _:
                    content[at % len(content)] = int(rng.choice(list(b"0123456789(){}',: TFfiu<>|")))
        (tmp_path / f"{n}.npy").write_bytes(content)
    answers = read_all(tests, tmp_path)
    assert len(answers) == 600
    read = [name for name, answer in answers.items() if answer == "read"]
    assert 20 < len(read) < 580
    for name in read:
        theirs = np.load(tmp_path / name)
        ours = np.load(tmp_path / f"{name}.again")
        assert ours.dtype == theirs.dtype.newbyteorder("="), name
        if theirs.dtype == bool:  # a byte that is neither 0 nor 1 is no bool to C++
            theirs = theirs.view(np.uint8) != 0
        assert ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes(), name


# ---- what it rests on


@pytest.mark.slow
def test_the_declared_functions_are_those_of_the_header(tmp_path):
    compiler = shutil.which("c++")
    if not compiler or not shutil.which("npm"):
        pytest.skip("ONNX Runtime's header is compared with a C++ compiler and npm: one of them was not found")
    if command("npm", "pack", "--silent", HEADERS, cwd=tmp_path).returncode:
        pytest.skip("ONNX Runtime's header could not be fetched with npm")
    (archive,) = tmp_path.glob("*.tgz")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == CHECKSUM
    with tarfile.open(archive) as members:
        for member in members:
            if "ios-arm64/" in member.name and member.name.endswith(".h"):
                (tmp_path / Path(member.name).name).write_bytes(members.extractfile(member).read())
    source = ROOT / "cpp" / "src"
    check = [
        compiler,
        "-std=c++17",
        "-fsyntax-only",
        f"-isystem{tmp_path}",
        ROOT / "cpp" / "tests" / "declarations.cpp",
    ]
    well(*check, f"-I{source}")
    declared = (source / "runtime.h").read_text()
    for right, wrong in ((r"X\(9, Run", "X(8, Run"), ("OrtSessionOptions\\*, int", "OrtSessionOptions*, long")):
        (tmp_path / "runtime.h").write_text(re.sub(right, wrong, declared))
        assert command(*check, f"-I{tmp_path}").returncode, wrong


# ---- in another project


def test_another_project_finds_the_library_and_the_example_of_the_page_runs(built, doubler, tmp_path):
    page = (ROOT / "docs" / "cpp.md").read_text()
    (code,) = re.findall(r"```cpp\n(#include.*?int main.*?)```", page, re.S)
    (lists,) = re.findall(r"```cmake\n(cmake_minimum_required.*?)```", page, re.S)
    well("cmake", "--install", built, "--prefix", tmp_path / "prefix", "--config", "Release")
    (tmp_path / "main.cpp").write_text(code)
    (tmp_path / "CMakeLists.txt").write_text(lists)
    build = tmp_path / "build"
    well("cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}")
    well("cmake", "--build", build, "--config", "Release")
    network = [Input((8, 8, 1), name="image"), Flatten(), Dense(10, activation="softmax", name="output")]
    model = mr.Sequential(network, name="digits")
    export(model, tmp_path / "digits.onnx")
    lines = well(build / "reader", cwd=tmp_path).splitlines()
    assert lines[:2] == ["image: float32[batch, 8, 8, 1]", "float32[2, 10]"]
    images = np.zeros((2, 8, 8, 1), np.float32)
    images[1, 1:7, 4] = 1
    np.testing.assert_allclose(np.float64(lines[2:]), model.predict(images).ravel(), atol=1e-5)
    assert well(tmp_path / "prefix" / "bin" / "millrace-predict", doubler).startswith("doubler\n")
    headers = "".join(file.read_text() for file in (tmp_path / "prefix" / "include").rglob("*.h"))
    assert "Ort" not in headers
