"""What is compared computes the same: Millrace's networks and those in plain JAX, on the same weights."""

import jax
import numpy as np
import pytest
from benchmarks.contenders.inputs import examples
from benchmarks.contenders.jax_networks import network as plain_network
from benchmarks.contenders.millrace_networks import network
from benchmarks.workloads import NETWORKS, Workload


def weights_of(model, name):
    """A model's weights by the names that the network in JAX has for them."""
    arrays = [weight.numpy() for weight in model.trainable_weights]
    if name == "lstm":
        names = ["kernel", "recurrent", "kernel_bias", "out", "out_bias"]
    elif name == "gru":
        names = ["kernel", "recurrent", "kernel_bias", "recurrent_bias", "out", "out_bias"]
        arrays[2:3] = list(arrays[2])  # both biases are one weight of Millrace
    else:
        names = list(plain_network(NETWORKS[name]).shapes)
    return dict(zip(names, arrays, strict=True))


@pytest.mark.parametrize("name", ["lenet", "cifar_quick", "mlp", "lstm", "gru", "digits", "alexnet_toy"])
def test_millrace_and_plain_jax_predict_the_same(name):
    chosen = NETWORKS[name]
    model, plain = network(chosen), plain_network(chosen)
    weights = weights_of(model, name)
    assert {key: w.shape for key, w in weights.items()} == plain.shapes
    x, y = examples(Workload(name, chosen, 3))
    assert x.shape == (3, *chosen.shape) and y.max() < chosen.classes
    scores, _ = plain.apply(weights, {}, x, jax.random.key(0), False)
    np.testing.assert_allclose(model.predict(x, engine="numpy"), jax.nn.softmax(scores), atol=1e-5)


def test_resnet18_and_alexnet_in_jax_have_the_published_numbers_of_weights():
    counts = {
        name: sum(map(np.prod, plain_network(NETWORKS[name]).shapes.values())) for name in ("alexnet", "resnet18")
    }
    assert counts == {"alexnet": 60_965_224, "resnet18": 11_689_512}
