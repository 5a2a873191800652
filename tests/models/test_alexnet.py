"""AlexNet's network: its numbers as published, and its gradients as PyTorch finds them."""

import sys
from pathlib import Path

import numpy as np
import pytest

import millrace as mr
from millrace.models import alexnet

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))
from alexnet_case import case, places  # noqa: E402

# Krizhevsky et al. 2012, section 3.5: kernels, maps, and the numbers of weights that follow.
LAYERS = {
    "conv1": ((55, 55, 96), 34_944), "conv2": ((27, 27, 256), 307_456), "conv3": ((13, 13, 384), 885_120),
    "conv4": ((13, 13, 384), 663_936), "conv5": ((13, 13, 256), 442_624), "fc6": ((4096,), 37_752_832),
    "fc7": ((4096,), 16_781_312), "fc8": ((1000,), 4_097_000),
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return alexnet.network()


def test_layers_have_the_sizes_of_the_paper(model):
    for name, (shape, count) in LAYERS.items():
        layer = model.get_layer(name)
        assert layer.output.shape[1:] == shape, name
        assert sum(int(np.prod(v.shape)) for v in layer.weights) == count, name
    assert sum(int(np.prod(v.shape)) for v in model.trainable_weights) == 60_965_224
    neurons = sum(int(np.prod(shape)) for shape, _ in LAYERS.values())
    assert neurons == 659_272  # "650,000 neurons"


def test_first_weights_are_those_of_section_5(model):
    for name in LAYERS:
        kernel, bias = (v.numpy() for v in model.get_layer(name).weights)
        assert abs(kernel.mean()) < 5 * 0.01 / kernel.size**0.5 and abs(kernel.std() / 0.01 - 1) < 0.02
        assert set(np.unique(bias)) == {1.0 if name in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0}


def test_gradients_agree_with_pytorch(model):
    weights, images, labels = case()
    variables = {v.name: v for v in model.trainable_weights}
    assert set(variables) == set(weights)
    for name, array in weights.items():
        variables[name].assign(array)
    form = model.form().for_use()
    y = mr.Input((), dtype="int32", name="y")
    found = form.outputs[0]
    loss = mr.mean(-mr.log(mr.sum(found * mr.one_hot(y, 1000), axis=1)))
    gradients = mr.gradients(loss, list(variables.values()))
    run = mr.function([form.inputs[0], y], [found, loss, *gradients])
    probabilities, value, *arrays = (np.asarray(a) for a in run(images, labels))
    with np.load(PARITY / "alexnet.npz") as expected:
        np.testing.assert_allclose(probabilities, expected["probabilities"], rtol=1e-4, atol=1e-9)
        assert abs(value / expected["loss"] - 1) < 1e-5
        for name, array in zip(variables, arrays, strict=True):
            norm, sample = expected[f"{name}/norm"], expected[f"{name}/sample"]
            assert abs(np.linalg.norm(array.astype(np.float64)) / norm - 1) < 1e-4, name
            difference = np.abs(array.reshape(-1)[places(array.size)] - sample)
            assert difference.max() <= 1e-4 * np.abs(sample).max(), name
