"""What a saved model must bring back: its layers' arguments, what is frozen, its weights under other names."""

import numpy as np
import pytest

import millrace as mr
from millrace.layers import (
    LSTM,
    BatchNormalization,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Input,
    Layer,
    Reshape,
    TimeDistributed,
)
from millrace.layers.base import MillraceError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((32, 6)).astype(np.float32), RNG.standard_normal((32, 1)).astype(np.float32)


def stack(*layers):
    return mr.Sequential([Input((6,)), *layers])


def again(model, path, **custom):
    """Saved, loaded, saved and loaded once more."""
    model.save(path)
    mr.load_model(path, custom_objects=custom).save(path)
    return mr.load_model(path, custom_objects=custom)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Dense(3, kernel_regularizer=mr.regularizers.L2(1e-4)),
        lambda: Dense(3, kernel_initializer=mr.initializers.HeNormal(), bias_initializer="ones"),
        lambda: TimeDistributed(Dense(2, kernel_regularizer=mr.regularizers.L1(0.1))),
        lambda: Bidirectional(LSTM(2, kernel_regularizer=mr.regularizers.L2(1e-4), return_sequences=True)),
    ],
)
def test_objects_among_the_arguments_are_saved_again_and_again(tmp_path, layer, capsys):
    model = mr.Sequential([Input((4, 6)), layer()])
    x = RNG.standard_normal((3, 4, 6)).astype(np.float32)
    loaded = again(model, tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert len(loaded.losses) == len(model.losses)
    loaded.summary()
    assert "class_name" not in capsys.readouterr().out
    assert isinstance(loaded, mr.Sequential)


def test_what_was_frozen_by_its_attribute_comes_back_frozen(tmp_path):
    model = stack(Dense(4, name="a"), Dense(1, name="b"))
    model.get_layer("a").trainable = False
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors")
    before = loaded.get_layer("a").kernel.numpy()
    loaded.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(loaded.get_layer("a").kernel.numpy(), before)
    assert [v.name for v in loaded.trainable_weights] == ["b/kernel", "b/bias"]


def test_the_same_network_built_twice_takes_the_firsts_weights(tmp_path):
    build = lambda: stack(Dense(4), Dense(1))  # noqa: E731 - automatic names go on from the first to the second
    first, second = build(), build()
    assert first.weights[0].name != second.weights[0].name
    first.compile("adam", "mse")
    first.fit(X, Y, verbose=0)
    first.save(tmp_path / "m.safetensors")
    second.compile("adam", "mse")
    second.load_weights(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(second.predict(X), first.predict(X))
    for mine, its in zip(second.state, first.state, strict=True):
        np.testing.assert_array_equal(mine.numpy(), its.numpy())
    with pytest.raises(MillraceError, match="of another model"):
        stack(Dense(5), Dense(1)).load_weights(tmp_path / "m.safetensors")


def test_a_layer_that_makes_layers_of_its_own_is_loaded_in_a_busy_process(tmp_path):
    class Block(Layer):
        def __init__(self, units):
            super().__init__()
            self.units, self.inner = units, Dense(units)

        def call(self, x):
            return self.inner(x)

    model = stack(Block(3))
    model.save(tmp_path / "m.safetensors")
    Dense(4)  # takes a name
    loaded = mr.load_model(tmp_path / "m.safetensors", custom_objects={"Block": Block})
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_a_stateful_model_is_loaded_with_its_batch_size(tmp_path):
    model = mr.Sequential([Input((5, 1), batch_size=4), LSTM(6, stateful=True), Dense(1)])
    x = RNG.standard_normal((4, 5, 1)).astype(np.float32)
    model.predict(x)
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))


def test_functions_are_found_again_by_name(tmp_path):
    def bent(x):
        return mr.where(x > 0, x, 0.1 * x)

    class Gate(Layer):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def call(self, x):
            return x * self.function(x)

    model = stack(Dense(3, activation=bent), Gate(mr.tanh), Dense(2, activation=mr.relu))
    with pytest.raises(MillraceError, match=r"function 'bent'.*custom_objects=\{'bent': bent\}"):
        again(model, tmp_path / "m.safetensors", Gate=Gate)
    loaded = again(model, tmp_path / "m.safetensors", Gate=Gate, bent=bent)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(MillraceError, match="def, not lambda"):
        stack(Dense(3, activation=lambda x: x)).save(tmp_path / "l.safetensors")


def test_an_own_regularizer_with_kerass_kind_of_config_comes_back(tmp_path):
    from millrace.layers.regularizers import Regularizer

    class Cubed(Regularizer):
        def __init__(self, v=0.5):
            self.v = v

        def call(self, x):
            return self.v * mr.sum(mr.abs(x) ** 3)

        def get_config(self):
            return {"v": self.v}

    try:
        loaded = again(stack(Dense(3, kernel_regularizer=Cubed(0.25))), tmp_path / "m.safetensors")
        kernel = loaded.weights[0].numpy()
        assert float(mr.evaluate(loaded.losses[0])) == pytest.approx(0.25 * (np.abs(kernel) ** 3).sum(), rel=1e-5)
    finally:
        del Regularizer.known["cubed"]


def test_layers_in_dictionaries_and_nested_lists_count(tmp_path):
    class Held(Layer):
        def __init__(self):
            super().__init__()
            self.parts = {"a": Dense(3, kernel_regularizer="l2"), "bn": [[BatchNormalization(momentum=0.5)]]}

        def call(self, x):
            return self.parts["bn"][0][0](self.parts["a"](x))

    layer = Held()
    model = stack(layer, Dense(1))
    assert layer.count_params() == 6 * 3 + 3 + 4 * 3 and len(model.losses) == 1
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert np.abs(layer.parts["bn"][0][0].moving_mean.numpy()).max() > 0
    layer.trainable = False
    assert len(model.trainable_weights) == 2


