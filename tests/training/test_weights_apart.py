"""Weights that an optimizer treats apart: a learning rate of their own, and no decay."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers, optimizers
from millrace.ir.errors import ArgumentError

RNG = np.random.default_rng(3)
X = RNG.standard_normal((8, 3)).astype(np.float32)
Y = RNG.standard_normal((8, 2)).astype(np.float32)
EVERY = ["sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "adamax", "nadam", "lion"]


def trained(optimizer, epochs=3):
    """Weights by name after some steps from the same start."""
    mr.set_seed(0)
    model = mr.Sequential(
        [mr.Input((3,)), layers.Dense(4, "tanh", bias_initializer="ones", name="first"), layers.Dense(2, name="last")]
    )
    model.compile(optimizer, "mse", engine="numpy")
    if epochs:
        model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, shuffle=False)
    return {v.name: v.numpy() for v in model.weights}, model


def made(name, rate=0.125, **options):
    return optimizers.optimizer({"class_name": name, "config": {"learning_rate": rate, **options}})


@pytest.mark.parametrize("name", EVERY)
def test_a_multiplier_for_all_is_another_learning_rate(name):
    found, _ = trained(made(name, weight_decay=0.01, learning_rate_multipliers={".": 2.0}))
    wanted, _ = trained(made(name, 0.25, weight_decay=0.01))
    for weight, array in wanted.items():
        np.testing.assert_array_equal(found[weight], array, err_msg=weight)


@pytest.mark.parametrize("name", EVERY)
def test_a_multiplier_moves_only_the_weights_that_it_names(name):
    start, _ = trained(made(name), epochs=0)
    plain, _ = trained(made(name), epochs=1)
    found, _ = trained(made(name, learning_rate_multipliers={"first/bias$": 0.0}), epochs=1)
    for weight, array in found.items():
        wanted = start if weight == "first/bias" else plain
        np.testing.assert_array_equal(array, wanted[weight], err_msg=weight)
        assert (array == start[weight]).all() == (weight == "first/bias")


@pytest.mark.parametrize("name", EVERY)
def test_what_is_excluded_from_decay_steps_as_if_there_were_none(name):
    without, _ = trained(made(name, weight_decay=0.0), epochs=1)
    decayed, _ = trained(made(name, weight_decay=0.5), epochs=1)
    found, _ = trained(made(name, weight_decay=0.5, weight_decay_exclude=["bias", "gamma"]), epochs=1)
    for weight, array in found.items():
        np.testing.assert_array_equal(array, (without if "bias" in weight else decayed)[weight], err_msg=weight)
    if name in ("sgd", "adamw"):  # the first step of some others is as long whatever the gradient
        assert (decayed["first/bias"] != without["first/bias"]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate_multipliers": {"biass": 2.0}}, "'biass' is found in no name .*first/kernel, first/bias"),
        ({"learning_rate_multipliers": {"bias": -1.0}}, r"learning_rate_multipliers\['bias'\] must be a number .*-1"),
        ({"learning_rate_multipliers": {"(": 1.0}}, r"'\(' is no regular expression"),
        ({"learning_rate_multipliers": 2.0}, 'a mapping such as {"bias": 2.0}, got 2.0'),
        ({"weight_decay_exclude": "bias"}, r'a list of parts of names, such as \["bias"\], got \'bias\''),
        ({"weight_decay_exclude": [3]}, "3 is no regular expression"),
        ({"weight_decay_exclude": None}, "a list of parts of names"),
    ],
)
def test_what_names_no_weight_is_told(options, words):
    with pytest.raises(ArgumentError, match=words):
        trained(made("sgd", **options), epochs=1)
