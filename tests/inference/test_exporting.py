"""`model.export` and `millrace.inference.export`: formats by name or ending, and what is said of others."""

import json

import numpy as np
import pytest
from jax import export as jax_export

import millrace as mr
from millrace.inference import Predictor, export, load, opened
from millrace.inference.exporting import FORMATS, format_of
from millrace.inference.precision import lowered
from millrace.ir.errors import ArgumentError, FileError
from millrace.layers import Dense, Input


@pytest.fixture(scope="module")
def model():
    mr.set_seed(0)
    return mr.Sequential([Input((4,), name="x"), Dense(3, "relu", name="a"), Dense(2, name="b")], name="small")


X = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)


def test_a_model_writes_itself_as_its_path_ends(model, tmp_path):
    want = model.predict(X)
    model.export(tmp_path / "m.safetensors")
    np.testing.assert_allclose(load(tmp_path / "m.safetensors").predict(X), want, rtol=1e-5, atol=1e-6)
    model.export(str(tmp_path / "m.stablehlo"), platforms=["cpu"])
    program = jax_export.deserialize(bytearray((tmp_path / "m.stablehlo").read_bytes()))
    assert program.platforms == ("cpu",)
    np.testing.assert_allclose(program.call(X), want, rtol=1e-5, atol=1e-6)
    onnxruntime = pytest.importorskip("onnxruntime")
    model.export(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    np.testing.assert_allclose(session.run(None, {"x": X})[0], want, rtol=1e-5, atol=1e-6)


def test_a_format_by_name_whatever_the_path_ends_in(model, tmp_path):
    export(Predictor.of(model), tmp_path / "anything", "stablehlo")
    assert jax_export.deserialize(bytearray((tmp_path / "anything").read_bytes())).platforms == ("cpu", "cuda", "tpu")


def test_an_onnx_model_in_int8_is_opened_in_int8(tmp_path):
    small = lowered(Predictor.of(mr.Sequential([Input((4,), name="x"), Dense(1200)])), "int8")
    export(small, tmp_path / "m.onnx")
    again = opened(tmp_path / "m.onnx")
    assert again.about.precision == "int8" and "int8" in {v.dtype for v in again.graph.variables}
    np.testing.assert_allclose(again.predict(X), small.predict(X), rtol=1e-5, atol=1e-6)


BAD = [
    ("x.keras", None, {}, r"\.keras files are not written here: model\.save\(path\)"),
    ("x.tflite", None, {}, "write 'onnx'"),
    ("x.pth", None, {}, r"to_torch\(model\)"),
    ("x", None, {}, r"its ending says no format.*\.onnx \(onnx\), \.stablehlo \(stablehlo\), \.safetensors"),
    ("x", "tf_saved_model", {}, "'onnx', which ONNX Runtime runs, or 'stablehlo', which JAX runs"),
    ("x", "openvino", {}, "OpenVINO reads ONNX files: write 'onnx'"),
    ("x", "litert", {}, "write 'onnx'"),
    ("x", "onxx", {}, "unknown format 'onxx'. Did you mean 'onnx'"),
    ("x.onnx", None, {"platforms": ["cpu"]}, "export as onnx takes no platforms: it is for .stablehlo"),
    ("x.onnx", None, {"precision": "int8"}, r"lowered\(Predictor.of\(model\), 'int8'\)"),
    ("x.onnx", None, {"speed": 1}, "export as onnx takes no speed, and no other option either"),
    (
        "x.npz",
        "millrace",
        {},
        "Millrace writes safetensors files, and .npz names another format. Call it x.safetensors",
    ),
    ("x.stablehlo", None, {"platforms": []}, r"platforms is a list of some of cpu, cuda, tpu, got \[\]"),
    ("x.stablehlo", None, {"verbose": True}, "takes no verbose: leave it out"),
    ("x.stablehlo", None, {"platform": "cpu"}, "Did you mean 'platforms'"),
]


@pytest.mark.parametrize(("path", "format", "options", "message"), BAD, ids=[f"{a}-{b}-{c}" for a, b, c, _ in BAD])
def test_what_is_not_written_here_says_what_is(model, tmp_path, path, format, options, message):
    with pytest.raises(ArgumentError, match=message):
        model.export(tmp_path / path, format, **options)
    assert not list(tmp_path.iterdir())


def test_what_is_no_path_no_model_and_no_predictor_is_told(model, tmp_path):
    with pytest.raises(ArgumentError, match="export needs the path of a file, got None"):
        model.export(None)
    with pytest.raises(ArgumentError, match=r"Predictor.of takes a model, got 'runs/a': .*opened\(path\)"):
        Predictor.of("runs/a")
    with pytest.raises(ArgumentError, match=r"lowered takes a predictor, got .*Predictor.of\(model\) makes one"):
        lowered(model, "int8")


def test_a_damaged_onnx_file_is_named(tmp_path):
    path = tmp_path / "bad.onnx"
    for content in (b"\x08\x07" * 50 + b"\xff", b""):
        path.write_bytes(content)
        with pytest.raises(FileError) as caught:
            opened(path)
        assert str(caught.value).startswith(f"{path}: this is no ONNX model")


def test_what_has_no_graph_cannot_be_exported(tmp_path):
    with pytest.raises(ArgumentError, match="has no input yet, so it cannot be exported"):
        mr.Sequential([Dense(2)]).export(tmp_path / "x.onnx")
    with pytest.raises(ArgumentError, match="takes a model or a predictor"):
        export("model", tmp_path / "x.stablehlo")


def test_an_earlier_file_stays_where_the_new_one_cannot_be_written(model, tmp_path):
    (tmp_path / "m.stablehlo").mkdir()
    with pytest.raises(FileError, match="it is a folder"):
        model.export(tmp_path / "m.stablehlo")
    assert json.dumps([one.name for one in FORMATS]) == '["onnx", "stablehlo", "millrace"]'
    assert format_of("A.ONNX").name == "onnx"
