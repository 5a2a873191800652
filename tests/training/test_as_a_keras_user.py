"""What somebody who knows Keras tries first."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import ArgumentError, DataError
from millrace.layers import Dense, Input

X = np.random.default_rng(0).random((10, 3)).astype(np.float32)


def binary(engine=None):
    model = mr.Sequential([Input((3,)), Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", ["accuracy"], engine)
    return model


def test_a_sequential_without_input_takes_its_shape_from_the_first_data():
    model = mr.Sequential([Dense(4, "relu"), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X.sum(axis=1), epochs=2, verbose=0)
    assert model.predict(X).shape == (10, 1)


def test_answers_of_one_number_need_no_column():
    assert binary().fit(X, np.arange(10) % 2, verbose=0).history["accuracy"][0] <= 1


def test_binary_answers_outside_0_to_1_are_refused():
    with pytest.raises(DataError, match="from 0 to 1"):
        binary().fit(X, np.arange(10) % 2 * 2 - 1, verbose=0)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_softmax_over_one_output_is_refused(loss):
    model = mr.Sequential([Input((3,)), Dense(1, "softmax")])
    model.compile("sgd", loss)
    with pytest.raises(ArgumentError, match="100% sure"):
        model.fit(X, np.zeros((10, 1)) if loss[0] == "c" else np.zeros(10, int), verbose=0)


def test_a_model_can_be_applied_to_an_array():
    model = binary()
    np.testing.assert_allclose(np.asarray(model(X)), model.predict(X), rtol=1e-6)


def test_setting_the_learning_rate_reaches_the_compiled_step():
    model = binary()
    before = model.get_weights()[0]
    model.optimizer.learning_rate = 0.0
    model.fit(X, np.arange(10) % 2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_stop_training_ends_after_the_epoch():
    class Stop(mr.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            self.model.stop_training = epoch == 1

    assert len(binary().fit(X, np.arange(10) % 2, epochs=9, callbacks=[Stop()], verbose=0).epoch) == 2


def test_a_misspelt_turning_point_is_refused():
    with pytest.raises(ArgumentError, match="on_epoch_end"):

        class Typo(mr.callbacks.Callback):
            def on_epoch_ends(self, epoch, logs):
                pass


def test_a_batch_larger_than_the_data_costs_nothing_extra():
    model = binary()
    model.fit(X, np.arange(10) % 2, batch_size=10**9, verbose=0)
    assert model.training_steps.train.compiled_programs == 1


def test_the_same_seed_builds_the_same_network_again():
    made = []
    for _ in range(2):
        mr.set_seed(1)
        made.append(mr.Sequential([Input((3,)), Dense(2)]).get_weights()[0])
    np.testing.assert_array_equal(*made)


def test_a_graph_prints_as_text_that_parses_back():
    x = mr.Input((2,), name="x")
    graph = mr.function([x], mr.tanh(x), engine="numpy").graph
    assert str(mr.parse(str(graph))) == str(graph)


def test_numbers_and_numpy_functions_work_on_values():
    d = mr.constant([1.0, 4.0])
    assert float(mr.sum(d)) == 5 and len(d) == 2
    np.testing.assert_allclose(np.asarray(np.sqrt(d)), [1, 2])
    np.testing.assert_allclose(np.asarray(mr.constant([7.0, -7.0]) % 3), [1, 2])
    assert np.asarray(mr.constant([7, -7]) // 2).tolist() == [3, -4]
    with pytest.raises(ArgumentError, match=r"mr\.equal"):
        assert d == 1.0
    with pytest.raises(ArgumentError, match="waits for input 'x'"):
        float(mr.sum(mr.Input((2,), name="x")))


def test_updates_of_what_is_no_variable_are_explained():
    x = mr.Input((2,), name="x")
    with pytest.raises(ArgumentError, match="updates maps variables"):
        mr.function([x], x, updates={x: x})


# ---- what Keras calls otherwise, or prints, or has and Millrace has not


def test_evaluate_and_predict_take_what_keras_programs_write(capsys):
    model, y = binary("numpy"), np.arange(10) % 2
    by_name = model.evaluate(X, y, batch_size=None, verbose=0)
    assert model.evaluate(X, y, verbose=2, return_dict=True) == by_name
    loss, accuracy = model.evaluate(X, y, return_dict=False)
    assert {"loss": loss, "accuracy": accuracy} == by_name and isinstance(loss, float)
    np.testing.assert_array_equal(model.predict(X, verbose="auto"), model.predict(X))
    assert capsys.readouterr().out == ""
    model.compile("sgd", "binary_crossentropy", engine="numpy")
    assert model.evaluate(X, y, return_dict=False) == pytest.approx(loss)


def test_a_number_asked_for_by_its_place_is_told_the_name():
    with pytest.raises(ArgumentError, match=r"'accuracy'.*return_dict=False"):
        binary("numpy").evaluate(X, np.arange(10) % 2)[1]
    with pytest.raises(KeyError, match="acc"):
        binary("numpy").evaluate(X, np.arange(10) % 2)["acc"]


def test_fit_takes_keras_defaults():
    assert binary("numpy").fit(
        X, np.arange(10) % 2, batch_size=None, callbacks=None, verbose=0, shuffle=False
    ).epoch == [0]


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [("fit", {"steps_per_epoch": 3}, "fewer examples"), ("fit", {"epoch": 3}, "'epochs'"),
     ("fit", {"verbose": 3}, "0, 1, 2"), ("evaluate", {"steps": 3}, "fewer examples"),
     ("evaluate", {"callbacks": []}, "belong to fit"), ("predict", {"verbos": 0}, "'verbose'"),
     ("compile", {"run_eagerly": True}, "engine='numpy'"), ("compile", {"optimiser": "sgd"}, "'optimizer'")],
)  # fmt: skip
def test_an_argument_that_is_not_there_is_refused_with_what_to_write(method, given, said):
    data = {"fit": (X, np.zeros(10)), "evaluate": (X, np.zeros(10)), "predict": (X,), "compile": ("sgd", "mse")}
    with pytest.raises(ArgumentError, match=said) as caught:
        getattr(binary("numpy"), method)(*data[method], **given)
    assert next(iter(given)) in str(caught.value)


@pytest.mark.parametrize(
    ("place", "name", "said"),
    [(mr, "utils", "mr.one_hot"), (mr, "datasets", "mr.data.mnist"), (mr, "activations", "activation='relu'"),
     (mr, "backend", "mr.mean"), (mr, "tanhh", "'tanh'"), (mr.ops, "matmul", "mr.matmul"),
     (layers, "Lambda", "call"), (layers, "concatenate", "Concatenate"), (layers, "Dens", "'Dense'"),
     (mr.losses, "mean_squared_error", "MeanSquaredError"), (mr.callbacks, "BackupAndRestore", "Checkpoint"),
     (mr.models, "clone_model", "from_config"), (mr.initializers, "he_norml", "'he_normal'")],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_a_name_that_is_not_there_is_refused_with_what_to_write(place, name, said):
    assert not hasattr(place, name)
    with pytest.raises(AttributeError, match=name) as caught:
        getattr(place, name)
    assert said in str(caught.value)


def test_methods_that_are_not_there_say_what_is():
    with pytest.raises(AttributeError, match=r"fit\(x, y, batch_size=len\(x\)"):
        binary("numpy").train_on_batch(X, X)
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute 'train_on'"):
        binary("numpy").train_on(X)


def test_second_names_of_keras_are_the_same_things():
    for short, full in (("MaxPool2D", "MaxPooling2D"), ("GlobalAvgPool1D", "GlobalAveragePooling1D"),
                        ("Convolution2D", "Conv2D"), ("SeparableConvolution1D", "SeparableConv1D")):  # fmt: skip
        assert getattr(layers, short) is getattr(layers, full)
    assert mr.models.Sequential is mr.Sequential and mr.models.load_model is mr.load_model
    assert mr.regularizers.l2 is mr.regularizers.L2 and mr.regularizers.l1_l2 is mr.regularizers.L1L2
    assert mr.initializers.he_normal is mr.initializers.HeNormal


@pytest.mark.parametrize(
    ("make", "said"),
    [(lambda: Dense(3, input_shape=(4,)), "layers.Input"), (lambda: layers.Flatten(input_shape=(8, 8)), "layers.Input"),
     (lambda: layers.LeakyReLU(alpha=0.1), "negative_slope"),
     (lambda: Dense(3, kernel_constraint="max_norm"), "kernel_regularizer"),
     (lambda: layers.Conv2D(3, 3, data_format="channels_last"), "channels"),
     (lambda: Dense(3, activaton="relu"), "'activation'")],
)  # fmt: skip
def test_arguments_of_layers_that_are_not_there_say_what_is(make, said):
    with pytest.raises(ArgumentError, match=said):
        make()


def test_a_model_with_a_call_of_its_own_is_refused_where_it_is_written():
    with pytest.raises(ArgumentError, match=r"class Net\(mr.layers.Layer\)"):

        class Net(mr.Model):
            def call(self, x):
                return x


def test_what_is_said_instead_of_a_model_with_a_call_works():
    class Net(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner, self.last = Dense(4, "relu"), Dense(1)

        def call(self, x):
            return self.last(self.inner(x))

    x = Input((3,))
    model = mr.Model(x, Net()(x))
    model.compile("sgd", "mse", engine="numpy")
    before = model.get_weights()
    model.fit(X, X.sum(axis=1), verbose=0)
    assert len(before) == 4 and any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_files_are_not_called_as_another_format(tmp_path):
    model = binary("numpy")
    for save, name, better in ((model.save, "a.keras", "a.safetensors"), (model.save, "a.h5", "a.safetensors"),
                               (model.save_weights, "a.weights.h5", "a.weights.safetensors"),
                               (mr.callbacks.ModelCheckpoint, "b.keras", "b.safetensors")):  # fmt: skip
        with pytest.raises(ArgumentError, match=f"Call it {better}"):
            save(str(tmp_path / name))
    assert not list(tmp_path.iterdir())


# ---- numbers of docs/from-keras.md and docs/from-pytorch.md, as Keras 3.15.1 and PyTorch 2.13.0 gave them


def two_steps(optimizer):
    """[1, 2] after two steps with the gradient [0.5, -0.25]."""
    model = mr.Sequential([Input((2,)), Dense(1, use_bias=False)])
    model.set_weights([np.array([[1.0], [2.0]], np.float32)])
    model.compile(optimizer, lambda y_true, y_pred: mr.mean(y_pred, axis=-1), engine="numpy")
    model.fit(np.array([[0.5, -0.25]], np.float32), np.zeros((1, 1), np.float32), epochs=2, verbose=0)
    return model.get_weights()[0].ravel()


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [(mr.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1), (0.8266, 2.01445)),  # PyTorch; Keras 0.8356, 2.03245
     (mr.optimizers.Adam(0.1, weight_decay=0.1), (0.80004734, 2.1988125)),  # PyTorch; Keras 0.7811028, 2.1591961
     (mr.optimizers.AdamW(0.1, weight_decay=0.1), (0.7811028, 2.1591961)),  # Keras's Adam, and its AdamW
     (mr.optimizers.Adam(0.1, epsilon=0.1), (0.8333334, 2.142857)),  # PyTorch; Keras 0.9680769, 2.01738
     (mr.optimizers.RMSprop(0.01, rho=0.99, epsilon=1e-8), (0.82911193, 2.170888))],  # PyTorch's RMSprop()
)  # fmt: skip
def test_weight_decay_and_epsilon_are_where_the_pages_say(optimizer, expected):
    np.testing.assert_allclose(two_steps(optimizer), expected, rtol=5e-6)


def test_the_running_variance_is_divided_by_n():
    x = np.array([[1.0], [2.0], [6.0]], np.float32)
    model = mr.Sequential([Input((1,)), layers.BatchNormalization()])
    model.compile("sgd", "mse", engine="numpy")
    model.fit(x, x, verbose=0)
    assert model.layers[0].moving_variance.numpy()[0] == pytest.approx(1.0366666)  # Keras; PyTorch takes 7, not 14 / 3


def test_a_loss_behind_a_softmax_is_exact():
    model = mr.Sequential([Input((2,)), layers.Activation("softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", engine="numpy")
    assert model.evaluate(np.array([[40.0, 0.0]], np.float32), [1])["loss"] == 40  # Keras with JAX: 16.118


def test_response_normalization_as_pytorch_has_it():
    x = np.random.default_rng(0).random((1, 2, 2, 8)).astype(np.float32)
    made = mr.evaluate(layers.LocalResponseNormalization(5, k=1, alpha_divided_by_n=True)(mr.constant(x)))
    np.testing.assert_allclose(np.ravel(made)[:4], [0.63695705, 0.26978475, 0.04097282, 0.01652725], rtol=1e-6)


def test_pytorchs_first_weights_can_be_asked_for():
    rule = mr.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    layer = Dense(64, kernel_initializer=rule)
    layer(Input((100,)))
    assert 0.099 < np.abs(layer.kernel.numpy()).max() <= 0.1
