"""The experiment on overfitting: its two networks, a toy run, and what it says of curves that are given."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import millrace as mr
from millrace.data.datasets import Dataset
from millrace.data.memory import ArraySource
from millrace.data.stats import pixel_stats
from millrace.experiments import Scale, Setting, experiment_named, overfitting
from millrace.experiments.arms import Curve
from millrace.experiments.imagenette_pictures import Photographs
from millrace.experiments.overfitting import HELD_BACK, PLAIN, both, front, network, outcome

TINY = Scale(images=40, validation=20, epochs=7, width=4, batch_size=10, size=67)


@pytest.fixture(scope="module")
def pictures():
    """40 pictures to train on and 20 others, 76 pixels wide, a colour for each class."""
    rng = np.random.default_rng(0)
    hues = rng.integers(40, 216, (10, 1, 1, 3))

    def part(count):
        y = (np.arange(count) % 10).astype(np.int32)
        return (hues[y] + rng.normal(0, 12, (count, 76, 76, 3))).clip(0, 255).astype(np.uint8), y

    (x_train, y_train), (x_held, y_held) = part(40), part(20)
    data = Dataset("made up", x_train, y_train, x_held, y_held, tuple("0123456789"), "here")
    return Photographs(data, pixel_stats(ArraySource(x_train)), 67)


def setting(tmp_path, said=None, seeds=(0,), scale=TINY):
    return Setting(True, seeds, tmp_path, (lambda line: None) if said is None else said.append, scale)


def curve(name, training, held, seconds=60.0):
    count = len(training)
    columns = {
        "epoch": [5.0 * (n + 1) for n in range(count)], "loss": [1.0] * count, "accuracy": training,
        "val_accuracy": held, "seconds": [seconds * (n + 1) for n in range(count)],
    }  # fmt: skip
    return Curve(name, 0, columns)


# ---- the networks


def test_the_quick_form_trains_the_whole_network_of_the_paper():
    scale = experiment_named("overfitting").quick_scale
    assert (scale.images, scale.validation, scale.width, scale.size) == (500, 500, 96, 227)
    data = Dataset("made up", *[None] * 4, tuple("0123456789"), "here")
    stats = type("Stats", (), {"mean_image": np.zeros((256, 256, 3))})
    model = network(Photographs(data, stats, 227), scale.width, True)
    # PAPER: 60,965,224 weights for 1,000 classes, 4,097,000 of them in fc8; of ten classes 40,970
    assert sum(int(np.prod(v.shape)) for v in model.trainable_weights) == 60_965_224 - 4_097_000 + 40_970


def test_the_networks_differ_in_augmentation_and_dropout_alone(pictures):
    models = [arm.build() for arm in both(pictures, TINY)]
    assert [type(model.get_layer("crop")).__name__ for model in models] == ["CenterCrop", "RandomCrop"]
    plain, other = ([layer.name for layer in model.layers] for model in models)
    assert [name for name in other if name not in plain] == ["reflection", "drop6", "drop7"]
    assert [name for name in other if name in plain] == plain


def test_both_see_the_middle_less_its_mean_when_in_use(pictures):
    x = pictures.data.x_train[:3]
    expected = (x - pictures.data.x_train.mean(0))[:, 4:71, 4:71]
    for moved in (False, True):
        given, *layers = front(pictures, moved)
        model = mr.Sequential([given, *layers])
        assert model.predict(x) == pytest.approx(expected, abs=1e-3)


def test_one_seed_gives_both_the_same_first_weights(pictures):
    first = []
    for held_back in (False, True):
        mr.set_seed(3)
        first.append(network(pictures, 4, held_back).get_layer("fc7").kernel.numpy())
    assert (first[0] == first[1]).all()


# ---- a toy run


@pytest.mark.slow
def test_a_toy_run(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(overfitting, "imagenette_photographs", lambda scale: pictures)
    said = []
    found = experiment_named("overfitting").run(setting(tmp_path, said))
    assert [row[0] for row in found.rows] == [PLAIN, HELD_BACK]
    for arm in (PLAIN, HELD_BACK):
        (one,) = found.numbers["curves"][arm]
        columns = one["columns"]
        assert columns["epoch"] == [5, 7]  # every five epochs, and after the last
        assert all(0 <= value <= 1 for name in ("accuracy", "val_accuracy") for value in columns[name])
        assert 0 < columns["seconds"][0] < columns["seconds"][1]
        gap = 100 * (columns["accuracy"][-1] - columns["val_accuracy"][-1])
        assert found.numbers["gap in points"][arm] == pytest.approx([gap])
    (figure,) = found.figures
    text = figure.read_text()
    for name in (PLAIN, HELD_BACK):
        assert f"{name}, training" in text and f"{name}, validation" in text
    assert "epoch 7" in found.notes[0] and "40 photographs" in found.notes[0]


def test_the_rate_ends_at_a_tenth(pictures):
    scale = experiment_named("overfitting").quick_scale
    for arm in both(pictures, scale):
        measure = overfitting.Measure(arm, pictures, 0, scale.epochs, overfitting.Watch(lambda line: None, 60))
        measure.model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=None))
        rates = []
        for epoch in range(scale.epochs):
            measure.on_epoch_begin(epoch, {})
            rates.append(measure.model.optimizer.learning_rate)
        assert rates[:20] == [0.01] * 20 and rates[-1] == pytest.approx(0.001)


# ---- what is said of curves


def told(tmp_path, plain, held_back, seeds=(0,), scale=None):
    scale = scale or experiment_named("overfitting").quick_scale
    return outcome(setting(tmp_path, None, seeds, scale), {PLAIN: plain, HELD_BACK: held_back})


def test_a_gap_that_is_smaller(tmp_path):
    found = told(
        tmp_path,
        [curve(PLAIN, [0.5, 0.96, 0.99], [0.3, 0.35, 0.4])],
        [curve(HELD_BACK, [0.3, 0.6, 0.5], [0.3, 0.4, 0.45])],
    )
    plain, other = found.rows
    assert plain[1:] == ["99.0%", "40.0%", "59.0", "after epoch 10, 2.0 minutes"]
    assert other[1:] == ["50.0%", "45.0%", "5.0", "not in 15 epochs"]
    assert "it answers 99.0% of its training photographs" in found.verdict
    # 196 * sqrt((0.99 * 0.01 + 0.4 * 0.6 + 0.5 * 0.5 + 0.45 * 0.55) / 500), by hand
    assert "5.0 points against 59.0, a difference of 54.0 ± 7.6" in found.verdict
    assert (
        "It then answers 45.0% of the other photographs rightly, the plain one 40.0%; of its own 50.0%" in found.verdict
    )
    assert "the gap to validation is smaller" in found.verdict and "as the paper says" in found.verdict


def test_a_gap_within_chance_or_larger_is_said_to_be(tmp_path):
    near = told(tmp_path, [curve(PLAIN, [0.96], [0.4])], [curve(HELD_BACK, [0.95], [0.42])])
    assert "cannot be told" in near.verdict and "smaller (" not in near.verdict
    wide = told(tmp_path, [curve(PLAIN, [0.96], [0.8])], [curve(HELD_BACK, [0.95], [0.42])])
    assert "gap to validation is larger" in wide.verdict


def test_a_network_that_did_not_learn_by_heart_is_said_so(tmp_path):
    found = told(tmp_path, [curve(PLAIN, [0.95, 0.94], [0.4, 0.4])], [curve(HELD_BACK, [0.3, 0.3], [0.3, 0.3])])
    assert found.verdict.startswith("The plain network does not get over 95%") and "95.0% at best" in found.verdict
    assert found.rows[0][-1] == "not in 10 epochs"


def test_several_seeds_are_compared_seed_by_seed(tmp_path):
    plain = [curve(PLAIN, [1.0], [0.4]), curve(PLAIN, [1.0], [0.42])]
    other = [curve(HELD_BACK, [0.6], [0.5]), curve(HELD_BACK, [0.6], [0.51])]
    found = told(tmp_path, plain, other, seeds=(0, 1))
    # gaps 60 and 58, 10 and 9: differences 50 and 49, mean 49.5, half 12.706 * 0.7071 / sqrt(2) = 6.4 (Student's t)
    assert "a difference of 49.5 ± 6.4, 95% over 2 seeds" in found.verdict
    assert re.search(r"after epoch 5, 1.0 minutes; after epoch 5", found.rows[0][-1])
