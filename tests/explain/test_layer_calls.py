"""What each layer makes of one example is what the layers, and plain loops, say."""

import numpy as np
import pytest

import millrace as mr
from millrace.explain.activations import Watch, activations
from millrace.ir.errors import ArgumentError, DataError, ShapeError


@pytest.fixture(scope="module")
def branched():
    """Two branches that meet, dropout, one layer used twice, an operation between layers."""
    mr.layers.set_seed(0)
    x = mr.Input((6, 6, 2), name="image")
    left = mr.layers.Conv2D(4, 3, padding="same", activation="relu", name="left")(x)
    right = mr.layers.Conv2D(4, 1, activation="tanh", name="right")(x)
    met = mr.layers.Add(name="met")([left, right])
    shared = mr.layers.Dropout(0.5, name="drop")
    flat = mr.layers.Flatten(name="flat")(shared(shared(met)) * 2.0)
    return mr.Model(x, mr.layers.Dense(3, "softmax", name="answer")(flat), name="branched")


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).random((6, 6, 2)).astype(np.float32)


def test_every_call_is_named_and_knows_whence_it_takes(branched, image):
    calls = {call.name: call for call in activations(branched, image)}
    assert next(iter(calls)) == "image" and calls["image"].kind == "Input"
    assert calls["met"].inputs == ("left", "right") and calls["drop#2"].inputs == ("drop",)
    assert calls["multiply"].kind == "Multiply" and calls["multiply"].layer is None
    assert calls["left"].shape == (6, 6, 4) and calls["flat"].shape == (144,)
    assert set(calls["left"].weights) == {"kernel", "bias"} and not calls["flat"].weights


def test_the_arrays_are_those_of_numpy(branched, image):
    calls = {call.name: call for call in activations(branched, image)}
    kernel, bias = calls["left"].weights["kernel"], calls["left"].weights["bias"]
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    for row, column in ((0, 0), (2, 3), (5, 5)):
        window = padded[row : row + 3, column : column + 3]
        by_hand = np.maximum(np.einsum("ijc,ijcf->f", window, kernel) + bias, 0)
        np.testing.assert_allclose(calls["left"].output[row, column], by_hand, atol=1e-5)
    # in use dropout does nothing, twice
    np.testing.assert_allclose(calls["flat"].output, 2 * (calls["left"].output + calls["right"].output).ravel())
    np.testing.assert_allclose(calls["answer"].output, branched.predict(image[None])[0], atol=1e-6)


def test_another_kernel_is_followed_to_the_answer_and_the_model_stays(branched, image):
    watch = Watch(branched)
    before = watch(image)
    layer = branched.get_layer("right")
    kept = layer.get_weights()
    other = kept[0] * -1.5
    there = {call.name: call for call in watch.changed(before, "right", "kernel", other)}
    assert np.array_equal(layer.get_weights()[0], kept[0])
    layer.set_weights([other, kept[1]])
    try:
        truly = {call.name: call for call in watch(image)}
    finally:
        layer.set_weights(kept)
    for name, call in truly.items():
        np.testing.assert_allclose(there[name].output, call.output, atol=1e-6, err_msg=name)
    assert not np.allclose(there["answer"].output, before[-1].output)


def test_the_compiler_sees_the_same(branched, image):
    for one, other in zip(activations(branched, image), activations(branched, image, engine="xla"), strict=True):
        np.testing.assert_allclose(one.output, other.output, atol=1e-5)


def test_several_inputs_layers_within_layers_and_fixed_batches():
    a, b = mr.Input((5, 3), name="a", batch_size=2), mr.Input((4,), name="b", batch_size=2)
    read = mr.layers.Bidirectional(mr.layers.GRU(2), name="reader")(a)
    model = mr.Model([a, b], mr.layers.Concatenate(name="both")([read, b]))
    calls = activations(model, [np.ones((5, 3), np.float32), np.arange(4, dtype=np.float32)])
    assert calls[-1].name == "both" and calls[-1].shape == (8,)
    np.testing.assert_array_equal(calls[-1].output[4:], np.arange(4))
    assert len(calls[2].weights) == len(model.get_layer("reader").weights) > 3


def test_what_does_not_fit_is_said(branched, image):
    watch = Watch(branched)
    calls = watch(image)
    with pytest.raises(ShapeError, match="image"):
        watch(image[:5])
    with pytest.raises(ArgumentError, match="1 inputs, got 2"):
        watch([image, image])
    with pytest.raises(ArgumentError, match="kernel"):
        watch.changed(calls, "left", "kernle", np.zeros(1))
    with pytest.raises(ArgumentError, match="shape"):
        watch.changed(calls, "left", "kernel", np.zeros((3, 3)))
    with pytest.raises(DataError, match="finite"):
        watch.changed(calls, "left", "bias", np.full(4, np.nan))
