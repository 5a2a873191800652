"""What somebody who knows Keras tries first."""

import numpy as np
import pytest

import millrace as mr
from millrace.ir.errors import ArgumentError, DataError
from millrace.layers import Dense, Input

X = np.random.default_rng(0).random((10, 3)).astype(np.float32)


def binary():
    model = mr.Sequential([Input((3,)), Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", ["accuracy"])
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
