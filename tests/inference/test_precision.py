"""Weights in bfloat16 and int8: what is kept, what comes back, and what it costs on digits that no training saw."""

from dataclasses import replace

import numpy as np
import pytest

import millrace as mr
from millrace.engines.function import Function, engine_named
from millrace.inference.folding import settled
from millrace.inference.linear import channels
from millrace.inference.measured import EXAMPLES, compared, held_out, noted
from millrace.inference.precision import lowered
from millrace.inference.predictor import About, Predictor
from millrace.inference.saved import load, save
from millrace.ir.errors import ArgumentError, DataError
from millrace.ir.graph import Graph
from millrace.ir.state import Variable
from millrace.layers import GRU, LSTM, Conv2D, Conv2DTranspose, Dense, Embedding, Flatten, Input
from millrace.layers.base import set_seed
from millrace.models import recipe
from millrace.training.model import Sequential

rng = np.random.default_rng(0)


def predictor_of(*layers, about=None, **how):
    return Predictor.of(Sequential(list(layers)), about, engine="numpy", **how)


def held_in(predictor):
    return {v.name: v for v in predictor.graph.variables}


def test_int8_by_hand():
    """Column 0 reaches to 1.27, so its scale is 0.01; column 1 to 2.54, 0.02; column 2 is all 0."""
    x = mr.Input((2,), name="x")
    w = Variable(np.float32([[1.27, 0.0, 0.0], [-0.634, 2.54, 0.0]]), "d/kernel")
    b = Variable(np.float32([1, 2, 3]), "d/bias")
    before = Predictor(Graph([x], [mr.matmul(x, w) + b]), ["y"], engine="numpy")
    after = lowered(before, "int8")
    held = held_in(after)
    assert {name: str(v.type) for name, v in held.items()} == {
        "d/kernel": "int8[2, 3]",
        "d/kernel_scale": "float32[3]",
        "d/bias": "float32[3]",
    }
    np.testing.assert_array_equal(held["d/kernel"].numpy(), [[127, 0, 0], [-63, 127, 0]])
    np.testing.assert_allclose(held["d/kernel_scale"].numpy(), [0.01, 0.02, 1.0], rtol=1e-6)
    got = after.predict(np.float32([[1, 1], [0, 2]]))
    np.testing.assert_allclose(got, [[1 + 1.27 - 0.63, 4.54, 3], [1 - 1.26, 7.08, 3]], rtol=1e-6)
    assert after.about.precision == "int8" and before.about.precision == "float32"
    assert [str(port) for port in after.inputs] == [str(port) for port in before.inputs]
    np.testing.assert_array_equal(w.numpy()[0, 0], np.float32(1.27))  # the first predictor's weights stay


def test_bfloat16_rounds_to_the_nearest_of_its_numbers():
    """Of 8 bits: 1 + 1/256 is between 1 and 1 + 1/128 and goes to the even one, 1 + 3/512 to the upper."""
    x = mr.Input((1,), name="x")
    w = Variable(np.float32([[1 + 1 / 256, 1 + 3 / 512, -3.0]]), "w")
    after = lowered(Predictor(Graph([x], [mr.matmul(x, w)]), ["y"], engine="numpy"), "bfloat16")
    assert held_in(after)["w"].dtype == "bfloat16"
    got = after.predict(np.float32([[1], [1.001]]))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[0], [1, 1 + 1 / 128, -3])
    np.testing.assert_allclose(got[1], 1.001 * got[0], rtol=1e-6)  # products are not rounded


KINDS = [  # layers, and by the end of the weights' names the axis along which they have scales
    ([Input((6,)), Dense(4)], {"kernel": 1}),
    ([Input((6, 6, 2)), Conv2D(5, 3)], {"kernel": 3}),
    ([Input((6, 6, 4)), Conv2D(6, 3, groups=2)], {"kernel": 3}),
    ([Input((4, 4, 2)), Conv2DTranspose(3, 3)], {"kernel": 2}),
    ([Input((5,), dtype="int32"), Embedding(9, 4)], {"embeddings": 0}),
    ([Input((5, 3)), LSTM(2)], {"cell/kernel": 1, "cell/recurrent_kernel": 1}),
    (
        [Input((5, 3)), GRU(2, reset_after=False)],
        {"cell/kernel": 1, "cell/recurrent_kernel": 1, "cell/recurrent_kernel_2": 1},
    ),
]


