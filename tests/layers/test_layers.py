"""Layers: what they compute, the shapes and weights they make, and what they say about bad arguments."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.dims import dim
from millrace.ir.errors import ArgumentError, MillraceError, ShapeError
from millrace.layers.base import LAYERS
from millrace.layers.initializers import GlorotNormal, Initializer, RandomNormal, initializer

both = pytest.mark.parametrize("engine", ["xla", "numpy"])


@pytest.fixture(autouse=True)
def seed_zero():
    mr.set_seed(0)
    yield
    mr.set_seed(0)


def image(*shape):
    return mr.Input(shape or (4, 4, 2), name="x")


def run(layer, x, *weights, engine="numpy"):
    """The layer's output for an array, after its weights were replaced."""
    x = np.asarray(x, np.float32)
    given = mr.Input(x.shape[1:])
    out = layer(given)
    for variable, array in zip(layer.weights, weights, strict=False):
        variable.assign(np.asarray(array, np.float32).reshape(variable.shape))
    return np.asarray(mr.function([given], out, engine=engine)(x))


def ramp(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


# ---- what each layer computes


@both
def test_dense_multiplies_adds_and_activates(engine):
    out = run(layers.Dense(2, "relu"), [[1, 2, 3]], [[1, -1], [0, 1], [2, -3]], [0.5, 1], engine=engine)
    np.testing.assert_allclose(out, [[7.5, 0]])


def test_dense_works_on_the_last_of_many_axes():
    x, kernel = ramp(2, 3, 4, 5), ramp(5, 2)
    layer = layers.Dense(2, use_bias=False)
    np.testing.assert_allclose(run(layer, x, kernel), x @ kernel)
    assert layer(mr.Input((3, 4, 5))).shape == (dim("batch"), 3, 4, 2)
    assert layer.count_params() == 10 and layer.bias is None


def test_conv2d_slides_its_kernel_over_the_image():
    out = run(layers.Conv2D(1, 2), ramp(1, 3, 3, 1), [1, 0, 0, 10], [0.5])
    np.testing.assert_allclose(out[0, :, :, 0], [[40.5, 51.5], [73.5, 84.5]])


def test_conv1d_and_conv3d_slide_along_one_and_three_axes():
    line = run(layers.Conv1D(1, 2, use_bias=False), ramp(1, 4, 1), [1, 10])
    np.testing.assert_allclose(line.ravel(), [10, 21, 32])
    cube = run(layers.Conv3D(1, 2, use_bias=False), ramp(1, 2, 2, 2, 1), np.ones(8))
    np.testing.assert_allclose(cube.ravel(), [28])


def test_a_convolution_activates_after_its_bias():
    out = run(layers.Conv1D(1, 1, activation="relu"), [[[1], [3]]], [1], [-2])
    np.testing.assert_allclose(out.ravel(), [0, 1])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"padding": "valid"}, [12, 123]),
        ({"padding": "same"}, [1, 12, 123, 230]),
        ({"padding": "same", "strides": 2}, [12, 230]),
        ({"padding": 1}, [1, 12, 123, 230]),
        ({"padding": ((2, 0),)}, [0, 1, 12, 123]),
        ({"padding": ((0, 1),)}, [12, 123, 230]),
        ({"padding": ((2, 1),), "strides": 2}, [0, 12, 230]),
        ({"padding": "same", "dilation_rate": 2}, [2, 13, 20, 130]),
        ({"strides": 2}, [12]),
    ],
)
def test_padding_strides_and_dilation_of_a_convolution(options, expected):
    out = run(layers.Conv1D(1, 3, use_bias=False, **options), [[[0], [1], [2], [3]]], [100, 10, 1])
    np.testing.assert_allclose(out.ravel(), expected)


def test_same_padding_puts_the_larger_part_after():
    out = run(layers.Conv1D(1, 2, padding="same", use_bias=False), [[[1], [2], [3]]], [1, 10])
    np.testing.assert_allclose(out.ravel(), [21, 32, 3])


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (5, 6)),
        ({"padding": "same"}, (7, 8)),
        ({"padding": "same", "strides": 2}, (4, 4)),
        ({"padding": "same", "strides": (3, 1)}, (3, 8)),
        ({"padding": 2, "strides": 2}, (5, 5)),
        ({"padding": ((0, 1), (2, 0))}, (6, 8)),
        ({"padding": (1, 0)}, (7, 6)),
        ({"dilation_rate": (1, 3)}, (5, 2)),
        ({"dilation_rate": 2, "padding": "same"}, (7, 8)),
    ],
)
def test_the_output_of_a_convolution_keeps_the_name_of_the_batch(options, shape):
    assert layers.Conv2D(3, 3, **options)(image(7, 8, 2)).shape == (dim("batch"), *shape, 3)


