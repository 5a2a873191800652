"""AlexNet's variants beside the same networks in PyTorch: scores, every gradient, and one step of the paper's rule."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import millrace as mr
from millrace.models import alexnet, alexnets

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
from alexnet_case import RATE, VARIANTS, WIDTHS, case, places  # noqa: E402


@cache
def expected(variant):
    with np.load(PARITY / f"alexnet_{variant}.npz") as stored:
        return dict(stored)


def sampled(array):
    return np.asarray(array).reshape(-1)[places(array.size)]


def near(found, wanted, name, share=1e-4):
    """Within a share of the greatest of what is wanted."""
    assert np.shape(found) == np.shape(wanted)
    assert np.abs(found - wanted).max() <= share * np.abs(wanted).max(), name


@cache
def found(variant):
    """The same arrays of Millrace, and `NAME/first` and `NAME/velocity`: a weight before the step, its v after it."""
    weights, images, labels = case(variant)
    model = alexnet(variant, width=WIDTHS[variant], dropout=0, kernel_initializer="zeros")
    variables = {v.name: v for v in model.trainable_weights}
    assert {name: v.shape for name, v in variables.items()} == {name: a.shape for name, a in weights.items()}
    for name, array in weights.items():
        variables[name].assign(array)
    form = model.form().for_use()
    scores = form.outputs[0].node.inputs[0]  # of the softmax
    y = mr.Input((), dtype="int32", name="y")
    loss = mr.mean(mr.softmax_cross_entropy(scores, y))
    rule = alexnets.optimizer(RATE)
    gradients = mr.gradients(loss, list(variables.values()))
    updates = rule.updates(list(variables.values()), gradients)
    run = mr.function([form.inputs[0], y], [scores, loss, *gradients], updates=updates)
    results = [np.asarray(a) for a in run(images, labels)]
    arrays = {"scores": results[0], "loss": results[1]}
    for (name, variable), gradient in zip(variables.items(), results[2:], strict=True):
        wide = gradient.astype(np.float64).reshape(-1, gradient.shape[-1])
        arrays[f"{name}/norms"] = np.linalg.norm(wide, axis=0) if gradient.ndim > 1 else gradient
        arrays[f"{name}/sample"] = sampled(gradient)
        arrays[f"{name}/stepped"] = sampled(variable.numpy())
        arrays[f"{name}/velocity"] = sampled(rule.memory[variable]["velocity"].numpy())
        arrays[f"{name}/first"] = sampled(weights[name])
    return arrays


# the two that differ most from each other; the others take as long again
TRIED = [one if one in ("paper", "torchvision") else pytest.param(one, marks=pytest.mark.slow) for one in VARIANTS]


def kept(variant, kind):
    """Both sides' arrays of a kind, by name."""
    theirs = {name: array for name, array in expected(variant).items() if name.endswith(f"/{kind}")}
    assert len(theirs) == 16
    return [(name, found(variant)[name], array) for name, array in theirs.items()]


@pytest.mark.parametrize("variant", TRIED)
def test_scores_and_loss_agree_with_pytorch(variant):
    near(found(variant)["scores"], expected(variant)["scores"], "scores")
    assert abs(found(variant)["loss"] / expected(variant)["loss"] - 1) < 1e-5


@pytest.mark.parametrize("variant", TRIED)
def test_every_gradient_agrees_with_pytorch(variant):
    for kind in ("norms", "sample"):
        for name, ours, theirs in kept(variant, kind):
            near(ours, theirs, name)


@pytest.mark.parametrize("variant", TRIED)
def test_one_step_of_the_papers_rule_agrees_with_pytorch(variant):
    for name, ours, theirs in kept(variant, "stepped"):
        near(ours, theirs, name, 1e-6)


@pytest.mark.parametrize("variant", TRIED)
def test_one_step_is_section_5_written_out_in_float64(variant):
    arrays = {name: np.asarray(array, np.float64) for name, array in found(variant).items()}
    for name in {name.rpartition("/")[0] for name in arrays if "/" in name}:
        w, g = arrays[f"{name}/first"], arrays[f"{name}/sample"]
        v = -0.0005 * RATE * w - RATE * g  # from rest
        near(arrays[f"{name}/velocity"], v, name, 1e-6)
        near(arrays[f"{name}/stepped"], w + v, name, 1e-6)