def test_a_call_with_training_is_one_thing_in_fit_and_another_after():
    class Louder(Layer):
        def call(self, x, training=None):
            return x * 1000.0 if training else x

    model = stack(Louder(), Dense(1, kernel_initializer="ones", name="sum"))
    np.testing.assert_allclose(model.predict(X), X.sum(1, keepdims=True), rtol=1e-4, atol=1e-5)
    model.compile(mr.optimizers.SGD(0.0), "mse")
    trained, after = model.fit(X, Y, verbose=0).history["loss"][0], model.evaluate(X, Y)["loss"]
    expected = np.mean((1000 * X.sum(1, keepdims=True) - Y) ** 2)
    assert trained == pytest.approx(expected, rel=1e-3) and after < 100
    with pytest.raises(MillraceError, match=r"trainable=False freezes"):
        Dense(2)(Input((3,)), training=False)


def test_layers_of_a_sequential_can_be_frozen_before_its_input_is_known():
    model = mr.Sequential([Dense(4), Dense(1)])
    assert len(model.layers) == 2
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    assert len(model.trainable_weights) == 2


def test_a_step_of_ones_own_is_not_ignored():
    with pytest.raises(MillraceError, match=r"train_step would never be called.*mr\.function"):

        class Own(mr.Model):
            def train_step(self, data):
                raise RuntimeError


def test_masks_go_through_what_treats_each_element_apart():
    words = Input((4,), dtype="int32")
    read = Embedding(9, 3, mask_zero=True)(words)
    out = LSTM(2)(mr.relu(2.0 * read + 1.0) * read)
    model = mr.Model(words, out)
    x = np.array([[3, 1, 0, 0]])
    shorter = Input((2,), dtype="int32")
    e = model.layers[0](shorter)
    cut = mr.Model(shorter, model.layers[-1](mr.relu(2.0 * e + 1.0) * e))
    np.testing.assert_allclose(model.predict(x), cut.predict(x[:, :2]), rtol=1e-5)

    class Shift(Layer):
        def call(self, x):
            return x + 1.0

    assert mr.mask_of(Shift()(read)) is not None and mr.mask_of(mr.cumsum(read, 1)) is None


def test_numbers_for_an_embedding_are_looked_at_through_reshapes_and_fractions_are_refused():
    given = Input((6,))
    model = mr.Model(given, Embedding(10, 2, name="table")(Reshape((2, 3))(given)))
    with pytest.raises(MillraceError, match="layer 'table' has rows for 0 to 9"):
        model.predict(np.full((1, 6), 10.0))
    with pytest.raises(MillraceError, match=r"holds 3\.7, but layer 'table' looks whole numbers up"):
        model.predict(np.full((1, 6), 3.7))


def test_weights_below_zero_and_classes_that_are_none_are_refused():
    model = stack(Dense(3, "softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    labels = np.arange(32) % 3
    with pytest.raises(MillraceError, match="below 0 at example 0"):
        model.fit(X, labels, sample_weight=-np.ones(32), verbose=0)
    with pytest.raises(MillraceError, match="names class 7, but the classes are 0 to 2"):
        model.fit(X, labels, class_weight={7: 1.0}, verbose=0)
    with pytest.raises(MillraceError, match="weight below 0"):
        model.fit(X, labels, class_weight={1: -1.0}, verbose=0)


def test_a_networks_middle_is_reached_by_its_layers_output():
    model = stack(Dense(4, "relu", name="hidden"), Dropout(0.5), Dense(1))
    hidden = mr.Model(model.input, model.get_layer("hidden").output)
    kernel, bias = model.get_layer("hidden").get_weights()
    np.testing.assert_allclose(hidden.predict(X), np.maximum(X @ kernel + bias, 0), rtol=1e-5, atol=1e-6)
    model.get_layer("hidden").set_weights([kernel * 0, bias])
    assert not hidden.predict(X).any()


def test_an_initializer_of_ones_own_takes_kerass_arguments():
    model = stack(Dense(3, kernel_initializer=lambda shape, dtype=None: np.full(shape, 2.0)))
    assert (model.weights[0].numpy() == 2).all()
    with pytest.raises(MillraceError, match=r"gave \[3, 6\], the weight is \[6, 3\]"):
        stack(Dense(3, kernel_initializer=lambda shape: np.zeros(shape[::-1])))


def test_data_in_other_forms_is_taken_or_explained(tmp_path):
    model = stack(Dense(1))
    np.testing.assert_array_equal(model.predict([X]), model.predict(X))
    with pytest.raises(MillraceError, match=r"x\[None\]"):
        model.predict(X[0])
    model.compile("sgd", "mse")
    with pytest.raises(MillraceError, match="is a generator"):
        model.fit((x for x in X), Y, verbose=0)
    with pytest.raises(MillraceError, match=r"Call it m\.safetensors"):
        model.save(tmp_path / "m.h5")
    with pytest.raises(MillraceError, match="one Input, first"):
        mr.Sequential([Input((3,)), Input((3,)), Dense(2)])
    with pytest.raises(MillraceError, match=r"Did you mean 'return_sequences'"):
        LSTM(3, return_sequence=True)


def test_copies_that_fill_a_batch_up_count_in_no_statistic_of_single_steps_either():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((7, 4, 2)).astype(np.float32), np.zeros((7, 4, 2), np.float32)
    layer = BatchNormalization(momentum=0.0)
    model = mr.Sequential([Input((4, 2)), TimeDistributed(layer)])
    model.compile(mr.optimizers.SGD(0.0), "mse")
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(layer.moving_mean.numpy(), x[4:].mean(axis=(0, 1)), rtol=1e-4, atol=1e-6)