def test_groups_see_their_own_channels_only():
    layer = layers.Conv1D(4, 1, groups=2, use_bias=False)
    out = run(layer, [[[1, 2, 10, 20]]], [[1, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_allclose(out.ravel(), [11, 14, 170, 200])
    assert layer.kernel.shape == (1, 2, 4) and layer.count_params() == 8


@pytest.mark.parametrize(
    ("kind", "x", "expected"),
    [
        (layers.MaxPooling1D, [[[1], [4], [3], [2], [9]]], [4, 3]),
        (layers.AveragePooling1D, [[[1], [4], [3], [2], [9]]], [2.5, 2.5]),
        (layers.MaxPooling2D, ramp(1, 4, 4, 1), [5, 7, 13, 15]),
        (layers.AveragePooling2D, ramp(1, 4, 4, 1), [2.5, 4.5, 10.5, 12.5]),
        (layers.MaxPooling3D, ramp(1, 2, 2, 4, 1), [13, 15]),
        (layers.AveragePooling3D, ramp(1, 2, 2, 4, 1), [6.5, 8.5]),
    ],
)
def test_pooling_takes_the_greatest_or_the_mean_of_each_window(kind, x, expected):
    np.testing.assert_allclose(run(kind(2), x).ravel(), expected)


def test_pooling_windows_may_overlap():
    np.testing.assert_allclose(run(layers.MaxPooling1D(3, strides=1), [[[1], [4], [3], [2], [5]]]).ravel(), [4, 4, 5])


def test_padding_does_not_count_in_average_pooling():
    np.testing.assert_allclose(run(layers.AveragePooling1D(2, padding="same"), [[[1], [3], [5]]]).ravel(), [2, 5])
    np.testing.assert_allclose(run(layers.MaxPooling1D(2, padding="same"), [[[-1], [-3], [-5]]]).ravel(), [-1, -5])


def test_flatten_reshape_activation_and_softmax():
    np.testing.assert_array_equal(run(layers.Flatten(), ramp(2, 2, 3)), ramp(2, 6))
    np.testing.assert_array_equal(run(layers.Reshape((3, -1)), ramp(2, 6)), ramp(2, 3, 2))
    np.testing.assert_array_equal(run(layers.Activation("relu"), [[-1, 2]]), [[0, 2]])
    np.testing.assert_allclose(run(layers.Softmax(), np.log([[1, 3]])), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(run(layers.Softmax(axis=1), np.log([[[1, 1], [3, 1]]]))[0, 0], [0.25, 0.5], rtol=1e-6)


def test_an_activation_may_be_a_function():
    np.testing.assert_allclose(run(layers.Dense(1, activation=mr.square, use_bias=False), [[3]], [2]), [[36]])


# ---- shapes, counts, summary


def network():
    return mr.Sequential(
        [
            mr.Input((6, 6, 3), name="image"),
            layers.Conv2D(4, 3, padding="same", name="conv"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Dropout(0.5, name="drop"),
            layers.Flatten(name="flat"),
            layers.Dense(5, name="dense"),
        ],
        name="small",
    )


def test_parameters_are_counted_by_hand():
    model = network()
    assert [layer.count_params() for layer in model.layers] == [3 * 3 * 3 * 4 + 4, 0, 0, 0, 36 * 5 + 5]
    assert model.count_params() == 112 + 185


def test_the_summary_shows_shapes_with_the_batch_and_parameters(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    network().summary()
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.count("│") > 2]
    lines = {line.split("│")[1].strip(): line for line in rows if line.split("│")[1].strip()}
    shapes = {
        "image": "[batch, 6, 6, 3]",
        "conv": "[batch, 6, 6, 4]",
        "pool": "[batch, 3, 3, 4]",
        "drop": "[batch, 3, 3, 4]",
        "flat": "[batch, 36]",
        "dense": "[batch, 5]",
    }
    assert list(lines) == list(shapes)
    assert all(shapes[name] in line for name, line in lines.items())
    assert "112" in lines["conv"] and "185" in lines["dense"]
    assert "297 parameters: 297 learned, 0 not" in printed
    assert max(len(line) for line in printed.splitlines()) <= 80


def test_the_summary_of_a_branched_model_says_where_values_come_from(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    a, b = mr.Input((3,), name="a"), mr.Input((3,), name="b")
    dense = layers.Dense(2, name="shared")
    mr.Model([a, b], dense(a) + dense(b)).summary()
    printed = capsys.readouterr().out
    assert "From" in printed and "shared, shared" in printed
    assert "8 parameters: 8 learned" in printed


def test_the_summary_of_a_model_without_input_is_refused_in_words():
    with pytest.raises(MillraceError, match="Input"):
        mr.Sequential([layers.Dense(2)]).summary()


# ---- dropout


def through_dropout(x, steps, engine="numpy", **arguments):
    """What dropout makes of x in each of some steps of training."""
    layer = layers.Dropout(name="drop", **arguments)
    given = mr.Input(x.shape[1:])
    out = layer(given)
    step = mr.function([given], out, dict(layer.all_updates), engine=engine)
    return [np.asarray(step(x)) for _ in range(steps)]


@pytest.mark.parametrize(("arguments", "rate"), [({"rate": 0.3}, 0.3), ({"keep_prob": 0.2}, 0.8), ({"rate": 0}, 0)])
def test_dropout_zeroes_its_share_and_scales_the_rest(arguments, rate):
    (out,) = through_dropout(np.ones((100, 200), np.float32), 1, **arguments)
    assert (out == 0).mean() == pytest.approx(rate, abs=0.015)
    np.testing.assert_allclose(out[out != 0], 1 / (1 - rate), rtol=1e-6)


def test_dropout_differs_from_step_to_step_and_from_seed_to_seed():
    x = np.ones((8, 50), np.float32)
    first, second = through_dropout(x, 2, rate=0.5, seed=3)
    (other,) = through_dropout(x, 1, rate=0.5, seed=4)
    assert (first != second).any() and (first != other).any()


def test_the_same_seed_draws_the_same_masks_on_both_engines():
    x = np.ones((8, 50), np.float32)
    one, two = (through_dropout(x, 3, engine, rate=0.5, seed=3) for engine in ("xla", "numpy"))
    np.testing.assert_array_equal(one, two)


def test_dropout_takes_the_seed_of_the_run_unless_it_has_its_own():
    x = np.ones((8, 50), np.float32)
    mr.set_seed(5)
    (run_seed,) = through_dropout(x, 1, rate=0.5)
    mr.set_seed(6)
    (own_seed,) = through_dropout(x, 1, rate=0.5, seed=5)
    np.testing.assert_array_equal(run_seed, own_seed)


def test_two_dropouts_and_two_uses_of_one_draw_different_masks():
    x = mr.Input((200,))
    shared, other = layers.Dropout(0.5), layers.Dropout(0.5)
    outs = mr.function([x], [shared(x), shared(x), other(x)], engine="numpy")(np.ones((2, 200), np.float32))
    assert all((outs[i] != outs[j]).any() for i, j in ((0, 1), (0, 2), (1, 2)))


@both
def test_dropout_is_gone_in_predict_and_evaluate_and_there_in_training(engine):
    model = mr.Sequential([mr.Input((500,)), layers.Dropout(0.4, name="drop")])
    model.compile("sgd", "mae", engine=engine)
    x, y = np.ones((8, 500), np.float32), np.zeros((8, 500), np.float32)
    np.testing.assert_array_equal(model.predict(x), x)
    assert model.evaluate(x, y) == {"loss": 1.0}
    losses = model.fit(x, y, batch_size=4, epochs=2, verbose=0).batch_losses
    assert len(set(losses)) == 4
    assert all(loss == pytest.approx(1, abs=0.1) for loss in losses)
    np.testing.assert_array_equal(model.predict(x), x)


# ---- sharing, nesting, several inputs


def test_a_shared_layer_has_one_set_of_weights_and_both_gradients():
    x = mr.Input((1,), name="x")
    dense = layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = mr.Model(x, dense(dense(x)))
    assert model.count_params() == 1
    model.compile(mr.optimizers.SGD(0.1), "mse", engine="numpy")
    model.fit(np.array([[1.0]]), np.array([[0.0]]), verbose=0)
    assert dense.kernel.numpy().item() == pytest.approx(1 - 0.1 * 4)


def test_a_nested_model_shares_its_weights_and_is_trained():
    inner = mr.Sequential([mr.Input((3,)), layers.Dense(2, name="inside")], name="inner")
    outer = mr.Sequential([mr.Input((3,)), inner, layers.Dense(1, name="outside")], name="outer")
    assert [w.name for w in outer.weights] == ["inside/kernel", "inside/bias", "outside/kernel", "outside/bias"]
    x = np.ones((4, 3), np.float32)
    before = inner.predict(x)
    outer.compile(mr.optimizers.SGD(0.1), "mse", engine="numpy")
    outer.fit(x, np.ones((4, 1)), verbose=0)
    assert (inner.predict(x) != before).all()


def test_a_nested_model_round_trips_through_a_file(tmp_path):
    inner = mr.Sequential([mr.Input((3,)), layers.Dense(2, name="inside")], name="inner")
    outer = mr.Sequential([mr.Input((3,)), inner, layers.Dense(1, name="outside")], name="outer")
    outer.save(tmp_path / "m.safetensors")
    x = ramp(4, 3)
    np.testing.assert_array_equal(mr.load_model(tmp_path / "m.safetensors").predict(x), outer.predict(x))


def test_a_nested_model_that_got_its_shape_from_outside_round_trips_through_a_file(tmp_path):
    inner = mr.Sequential([layers.Dense(2, name="inside")], name="inner")
    outer = mr.Sequential([mr.Input((3,)), inner, layers.Dense(1, name="outside")], name="outer")
    outer.save(tmp_path / "m.safetensors")
    x = ramp(4, 3)
    np.testing.assert_array_equal(mr.load_model(tmp_path / "m.safetensors").predict(x), outer.predict(x))


def test_equal_weight_names_in_a_nested_model_are_refused_by_name():
    inner = mr.Sequential([mr.Input((3,)), layers.Dense(3, name="dense")])
    with pytest.raises(MillraceError, match="'dense"):
        mr.Sequential([mr.Input((3,)), inner, layers.Dense(3, name="dense")])


def test_a_model_takes_two_inputs_through_fit_predict_and_a_file(tmp_path):
    a, b = mr.Input((2,), name="a"), mr.Input((1,), name="b")
    model = mr.Model([a, b], layers.Dense(1)(mr.concatenate([a, b], 1)))
    model.compile(mr.optimizers.SGD(0.1), "mse")
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((64, 2)).astype(np.float32), rng.standard_normal((64, 1)).astype(np.float32)]
    y = x[0].sum(1, keepdims=True) - 3 * x[1] + 1
    model.fit(x, y, epochs=40, verbose=0)
    assert model.evaluate(x, y)["loss"] < 1e-3
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(mr.load_model(tmp_path / "m.safetensors").predict(x), model.predict(x))


def test_a_model_of_two_inputs_says_how_many_it_takes():
    a, b = mr.Input((2,)), mr.Input((1,))
    model = mr.Model([a, b], mr.concatenate([a, b], 1))
    with pytest.raises(MillraceError, match=r"takes 2 inputs.*1"):
        model.predict(np.ones((4, 2)))


def test_two_layers_of_one_name_are_refused():
    with pytest.raises(ArgumentError, match="two layers are called 'd'"):
        mr.Sequential([mr.Input((3,)), layers.Dense(3, name="d"), layers.Dense(3, name="d")])


def test_a_frozen_layer_keeps_its_weights():
    frozen = layers.Dense(3, trainable=False)
    model = mr.Sequential([mr.Input((3,)), frozen, layers.Dense(1)])
    before = frozen.kernel.numpy()
    model.compile("sgd", "mse", engine="numpy")
    model.fit(ramp(4, 3), ramp(4, 1), verbose=0)
    np.testing.assert_array_equal(frozen.kernel.numpy(), before)
    assert len(model.trainable_weights) == 2 and len(model.non_trainable_weights) == 2


# ---- layers of one's own


class Scale(layers.Layer):
    def build(self, x):
        self.factor = self.add_weight("factor", (x.shape[-1],), "ones")

    def call(self, x):
        return x * self.factor


class Around(layers.Layer):
    def __init__(self, units, name=None):
        super().__init__(name)
        self.units = units
        self.first, self.rest = layers.Dense(units, "relu", name="first"), [layers.Dense(units, name="second")]

    def call(self, x):
        return x + self.rest[0](self.first(x))


class Power(layers.Layer):
    def __init__(self, exponent):
        self.exponent = exponent

    def call(self, x):
        return x**self.exponent


class Mean(layers.Layer):
    def build(self, x):
        self.mean = self.add_weight("mean", (x.shape[-1],), "zeros", trainable=False)

    def call(self, x):
        self.add_update(self.mean, 0.5 * self.mean + 0.5 * mr.mean(x, axis=0))
        return x * 1.0


class Swap(layers.Layer):
    def call(self, a, b):
        return b, a


@pytest.fixture
def own_layers():
    LAYERS.update({kind.__name__: kind for kind in (Scale, Around, Power, Mean, Swap)})


def saved_and_loaded(model, path, **options):
    model.save(path)
    return mr.load_model(path, **options)


def test_a_layer_of_ones_own_is_trained():
    model = mr.Sequential([mr.Input((2,)), Scale(name="scale")])
    model.compile(mr.optimizers.SGD(0.5), "mse", engine="numpy")
    x = np.array([[1, 1], [-1, 1], [1, -1]], np.float32)
    model.fit(x, x * [2, -3], epochs=60, verbose=0)
    np.testing.assert_allclose(model.get_layer("scale").factor.numpy(), [2, -3], atol=1e-4)


@pytest.mark.usefixtures("own_layers")
@pytest.mark.parametrize("layer", [Scale(), Around(3), Around(units=3, name="block"), Power(2.0)], ids=str)
def test_a_layer_of_ones_own_is_saved_and_loaded_in_the_same_process(layer, tmp_path):
    model = mr.Sequential([mr.Input((3,)), type(layer).from_config(layer.arguments), layers.Dense(2)])
    model.set_weights([w + 0.5 for w in model.get_weights()])
    x = ramp(4, 3)
    loaded = saved_and_loaded(model, tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert [w.name for w in loaded.weights] == [w.name for w in model.weights]


def test_a_layer_of_ones_own_is_loaded_through_custom_objects(tmp_path):
    model = mr.Sequential([mr.Input((3,)), Scale()])
    model.set_weights([[1.0, 2.0, 3.0]])
    LAYERS.pop("Scale", None)
    with pytest.raises(MillraceError, match="custom_objects"):
        saved_and_loaded(model, tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors", custom_objects={"Scale": Scale})
    np.testing.assert_array_equal(loaded.predict(np.ones((1, 3))), [[1, 2, 3]])


def test_custom_objects_reach_into_nested_models(tmp_path):
    inner = mr.Sequential([mr.Input((3,)), Scale()], name="inner")
    model = mr.Sequential([mr.Input((3,)), inner])
    LAYERS.pop("Scale", None)
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors", custom_objects={"Scale": Scale})
    np.testing.assert_array_equal(loaded.predict(np.ones((1, 3))), [[1, 1, 1]])


def test_layers_in_attributes_and_lists_bring_their_weights_under_their_paths():
    block = Around(3, name="block")
    model = mr.Sequential([mr.Input((3,)), block])
    names = ["block/first/kernel", "block/first/bias", "block/second/kernel", "block/second/bias"]
    assert [w.name for w in model.trainable_weights] == names
    assert model.count_params() == 24


def test_a_layer_of_ones_own_may_take_and_give_two_values():
    a, b = mr.Input((2,)), mr.Input((3,))
    first, second = Swap()([a, b])
    assert first.shape[1:] == (3,) and second.shape[1:] == (2,)


@pytest.mark.parametrize("nested", [False, True])
def test_an_update_of_a_layer_happens_at_each_step(nested):
    inner = mr.Sequential([mr.Input((2,)), Mean(name="mean"), layers.Dense(1)])
    model = mr.Sequential([mr.Input((2,)), inner]) if nested else inner
    model.compile("sgd", "mse", engine="numpy")
    model.fit([[1.0, 2.0], [3.0, 6.0]], [[0.0], [0.0]], batch_size=2, epochs=2, verbose=0)
    np.testing.assert_allclose(inner.get_layer("mean").mean.numpy(), [1.5, 3.0], rtol=1e-6)


def test_a_layer_without_call_and_two_weights_of_one_name_are_refused():
    class Empty(layers.Layer):
        pass

    class Twice(layers.Layer):
        def build(self, x):
            self.a, self.b = self.add_weight("w", (1,)), self.add_weight("w", (1,))

        def call(self, x):
            return x * self.a + self.b

    with pytest.raises(MillraceError, match="Empty does not define call"):
        Empty()(mr.Input((2,)))
    with pytest.raises(MillraceError, match="'twice/w'"):
        mr.Sequential([mr.Input((2,)), Twice(name="twice")])


def test_an_activation_without_a_name_cannot_be_saved_and_says_so(tmp_path):
    model = mr.Sequential([mr.Input((2,)), layers.Dense(1, activation=lambda x: x * 2)])
    with pytest.raises(ArgumentError, match="by name"):
        model.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_an_initializer_object_survives_saving(tmp_path):
    layer = layers.Dense(2, kernel_initializer=RandomNormal(0, 0.2), activation=mr.tanh, name="d")
    model = mr.Sequential([mr.Input((2,)), layer])
    loaded = saved_and_loaded(model, tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(ramp(2, 2)), model.predict(ramp(2, 2)))


# ---- first values of weights


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / (9 * 20 + 9 * 50)),
        ("glorot_normal", 2 / (9 * 20 + 9 * 50)),
        ("he_normal", 2 / (9 * 20)),
        ("he_uniform", 2 / (9 * 20)),
        ("lecun_normal", 1 / (9 * 20)),
        ("random_normal", 0.05**2),
        ("random_uniform", 0.05**2 / 3),
    ],
)
def test_initializers_have_the_mean_and_variance_of_their_papers(name, variance):
    made = initializer(name)((3, 3, 20, 50), "w").astype(np.float64)
    assert made.var() == pytest.approx(variance, rel=0.05)
    assert abs(made.mean()) < 4 * np.sqrt(variance / made.size)
    if name.endswith("uniform"):
        assert np.abs(made).max() <= np.sqrt(3 * variance) * (1 + 1e-6)


def test_constant_initializers():
    assert (initializer("zeros")((3,), "w") == 0).all() and (initializer("ones")((3,), "w") == 1).all()


def test_normal_initializers_draw_normal_numbers():
    made = RandomNormal(0, 1)((1000, 50), "w")
    for bound, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert (np.abs(made) < bound).mean() == pytest.approx(share, abs=0.01)


def test_numbers_follow_from_seed_and_name_alone():
    def kernels(order, seed=0):
        mr.set_seed(seed)
        made = {name: layers.Dense(4, name=name) for name in order}
        for layer in made.values():
            layer(mr.Input((4,)))
        return {name: layer.kernel.numpy() for name, layer in made.items()}

    forth, back, other = kernels("abc"), kernels("cba"), kernels("abc", seed=1)
    for name in "abc":
        np.testing.assert_array_equal(forth[name], back[name])
        assert (forth[name] != other[name]).any()
    assert (forth["a"] != forth["b"]).any()


def test_initializers_are_saved_by_name_and_read_back():
    for kind in Initializer.known.values():
        if not kind.__name__.startswith("_"):
            assert initializer(kind().get_config()) == kind()
    assert initializer("glorot_normal") == GlorotNormal()


# ---- bad arguments


def refused(make):
    with pytest.raises(MillraceError) as caught:
        make()
    return str(caught.value)


WHEN_MADE = {
    "zero filters": (lambda: layers.Conv2D(0, 3, name="one"), "filters", "0"),
    "negative filters": (lambda: layers.Conv2D(-4, 3, name="one"), "filters", "-4"),
    "fractional filters": (lambda: layers.Conv2D(2.5, 3, name="one"), "filters", "2.5"),
    "filters as text": (lambda: layers.Conv2D("8", 3, name="one"), "filters", "'8'"),
    "filters true": (lambda: layers.Conv2D(True, 3, name="one"), "filters", "True"),
    "zero kernel": (lambda: layers.Conv2D(2, 0, name="one"), "kernel_size", "0"),
    "kernel of three": (lambda: layers.Conv2D(2, (3, 3, 3), name="one"), "kernel_size", "(3, 3, 3)"),
    "fractional kernel": (lambda: layers.Conv2D(2, 3.0, name="one"), "kernel_size", "3.0"),
    "kernel as array": (lambda: layers.Conv2D(2, np.array([3, 0]), name="one"), "kernel_size", "0"),
    "zero strides": (lambda: layers.Conv2D(2, 3, strides=0, name="one"), "strides", "0"),
    "zero dilation": (lambda: layers.Conv2D(2, 3, dilation_rate=0, name="one"), "dilation_rate", "0"),
    "zero groups": (lambda: layers.Conv2D(2, 3, groups=0, name="one"), "groups", "0"),
    "activation misspelt": (lambda: layers.Conv2D(2, 3, activation="rellu", name="one"), "activation", "'rellu'"),
    "activation a number": (lambda: layers.Dense(2, activation=3, name="one"), "activation", "3"),
    "zero units": (lambda: layers.Dense(0, name="one"), "units", "0"),
    "units as text": (lambda: layers.Dense("a", name="one"), "units", "'a'"),
    "negative rate": (lambda: layers.Dropout(-0.1, name="one"), "rate", "-0.1"),
    "rate one": (lambda: layers.Dropout(1, name="one"), "rate", "1"),
    "rate nan": (lambda: layers.Dropout(float("nan"), name="one"), "rate", "nan"),
    "rate as text": (lambda: layers.Dropout("half", name="one"), "rate", "'half'"),
    "keep nothing": (lambda: layers.Dropout(keep_prob=0, name="one"), "keep_prob", "0"),
    "keep too much": (lambda: layers.Dropout(keep_prob=1.5, name="one"), "keep_prob", "1.5"),
    "no rate": (lambda: layers.Dropout(name="one"), "rate", "keep_prob"),
    "rate and keep_prob": (lambda: layers.Dropout(0.5, 0.5, name="one"), "rate", "keep_prob"),
    "zero window": (lambda: layers.MaxPooling2D(0, name="one"), "pool_size", "0"),
    "window of three": (lambda: layers.MaxPooling2D((2, 2, 2), name="one"), "pool_size", "(2, 2, 2)"),
    "zero pool strides": (lambda: layers.AveragePooling2D(2, strides=0, name="one"), "strides", "0"),
    "zero target": (lambda: layers.Reshape((0,), name="one"), "target_shape", "(0,)"),
    "target a number": (lambda: layers.Reshape(8, name="one"), "target_shape", "8"),
    "target as text": (lambda: layers.Reshape("ab", name="one"), "target_shape", "'ab'"),
    "two open targets": (lambda: layers.Reshape((-1, -1), name="one"), "target_shape", "(-1, -1)"),
    "name with a space": (lambda: layers.Dense(2, name="a b"), "name", "'a b'"),
    "empty name": (lambda: layers.Dense(2, name=""), "name", "''"),
    "name a number": (lambda: layers.Dense(2, name=3), "name", "3"),
}
WHEN_CALLED = {
    "kernel larger than image": (lambda: layers.Conv2D(2, 5, name="one")(image()), "kernel", "5"),
    "dilation larger than image": (lambda: layers.Conv2D(2, 3, dilation_rate=2, name="one")(image()), "kernel", "5"),
    "groups do not divide channels": (lambda: layers.Conv2D(3, 3, groups=3, name="one")(image()), "groups", "3"),
    "groups do not divide filters": (lambda: layers.Conv2D(3, 3, groups=2, name="one")(image()), "groups", "2"),
    "padding misspelt": (lambda: layers.Conv2D(2, 3, padding="sam", name="one")(image()), "padding", "'sam'"),
    "padding negative": (lambda: layers.Conv2D(2, 3, padding=-1, name="one")(image()), "padding", "-1"),
    "padding fractional": (lambda: layers.Conv2D(2, 3, padding=1.5, name="one")(image()), "padding", "1.5"),
    "padding none": (lambda: layers.Conv2D(2, 3, padding=None, name="one")(image()), "padding", "None"),
    "padding of one axis": (
        lambda: layers.Conv2D(2, 3, padding=((1, 1),), name="one")(image()),
        "padding",
        "((1, 1),)",
    ),
    "padding of text": (lambda: layers.Conv2D(2, 3, padding=((1, "a"), (1, 1)), name="one")(image()), "padding", "'a'"),
    "padding of fractions": (
        lambda: layers.Conv2D(2, 3, padding=((1.5, 1), (1, 1)), name="one")(image()),
        "padding",
        "1.5",
    ),
    "initializer misspelt": (
        lambda: layers.Dense(2, kernel_initializer="he_norml", name="one")(image()),
        "initializer",
        "'he_norml'",
    ),
    "initializer a number": (lambda: layers.Dense(2, bias_initializer=3, name="one")(image()), "initializer", "3"),
    "conv of a vector": (lambda: layers.Conv2D(2, 3, name="one")(image(4)), "channels", "[batch, 4]"),
    "conv1d of an image": (lambda: layers.Conv1D(2, 3, name="one")(image()), "channels", "[batch, 4, 4, 2]"),
    "conv3d of an image": (lambda: layers.Conv3D(2, 3, name="one")(image()), "channels", "[batch, 4, 4, 2]"),
    "dense of numbers": (lambda: layers.Dense(2, name="one")(mr.Input(())), "D", "[batch]"),
    "dense of an open size": (lambda: layers.Dense(2, name="one")(mr.Input((dim("n"),))), "D", "[batch, n]"),
    "seed negative": (lambda: layers.Dropout(0.5, seed=-1, name="one")(image()), "seed", "-1"),
    "seed as text": (lambda: layers.Dropout(0.5, seed="a", name="one")(image()), "seed", "'a'"),
    "seed fractional": (lambda: layers.Dropout(0.5, seed=1.5, name="one")(image()), "seed", "1.5"),
    "dropout of whole numbers": (
        lambda: layers.Dropout(0.5, name="one")(mr.Input((3,), dtype="int32")),
        "dropout",
        "int32",
    ),
    "window larger than image": (lambda: layers.MaxPooling2D(5, name="one")(image()), "window", "5"),
    "pool padding misspelt": (lambda: layers.MaxPooling2D(2, padding="sme", name="one")(image()), "padding", "'sme'"),
    "pool padding none": (lambda: layers.MaxPooling2D(2, padding=None, name="one")(image()), "padding", "None"),
    "pool padding too large": (lambda: layers.MaxPooling2D(2, padding=2, name="one")(image()), "padding", "2"),
    "pool of a vector": (lambda: layers.MaxPooling2D(2, name="one")(image(4)), "channels", "[batch, 4]"),
    "pool of a sequence": (lambda: layers.MaxPooling2D(2, name="one")(image(4, 2)), "channels", "[batch, 4, 2]"),
    "pool1d of an image": (lambda: layers.AveragePooling1D(2, name="one")(image()), "channels", "[batch, 4, 4, 2]"),
    "flatten an open size": (lambda: layers.Flatten(name="one")(mr.Input((dim("n"), 2))), "known", "[batch, n, 2]"),
    "reshape to another size": (lambda: layers.Reshape((3,), name="one")(image()), "reshape", "3"),
    "reshape does not divide": (lambda: layers.Reshape((-1, 3), name="one")(image()), "32", "(-1, 3)"),
    "softmax over a far axis": (lambda: layers.Softmax(axis=5, name="one")(image()), "axis", "5"),
    "softmax over text": (lambda: layers.Softmax(axis="a", name="one")(image()), "axis", "'a'"),
    "two values for one": (lambda: layers.Dense(2, name="one")([image(3), image(3)]), "Dense", "2"),
    "no value": (lambda: layers.Dense(2, name="one")([]), "Dense", "0"),
}


@pytest.mark.parametrize("case", WHEN_MADE)
def test_a_bad_argument_is_named_with_its_value_when_the_layer_is_made(case):
    make, argument, value = WHEN_MADE[case]
    message = refused(make)
    assert argument in message and value in message


@pytest.mark.parametrize("case", ["zero filters", "activation misspelt", "zero units", "negative rate", "zero window"])
def test_a_bad_argument_names_its_layer_when_the_layer_is_made(case):
    message = refused(WHEN_MADE[case][0])
    assert any(kind in message for kind in ("'one'", "Conv2D", "Dense", "Dropout", "MaxPooling2D"))


@pytest.mark.parametrize("case", WHEN_CALLED)
def test_a_bad_argument_is_named_with_its_value_and_layer_when_the_layer_is_called(case):
    make, argument, value = WHEN_CALLED[case]
    message = refused(make)
    assert argument in message and value in message and "'one'" in message


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: layers.Dense(2, activation="rellu"), "'relu'"),
        (lambda: layers.Activation("sigmoidd"), "'sigmoid'"),
        (lambda: layers.Dense(2, kernel_initializer="he_norml")(image()), "'he_normal'"),
        (lambda: layers.Dense(2, bias_initializer="zero")(image()), "'zeros'"),
    ],
)
def test_an_unknown_name_comes_with_a_near_one(make, hint):
    assert f"Did you mean {hint}?" in refused(make)


@pytest.mark.parametrize(
    ("make", "word"),
    [(lambda: layers.Dense(2, unit=3), "unit"), (lambda: layers.Dense(), "units")],
)
def test_a_misspelt_or_missing_argument_names_the_layer(make, word):
    with pytest.raises((MillraceError, TypeError)) as caught:
        make()
    assert word in str(caught.value) and "Dense" in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: mr.Input((0,)),
        lambda: mr.Input((3, -1)),
        lambda: mr.Input("ab"),
        lambda: mr.Input(None),
        lambda: mr.Input((3,), dtype="flot32"),
        lambda: mr.Sequential([3]),
        lambda: mr.Sequential([mr.Input((3,)), layers.Dense(2), 3]),
        lambda: mr.Sequential([layers.Dense(2)]).predict(np.ones(3)),
        lambda: mr.Model(3, 4),
        lambda: mr.Model(mr.Input((3,)), 4),
        lambda: mr.Model(mr.Input((3,)), layers.Dense(2)(mr.Input((3,)))),
        lambda: layers.Dense(2)("text"),
        lambda: layers.Dense(2)(None),
        lambda: mr.set_seed(-1),
        lambda: mr.set_seed(1.5),
        lambda: mr.set_seed("a"),
    ],
)
def test_bad_inputs_models_and_seeds_are_refused_in_words(make):
    assert refused(make)


