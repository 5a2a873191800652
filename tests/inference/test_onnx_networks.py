"""ONNX export of every network of millrace.models: ONNX Runtime answers on real inputs as the XLA engine does."""

import numpy as np
import pytest
from onnx_running import operators, session

from millrace.data.stories import stories
from millrace.inference import Predictor
from millrace.inference.onnx.exporting import to_onnx
from millrace.inference.onnx.importing import from_onnx
from millrace.inference.precision import lowered
from millrace.models import (
    RECIPES,
    alexnet,
    char_rnn,
    cifar_quick,
    digits,
    fashion,
    lenet,
    memory_network,
    mlp,
    perceptron,
    resnet18,
    sentiment,
)
from millrace.models.alexnets import VARIANTS, photographs

TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness"


def scanned():
    """Handwritten digits as scikit-learn has them, [5, 8, 8, 1], from 0 to 1."""
    from sklearn.datasets import load_digits

    return (load_digits().images[:5, :, :, None] / 16).astype(np.float32)


def ink():
    """The same digits in the middle of 28 x 28 pixels, each pixel three wide."""
    return np.pad(np.kron(scanned(), np.ones((1, 3, 3, 1), np.float32)), ((0, 0), (2, 2), (2, 2), (0, 0)))


def pieces(side, dtype="float32"):
    """Five pieces of a photograph, [5, side, side, 3], from 0 to 1, or as bytes."""
    from sklearn.datasets import load_sample_image

    photograph = load_sample_image("flower.jpg")
    cut = np.stack([photograph[n * 30 : n * 30 + side, n * 60 : n * 60 + side] for n in range(5)])
    return cut if dtype == "uint8" else (cut / 255).astype(dtype)


def letters(count, length):
    """Five pieces of a text as numbers below `count`."""
    return np.array([[ord(c) % count for c in TEXT[n : n + length].ljust(length)] for n in range(5)], np.int32)


def told():
    read = stories(5)
    return read.story.astype(np.int32), read.question.astype(np.int32)


NETWORKS = {
    "digits": (digits.network, lambda: [scanned()]),
    "perceptron": (perceptron.network, lambda: [scanned()]),
    "mlp": (mlp.network, lambda: [scanned()]),
    "lenet": (lenet.network, lambda: [ink()]),
    "fashion": (fashion.network, lambda: [ink()]),
    "cifar_quick": (cifar_quick.network, lambda: [pieces(32)]),
    "resnet18": (lambda: resnet18.small_network(width=0.25), lambda: [pieces(32)]),
    "char_rnn": (lambda: char_rnn.network(characters=40, steps=6), lambda: [letters(40, 6)]),
    "sentiment": (lambda: sentiment.network(words=50), lambda: [letters(50, 40)]),
    "memory_network": (memory_network.network, lambda: list(told())),
    **{
        f"alexnet {variant}": (
            lambda variant=variant: alexnet(variant, 10, width=0.05, size=95), lambda: [255 * pieces(95) - 120]
        )
        for variant in VARIANTS
    },
    "alexnet photographs": (
        lambda: alexnet(classes=10, width=0.05, front=photographs(95, 100)), lambda: [pieces(100, "uint8")]
    ),
}  # fmt: skip


def lively(predictor, brightness=1.0):
    """With weights that keep what they pass on at its size, and biases other than 0, so that answers differ.

    brightness: about how large the inputs are, or how much the network adds to them on its way.
    """
    rng = np.random.default_rng(0)
    for variable in predictor.graph.variables:
        if variable.ndim > 1:
            deviation = np.sqrt(2 / np.prod(variable.shape[:-1])) if "embedding" not in variable.name else 1.0
            variable.assign(rng.normal(0, deviation / brightness, variable.shape).astype(np.float32))
            brightness = 1.0
        elif variable.dtype == "float32":
            variable.assign(variable.numpy() + rng.normal(0, 0.05, variable.shape).astype(np.float32))
    return predictor


def hold(predictor, arrays):
    """Batches of 1, 2 and 5 through one file agree with the predictor's engine to 1e-5; the operators of the file."""
    model = to_onnx(predictor)
    started, names = session(model), [port.name for port in predictor.inputs]
    want = predictor(*arrays)
    for count in (1, 2, 5):
        got = started.run(None, {name: x[:count] for name, x in zip(names, arrays, strict=True)})
        for a, b in zip(got, want, strict=True):
            assert a.shape == (count, *b.shape[1:])
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b[:count], rtol=0, atol=1e-5)
    return operators(model)


def test_every_recipe_has_a_network_here():
    trained = {name for name, recipe in RECIPES.items() if hasattr(recipe, "build")}
    assert trained == {name.split()[0] for name in NETWORKS}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_answers_the_same_in_onnx_runtime(name):
    network, inputs = NETWORKS[name]
    brightness = {"alexnet": 60.0, "resnet18": 16.0}.get(name.split()[0], 1.0)
    predictor = lively(Predictor.of(network()), brightness)
    written = hold(predictor, inputs())
    if "Conv" in written:
        assert written.count("Transpose") <= 1  # of the picture, to channels first
        assert "MatMul" not in written  # each dense layer is one Gemm
    spread = np.ptp(predictor(*inputs())[0], axis=0).max()
    assert spread > 0.01, "the examples are all answered alike, so that nothing was compared"


def test_alexnet_reads_as_its_paper():
    written = operators(to_onnx(Predictor.of(alexnet("paper", 10, width=0.05, size=95))))
    norm = ["Conv", "Relu", "LRN", "MaxPool"]
    dense = ["Gemm", "Relu", "Gemm", "Relu", "Gemm", "Softmax"]
    assert [op for op in written if op not in ("Transpose", "Squeeze", "Flatten")] == [
        *norm, *norm, "Conv", "Relu", "Conv", "Relu", "Conv", "Relu", "MaxPool", *dense,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["lenet", "sentiment", "alexnet release"])
def test_a_file_that_was_written_is_read_again(name):
    """And what was read can be written once more."""
    network, inputs = NETWORKS[name]
    predictor = lively(Predictor.of(network(), engine="numpy"))
    model = to_onnx(predictor)
    again = from_onnx(model, engine="numpy")
    np.testing.assert_allclose(again(*inputs())[0], predictor(*inputs())[0], rtol=0, atol=1e-6)
    assert again.about == predictor.about
    assert hold(again, inputs()).count("Conv") == operators(model).count("Conv")


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", ["digits", "char_rnn"])
def test_weights_in_few_bits_answer_the_same(name, precision):
    network, inputs = NETWORKS[name]
    exact = lively(Predictor.of(network(), engine="numpy"))
    predictor = lowered(exact, precision)
    hold(predictor, inputs())
    float32 = sum(t.ByteSize() for t in to_onnx(exact).graph.initializer)
    kept = sum(t.ByteSize() for t in to_onnx(predictor).graph.initializer)
    assert kept < float32 * (0.55 if precision == "bfloat16" else 0.32)


def test_lenet_answers_the_same_on_mnist(real_data):
    from millrace.data.datasets import mnist

    real_data("mnist")
    hold(lively(Predictor.of(lenet.network())), [mnist().x_validation[:5].astype(np.float32)])


@pytest.mark.slow
def test_the_whole_resnet_answers_the_same():
    hold(lively(Predictor.of(resnet18.network()), 16.0), [pieces(224)])


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_whole_alexnet_answers_the_same(variant):
    side = VARIANTS[variant].size
    hold(lively(Predictor.of(alexnet(variant)), 60.0), [255 * pieces(side) - 120])
