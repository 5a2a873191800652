"""Mixed precision: bfloat16 inside the layers, float32 for all that is kept."""

import numpy as np
import pytest

import millrace as mr
from millrace.layers import LSTM, BatchNormalization, Conv2D, Dense, Dropout, Embedding, Flatten, Input, Masking
from millrace.layers.base import MillraceError


@pytest.fixture(autouse=True)
def first_policy():
    mr.set_seed(0)
    yield
    mr.set_dtype_policy(None)


def network():
    return mr.Sequential(
        [
            Input((6, 6, 1)),
            Conv2D(8, 3, name="conv"),
            BatchNormalization(momentum=0.9, name="norm"),
            Flatten(),
            Dropout(0.1),
            Dense(3, "softmax", name="out"),
        ]
    )


def blobs(count=192):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, count)
    x = rng.normal(0, 0.5, (count, 6, 6, 1)).astype(np.float32)
    for n, label in enumerate(y):
        x[n, 2 * label : 2 * label + 2] += 1.5
    return x, y


def test_what_is_kept_is_float32_and_what_is_computed_is_bfloat16(tmp_path):
    mr.set_dtype_policy("mixed_bfloat16")
    model = network()
    mr.set_dtype_policy(None)
    assert str(model.outputs[0].type) == "bfloat16[batch, 3]"
    assert all(layer.calls[0].outputs[0].dtype == "bfloat16" for layer in model.layers)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    assert {v.dtype for v in model.state if v.name.startswith(("conv", "norm", "out", "optimizer/conv"))} == {"float32"}
    x, y = blobs()
    history = model.fit(x, y, batch_size=32, epochs=12, verbose=0)
    assert history.history["accuracy"][-1] > 0.95
    assert model.predict(x).dtype == np.float32
    model.save(tmp_path / "mixed.safetensors")
    again = mr.load_model(tmp_path / "mixed.safetensors")
    assert again.layers[0].policy == "mixed_bfloat16" and str(again.outputs[0].type) == "bfloat16[batch, 3]"
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_it_learns_as_float32_does():
    x, y = blobs()
    losses = []
    for policy in ("float32", "mixed_bfloat16"):
        mr.set_seed(0)
        mr.set_dtype_policy(policy)
        model = network()
        model.compile("sgd", "sparse_categorical_crossentropy")
        losses.append(model.fit(x, y, batch_size=32, epochs=3, verbose=0).batch_losses)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05, atol=0.02)
    assert losses[0] != losses[1]  # it did compute in another precision


def test_a_layers_own_dtype_goes_before_the_policy():
    mr.set_dtype_policy("mixed_bfloat16")
    read = LSTM(4)(Embedding(9, 3)(Input((5,), dtype="int32")))
    assert (read.dtype, Dense(2, dtype="float32")(read).dtype) == ("bfloat16", "float32")


def test_masks_go_through_the_casts_of_the_policy():
    class Reader(mr.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = LSTM(4)

        def call(self, x, mask=None):
            return self.inner(x)  # finds the mask beside x, which was float32 outside

    mr.set_dtype_policy("mixed_bfloat16")
    rows = Input((5, 2))
    reader = Reader()
    model = mr.Model(rows, reader(Masking(dtype="float32")(rows)))
    shorter = Input((3, 2))
    cut = mr.Model(shorter, reader(shorter))
    x = np.random.default_rng(0).standard_normal((4, 5, 2)).astype(np.float32)
    x[:, 3:] = 0
    np.testing.assert_array_equal(model.predict(x), cut.predict(x[:, :3]))


@pytest.mark.parametrize(
    ("policy", "text"),
    [("mixed_float16", "needs its loss scaled"), ("bfloat61", "Did you mean"), (16, "unknown dtype policy")],
)
def test_other_policies_are_refused_in_words(policy, text):
    with pytest.raises(MillraceError, match=text):
        mr.set_dtype_policy(policy)
    with pytest.raises(MillraceError, match=text):
        Dense(3, dtype=policy)