@pytest.mark.parametrize(("layers", "axes"), KINDS, ids=lambda x: type(x[-1]).__name__ if isinstance(x, list) else "")
def test_each_kind_of_weight_gets_a_scale_for_each_output_channel(layers, axes):
    before = predictor_of(*layers)
    after = lowered(before, "int8")
    held, first = held_in(after), held_in(before)
    assert sum(v.dtype == "int8" for v in held.values()) == len(axes)
    assert all(v.dtype == "int8" for v in held.values() if v.ndim > 1)
    for end, axis in axes.items():
        name = next(name for name in first if name.endswith(f"/{end}"))
        exact, numbers, scale = first[name].numpy(), held[name].numpy().astype(np.float64), held[f"{name}_scale"]
        largest = np.abs(exact).max(tuple(a for a in range(exact.ndim) if a != axis), keepdims=True)
        np.testing.assert_allclose(scale.numpy(), largest.ravel() / 127, rtol=1e-6)
        step = scale.numpy().reshape(largest.shape)
        assert (np.abs(numbers * step - exact) <= step * 0.5001).all()  # of its own channel
    port = before.inputs[0].type
    shape = (3, *port.shape[1:])
    x = rng.normal(size=shape).astype(np.float32) if port.is_float else rng.integers(0, 9, shape, np.int32)
    got, exact = after.predict(x), before.predict(x)
    assert 0 < np.abs(got - exact).max() < 0.02 * max(1, np.abs(exact).max())


def test_a_small_channel_beside_a_large_one_keeps_its_accuracy():
    """One scale for all would leave nothing of the small one."""
    x = mr.Input((50,), name="x")
    numbers = rng.normal(size=(50, 2)).astype(np.float32) * np.float32([1000, 0.001])
    before = Predictor(Graph([x], [mr.matmul(x, Variable(numbers, "w"))]), ["y"], engine="numpy")
    given = rng.normal(size=(20, 50)).astype(np.float32)
    got, exact = (p.predict(given) for p in (lowered(before, "int8"), before))
    assert (np.abs(got - exact).max(axis=0) < 0.02 * np.abs(exact).max(axis=0)).all()


def test_words_are_looked_up_before_they_are_brought_to_float32():
    after = lowered(predictor_of(Input((3,), dtype="int32"), Embedding(50, 4)), "int8")
    made = [str(node.outputs[0].type) for node in after.graph.nodes if node.op.name == "Cast"]
    assert made == ["float32[batch, 3, 4]"]


def test_what_is_no_product_of_weights_stays_float32():
    """Weights that are added, or that the graph updates."""
    x = mr.Input((2,), name="x", batch_size=3)
    added = Variable(rng.normal(size=(3, 2)).astype(np.float32), "added")
    state = Variable(np.zeros((3, 2), np.float32), "state")
    before = Predictor(Graph([x], [x + added + state], {state: x}), ["y"], engine="numpy")
    after = lowered(before, "int8")
    assert {v.name: v.dtype for v in after.graph.variables} == {"added": "float32", "state": "float32"}
    held = {v.name: v.dtype for v in lowered(before, "bfloat16").graph.variables}
    assert held == {"added": "bfloat16", "state": "float32"}


def test_tied_weights_are_kept_once():
    """A table that words are looked up in, and that answers are compared with."""
    ids = mr.Input((), name="ids", dtype="int32")
    table = Variable(rng.normal(size=(7, 4)).astype(np.float32), "table")
    row = mr.take(table, ids, 0)
    before = Predictor(Graph([ids], [mr.matmul(row, mr.transpose(table))]), ["y"], engine="numpy")
    after = lowered(before, "int8")
    assert {v.name: str(v.type) for v in after.graph.variables} == {"table": "int8[7, 4]", "table_scale": "float32[7]"}
    x = np.arange(7, dtype=np.int32)
    assert np.abs(after.predict(x) - before.predict(x)).max() < 0.1


