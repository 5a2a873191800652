"""Data that cannot be learned from, and training that breaks down: what is wrong, where, and what stays."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import DataError, MillraceError, NonFiniteError

both = pytest.mark.parametrize("engine", ["xla", "numpy"])
RNG = np.random.default_rng(5)
X = RNG.standard_normal((6, 4, 4, 1)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])


def classifier():
    model = mr.Sequential([mr.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3, "softmax", name="dense")])
    model.compile("sgd", "sparse_categorical_crossentropy", engine="numpy")
    return model


def regression(optimizer="sgd", engine="numpy", **options):
    model = mr.Sequential([mr.Input((2,), name="x"), layers.Dense(1, name="dense")])
    model.compile(optimizer, "mse", engine=engine, **options)
    return model


def with_value(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def refused(x, y=Y, model=None, use="fit"):
    """What the model says about the data; it then still is as it was."""
    model = model or classifier()
    before = model.get_weights()
    with pytest.raises(DataError) as caught:
        model.fit(x, y, verbose=0) if use == "fit" else getattr(model, use)(x, *([y] if use == "evaluate" else []))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    return str(caught.value)


BAD_X = {
    "no examples": (X[:0], ["x is empty"]),
    "an empty list": ([], ["x is empty"]),
    "a number": (3.0, ["x is empty"]),
    "one example without the first axis": (X[0], ["[4, 1]", "[4, 4, 1]"]),
    "no channel axis": (X[..., 0], ["[4, 4]", "[4, 4, 1]", "x[..., None]"]),
    "other sizes": (np.zeros((6, 5, 4, 1)), ["[5, 4, 1]", "[4, 4, 1]"]),
    "other channels": (np.zeros((6, 4, 4, 3)), ["[4, 4, 3]", "[4, 4, 1]"]),
    "channels first": (np.zeros((6, 1, 4, 4)), ["[1, 4, 4]", "[4, 4, 1]"]),
    "flat rows": (np.zeros((6, 16)), ["[16]", "[4, 4, 1]"]),
    "a nan": (with_value(X, (3, 1, 1, 0), np.nan), ["NaN", "1 of 6", "number 3"]),
    "infinities": (with_value(X, (slice(2, 4), 0, 0, 0), np.inf), ["infinite", "2 of 6", "number 2"]),
    "minus infinity in float64": (with_value(X.astype("f8"), (5, 0, 0, 0), -np.inf), ["number 5"]),
    "too large for float32": (with_value(X.astype("f8"), (4, 0, 0, 0), 1e300), ["number 4"]),
    "rows of different lengths": ([[1.0, 2.0], [3.0]], ["different shapes"]),
    "images of different sizes": ([np.zeros((4, 4, 1)), np.zeros((4, 5, 1))], ["different shapes"]),
    "text": (np.array(["a", "b"]), ["x", "not numbers"]),
    "objects": (np.array([None, 1, 2], object), ["object", "not numbers"]),
    "dates": (np.array(["2012-09-30"], "datetime64[D]"), ["datetime64", "not numbers"]),
    "complex numbers": (X.astype(np.complex64), ["complex64", "not numbers"]),
    "nothing": (None, ["x"]),
    "a dictionary": ({"x": X}, ["x"]),
    "fewer than labels": (X[:5], ["x has 5", "y has 6"]),
}
BAD_Y = {
    "missing": (None, ["y is missing"]),
    "no labels": (Y[:0], ["y is empty"]),
    "a label too high": (with_value(Y, 4, 3), ["label 3", "example 4", "3 outputs", "0 to 2"]),
    "labels from 1": (Y + 1, ["label 3", "example 2", "0 to 2"]),
    "a negative label": (with_value(Y, 2, -1), ["label -1", "example 2", "0 to 2"]),
    "a fractional label": (with_value(Y.astype("f4"), 3, 1.5), ["1.5", "0 to 2"]),
    "a nan": (with_value(Y.astype("f4"), 1, np.nan), ["NaN", "number 1"]),
    "text": (np.array(list("abcabc")), ["y", "not numbers"]),
    "objects": (np.array([0, 1, None, 0, 1, 2], object), ["object"]),
    "one-hot": (np.eye(3)[Y], ["y", "categorical_crossentropy"]),
    "fewer than examples": (Y[:4], ["x has 6", "y has 4"]),
    "more than examples": (np.tile(Y, 2), ["y has 12"]),
}


@pytest.mark.parametrize("use", ["fit", "evaluate"])
@pytest.mark.parametrize("case", BAD_X)
def test_bad_examples_are_refused_with_what_is_wrong(case, use):
    x, words = BAD_X[case]
    message = refused(x, use=use)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("case", [case for case in BAD_X if case != "fewer than labels"])
def test_predict_refuses_bad_examples_too(case):
    x, words = BAD_X[case]
    message = refused(x, use="predict")
    assert all(word in message for word in words if word), message


@pytest.mark.parametrize("use", ["fit", "evaluate"])
@pytest.mark.parametrize("case", BAD_Y)
def test_bad_answers_are_refused_with_what_is_wrong(case, use):
    y, words = BAD_Y[case]
    message = refused(X, y, use=use)
    assert all(word in message for word in words), message


def test_bad_validation_data_is_named_as_such():
    model = classifier()
    for held, words in (((X[..., 0], Y), "validation x has examples"), ((X, Y + 1), "validation y holds the label 3")):
        with pytest.raises(DataError, match=words):
            model.fit(X, Y, validation_data=held, verbose=0)


def test_the_second_of_two_inputs_is_named():
    a, b = mr.Input((2,), name="a"), mr.Input((1,), name="b")
    model = mr.Model([a, b], mr.concatenate([a, b], 1))
    with pytest.raises(DataError, match=r"x\[1\] is NaN"):
        model.predict([np.ones((3, 2)), np.full((3, 1), np.nan)])
    with pytest.raises(DataError, match="has 3 examples, but"):
        model.predict([np.ones((3, 2)), np.ones((4, 1))])


def test_floats_for_an_input_of_whole_numbers_are_refused():
    model = mr.Sequential([mr.Input((2,), dtype="int32"), layers.Activation(lambda x: mr.cast(x, "float32"))])
    with pytest.raises(DataError, match=r"holds float64, the model takes int32"):
        model.predict([[0.5, 1.5]])
    assert model.predict([[1, 2]]).tolist() == [[1, 2]]


def test_whole_numbers_beyond_the_inputs_dtype_are_refused():
    model = mr.Sequential([mr.Input((1,), dtype="uint8"), layers.Activation(lambda x: mr.cast(x, "float32"))])
    with pytest.raises(MillraceError):
        model.predict([[300]])


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float64", "bool"])
def test_examples_of_any_kind_of_number_are_taken(dtype):
    model, x = classifier(), (X > 0).astype(dtype)
    np.testing.assert_allclose(model.predict(x), model.predict(x.astype(np.float32)), rtol=1e-6)


def test_labels_may_be_a_column_a_list_or_floats():
    def weights(y):
        model = classifier()
        model.set_weights([np.zeros((16, 3)), np.zeros(3)])
        model.fit(X, y, verbose=0)
        return model.get_weights()[0]

    expected = weights(Y)
    for y in (Y[:, None], Y.tolist(), Y.astype(np.float32), Y.astype(np.uint8)):
        np.testing.assert_array_equal(weights(y), expected)


def test_answers_of_a_regression_may_not_broadcast():
    with pytest.raises(DataError, match=r"\[1\]"):
        regression().fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[::-1][::-1], lambda x: np.repeat(x, 2, 0)[::2]])
def test_arrays_in_any_layout_of_memory_are_taken(layout):
    model = classifier()
    np.testing.assert_array_equal(model.predict(layout(X)), model.predict(X))


def test_the_users_arrays_are_left_alone():
    x, y = X.copy(), Y.copy()
    classifier().fit(x, y, batch_size=4, epochs=2, verbose=0)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


# ---- training that breaks down

GROWING = RNG.standard_normal((8, 2)).astype(np.float32) * 10
TARGET = np.ones((8, 1), np.float32)


@both
def test_diverging_training_stops_and_names_the_step_and_the_place(engine):
    model = regression(mr.optimizers.SGD(1e4), engine)
    with pytest.raises(NonFiniteError) as caught:
        model.fit(GROWING, TARGET, batch_size=4, epochs=20, verbose=0)
    message = str(caught.value)
    assert "training stopped at step" in message and "of epoch" in message
    assert "was born in" in message and "smaller learning rate" in message
    assert "'loss'" in message or "'dense'" in message or "'optimizer'" in message
    assert all(np.isfinite(array).all() for array in model.get_weights())
    assert np.isfinite(model.predict(GROWING)).all()


@both
def test_the_weights_are_those_before_the_step_that_failed(engine):
    model, twin = regression(mr.optimizers.SGD(1e4), engine), regression(mr.optimizers.SGD(1e4), engine)
    start = [np.ones((2, 1)), np.zeros(1)]
    model.set_weights(start)
    twin.set_weights(start)
    with pytest.raises(NonFiniteError, match=r"step (\d+) of epoch 1") as caught:
        model.fit(np.tile(GROWING, (8, 1)), np.tile(TARGET, (8, 1)), batch_size=4, shuffle=False, verbose=0)
    step = int(str(caught.value).split("stopped at step ")[1].split()[0])
    finite = 4 * (step - 1)
    twin.fit(
        np.tile(GROWING, (8, 1))[:finite], np.tile(TARGET, (8, 1))[:finite], batch_size=4, shuffle=False, verbose=0
    )
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@both
def test_a_later_fit_works_again(engine):
    model = regression(mr.optimizers.SGD(1e4), engine)
    with pytest.raises(NonFiniteError):
        model.fit(GROWING, TARGET, epochs=50, verbose=0)
    model.set_weights([np.zeros((2, 1)), np.zeros(1)])
    model.optimizer.learning_rate.assign(1e-3)
    history = model.fit(GROWING, TARGET, epochs=5, verbose=0)
    assert np.isfinite(history.batch_losses).all()
    assert history.history["loss"][-1] < history.history["loss"][0]


@both
def test_the_history_up_to_the_failure_reaches_the_callbacks_and_on_finish_comes(engine):
    class Recorder(mr.callbacks.Callback):
        calls = ()

        def on_epoch_end(self, epoch, logs):
            self.calls += (np.isfinite(logs["loss"]),)

        def on_finish(self):
            self.calls += ("finish",)

    recorder = Recorder()
    with pytest.raises(NonFiniteError):
        regression(mr.optimizers.SGD(1e4), engine).fit(
            GROWING, TARGET, batch_size=8, epochs=50, callbacks=[recorder], verbose=0
        )
    assert recorder.calls[-1] == "finish" and all(recorder.calls[:-1])


@both
def test_a_logarithm_of_nothing_in_the_model_is_found_in_its_layer(engine):
    model = mr.Sequential(
        [mr.Input((2,), name="x"), layers.Activation(mr.log, name="logarithm"), layers.Dense(1, name="dense")]
    )
    model.compile("sgd", "mse", engine=engine)
    with pytest.raises(NonFiniteError, match=r"step 2 of epoch 1") as caught:
        model.fit([[1.0, 1.0], [2.0, 0.0]], [[1.0], [1.0]], batch_size=1, shuffle=False, verbose=0)
    message = str(caught.value)
    assert "born in log" in message and "logarithm" in message


def test_without_the_check_training_goes_on():
    history = regression(mr.optimizers.SGD(1e4), check_finite=False).fit(GROWING, TARGET, epochs=50, verbose=0)
    assert not np.isfinite(history.history["loss"][-1])


@pytest.mark.parametrize(
    ("y", "loss"),
    [
        (Y, "sparse_categorical_crossentropy"),
        (Y[:, None], "sparse_categorical_crossentropy"),
        (np.eye(3)[Y], "categorical_crossentropy"),
        (Y.astype(np.float32), "mse"),
    ],
)
def test_a_forgotten_flatten_is_named(y, loss):
    model = mr.Sequential([mr.Input((4, 4, 1)), layers.Dense(1 if loss == "mse" else 3)])
    model.compile("sgd", loss, engine="numpy")
    said = refused(X, y, model)
    assert "answers at each of its places" in said and "put Flatten() or GlobalAveragePooling2D()" in said


def test_an_answer_at_each_place_is_none_forgotten():
    model = mr.Sequential([mr.Input((4, 4, 1)), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", engine="numpy")
    model.fit(X, np.zeros((6, 4, 4), int), verbose=0)
    assert "Flatten" not in refused(X, np.zeros((6, 5), int), model) and "Flatten" not in refused(X, Y[:, None, None])


def test_a_sequence_that_was_not_closed_is_named_too():
    model = mr.Sequential([mr.Input((5, 2)), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", engine="numpy")
    for y in (Y, Y[:, None]):
        assert "put Flatten() or GlobalAveragePooling1D()" in refused(np.zeros((6, 5, 2)), y, model)
    assert "Flatten" not in refused(np.zeros((6, 5, 2)), np.zeros((6, 3), int), model)
