"""Layers that bring inputs to a scale: what they compute, what they measure, and that files keep it."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import ArgumentError, DataError, ShapeError

both = pytest.mark.parametrize("engine", ["xla", "numpy"])


def bytes_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def run(layer, x, engine="numpy"):
    given = mr.Input(x.shape[1:], dtype=x.dtype.name)
    return np.asarray(mr.function([given], layer(given), engine=engine)(x))


def model_of(layer, shape, dtype="uint8"):
    model = mr.Sequential([mr.Input(shape, dtype=dtype), layer, layers.Flatten(), layers.Dense(2, name="out")])
    model.compile("sgd", "mse", engine="numpy")
    return model


@both
def test_rescaling_is_a_factor_and_an_offset(engine):
    out = run(layers.Rescaling(1 / 127.5, -1), np.uint8([[0, 51, 255]]), engine)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[-1, -0.6, 1]], atol=1e-6)
    each = run(layers.Rescaling([1, 2], offset=(0, 10)), np.float32([[3, 4]]), engine)
    np.testing.assert_array_equal(each, [[3, 18]])
    with pytest.raises(ShapeError, match="scale holds 2 numbers"):
        layers.Rescaling([1, 2])(mr.Input((3,)))


@both
@pytest.mark.parametrize("shape", [(4, 5, 3), (3,), ()])
def test_a_mean_for_each_pixel_or_each_channel_is_taken_off(shape, engine):
    x = bytes_of(6, 4, 5, 3)
    mean = np.random.default_rng(1).uniform(0, 255, shape)
    out = run(layers.MeanSubtraction(mean), x, engine)
    assert out.dtype == np.float32
    for b, image in enumerate(x):
        for i, j, c in np.ndindex(4, 5, 3):
            at = {0: (), 1: (c,), 3: (i, j, c)}[len(shape)]
            assert out[b, i, j, c] == np.float32(image[i, j, c]) - np.float32(mean[at])


def test_a_mean_that_does_not_fit_is_refused_with_both_shapes():
    for mean in (np.zeros((5, 4, 3)), np.zeros(4), np.zeros((1, 4, 5, 3))):
        with pytest.raises(ShapeError) as caught:
            layers.MeanSubtraction(mean, name="one")(mr.Input((4, 5, 3)))
        assert "'one'" in str(caught.value) and str(list(mean.shape)) in str(caught.value)


@pytest.mark.parametrize("mean", [bytes_of(9, 10, 3).astype(float), np.array([100.0, 110.5, 120.25])])
def test_the_mean_is_saved_with_the_model_and_never_trained(mean, tmp_path, capsys):
    x, y = bytes_of(8, 9, 10, 3), np.zeros((8, 2), np.float32)
    model = model_of(layers.MeanSubtraction(mean, name="mean"), (9, 10, 3))
    before = model.predict(x)
    model.fit(x // 2, y, 4, 1, verbose=0)
    np.testing.assert_array_equal(model.get_layer("mean").get_weights()[0], mean.astype(np.float32))
    model.get_layer("out").set_weights([w * 0 + 0.01 for w in model.get_layer("out").get_weights()])
    after = model.predict(x)
    model.save(tmp_path / "kept.safetensors")
    again = mr.load_model(tmp_path / "kept.safetensors")
    np.testing.assert_allclose(again.predict(x), after, rtol=1e-4, atol=1e-2)
    again.save(tmp_path / "twice.safetensors")
    np.testing.assert_allclose(mr.load_model(tmp_path / "twice.safetensors").predict(x), after, rtol=1e-4, atol=1e-2)
    assert before.shape == after.shape and not model.get_layer("mean").trainable_weights
    again.summary()
    assert len(capsys.readouterr().out) < 4000  # not the numbers of the mean


@both
@pytest.mark.parametrize("axis", [-1, 3, (1, 2, 3), (2, -1), None])
def test_normalization_brings_the_data_that_it_measured_to_mean_0_and_variance_1(axis, engine):
    x = bytes_of(700, 3, 2, 4)  # several blocks
    x[..., 1] //= 7
    layer = layers.Normalization(axis)
    layer.adapt(x)
    out = run(layer, x, engine)
    kept = () if axis is None else tuple(a % 4 for a in np.atleast_1d(axis))
    others = tuple(a for a in range(4) if a not in kept)
    mean, deviation = (f(x.astype(np.float64), axis=others, keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(out, (x - mean) / deviation, rtol=1e-4, atol=1e-4)
    back = layers.Normalization(axis, invert=True)
    back.adapt(x)
    np.testing.assert_allclose(run(back, out, engine), x, atol=1e-2)


def test_normalization_with_known_statistics_is_keras():
    out = run(layers.Normalization(mean=3.0, variance=2.0), np.float32([[1], [2], [3]]))
    np.testing.assert_allclose(out, [[-1.4142135], [-0.70710677], [0]], rtol=1e-6)  # from Keras's documentation
    flat = run(layers.Normalization(mean=[1, 2], variance=[0, 4]), np.float32([[1, 4]]))
    np.testing.assert_allclose(flat, [[0, 1]])  # a variance of 0 divides by 1e-7


def test_normalization_may_be_adapted_after_it_was_applied_and_is_saved(tmp_path):
    x = np.random.default_rng(0).normal(5, 3, (50, 4)).astype(np.float32)
    model = model_of(layers.Normalization(name="norm"), (4,), "float32")
    untouched = model.predict(x)
    model.get_layer("norm").adapt(x)
    inner = mr.Model(model.inputs, model.get_layer("norm").output)
    np.testing.assert_allclose(inner.predict(x), (x - x.mean(0)) / x.std(0), rtol=1e-4, atol=1e-5)
    assert (untouched != model.predict(x)).any()
    model.save(tmp_path / "kept.safetensors")
    again = mr.load_model(tmp_path / "kept.safetensors", engine="numpy")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_what_cannot_be_measured_is_refused():
    layer = layers.Normalization()
    for bad in (np.zeros((0, 3)), np.array(["a"]), np.float32(3)):
        with pytest.raises(DataError, match="adapt takes an array"):
            layer.adapt(bad)
    with pytest.raises(DataError, match="NaN"):
        layer.adapt(np.float32([[1, np.nan]]))
    with pytest.raises(ShapeError, match="axis=-1"):
        layer.adapt(np.zeros(5))
    layer(mr.Input((3,)))
    with pytest.raises(ShapeError, match="mean"):
        layer.adapt(np.zeros((5, 4)))
    with pytest.raises(ArgumentError, match="both mean and variance"):
        layers.Normalization(mean=1.0)
    with pytest.raises(ArgumentError, match="variance must not be below 0"):
        layers.Normalization(mean=0.0, variance=-1.0)
    with pytest.raises(ShapeError, match="known sizes"):
        layers.Normalization(axis=1)(mr.Input((None, 3)))
