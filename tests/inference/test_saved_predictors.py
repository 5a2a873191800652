"""A predictor in one file: what comes back is what was kept, of every network and every kind of number."""

import json
import shutil
from functools import partial
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import millrace as mr
from millrace.inference import About, Predictor, load, opened, save
from millrace.inference.saved import VERSION, packed_up
from millrace.ir.errors import ArgumentError, FileError
from millrace.ir.graph import Graph
from millrace.ir.text import text
from millrace.models import RECIPES, alexnet
from millrace.training.checkpoint import load_arrays, save_arrays

HERE = Path(__file__).parent
BATCH = 2
NETWORKS = {
    name: RECIPES[name].build
    for name in (
        "digits", "lenet", "cifar_quick", "fashion", "resnet18", "mlp", "perceptron", "char_rnn", "sentiment",
        "memory_network",
    )
} | {"alexnet": partial(alexnet, "paper", 10, width=0.125)}  # fmt: skip


def examples(graph, rng):
    """Two examples for each input: numbers between 0 and 1, or small whole ones."""
    types = [value.type.bind(dict.fromkeys(graph.free_names, BATCH)) for value in graph.inputs]
    return [
        rng.random(type.shape, np.float32).astype(type.dtype)
        if type.is_float
        else rng.integers(0, 3, type.shape).astype(type.dtype)
        for type in types
    ]


def answers(graph, arrays):
    return graph.bind(dict.fromkeys(graph.free_names, BATCH)).evaluate(arrays)


def tiny(name="tiny"):
    x = mr.Input((4,), name="x")
    return mr.Model(x, mr.layers.Dense(3, "softmax", name="out")(mr.layers.Dense(5, "relu", name="in")(x)), name=name)


