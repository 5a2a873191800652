"""The experiments on CIFAR-10 at toy scale, on pictures made up; and what they say of numbers made by hand."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from millrace.cli.experiment import result
from millrace.experiments import EXPERIMENTS, Scale, dropout, relu_vs_tanh
from millrace.experiments.arms import Curve
from millrace.experiments.four_layers import network
from millrace.experiments.rates import Tried
from millrace.experiments.reach import Reached
from millrace.models import cifar_quick
from millrace.training.summary import parameter_counts

TINY = Scale(images=60, validation=20, epochs=4, width=2, batch_size=20)


def setting(name, tmp_path, said=None, seeds=2, **changes):
    one = EXPERIMENTS[name]
    scale = replace(TINY, validation=min(TINY.validation, one.quick_scale.validation), **changes)
    tell = (lambda line: None) if said is None else said.append
    return replace(one.setting(tmp_path, tell, seeds=seeds), scale=scale)


@pytest.mark.parametrize("name", ["relu-vs-tanh", "lrn", "overlapping-pooling", "dropout"])
def test_an_experiment_finds_something_to_say(name, tmp_path, photographs):
    said = []
    found = EXPERIMENTS[name].run(setting(name, tmp_path, said))
    assert all(len(row) == len(found.columns) for row in found.rows) and found.verdict and found.paper
    assert max(map(len, result(found).splitlines())) <= 80
    assert any("seed 0" in line for line in said) and any("seed 1" in line for line in said)
    kept = json.loads(json.dumps(found.numbers, default=float))
    assert len(next(iter(kept["curves"].values()))) == 2  # a curve a seed
    assert [path.parent for path in found.figures] == [tmp_path]
    ElementTree.parse(found.figures[0])


def test_the_four_layers_are_those_of_the_page_in_models(photographs):
    ours, page = network(), cifar_quick.network()
    assert parameter_counts(ours) == parameter_counts(page)
    for mine, theirs in zip(ours.weights, page.weights, strict=True):
        assert mine.shape == theirs.shape
        mine.assign(theirs.numpy())
    assert np.array_equal(ours.predict(photographs.x_train[:8]), page.predict(photographs.x_train[:8]))


def test_both_poolings_give_maps_of_the_same_size():
    apart, over = network(8, window=2), network(8, window=3)
    for layer in ("pool1", "pool2", "pool3"):
        shapes = {model.get_layer(layer).calls[0].outputs[0].shape[1:] for model in (apart, over)}
        assert len(shapes) == 1
    assert parameter_counts(apart) == parameter_counts(over)


def test_alpha_is_the_papers_for_pixels_of_0_to_255(photographs):
    """Centred photographs with the alpha that is used give what centred pixels of 0 to 255 give with the paper's."""
    from millrace.experiments.lrn import alpha
    from millrace.experiments.pictures import centred, contrast

    s = 255 * contrast(photographs)
    scaled, raw = network(4, lrn_alpha=alpha(photographs)), network(4, lrn_alpha=1e-4)
    for mine, theirs in zip(scaled.weights, raw.weights, strict=True):
        # biases are 0 at first; the last layer undoes the scale
        mine.assign(theirs.numpy() * (s if theirs.name.startswith("output/kernel") else 1))
    x = centred(photographs).x_train[:16]
    assert np.allclose(scaled.predict(x), raw.predict(x * np.float32(s)), atol=1e-4)


# ---- verdicts


def curve(name, seed, **columns):
    return Curve(name, seed, columns)


def test_dropout_is_judged_by_gap_and_by_epochs(tmp_path):
    train = {dropout.WITHOUT: [0.6, 0.4, 0.1, 0.1, 0.1], dropout.WITH: [0.8, 0.6, 0.5, 0.4, 0.3]}
    held = {dropout.WITHOUT: 0.5, dropout.WITH: 0.45}
    curves = {
        name: [
            curve(name, n, train_error=[v + 0.001 * n for v in train[name]], val_error=[held[name] + 0.001 * n * n] * 5)
            for n in range(3)
        ]
        for name in train
    }
    found = dropout.judged(setting("dropout", tmp_path, seeds=3), curves)
    assert "With dropout: the gap is 35.0 points lower than without dropout" in found.verdict
    assert "it takes 2.0 times as many epochs to 50% training error" in found.verdict
    assert "the paper's 2 is within it" in found.verdict or "more than the paper's 2" in found.verdict
    assert found.rows[0][2] == "10.1 ± 0.1%" and found.rows[2][2] == "40.1 ± 0.1"
    alike = dropout.judged(
        setting("dropout", tmp_path, seeds=3),
        {name: [curve(name, n, train_error=[0.5 + 0.1 * (n * k % 3)] * 3, val_error=[0.5] * 3) for n in range(3)]
         for k, name in enumerate(train, 1)},
    )  # fmt: skip
    assert "cannot tell" in alike.verdict and "is not known" in alike.verdict and alike.rows[3][4] == "unknown times"


def test_what_tanh_did_not_reach_is_at_least(tmp_path):
    def arm(name, errors):
        return [curve(name, n, error=errors) for n in range(3)]

    curves = {"ReLU": arm("ReLU", [0.6, 0.4, 0.25]), "tanh": arm("tanh", [0.6] * 20)}
    searches = {name: [Tried(0.01, one[0], Reached(2.5, True), False)] for name, one in curves.items()}
    found = relu_vs_tanh.judged(setting("relu-vs-tanh", tmp_path, seeds=3), searches, curves)
    assert found.rows[0][2:4] == ["2.5 ± 0.0", "2.5, 2.5, 2.5"]
    assert found.rows[1][2:4] == ["> 19.5", "> 19.5, > 19.5, > 19.5"]
    assert found.rows[2][1:3] == ["6", "> 7.8"] and "at least the paper's 6" in found.verdict
    assert found.numbers["factor"]["kind"] == "at least"
