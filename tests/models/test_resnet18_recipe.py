"""ResNet-18 on CIFAR-10: its network, what training sees, how the learning rate goes, and that it learns."""

import numpy as np
import pytest

import millrace as mr
from millrace.data.datasets import Dataset
from millrace.models import recipe, resnet18


@pytest.fixture(scope="module")
def photographs():
    """64 photographs of 32x32 pixels: two kinds, one reddish, one bluish."""
    rng = np.random.default_rng(0)
    x = rng.random((64, 32, 32, 3), np.float32) * 0.6
    y = (np.arange(64) % 2).astype(np.int32)
    x[y == 0, ..., 0] += 0.4
    x[y == 1, ..., 2] += 0.4
    return x, y


def compiled(width=1.0):
    chosen = recipe("resnet18").configured({"width": width})
    mr.set_seed(0)
    model = chosen.build(None)
    model.compile(chosen.optimizer(chosen.learning_rate), chosen.loss, list(chosen.metrics))
    return chosen, model


def test_the_network_for_small_photographs_has_the_known_size_and_keeps_its_maps_large():
    model = resnet18.small_network()
    assert sum(v.numpy().size for v in model.trainable_weights) == 11_173_962  # as pytorch-cifar's ResNet18 has it
    shapes = [layer.structure for layer in model.layers if layer.name.startswith("block")]
    assert shapes == [(32, 32, 64)] * 2 + [(16, 16, 128)] * 2 + [(8, 8, 256)] * 2 + [(4, 4, 512)] * 2


def test_in_use_a_photograph_is_only_brought_to_mean_0_and_deviation_1(photographs):
    x, _ = photographs
    model = resnet18.small_network(width=1 / 16)
    names = [layer.name for layer in model.layers]
    front = model.layers[names.index("centred") : names.index("cutout") + 1]
    value = given = mr.Input((32, 32, 3))
    for layer in front:
        value = layer(value)
    expected = (x - np.float32([0.4914, 0.4822, 0.4465])) / np.float32([0.2470, 0.2435, 0.2616])
    np.testing.assert_allclose(mr.Model(given, value).predict(x), expected, atol=1e-5)


def test_the_learning_rate_rises_to_its_height_and_falls_to_nothing():
    of_35 = [resnet18.share(epoch / 35) for epoch in (0, 7.5, 15, 30, 32.5, 35)]
    np.testing.assert_allclose(of_35, [0, 0.5, 1, 0.05, 0.025, 0], atol=1e-12)


@pytest.fixture
def neuron():
    """A model that is compiled in no time, with the recipe's optimizer."""
    model = mr.Sequential([mr.Input((2,)), mr.layers.Dense(1)])
    model.compile(resnet18.optimizer(0.1), "mse")
    return model


def rates(model, callback, **how):
    x = np.ones((4, 2), np.float32)
    found = model.fit(x, x[:, :1], batch_size=4, callbacks=[callback], verbose=0, seed=0, **how)
    return found.history["learning_rate"]


def test_the_learning_rate_follows_the_epochs_that_are_asked_for(neuron):
    expected = [1 / 60, 0.05, 1 / 12, 0.0841667, 0.0525, 0.0208333, 0.0025]  # by hand: 3 epochs up, 3 and 1 down
    np.testing.assert_allclose(rates(neuron, resnet18.RiseAndFall(), epochs=7), expected, rtol=1e-5)


def test_a_run_that_goes_on_keeps_the_height_of_its_rates(neuron):
    first, second = resnet18.RiseAndFall(), resnet18.RiseAndFall()
    rates(neuron, first, epochs=2)
    second.restore(first.state())
    found = rates(neuron, second, epochs=7, initial_epoch=2)
    np.testing.assert_allclose(found, [1 / 12, 0.0841667, 0.0525, 0.0208333, 0.0025], rtol=1e-5)


@pytest.mark.slow
def test_it_learns_what_it_is_shown(photographs):
    chosen, model = compiled(width=1 / 16)
    x, y = photographs
    history = model.fit(x, y, batch_size=16, epochs=7, callbacks=chosen.callbacks(), verbose=0, seed=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert model.evaluate(x, y, batch_size=64)["accuracy"] > 0.95


def test_training_sees_other_windows_mirrored_and_partly_covered():
    mr.set_seed(0)
    layers = {layer.name: layer for layer in resnet18.small_network(width=1 / 16).layers}
    assert (layers["rim"].padding, layers["crop"].height, layers["cutout"].size) == (((4, 4), (4, 4)), 32, 8)
    assert layers["reflection"].mode == "horizontal" and layers["cutout"].fill_value == 0


@pytest.mark.parametrize("width", [0, -1, float("nan")])
def test_a_width_that_is_none_is_refused(width):
    with pytest.raises(mr.layers.base.MillraceError, match="--width"):
        recipe("resnet18").configured({"width": width})


@pytest.mark.slow
def test_it_is_trained_by_its_name(photographs, tmp_path, monkeypatch, capsys):
    from millrace.cli import train

    x, y = photographs
    names = tuple(str(n) for n in range(10))
    data = Dataset("cifar10", x, y, x[:16], y[:16], names, "made")
    monkeypatch.setattr(resnet18, "cifar10", lambda: data)
    train.start_run("resnet18", train.Settings(epochs=1, batch_size=32, width=1 / 16), tmp_path)
    printed = capsys.readouterr().out
    assert "ResNet-18 on CIFAR-10" in printed and "it is meant for a GPU" in printed
    assert (tmp_path / "resnet18-1" / "report.html").is_file()