def test_an_error_in_a_layer_says_what_it_was_given_and_where():
    message = refused(lambda: layers.Conv2D(2, 3, name="conv")(image(4, 4)))
    assert "in layer 'conv' (Conv2D), given float32[batch, 4, 4]" in message and "test_layers.py" in message


def test_a_model_applied_to_another_shape_says_both():
    inner = mr.Sequential([mr.Input((3,)), layers.Dense(2)], name="inner")
    with pytest.raises(ShapeError, match=r"takes float32\[batch, 3\], got float32\[batch, 4\]"):
        inner(mr.Input((4,)))


# ---- sizes that are known only when data arrives, and numbers that a table has no row for


def test_a_model_takes_sequences_of_any_length_where_the_input_says_none():
    text = mr.Input((None,), name="text", dtype="int32")
    assert str(text.type) == "int32[batch, text_length]"
    out = layers.LSTM(3)(layers.Embedding(9, 2, mask_zero=True)(text))
    model = mr.Model(text, layers.Dense(2, "softmax")(out))
    model.compile("sgd", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    for length in (4, 7):
        x = rng.integers(1, 9, (6, length))
        model.fit(x, np.zeros(6, int), verbose=0)
        longer = np.pad(x, ((0, 0), (0, 3)))  # padding changes nothing
        np.testing.assert_allclose(model.predict(longer), model.predict(x), rtol=1e-5)
    two = mr.Input((None, None), name="my-grid")
    assert str(two.type) == "float32[batch, my_grid_length, my_grid_size2]"


def test_numbers_beyond_an_embedding_are_refused_with_their_example(tmp_path):
    model = mr.Sequential([mr.Input((3,), dtype="int32"), layers.Embedding(5, 2, name="table"), layers.Flatten()])
    x = np.array([[0, 1, 2], [3, 4, 5]])
    with pytest.raises(
        MillraceError, match=r"x holds the number 5 \(example 1\), but layer 'table' has rows for 0 to 4"
    ):
        model.predict(x)
    outer = mr.Input((3,), dtype="int32")
    for made in (mr.Model(outer, model(outer)), mr.Sequential([mr.Input((3,), dtype="int32"), model])):
        with pytest.raises(MillraceError, match="layer 'table' has rows for 0 to 4"):
            made.predict(x - 6)


def test_the_batch_size_is_in_every_output_and_in_no_parameter(capsys):
    model = mr.Sequential([mr.Input((6, 6, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])
    model.summary()
    named = capsys.readouterr().out
    model.summary(batch_size=32)
    counted = capsys.readouterr().out
    assert "[batch, 4, 4, 4]" in named and "[32, 4, 4, 4]" in counted and "batch" not in counted.split("parameters")[0]
    assert "130*batch = 4,160 numbers" in counted and "filters=4, kernel_size=3" in counted
    for printed in (named, counted):
        assert "170 parameters: 170 learned" in printed
    assert [layer.structure for layer in model.layers] == [(4, 4, 4), (64,), (2,)]
    with pytest.raises(MillraceError, match="batch_size must be a whole number"):
        model.summary(batch_size=0)


def test_one_neuron_takes_a_row_and_gives_a_scalar():
    x, w = np.array([1.0, 2.0, 3.0], np.float32), np.array([0.5, -1.0, 2.0], np.float32)
    neuron = layers.Neuron(activation="relu")
    value = mr.constant(x)
    out = neuron(value)
    neuron.kernel.assign(w)
    neuron.bias.assign(np.float32(0.25))
    assert out.shape == () and neuron.count_params() == 4
    assert float(mr.evaluate(out)) == 0.5 - 2.0 + 6.0 + 0.25


def test_a_class_of_the_users_own_does_not_take_a_layers_place():
    with pytest.warns(UserWarning, match="name of one of Millrace's layers"):

        class Dense(layers.Layer):
            def call(self, x):
                return x

    assert LAYERS["Dense"] is layers.Dense