def test_weights_that_lie_the_other_way_get_their_scales_by_output_too():
    """As ONNX's Gemm has them: [outputs, inputs]."""
    x = mr.Input((3,), name="x")
    w = Variable(rng.normal(size=(5, 3)).astype(np.float32), "w")
    after = lowered(Predictor(Graph([x], [mr.matmul(x, mr.transpose(w))]), ["y"], engine="numpy"), "int8")
    np.testing.assert_allclose(held_in(after)["w_scale"].numpy(), np.abs(w.numpy()).max(1) / 127, rtol=1e-6)


def test_a_loaded_predictor_computes_with_weights_made_once(tmp_path):
    after = lowered(predictor_of(Input((6,)), Dense(4), Dense(3)), "int8")
    save(after, tmp_path / "a.safetensors")
    loaded = load(tmp_path / "a.safetensors", engine="numpy")
    assert loaded.about.precision == "int8"
    assert {v.dtype for v in loaded.graph.variables} == {"int8", "float32"}
    assert {v.dtype for v in loaded.function.variables} == {"float32"}
    x = rng.normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_allclose(loaded.predict(x), after.graph.bind({"batch": 5}).evaluate([x])[0], rtol=1e-6)


def test_refusals():
    before = predictor_of(Input((3,)), Dense(2, name="dense"), about=About("mine"))
    assert lowered(before, "float32") is before
    with pytest.raises(ArgumentError, match=r"unknown precision 'int4'.*int8"):
        lowered(before, "int4")
    with pytest.raises(ArgumentError, match="'mine' keeps its weights in bfloat16 already: begin with the float32"):
        lowered(lowered(before, "bfloat16"), "int8")
    held_in(before)["dense/kernel"].assign(np.float32([[1, np.inf], [np.nan, 2], [3, 4]]))
    for precision in ("bfloat16", "int8"):
        with pytest.raises(DataError, match="'dense/kernel' holds 2 numbers that are NaN or infinite"):
            lowered(before, precision)


@pytest.fixture(scope="module")
def digits():
    """The digits network after a short training, and its predictor."""
    chosen = recipe("digits")
    set_seed(0)
    data = chosen.data(0)
    model = chosen.build(data)
    model.compile(chosen.optimizer(0.002), chosen.loss, ["accuracy"])
    model.fit(data.x_train, data.y_train, epochs=3, batch_size=64, verbose=0)
    return Predictor.of(model, About("digits", data.classes, (), "digits")), data


def test_the_loss_of_accuracy_on_held_out_digits(digits, tmp_path):
    predictor, data = digits
    x, y = held_out(predictor.about)
    np.testing.assert_array_equal(x, data.x_validation)
    np.testing.assert_array_equal(y, data.y_validation)
    size = {}
    for precision, share, apart in (("float32", 1, 0), ("bfloat16", 0.51, 0.05), ("int8", 0.27, 0.1)):
        made = lowered(predictor, precision)
        found = compared(predictor, made, x, y)
        right = np.mean(made.predict(x).argmax(1) == y)
        assert found["accuracy_after"] == right and found["accuracy_before"] > 0.95 and found["examples"] == 359
        assert abs(found["accuracy_after"] - found["accuracy_before"]) < 0.01 and found["same_answer"] > 0.99
        assert found["greatest_difference"] <= apart
        save(made, tmp_path / f"{precision}.safetensors")
        size[precision] = (tmp_path / f"{precision}.safetensors").stat().st_size
        assert size[precision] <= share * size["float32"]


def test_the_compiler_leaves_the_weights_in_int8_where_the_graph_has_them_so(digits):
    """They are arguments of the program, so that it cannot compute with them when it is made."""
    after = lowered(digits[0], "int8")
    kept = Function(after.graph, engine_named("xla"), list, (), False)
    x = digits[1].x_validation[:4]
    np.testing.assert_allclose(kept(x)[0], after.predict(x), atol=1e-6)
    text = kept.programs[0].compiled.as_text()
    assert "s8[1024,128]" in text.split("ENTRY")[1].split("ROOT")[0]


