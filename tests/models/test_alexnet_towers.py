"""AlexNet's two towers on two devices: the losses and weights of one device, and what figure 2 says crosses."""

import numpy as np
import pytest

import millrace as mr
from millrace.models import alexnet
from millrace.models.alexnets import optimizer

WIDTH, SIZE, BATCH = 1 / 8, 67, 4
MEET = {"conv3", "flatten", "fc6", "fc7", "fc8"}  # where the towers see each other, in figure 2


def trained(variant, mesh, size=SIZE):
    mr.set_seed(0)
    model = alexnet(variant, classes=6, width=WIDTH, size=size, bias=0.1)
    model.compile(optimizer(0.01, variant), "sparse_categorical_crossentropy", ["accuracy"], mesh=mesh)
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 40, (2 * BATCH, size, size, 3)).astype(np.float32), rng.integers(0, 6, 2 * BATCH)
    history = model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, seed=4)
    return model, history.history["loss"]


def between_towers(model):
    """What the towers exchange in a training step: bytes by layer and kind."""
    (program,) = model.training_steps.train.programs
    found = {}
    for one in program.crossings:
        if one.axes == ("tower",):
            key = (one.node.layer, one.kind)
            found[key] = found.get(key, 0) + one.bytes
    return found


@pytest.fixture(scope="module", params=["paper", "release"])
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def alone(variant):
    return trained(variant, None)


@pytest.mark.parametrize("mesh", [mr.Mesh(tower=2), mr.Mesh(data=2, tower=2)], ids=str)
def test_two_devices_learn_what_one_does(variant, mesh, alone):
    model, losses = trained(variant, mesh)
    one, of_one = alone
    np.testing.assert_allclose(losses, of_one, rtol=1e-4)
    for got, want in zip(model.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)
    found = between_towers(model)
    layers = {layer for layer, _ in found if layer in {one.name for one in model.layers}}
    norms = {"norm1", "norm2"} if variant == "paper" else set()
    assert {"conv3", "fc7", "fc8"} | norms <= layers <= MEET | norms, "conv1, 2, 4 and 5 see their own half alone"
    here, maps, side = BATCH // mesh.along("data"), round(256 * WIDTH), 3  # of pool2, at 67 pixels
    assert found["conv3", "all-gather"] == here * side * side * maps // 2 * 4


def test_half_of_every_weight_lies_on_each_device(variant):
    model, _ = trained(variant, mr.Mesh(tower=2))
    for weight in model.trainable_weights:
        (part,) = {shard.data.size for shard in weight._buffer.addressable_shards}
        assert part * 2 == weight.numpy().size, weight.name
