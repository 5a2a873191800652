"""A predictor asked from Python: what it takes, and what it says of itself."""

import numpy as np
import pytest

import millrace as mr
from millrace.inference import About, Predictor
from millrace.ir.errors import ArgumentError, DataError
from millrace.layers import Concatenate, Dense, Input


@pytest.fixture(scope="module")
def predictor():
    a, b = Input((5,), name="a"), Input((3,), name="b")
    both = Concatenate()([a, b])
    model = mr.Model([a, b], [Dense(2, name="mean")(both), Dense(1, name="spread")(both)])
    return Predictor.of(model, About("two", classes=("x", "y")), engine="numpy")


def test_it_says_what_it_takes_and_gives(predictor):
    assert [(port.name, str(port.shape[0]), port.shape[1], port.dtype) for port in predictor.inputs] == [
        ("a", "batch", 5, "float32"),
        ("b", "batch", 3, "float32"),
    ]
    assert [port.name for port in predictor.outputs] == ["mean", "spread"]
    assert repr(predictor).startswith("Predictor('two', a: float32[batch, 5], b: float32[batch, 3] -> mean")


def test_batches_of_any_size_give_the_same_answers(predictor):
    rng = np.random.default_rng(0)
    x = {"b": rng.random((7, 3), np.float32), "a": rng.random((7, 5), np.float32)}
    whole = predictor(x["a"], x["b"])
    for size in (1, 3, 7, 100):
        for one, other in zip(predictor.predict(x, batch_size=size), whole, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_inputs_of_different_lengths_are_refused(predictor):
    for lengths in ((2, 3), (3, 2)):
        with pytest.raises(DataError, match=f"has {lengths[0]} examples, but .* has {lengths[1]}"):
            predictor.predict([np.ones((lengths[0], 5)), np.ones((lengths[1], 3))])


def test_what_is_said_of_it_has_to_be_json():
    with pytest.raises(ArgumentError, match=r"kept as JSON.*float32 is not JSON serializable"):
        About("m", measured={"accuracy": np.float32(0.5)})
