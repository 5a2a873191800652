"""AlexNet's training as section 5 has it: the rule of a step, the learning rate, and what biases of 1 can do."""

import numpy as np
import pytest

import millrace as mr
from millrace import callbacks, layers
from millrace.ir.errors import ArgumentError
from millrace.layers.initializers import RandomNormal
from millrace.models import alexnet, alexnets

CLASSES = 4
RNG = np.random.default_rng(5)
X = RNG.standard_normal((8, 3)).astype(np.float32)
Y = (X @ [[1.0, 2.0], [-2.0, 0.0], [0.5, 1.0]]).astype(np.float32)


# ---- the rule


def linear(optimizer):
    """out = x @ kernel + bias, with the mean of squares as its loss: a gradient that is written in a line."""
    model = mr.Sequential([mr.Input((3,)), layers.Dense(2, bias_initializer="ones", name="dense")])
    model.compile(optimizer, "mse", engine="numpy")
    return model


@pytest.mark.parametrize(("variant", "bias_rate", "bias_decay"), [("paper", 1, 0.0005), ("release", 2, 0.0)])
def test_steps_follow_the_rule_to_the_letter_while_the_rate_changes(variant, bias_rate, bias_decay):
    model = linear(alexnets.optimizer(0.5, variant))
    kernel, bias = (v.numpy().astype(np.float64) for v in model.get_layer("dense").weights)
    moving_kernel, moving_bias = np.zeros_like(kernel), np.zeros_like(bias)
    for rate in (0.5, 0.5, 0.05, 0.005):  # v remembers steps of the rate that was: not so in rules that scale v later
        model.optimizer.learning_rate = rate
        model.fit(X, Y, batch_size=8, epochs=1, shuffle=False, verbose=0)
        error = 2 * (X.astype(np.float64) @ kernel + bias - Y) / Y.size
        moving_kernel = 0.9 * moving_kernel - 0.0005 * rate * kernel - rate * (X.T.astype(np.float64) @ error)
        moving_bias = 0.9 * moving_bias - bias_decay * bias_rate * rate * bias - bias_rate * rate * error.sum(0)
        kernel, bias = kernel + moving_kernel, bias + moving_bias
        for variable, wanted in zip(model.get_layer("dense").weights, (kernel, bias), strict=True):
            np.testing.assert_allclose(variable.numpy(), wanted, rtol=1e-6, atol=1e-6)


def test_only_the_released_configuration_treats_biases_apart():
    assert "learning_rate_multipliers" not in alexnets.optimizer().get_config()["config"]
    rule = alexnets.optimizer(variant="release")
    for variable in alexnet("release", 3, width=0.03125, size=67).trainable_weights:
        apart = variable.name.endswith("/bias")
        assert (rule.multiplier_of(variable), rule.decay_of(variable)) == ((2.0, 0.0) if apart else (1.0, 0.0005))
    with pytest.raises(ArgumentError, match="Did you mean 'release'"):
        alexnets.optimizer(variant="relese")


# ---- the learning rate


class Validation(callbacks.Callback):
    """Puts a made-up validation accuracy in the logs."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["val_accuracy"] = self.values[epoch]


CURVE = [0.1, 0.3, 0.3, 0.3, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6] + [0.61] * 10  # it rises after each division


def plateau():
    return callbacks.ReduceLROnPlateau(
        "val_accuracy", factor=0.1, patience=2, mode="max", min_delta=0.0, times=3, stop=True
    )


RATES = [0.01] * 4 + [1e-3] * 3 + [1e-4] * 3 + [1e-5] * 3


def test_the_rate_is_divided_by_10_three_times_when_validation_stands_still_and_no_fourth_time():
    model = linear(alexnets.optimizer(0.01))
    history = model.fit(X, Y, epochs=20, verbose=0, callbacks=[Validation(CURVE), plateau()])
    assert history.history["learning_rate"] == pytest.approx(RATES, rel=1e-5)  # the last plateau ends it


def test_without_stop_the_last_rate_goes_on():
    for limit in ({"times": 3}, {"min_lr": 1e-5}):
        rule = callbacks.ReduceLROnPlateau("val_accuracy", 0.1, patience=2, mode="max", min_delta=0.0, **limit)
        model = linear(alexnets.optimizer(0.01))
        history = model.fit(X, Y, epochs=20, verbose=0, callbacks=[Validation(CURVE), rule])
        assert history.history["learning_rate"] == pytest.approx([*RATES, *[1e-5] * 7], rel=1e-5)
        assert rule.reductions == 3


@pytest.mark.parametrize("cut", [3, 5, 11])
def test_a_run_that_goes_on_divides_where_the_whole_one_would(cut, tmp_path):
    path = tmp_path / "m.safetensors"
    used = [Validation(CURVE), plateau()]
    linear(alexnets.optimizer(0.01)).fit(
        X, Y, epochs=cut, verbose=0, callbacks=[*used, callbacks.Checkpoint(path)]
    )  # fmt: skip
    model = mr.load_model(path, engine="numpy")
    rest = model.fit(X, Y, epochs=20, initial_epoch=cut, verbose=0, callbacks=[Validation(CURVE), plateau()])
    assert rest.history["learning_rate"] == pytest.approx(RATES[cut:], rel=1e-5)


# ---- the trap of biases of 1


def gratings(count, side=67):
    """Stripes in four directions, at any phase, in noise: images [count, side, side, 3] and their direction."""
    rng = np.random.default_rng(0)
    directions = rng.integers(0, CLASSES, count).astype(np.int32)
    angle, phase = (a[:, None, None] for a in (np.pi * directions / CLASSES, rng.uniform(0, 2 * np.pi, count)))
    place = np.arange(side) * (2 * np.pi / 12)
    stripes = np.sin(np.cos(angle) * place[:, None] + np.sin(angle) * place + phase)
    noise = rng.normal(0, 1 / 3, (count, side, side, 3))
    return (stripes[..., None] + noise).astype(np.float32), directions


def heard(model, images):
    """The share of fc7's units that are above 0 for any of the images."""
    out = mr.Model(model.inputs, model.get_layer("fc7").output).predict(images)
    return float((out > 0).any(0).mean())


def trained(bias, seed, images, labels):
    """Losses of seven epochs of an eighth as wide a network, and the share of fc7 that is heard before and after."""
    mr.set_seed(seed)
    kernels = RandomNormal(stddev=0.05)
    model = alexnet(classes=CLASSES, width=0.125, size=67, dropout=0, bias=bias, kernel_initializer=kernels)
    model.compile(alexnets.optimizer(0.01), "sparse_categorical_crossentropy")
    before = heard(model, images[:64])
    history = model.fit(images, labels, epochs=7, batch_size=32, seed=seed, verbose=0)
    return history.history["loss"], before, heard(model, images[:64])


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_biases_of_1_silence_a_network_that_learns_with_biases_of_a_tenth(seed):
    images, labels = gratings(512)
    flat, before, after = trained(1.0, seed, images, labels)
    assert flat[0] > 2  # the first steps shoot over
    assert flat[-3:] == pytest.approx([np.log(CLASSES)] * 3, abs=0.01)
    assert before > 0.7 and after < 0.05
    learned, _, after = trained(0.1, seed, images, labels)
    assert learned[-1] < 0.5 and after > 0.7