def test_compared_by_hand():
    x = mr.Input((2,), name="x")
    before = Predictor(Graph([x], [x * 1.0]), ["y"], engine="numpy")
    after = Predictor(Graph([x], [x * np.float32([1, 3])]), ["y"], engine="numpy")
    found = compared(before, after, np.float32([[3, 2], [1, 0], [2, 3], [4, 1]]), np.int32([0, 0, 1, 1]))
    assert found == {
        "examples": 4,
        "greatest_difference": 6,
        "mean_difference": (4 + 0 + 6 + 2) / 8,
        "same_answer": 0.75,
        "accuracy_before": 0.75,
        "accuracy_after": 0.5,
    }
    told = noted(noted(after, found), {"seconds": 2.0})
    assert told.about.measured == {**found, "seconds": 2.0} and told.graph is after.graph
    assert set(compared(before, after, np.ones((2, 2), np.float32))) == {*list(found)[:4]}
    with pytest.raises(DataError, match="NaN or infinite"):
        compared(before, after, np.float32([[np.inf, 1]]))
    one = predictor_of(Input((2,)), Dense(1))
    assert "same_answer" not in compared(one, one, np.ones((2, 2), np.float32))


def test_to_compare_predictors_leaves_what_they_remember():
    before = predictor_of(Input((3, 2), batch_size=1), LSTM(4, stateful=True))
    after = lowered(before, "int8")
    assert compared(before, after, rng.normal(size=(5, 3, 2)).astype(np.float32))["greatest_difference"] > 0
    assert len(after.graph.updates) == 2
    for variable in (*before.graph.updates, *after.graph.updates):
        assert not variable.numpy().any()


def test_held_out_is_none_where_the_data_are_not_those_of_the_training(tmp_path, monkeypatch):
    about = About("digits", tuple("0123456789"), (), "digits")
    assert held_out(replace(about, recipe="")) is None
    assert held_out(replace(about, recipe="no such network")) is None
    assert held_out(replace(about, recipe="hopfield")) is None
    assert held_out(replace(about, classes=("yes", "no"))) is None
    assert held_out(replace(about, settings={"width": 0.5})) is None  # a network of other settings than it has
    for seed in ("x", -1, 10**400, float("inf")):
        assert held_out(replace(about, settings={"seed": seed})) is None
    assert held_out(about, predictor_of(Input((5,)), Dense(2))) is None  # examples that it does not take
    x, _ = held_out(replace(about, settings={"seed": 3}))  # as `millrace train digits --seed 3` held them out
    np.testing.assert_array_equal(x, recipe("digits").data(3).x_validation)
    monkeypatch.setenv("MILLRACE_DATA", str(tmp_path))
    monkeypatch.setenv("MILLRACE_OFFLINE", "0")  # also where downloads are allowed: nobody asked for one
    monkeypatch.setattr("millrace.data.folder.fetch", lambda *_: pytest.fail("data are downloaded"))
    assert held_out(About("lenet", tuple("0123456789"), (), "lenet")) is None


def test_pictures_in_files_are_decoded_for_the_predictor(tmp_path):
    from PIL import Image

    from millrace.data.image_folder import ImageFolder
    from millrace.inference.measured import _of_source

    for n, name in enumerate(("dark", "light")):
        (tmp_path / name).mkdir()
        for k in range(3):
            Image.new("RGB", (5, 4), (n * 200 + k,) * 3).save(tmp_path / name / f"{k}.png")
    (tmp_path / "light" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    source = ImageFolder(tmp_path)
    looking = predictor_of(Input((2, 2, 3), dtype="uint8"), Flatten())
    x, y = _of_source(source, looking)
    assert x.shape == (6, 2, 2, 3) and sorted(y) == [0, 0, 0, 1, 1, 1] and EXAMPLES == 1000
    assert ((x[:, 0, 0, 0] > 100) == y).all()
    assert _of_source(source, None) is None


def test_channels_of_a_product():
    x, w = mr.Input((5, 3), name="x"), Variable(np.zeros((3, 4), np.float32), "w")
    assert channels(mr.matmul(x, w).node, 1) == {2: 1}
    assert settled(Graph([x], [mr.matmul(x, w)])).variables == (w,)
