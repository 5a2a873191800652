"""Testing on ten crops, held to the windows cut out by plain loops and to averages of a model's own answers."""

import itertools

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.text import text
from millrace.models import ten_crops

SIZE, WINDOW = (20, 22), (16, 15)
CLASSES = 5


def photographs(count=7, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype(np.uint8)


def windows(x, height, width):
    """The ten windows by plain loops: [10, batch, height, width, channels], as section 4.1 lists them."""
    batch, h, w, channels = x.shape
    corners = [(0, 0), (0, w - width), (h - height, 0), (h - height, w - width)]
    places = [*corners, ((h - height) // 2, (w - width) // 2)]
    out = np.empty((10, batch, height, width, channels), x.dtype)
    for n, (top, left) in enumerate(places):
        for b, i, j in itertools.product(range(batch), range(height), range(width)):
            out[n, b, i, j] = x[b, top + i, left + j]
            out[n + 5, b, i, width - 1 - j] = x[b, top + i, left + j]
    return out


@pytest.mark.parametrize("engine", ["xla", "numpy"])
@pytest.mark.parametrize("window", [(4, 4), (7, 9), (7, 1), (2, 8)])
def test_the_ten_windows_are_the_corners_the_middle_and_their_reflections(window, engine):
    x = photographs(2, (7, 9))
    given = mr.Input((7, 9, 3), dtype="uint8")
    out = np.asarray(mr.function([given], mr.ten_crops(given, *window), engine=engine)(x))
    np.testing.assert_array_equal(out, windows(x, *window).swapaxes(0, 1))


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="a crop of height 8 and width 4 does not fit into images of height 7"):
        mr.ten_crops(mr.Input((7, 9, 3)), 8, 4)


@pytest.fixture
def model():
    """What stands before the crop, the crop, and what draws and drops after it, as in AlexNet."""
    mr.set_seed(0)
    made = mr.Sequential(
        [
            layers.Input((*SIZE, 3), dtype="uint8"),
            layers.MeanSubtraction(np.random.default_rng(1).uniform(0, 255, (*SIZE, 3)), name="centred"),
            layers.RandomCrop(*WINDOW, name="crop"),
            layers.RandomFlip("horizontal"),
            layers.PCAColor([30.0, 20.0, 10.0], np.eye(3)),
            layers.Rescaling(1 / 64),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(CLASSES, "softmax", name="out"),
        ]
    )  # fmt: skip
    made.compile("sgd", "sparse_categorical_crossentropy", ["accuracy", "sparse_top_k_categorical_accuracy"])
    return made


def averaged(model, x):
    """The mean of the answers, window by window, by the layers behind the crop alone."""
    mean = model.get_layer("centred").mean.numpy()
    rest = mr.Sequential([layers.Input((*WINDOW, 3)), *model.layers[4:]])
    return np.mean([rest.predict(window) for window in windows(x - mean, *WINDOW)], axis=0)


def test_answers_are_the_mean_of_those_for_ten_windows(model):
    x = photographs()
    tested = ten_crops(model)
    expected = averaged(model, x)
    np.testing.assert_allclose(tested.predict(x, batch_size=3), expected, atol=1e-6)
    np.testing.assert_allclose(tested.predict(x[:2], engine="numpy"), expected[:2], atol=1e-6)
    assert np.abs(model.predict(x) - expected).max() > 0.01  # the middle alone says something else


def test_it_follows_the_weights_and_is_judged_like_the_model(model):
    x, y = photographs(), np.arange(7) % CLASSES
    tested = ten_crops(model)
    before = tested.predict(x)
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    after = averaged(model, x)
    np.testing.assert_allclose(tested.predict(x), after, atol=1e-6)
    assert np.abs(before - after).max() > 1e-3
    found = tested.evaluate(x, y, batch_size=3)
    assert set(found) == {"loss", "accuracy", "sparse_top_k_categorical_accuracy"}
    assert found["accuracy"] == pytest.approx((after.argmax(1) == y).mean())
    assert found["loss"] == pytest.approx(-np.log(after[np.arange(7), y]).mean(), rel=1e-5)
    assert tested.trainable_weights == [] and len(model.trainable_weights) == 4


def test_it_is_one_graph_that_can_be_printed_and_kept(model, tmp_path):
    tested = ten_crops(model)
    assert "scan[10 steps]" in str(tested.outputs[0])
    assert "RandomBits" not in text(tested.graph) and "Scan" in text(tested.graph)
    tested.save(tmp_path / "tested.safetensors")
    again = mr.load_model(tmp_path / "tested.safetensors")
    np.testing.assert_array_equal(again.predict(photographs()), tested.predict(photographs()))


def test_a_model_that_does_not_crop_once_is_refused():
    x = layers.Input((9, 9, 3), name="x")
    crop = layers.CenterCrop(5, 5)
    plain = mr.Model(x, layers.GlobalAveragePooling2D()(x))
    twice = mr.Model(x, layers.GlobalAveragePooling2D()(layers.RandomCrop(3, 3)(crop(x))))
    beside = mr.Model(x, layers.GlobalAveragePooling2D()(crop(x)) + layers.GlobalAveragePooling2D()(x))
    for model, said in ((plain, "has 0"), (twice, "has 2"), (beside, "beside the crop")):
        with pytest.raises(ArgumentError, match=said):
            ten_crops(model)
    one = mr.Model(x, layers.GlobalAveragePooling2D()(crop(x)))
    with pytest.raises(ArgumentError, match="one input and one output"):
        ten_crops(mr.Model(x, [one.outputs[0], one.outputs[0]]))
    images = np.random.default_rng(0).random((2, 9, 9, 3)).astype(np.float32)
    np.testing.assert_allclose(
        ten_crops(one).predict(images), windows(images, 5, 5).mean(axis=(0, 2, 3)), rtol=1e-5
    )  # fmt: skip
