"""What the report says of held-out examples that come from a source: the real ones alone, each as it looks."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.data.datasets import Dataset
from millrace.data.source import Source, Taken
from millrace.explain.held_out import answers, mistakes
from millrace.ir.types import TensorType


class Greys(Source):
    """Seven pictures, number n of the grey n; two of them are broken."""

    name, count, classes = "greys", 7, ("even", "odd")
    elements = (TensorType("uint8", (2, 2, 1)), TensorType("int32", ()))

    def take(self, numbers):
        x = np.broadcast_to(numbers[:, None, None, None], (len(numbers), 2, 2, 1)).astype(np.uint8)
        return Taken((x, (numbers % 2).astype(np.int32)), {i: "torn" for i, n in enumerate(numbers) if n in (1, 4)})


def network(batch_size):
    """It takes every picture for class 0, the surer the darker."""
    image = mr.Input((2, 2, 1), dtype="uint8", batch_size=batch_size, name="image")
    x = layers.Rescaling(-0.1, name="scale")(layers.Flatten(name="flatten")(image))
    model = mr.Model(image, layers.Dense(2, "softmax", name="out")(x))
    model.get_layer("out").set_weights([np.array([[1.0, 0.0]] * 4, np.float32), np.array([9.0, 0.0], np.float32)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("batch_size", [None, 3], ids=["any batch", "batches of three"])
def test_broken_and_filled_rows_are_no_examples(batch_size):
    source = Greys()
    data = Dataset("greys", source, None, source, None, source.classes, "made here")
    found = answers(network(batch_size), data)
    assert found.truth.tolist() == [0, 0, 1, 1, 0]  # of the pictures 0, 2, 3, 5 and 6
    assert [int(found.example(i)[0, 0, 0]) for i in range(5)] == [0, 2, 3, 5, 6]
    assert found.guess.tolist() == [0] * 5 and found.wrong.tolist() == [2, 3], "the surest mistake is not first"
    shown = mistakes(data, found)
    assert [(one["truth"], one["guess"]) for one in shown] == [("odd", "even")] * 2
    assert shown[0]["sure"] == pytest.approx(1 / (1 + np.exp(-(9 - 0.4 * 3))), rel=1e-5)