def there_and_back(predictor, path):
    save(predictor, path)
    return load(path, engine="numpy")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_comes_back_to_the_bit(name, tmp_path):
    mr.set_seed(1)
    model = NETWORKS[name](None) if name != "alexnet" else NETWORKS[name]()
    before = Predictor.of(model, About(name, recipe=name))
    after = there_and_back(before, tmp_path / "p.safetensors")
    assert text(after.graph) == text(before.graph) and after.about == before.about
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    given = examples(before.graph, np.random.default_rng(0))
    for a, b in zip(answers(before.graph, given), answers(after.graph, given), strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_a_model_is_kept_as_what_predicts(tmp_path):
    """Dropout and the optimizer's memory are gone; an oracle by hand: softmax(relu(x W + b) V + c)."""
    x = mr.Input((4,), name="x")
    hidden = mr.layers.Dropout(0.5)(mr.layers.Dense(5, "relu", name="in")(x))
    model = mr.Model(x, mr.layers.Dense(3, "softmax", name="out")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", engine="numpy")
    model.fit(np.ones((8, 4), np.float32), np.zeros(8, np.int32), epochs=1, verbose=0)
    save(model, tmp_path / "p.safetensors")
    arrays, about = load_arrays(tmp_path / "p.safetensors")
    assert sorted(arrays) == ["in/bias", "in/kernel", "out/bias", "out/kernel"]
    assert "Dropout" not in about["graph"] and "Random" not in about["graph"]
    given = np.random.default_rng(0).random((3, 4), np.float32)
    inner, outer = model.get_layer("in"), model.get_layer("out")
    w, b, v, c = (variable.numpy() for variable in (inner.kernel, inner.bias, outer.kernel, outer.bias))
    z = np.maximum(given @ w + b, 0) @ v + c
    expected = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    got = load(tmp_path / "p.safetensors", engine="numpy").predict(given)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_stateful_network_goes_on_from_the_state_that_was_kept(tmp_path):
    x = mr.Input((3, 2), batch_size=1, name="x")
    model = mr.Model(x, mr.layers.LSTM(4, stateful=True)(x))
    before = Predictor.of(model, engine="numpy")
    given = np.random.default_rng(0).random((1, 3, 2), np.float32)
    first = before(given)[0]
    after = there_and_back(before, tmp_path / "p.safetensors")
    for a, b in zip(before.graph.variables, after.graph.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    second, again = before(given)[0], after(given)[0]
    np.testing.assert_allclose(second, again, rtol=1e-6)
    assert not np.allclose(first, second)
    np.testing.assert_allclose(before(given)[0], after(given)[0], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bfloat16", "float16", "float64", "int64", "bool"])
def test_variables_of_any_dtype_come_back(dtype, tmp_path):
    kept = np.array([[0, 1, 3], [100, 0, 7]]).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    w = mr.Variable(kept, "w", trainable=False)
    x = mr.Input((2, 3), name="x")
    before = Predictor(Graph([x], [x * mr.cast(w, "float32")]), ["y"], engine="numpy")
    after = there_and_back(before, tmp_path / "p.safetensors")
    (variable,) = after.graph.variables
    assert variable.dtype == dtype and not variable.trainable
    assert variable.numpy().tobytes() == kept.tobytes()
    np.testing.assert_array_equal(after.predict(np.ones((1, 2, 3), np.float32))[0], kept.astype(np.float32))


def test_long_constants_stand_among_the_arrays(tmp_path):
    table = np.arange(100, dtype=np.float32)
    x = mr.Input((100,), name="x")
    before = Predictor(Graph([x], [x + mr.constant(table), x * mr.constant(table)]), ["a", "b"], engine="numpy")
    after = there_and_back(before, tmp_path / "p.safetensors")
    assert len(load_arrays(tmp_path / "p.safetensors")[0]) == 1
    assert [port.name for port in after.outputs] == ["a", "b"]
    np.testing.assert_array_equal(after(np.ones((1, 100), np.float32))[0][0], 1 + table)


def test_what_is_said_of_a_predictor_comes_back(tmp_path):
    about = About("Ziffern 数字", ("null", "eins", "zwei"), ("a", "b\n"), "digits", {"width": 0.5, "variant": None},
                  "int8", {"accuracy": 0.97, "before": 1.0})  # fmt: skip
    after = there_and_back(Predictor.of(tiny(), about), tmp_path / "p.safetensors")
    assert after.about == about
    assert [port.name for port in after.outputs] == ["out"] and str(after.inputs[0].type) == "float32[batch, 4]"


def test_a_graph_text_of_two_megabytes_comes_back(tmp_path):
    x = mr.Input((2,), name="x" * 100_000)
    y = x
    for n in range(200):
        with mr.ir.core.layer_scope("layer" * 2000 + str(n)):
            y = y + 1.0
    before = Predictor(Graph([x], [y]), ["y"], engine="numpy")
    assert len(text(before.graph)) > 2_000_000
    after = there_and_back(before, tmp_path / "p.safetensors")
    np.testing.assert_array_equal(after.predict(np.zeros((1, 2), np.float32)), [[200, 200]])


def test_a_predictor_that_was_loaded_shares_nothing_with_the_other(tmp_path):
    before = Predictor.of(tiny(), engine="numpy")
    after = there_and_back(before, tmp_path / "p.safetensors")
    for variable in after.graph.variables:
        variable.assign(np.zeros(variable.shape, np.float32))
    assert before.graph.variables[0].numpy().any()


def test_what_is_not_there_for_each_example_is_not_predicted_in_batches():
    x = mr.Input((4,), name="x")
    total = Predictor(Graph([x], [mr.sum(x, axis=0)]), ["total"], engine="numpy")
    given = np.ones((40, 4), np.float32)
    with pytest.raises(ArgumentError, match=r"'total' is float32\[4\].*call the predictor itself"):
        total.predict(given)
    np.testing.assert_array_equal(total(given)[0], [40] * 4)
    with pytest.raises(ArgumentError, match=r"'mean' is float32\[\]"):
        Predictor(Graph([x], [mr.mean(x)]), ["mean"], engine="numpy").predict(given)
    with pytest.raises(ArgumentError, match="has no input yet"):
        Predictor.of(mr.Sequential([mr.layers.Dense(2)]))


# ---- versions


def test_a_file_of_the_first_version_loads_for_ever():
    """Its graph is relu(x W + b) with W = [[1, 2], [3, 4], [-5, 6]], b = [0.5, -100], and a table of 20 numbers."""
    predictor = load(HERE / "predictor1.safetensors", engine="numpy")
    x = np.array([[1, 1, 0], [0, 0, 1], [10, 10, 10]], np.float32)
    hidden, looked_up = predictor(x, np.array([0, 19, 7], np.int32))
    np.testing.assert_array_equal(hidden, [[4.5, 0], [0, 0], [0, 20]])
    np.testing.assert_array_equal(looked_up, [0, 19 * 19, 49])
    assert [port.name for port in predictor.outputs] == ["hidden", "square"]
    assert predictor.about == About("first", ("yes", "no"), ("word",), "", {"width": 1.0}, "float32", {"accuracy": 0.5})


def test_a_later_version_asks_for_an_update(tmp_path):
    arrays, about = packed_up(Predictor.of(tiny()))
    for later in (VERSION + 1, 10**400):
        save_arrays(tmp_path / "p.safetensors", arrays, {**about, "version": later})
        with pytest.raises(FileError, match=f"up to version {VERSION}: update") as caught:
            load(tmp_path / "p.safetensors")
        assert len(str(caught.value)) < 400


def test_what_model_save_wrote_is_opened(tmp_path):
    model = tiny()
    model.compile("adam", "sparse_categorical_crossentropy", engine="numpy")
    model.save(tmp_path / "m.safetensors")
    given = np.random.default_rng(0).random((3, 4), np.float32)
    got = opened(tmp_path / "m.safetensors", engine="numpy").predict(given)
    np.testing.assert_array_equal(got, model.predict(given))
    with pytest.raises(FileError, match="holds no predictor but 'model'"):
        load(tmp_path / "m.safetensors")


def test_what_the_first_format_of_model_save_holds_is_opened():
    path = HERE.parent / "training" / "format1.safetensors"
    kernel, bias = mr.load_model(path, engine="numpy").get_weights()
    predictor = opened(path, engine="numpy")
    given = np.ones((1, *predictor.inputs[0].type.shape[1:]), np.float32)
    assert [v.shape for v in predictor.graph.variables] == [kernel.shape, bias.shape]
    assert predictor.predict(given).shape == (1, bias.size)


def test_a_predictor_is_opened_whatever_its_file_is_called(tmp_path):
    save(tiny(), tmp_path / "p.safetensors")
    shutil.copy(tmp_path / "p.safetensors", tmp_path / "model")
    for name in ("p.safetensors", "model"):
        assert opened(tmp_path / name).about.name == "tiny"


# ---- what cannot be kept, and what is none


def test_an_ending_of_another_format_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="names another format"):
        save(tiny(), tmp_path / "p.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot write"):
        save(tiny(), tmp_path / "file" / "p.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("w.pt", b"PK\x03\x04", r"of PyTorch's.*millrace import .*w\.pt OUT\.safetensors --into NETWORK"),
        ("w.pth", b"\x80\x02", "of PyTorch's"),
        ("m.keras", b"PK\x03\x04", "of Keras's"),
        ("m.h5", b"\x89HDF", "of Keras's"),
        ("m.txt", b"hello", "no model that Millrace opens"),
        ("m", b"", "no model that Millrace opens"),
        ("m.safetensors", b"", "damaged or no safetensors file"),
        ("m.safetensors", b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00cposix\nsystem", "damaged or no safetensors"),
        ("none", None, "does not exist: expected a run directory"),
    ],
)
def test_what_is_no_model_says_what_it_is(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=said):
        opened(tmp_path / name)


def test_weights_alone_say_how_to_use_them(tmp_path):
    save_file({"w": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
    tiny().save_weights(tmp_path / "v.safetensors")
    for name in ("w", "v"):
        with pytest.raises(FileError, match=rf"weights alone.*millrace import .*{name}\.safetensors OUT.* --into"):
            opened(tmp_path / f"{name}.safetensors")


def test_other_arrays_of_ours_are_no_model(tmp_path):
    save_arrays(tmp_path / "c.safetensors", {"w": np.zeros(3)}, {"kind": "constants"})
    with pytest.raises(FileError, match="holds 'constants'"):
        opened(tmp_path / "c.safetensors")


def test_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(FileError, match=r"no complete run: config\.json is missing"):
        opened(tmp_path)
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(FileError, match=r"config\.json is damaged"):
        opened(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model": "x"}))
    with pytest.raises(FileError, match=r"config\.json is damaged"):
        opened(tmp_path)
