"""Compile, fit, evaluate and predict on small problems whose answers are known."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers, losses, metrics, optimizers
from millrace.data.arrays import epoch_order
from millrace.ir.errors import ArgumentError, MillraceError

both = pytest.mark.parametrize("engine", ["xla", "numpy"])
RNG = np.random.default_rng(7)
X = RNG.standard_normal((10, 3)).astype(np.float32)
Y = (X @ [[1.0], [-2.0], [0.5]] + 0.3 * RNG.standard_normal((10, 1)) + 1).astype(np.float32)
KERNEL, BIAS = np.array([[0.5], [0.25], [-1.0]], np.float32), np.array([0.125], np.float32)


def linear(optimizer="sgd", loss="mse", metrics=(), engine="numpy", **options):
    """A linear model of three inputs with known weights."""
    model = mr.Sequential([mr.Input((3,)), layers.Dense(1, name="dense")])
    model.set_weights([KERNEL, BIAS])
    model.compile(optimizer, loss, metrics, engine=engine, **options)
    return model


def gradients(x, y, kernel=KERNEL, bias=BIAS):
    """Of the mean squared error of the linear model, by hand, in float64."""
    error = x.astype(np.float64) @ kernel + bias - y
    return 2 * x.T.astype(np.float64) @ error / len(x), 2 * error.mean(axis=0)


def mse(x, y, kernel=KERNEL, bias=BIAS):
    return float(np.mean((x.astype(np.float64) @ kernel + bias - y) ** 2))


# ---- learning


@both
def test_regression_converges_to_the_least_squares_solution(engine):
    model = linear(optimizers.SGD(0.1), engine=engine)
    model.fit(X, Y, batch_size=10, epochs=400, verbose=0)
    solution = np.linalg.lstsq(np.hstack([X, np.ones((10, 1))]), Y, rcond=None)[0]
    found = np.vstack([w.numpy().reshape(-1, 1) for w in model.weights])
    np.testing.assert_allclose(found, solution, atol=2e-3)


@both
def test_classification_separates_what_can_be_separated(engine):
    centres = np.array([[3, 0], [-3, 1], [0, -4]])
    y = np.arange(60) % 3
    x = centres[y] + np.random.default_rng(0).standard_normal((60, 2)) * 0.5
    model = mr.Sequential([mr.Input((2,)), layers.Dense(3, "softmax", name="dense")])
    model.compile(optimizers.Adam(0.1), "sparse_categorical_crossentropy", ["accuracy"], engine=engine)
    history = model.fit(x, y, batch_size=20, epochs=20, verbose=0)
    assert history.history["loss"][-1] < 0.1 * history.history["loss"][0]
    assert model.evaluate(x, y)["accuracy"] == 1
    np.testing.assert_array_equal(model.predict(x).argmax(axis=1), y)
    np.testing.assert_allclose(model.predict(x).sum(axis=1), 1, rtol=1e-5)


def test_predict_gives_each_example_its_output_whatever_the_batch():
    model = linear()
    expected = X @ KERNEL + BIAS
    for batch_size in (1, 3, 4, 10, 99):
        np.testing.assert_allclose(model.predict(X, batch_size=batch_size), expected, rtol=1e-5, atol=1e-6)


def test_predict_needs_no_compile():
    model = mr.Sequential([mr.Input((3,)), layers.Dense(1)])
    model.set_weights([KERNEL, BIAS])
    np.testing.assert_allclose(model.predict(X, engine="numpy"), X @ KERNEL + BIAS, rtol=1e-5, atol=1e-6)


# ---- the last, short batch


@both
def test_evaluate_is_the_mean_over_examples_whatever_the_batch(engine):
    model = linear(metrics=["mae", "rmse"], engine=engine)
    error = X @ KERNEL + BIAS - Y
    expected = {"loss": (error**2).mean(), "mae": np.abs(error).mean(), "rmse": np.sqrt((error**2).mean())}
    for batch_size in (4, 10, 32):
        assert model.evaluate(X, Y, batch_size=batch_size) == pytest.approx(expected, rel=1e-5)


@both
def test_a_short_batch_teaches_what_its_real_examples_teach(engine):
    model = linear(optimizers.SGD(0.1), engine=engine)
    history = model.fit(X[:3], Y[:3], batch_size=4, shuffle=False, verbose=0)
    kernel, bias = gradients(X[:3], Y[:3])
    np.testing.assert_allclose(model.weights[0].numpy(), KERNEL - 0.1 * kernel, rtol=1e-5)
    np.testing.assert_allclose(model.weights[1].numpy(), BIAS - 0.1 * bias, rtol=1e-5)
    assert history.batch_losses == [pytest.approx(mse(X[:3], Y[:3]), rel=1e-5)]


def test_an_epoch_with_a_short_batch_has_the_mean_of_its_examples_as_loss():
    history = linear(optimizers.SGD(0.0)).fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    assert history.batch_losses == pytest.approx([mse(X[a:b], Y[a:b]) for a, b in ((0, 4), (4, 8), (8, 10))], rel=1e-5)
    assert history.history["loss"] == [pytest.approx(mse(X, Y), rel=1e-5)]


@both
def test_one_program_serves_full_and_short_batches(engine):
    model = linear(engine=engine)
    model.fit(X, Y, batch_size=4, epochs=3, validation_data=(X[:5], Y[:5]), verbose=0)
    model.evaluate(X, Y, batch_size=4)
    model.predict(X, batch_size=4)
    steps = model.training_steps
    assert [f.compiled_programs for f in (steps.train, steps.test, steps.predict)] == [1, 1, 1]


# ---- order, validation, callbacks, printing


def order_of(seed, epochs, **options):
    """The order in which examples were seen: each has a loss of its own."""
    y = np.arange(1, 11, dtype=np.float32)[:, None]
    model = mr.Sequential([mr.Input((1,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile(optimizers.SGD(0.0), "mse", engine="numpy")
    history = model.fit(np.ones((10, 1)), y, batch_size=1, epochs=epochs, seed=seed, verbose=0, **options)
    return (np.sqrt(history.batch_losses).round().astype(int) - 1).reshape(-1, 10).tolist()


def test_the_order_is_a_function_of_seed_and_epoch():
    one = order_of(3, 3)
    assert one == order_of(3, 3) and one != order_of(4, 3)
    assert one == [epoch_order(10, 3, epoch).tolist() for epoch in (1, 2, 3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in one)
    assert one[0] != one[1] != one[2]
    assert order_of(3, 3, initial_epoch=1) == one[1:]


def test_the_order_without_shuffling_is_the_order_of_the_data():
    assert order_of(3, 2, shuffle=False) == [list(range(10))] * 2


def test_the_order_of_a_seed_stays_the_same_for_ever():
    assert epoch_order(8, 0, 0).tolist() == [5, 2, 4, 0, 1, 7, 3, 6]
    assert epoch_order(8, 2**32 - 1, 5).tolist() == [6, 1, 4, 5, 3, 0, 2, 7]


def test_validation_split_holds_out_the_last_part():
    history = linear(optimizers.SGD(0.0)).fit(X, Y, validation_split=0.3, verbose=0)
    assert history.history["loss"] == [pytest.approx(mse(X[:7], Y[:7]), rel=1e-5)]
    assert history.history["val_loss"] == [pytest.approx(mse(X[7:], Y[7:]), rel=1e-5)]


def test_validation_data_is_looked_at_and_not_learned_from():
    with_validation, without = linear(), linear()
    history = with_validation.fit(X, Y, epochs=2, validation_data=(X[:4], Y[:4]), verbose=0)
    without.fit(X, Y, epochs=2, verbose=0)
    for a, b in zip(with_validation.get_weights(), without.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    expected = mse(X[:4], Y[:4], *with_validation.get_weights())
    assert history.history["val_loss"][-1] == pytest.approx(expected, rel=1e-5)


def test_the_history_has_a_number_an_epoch_and_a_loss_a_step():
    history = linear(metrics=["mae"]).fit(X, Y, batch_size=4, epochs=3, validation_split=0.2, verbose=0)
    assert history.epoch == [0, 1, 2]
    assert list(history.history) == ["loss", "mae", "val_loss", "val_mae"]
    assert {len(curve) for curve in history.history.values()} == {3}
    assert len(history.batch_losses) == 6


class Recorder(mr.callbacks.Callback):
    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def on_train_begin(self, plan):
        self.calls.append((self.name, "begin", plan["epochs"], plan["steps"], plan["batch_size"]))

    def on_progress(self, epoch, step, logs):
        self.calls.append((self.name, "progress", epoch, step))

    def on_epoch_end(self, epoch, logs):
        self.calls.append((self.name, "epoch", epoch, sorted(logs)))

    def on_train_end(self, logs):
        self.calls.append((self.name, "end", sorted(logs)))

    def on_finish(self):
        self.calls.append((self.name, "finish"))


def test_callbacks_are_called_in_their_order_at_each_turning_point():
    calls = []
    linear().fit(
        np.tile(X, (2, 1)), np.tile(Y, (2, 1)), batch_size=1, epochs=2, validation_data=(X, Y), verbose=0,
        callbacks=[Recorder("a", calls), Recorder("b", calls)],
    )  # fmt: skip
    assert calls[::2] == [
        ("a", "begin", 2, 20, 1),
        ("a", "progress", 0, 16),
        ("a", "epoch", 0, ["loss", "val_loss"]),
        ("a", "progress", 1, 16),
        ("a", "epoch", 1, ["loss", "val_loss"]),
        ("a", "end", ["loss", "val_loss"]),
        ("a", "finish"),
    ]
    assert [("a", *call[1:]) for call in calls[1::2]] == calls[::2]
    assert {call[0] for call in calls[1::2]} == {"b"}


def test_on_finish_is_called_after_an_error_too():
    class Failing(mr.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            raise RuntimeError("mine")

    calls = []
    with pytest.raises(RuntimeError, match="mine"):
        linear().fit(X, Y, verbose=0, callbacks=[Failing(), Recorder("a", calls)])
    assert calls[-1] == ("a", "finish")


def test_a_callback_knows_its_model():
    callback = mr.callbacks.Callback()
    model = linear()
    model.fit(X, Y, verbose=0, callbacks=[callback])
    assert callback.model is model


def test_verbose_0_prints_nothing(capfd):
    linear(metrics=["mae"]).fit(X, Y, epochs=2, validation_split=0.2, verbose=0)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_verbose_1_prints_a_line_an_epoch(capsys):
    linear(metrics=["mae"]).fit(X, Y, epochs=2, validation_split=0.2)
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[0] for line in lines] == ["1/2", "2/2"]
    assert all("loss" in line and "val loss" in line for line in lines)


def test_zero_epochs_change_nothing():
    model = linear()
    assert model.fit(X, Y, epochs=0, verbose=0).history == {}
    np.testing.assert_array_equal(model.get_weights()[0], KERNEL)


# ---- arguments


def unconnected():
    return mr.Sequential([mr.Input((3,)), layers.Dense(1)])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"optimizer": "adm", "loss": "mse"}, "unknown optimizer 'adm'. Did you mean 'adam'?"),
        ({"optimizer": "sgdd", "loss": "mse"}, "Did you mean 'sgd'?"),
        ({"optimizer": 3, "loss": "mse"}, "got 3"),
        ({"optimizer": optimizers.Adam, "loss": "mse"}, "Adam"),
        ({"loss": "meen_squared_error"}, "unknown loss 'meen_squared_error'. Did you mean 'mean_squared_error'?"),
        ({"loss": 3}, "got 3"),
        ({}, "compile needs a loss"),
        ({"loss": "mse", "metrics": ["mea"]}, "unknown metric 'mea'. Did you mean"),
        ({"loss": "mse", "metrics": [3]}, "got 3"),
        ({"loss": "mse", "metrics": 3}, "3"),
        ({"loss": "mse", "metrics": ["accuracy"]}, "accuracy"),
        ({"loss": "mse", "metrics": "acc"}, "mean_squared_error has none"),
        ({"loss": "mse", "engine": "xlaa"}, "Did you mean 'xla'?"),
    ],
)
def test_compile_names_what_it_does_not_know(arguments, words):
    with pytest.raises(ArgumentError) as caught:
        unconnected().compile(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize("use", ["fit", "evaluate"])
def test_a_model_that_was_not_compiled_says_so(use):
    with pytest.raises(ArgumentError, match=r"not compiled: call model.compile"):
        getattr(unconnected(), use)(X, Y)


def test_a_model_with_two_outputs_takes_a_loss_for_each():
    x = mr.Input((3,))
    with pytest.raises(ArgumentError, match="loss has 3 entries, the model has 2 outputs"):
        mr.Model(x, [x * 2, x * 3]).compile("sgd", ["mse", "mse", "mse"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": -1}, ("epochs", "-1")),
        ({"epochs": 1.5}, ("epochs", "1.5")),
        ({"batch_size": 0}, ("batch_size", "0")),
        ({"batch_size": 2.5}, ("batch_size", "2.5")),
        ({"batch_size": True}, ("batch_size", "True")),
        ({"validation_split": 1.0}, ("validation_split", "1.0")),
        ({"validation_split": -0.5}, ("validation_split", "-0.5")),
        ({"validation_split": "a"}, ("validation_split", "'a'")),
        ({"validation_split": 0.01}, ("validation_split", "0.01")),
        ({"validation_data": X}, ("validation_data",)),
        ({"validation_data": (X,)}, ("validation_data",)),
        ({"seed": -1}, ("seed", "-1")),
        ({"seed": 2**32}, ("seed", str(2**32))),
        ({"seed": "a"}, ("seed", "'a'")),
        ({"initial_epoch": -1}, ("initial_epoch", "-1")),
        ({"initial_step": -1}, ("initial_step", "-1")),
        ({"initial_step": 99}, ("initial_step", "99")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_fit_names_the_argument_that_is_out_of_range(options, words):
    model = linear()
    with pytest.raises(MillraceError) as caught:
        model.fit(X, Y, verbose=0, **options)
    assert all(word in str(caught.value) for word in words)
    np.testing.assert_array_equal(model.get_weights()[0], KERNEL)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "a"])
def test_evaluate_and_predict_name_a_bad_batch_size(batch_size):
    model = linear()
    for use in (lambda: model.evaluate(X, Y, batch_size=batch_size), lambda: model.predict(X, batch_size=batch_size)):
        with pytest.raises(ArgumentError, match="batch_size"):
            use()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: optimizers.SGD(-0.1), ("learning_rate", "-0.1")),
        (lambda: optimizers.SGD("a"), ("learning_rate", "'a'")),
        (lambda: optimizers.SGD(float("nan")), ("learning_rate", "nan")),
        (lambda: optimizers.SGD(float("inf")), ("learning_rate", "inf")),
        (lambda: optimizers.SGD(momentum=-1), ("momentum", "-1")),
        (lambda: optimizers.SGD(momentum=1.5), ("momentum", "1.5")),
        (lambda: optimizers.SGD(nesterov=True), ("nesterov", "momentum")),
        (lambda: optimizers.SGD(weight_decay=-1), ("weight_decay", "-1")),
        (lambda: optimizers.Adam(beta_1=1.0), ("beta_1", "1")),
        (lambda: optimizers.Adam(beta_2=-0.5), ("beta_2", "-0.5")),
        (lambda: optimizers.Adam(epsilon=-1), ("epsilon", "-1")),
        (lambda: optimizers.AdamW(weight_decay="a"), ("weight_decay", "'a'")),
    ],
)
def test_an_optimizer_names_its_bad_argument(make, words):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert all(word in str(caught.value) for word in words)


def test_set_weights_replaces_all_or_none():
    model = linear()
    for bad in ([KERNEL], [KERNEL, BIAS, BIAS], [KERNEL * 2, np.zeros(7)]):
        with pytest.raises(MillraceError):
            model.set_weights(bad)
    np.testing.assert_array_equal(model.get_weights()[0], KERNEL)
    with pytest.raises(ArgumentError, match="The layers: dense"):
        model.get_layer("other")


# ---- losses and metrics by hand


def computed(rule, y_true, y_pred, dtype=None):
    """What a loss or metric makes of each example, on an output of no known origin."""
    y_true, y_pred = np.asarray(y_true, dtype or np.float32), np.asarray(y_pred, np.float32)
    t, p = mr.Input(y_true.shape[1:], dtype=str(y_true.dtype)), mr.Input(y_pred.shape[1:])
    return np.asarray(mr.function([t, p], rule(t, p), engine="numpy")(y_true, y_pred))


LOG = np.log
LOSSES = {
    "sparse from probabilities": (
        losses.SparseCategoricalCrossentropy(),
        np.array([2, 0], np.int32),
        [[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]],
        [-LOG(0.7), -LOG(0.5)],
    ),
    "sparse from numbers in proportion": (
        losses.SparseCategoricalCrossentropy(),
        np.array([2], np.int32),
        [[1.0, 2.0, 7.0]],
        [-LOG(0.7)],
    ),
    "sparse from logits": (
        losses.SparseCategoricalCrossentropy(from_logits=True),
        np.array([2, 0], np.int32),
        [[0, LOG(2), LOG(7)], [1000, 0, 0]],
        [-LOG(0.7), 0],
    ),
    "sparse with a probability of zero": (
        losses.SparseCategoricalCrossentropy(),
        np.array([0], np.int32),
        [[0, 1]],
        [-LOG(1e-7)],
    ),
    "categorical from probabilities": (
        losses.CategoricalCrossentropy(),
        [[0, 0, 1], [0.5, 0.5, 0]],
        [[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]],
        [-LOG(0.7), -0.5 * LOG(0.5) - 0.5 * LOG(0.25)],
    ),
    "categorical from logits": (
        losses.CategoricalCrossentropy(from_logits=True),
        [[0, 0.25, 0.75]],
        [[0, LOG(2), LOG(7)]],
        [-0.25 * LOG(0.2) - 0.75 * LOG(0.7)],
    ),
    "binary from probabilities": (
        losses.BinaryCrossentropy(),
        [[1, 0], [1, 1]],
        [[0.8, 0.4], [0.5, 0.25]],
        [-(LOG(0.8) + LOG(0.6)) / 2, -(LOG(0.5) + LOG(0.25)) / 2],
    ),
    "binary from logits": (
        losses.BinaryCrossentropy(from_logits=True),
        [[1, 0], [1, 0]],
        [[LOG(4), LOG(2 / 3)], [-100, 100]],
        [-(LOG(0.8) + LOG(0.6)) / 2, 100],
    ),
    "mse": (losses.MeanSquaredError(), [[1, 2], [0, 0]], [[3, 2], [1, -3]], [2, 5]),
    "mae": (losses.MeanAbsoluteError(), [[1, 2], [0, 0]], [[3, 2], [1, -3]], [1, 2]),
    "huber": (losses.Huber(), [[0], [0], [0]], [[0.5], [-1], [3]], [0.125, 0.5, 2.5]),
    "huber of delta 2": (losses.Huber(2), [[0], [0]], [[1.5], [-5]], [1.125, 8]),
    "mse over images": (losses.MeanSquaredError(), np.zeros((1, 2, 2)), [[[1, 2], [3, 4]]], [7.5]),
}
METRICS = {
    "sparse accuracy": (
        metrics.SparseCategoricalAccuracy(), np.array([1, 0], np.int32), [[0.1, 0.9], [0.2, 0.8]], [1, 0],
    ),
    "categorical accuracy": (
        metrics.CategoricalAccuracy(), [[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]], [1, 0],
    ),
    "binary accuracy": (metrics.BinaryAccuracy(), [[1, 0], [1, 1]], [[0.6, 0.7], [0.9, 0.51]], [0.5, 1]),
    "binary accuracy above 0.8": (metrics.BinaryAccuracy(0.8), [[1], [1], [0]], [[0.7], [0.9], [0.7]], [0, 1, 1]),
    "mse metric": (metrics.MeanSquaredError(), [[1, 2]], [[3, 2]], [2]),
    "mae metric": (metrics.MeanAbsoluteError(), [[1, 2]], [[3, 2]], [1]),
}  # fmt: skip


@pytest.mark.parametrize("case", [*LOSSES, *METRICS])
def test_losses_and_metrics_by_hand(case):
    rule, y_true, y_pred, expected = {**LOSSES, **METRICS}[case]
    dtype = np.int32 if np.asarray(y_true).dtype == np.int32 else np.float32
    np.testing.assert_allclose(computed(rule, y_true, y_pred, dtype), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ("sparse_categorical_crossentropy", [0, 1]),
        ("categorical_crossentropy", [[1, 0], [0, 1]]),
    ],
)
def test_cross_entropy_of_a_softmax_is_exact_far_out(loss, y):
    model = mr.Sequential([mr.Input((2,)), layers.Softmax()])
    model.compile("sgd", loss, engine="numpy")
    assert model.evaluate(np.array([[0, 200], [200, 0]], np.float32), y)["loss"] == pytest.approx(200)


def test_binary_cross_entropy_from_probabilities_stays_finite():
    made = computed(losses.BinaryCrossentropy(), [[1], [0]], [[0], [1]])
    assert np.isfinite(made).all() and (made > 15).all()


@pytest.mark.parametrize(
    ("loss", "y", "expected"),
    [
        ("sparse_categorical_crossentropy", [1, 1, 0], 2 / 3),
        ("categorical_crossentropy", [[0, 1], [0, 1], [1, 0]], 2 / 3),
        ("binary_crossentropy", [[0, 1], [0, 1], [1, 0]], 2 / 3),
    ],
)
def test_accuracy_is_the_one_that_fits_the_loss(loss, y, expected):
    model = mr.Sequential([mr.Input((2,)), layers.Activation("linear")])
    model.compile("sgd", loss, ["accuracy"], engine="numpy")
    x = np.array([[0.2, 0.8], [0.3, 0.7], [0.4, 0.6]], np.float32)
    assert model.evaluate(x, y)["accuracy"] == pytest.approx(expected)


def test_the_root_is_taken_of_the_mean_over_all_batches():
    model = linear(metrics=["rmse", metrics.RootMeanSquaredError(name="again")])
    found = model.evaluate(X, Y, batch_size=3)
    assert found["rmse"] == found["again"] == pytest.approx(np.sqrt(mse(X, Y)), rel=1e-5)


def test_a_loss_of_ones_own():
    class Cubed(losses.Loss):
        def call(self, y_true, y_pred):
            return mr.abs(y_true - y_pred) ** 3

    try:
        found = linear(loss=Cubed()).evaluate(X, Y)["loss"]
    finally:
        losses.Loss.known.pop("cubed")
    assert found == pytest.approx(np.mean(np.abs(X @ KERNEL + BIAS - Y) ** 3), rel=1e-5)


# ---- optimizers by hand


def sgd(w, g, slots, rate, momentum=0.0, nesterov=False, decay=0.0):
    g = g + decay * w
    v = slots["v"] = momentum * slots.get("v", 0) - rate * g
    return w + momentum * v - rate * g if nesterov else w + v


def adam(w, g, slots, rate, b1=0.9, b2=0.999, epsilon=1e-7, decay=0.0, apart=0.0):
    g = g + decay * w
    t = slots["t"] = slots.get("t", 0) + 1
    m = slots["m"] = b1 * slots.get("m", 0) + (1 - b1) * g
    v = slots["v"] = b2 * slots.get("v", 0) + (1 - b2) * g**2
    return w * (1 - rate * apart) - rate * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + epsilon)


RULES = {
    "plain": (lambda: optimizers.SGD(0.1), lambda *a: sgd(*a, 0.1)),
    "momentum": (lambda: optimizers.SGD(0.1, momentum=0.9), lambda *a: sgd(*a, 0.1, 0.9)),
    "nesterov": (lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True), lambda *a: sgd(*a, 0.1, 0.9, True)),
    "decay": (lambda: optimizers.SGD(0.1, weight_decay=0.2), lambda *a: sgd(*a, 0.1, decay=0.2)),
    "momentum and decay": (
        lambda: optimizers.SGD(0.1, momentum=0.9, weight_decay=0.2),
        lambda *a: sgd(*a, 0.1, 0.9, decay=0.2),
    ),
    "nesterov and decay": (
        lambda: optimizers.SGD(0.1, momentum=0.8, nesterov=True, weight_decay=0.2),
        lambda *a: sgd(*a, 0.1, 0.8, True, 0.2),
    ),
    "adam": (lambda: optimizers.Adam(0.05), lambda *a: adam(*a, 0.05)),
    "adam with its own settings": (
        lambda: optimizers.Adam(0.05, beta_1=0.5, beta_2=0.8, epsilon=0.1),
        lambda *a: adam(*a, 0.05, 0.5, 0.8, 0.1),
    ),
    "adam and decay": (lambda: optimizers.Adam(0.05, weight_decay=0.3), lambda *a: adam(*a, 0.05, decay=0.3)),
    "adamw": (lambda: optimizers.AdamW(0.05, weight_decay=0.3), lambda *a: adam(*a, 0.05, apart=0.3)),
    "adamw by default": (lambda: "adamw", lambda *a: adam(*a, 0.001, apart=0.004)),
    "sgd by default": (lambda: "sgd", lambda *a: sgd(*a, 0.01)),
    "adam by default": (lambda: "adam", lambda *a: adam(*a, 0.001)),
}


@both
@pytest.mark.parametrize("rule", RULES)
def test_three_steps_of_an_optimizer_by_hand(rule, engine):
    make, by_hand = RULES[rule]
    model = linear(make(), engine=engine)
    model.fit(X, Y, batch_size=10, epochs=3, shuffle=False, verbose=0)
    weights, slots = [KERNEL.astype(np.float64), BIAS.astype(np.float64)], [{}, {}]
    for _ in range(3):
        found = gradients(X, Y, *weights)
        weights = [by_hand(w, g, memory) for w, g, memory in zip(weights, found, slots, strict=True)]
    for variable, expected in zip(model.weights, weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-5, atol=1e-6)


@both
def test_a_learning_rate_may_be_a_function_of_the_step(engine):
    model = linear(optimizers.SGD(lambda step: 0.1 / (1.0 + step)), engine=engine)
    kernel, bias = KERNEL.astype(np.float64), BIAS.astype(np.float64)
    for step in range(3):
        model.fit(X, Y, batch_size=10, verbose=0)
        rate, found = 0.1 / (1 + step), gradients(X, Y, kernel, bias)
        kernel, bias = kernel - rate * found[0], bias - rate * found[1]
        assert model.optimizer.learning_rate.numpy() == pytest.approx(rate)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=2e-5)


def test_the_learning_rate_can_be_changed_between_fits():
    model = linear(optimizers.SGD(0.1))
    model.optimizer.learning_rate.assign(0.5)
    model.fit(X, Y, batch_size=10, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], KERNEL - 0.5 * gradients(X, Y)[0], rtol=2e-5)


def test_a_run_is_the_same_bits_each_time():
    def weights():
        model = linear("adam", engine="xla")
        model.fit(X, Y, batch_size=4, epochs=3, verbose=0, seed=5)
        return model.get_weights()

    for a, b in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_class_in_place_of_a_layer_is_told_how_to_write_one():
    with pytest.raises(ArgumentError, match=r"got the class Flatten: write Flatten\(\)\."):
        mr.Sequential([mr.Input((4,)), layers.Flatten])
    with pytest.raises(ArgumentError, match=r"got the class Dense: write Dense\(\.\.\.\)\."):
        mr.Sequential([mr.Input((4,))]).add(layers.Dense)
