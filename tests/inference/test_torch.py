"""Weights from PyTorch and back, held to what its modules computed; tests/parity/make_torch_weights.py says how."""

from pathlib import Path

import numpy as np
import pytest

import millrace as mr
from millrace.inference.torch import from_torch, to_torch
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Dense,
    DepthwiseConv2D,
    Embedding,
    GroupNormalization,
    GRUCell,
    Input,
    LayerNormalization,
    MultiHeadAttention,
    Neuron,
    Residual,
    RMSNormalization,
    SeparableConv2D,
    SimpleRNN,
)

with np.load(Path(__file__).parents[1] / "parity" / "torch_weights.npz") as stored:
    FIXTURE = dict(stored)


def state_of(name):
    start = f"{name}/state/"
    return {key.removeprefix(start): array for key, array in FIXTURE.items() if key.startswith(start)}


LAYERS = {
    "dense": lambda: Dense(3),
    "neuron": lambda: Neuron(),
    "conv1d": lambda: Conv1D(6, 3, 2, 1, groups=2),
    "conv2d": lambda: Conv2D(6, (3, 2), (2, 1), (1, 0), (1, 2), 2),
    "conv3d": lambda: Conv3D(3, (1, 2, 3)),
    "conv2d_transpose": lambda: Conv2DTranspose(6, 3, 2, 1, output_padding=1, groups=2),
    "depthwise": lambda: DepthwiseConv2D(3, depth_multiplier=2),
    "batch_normalization": lambda: BatchNormalization(),
    "group_normalization": lambda: GroupNormalization(2),
    "layer_normalization": lambda: LayerNormalization(),
    "rms_normalization": lambda: RMSNormalization(epsilon=1e-6),
    "embedding": lambda: Embedding(7, 4),
    "rnn": lambda: SimpleRNN(5, return_sequences=True),
    "lstm": lambda: LSTM(5, return_sequences=True),
    "gru": lambda: GRU(5, return_sequences=True),
    "stacked_gru": lambda: RNN([GRUCell(5), GRUCell(5)], return_sequences=True),
    "bidirectional_lstm": lambda: Bidirectional(LSTM(5, return_sequences=True)),
    "attention": lambda: MultiHeadAttention(2, 3),
}


def model_of(name):
    x = FIXTURE[f"{name}/x"]
    given = Input(x.shape[1:], dtype="int32" if x.dtype.kind == "i" else "float32")
    layer = LAYERS[name]()
    out = layer(given, given) if name == "attention" else layer(given)
    return mr.Model(given, out), layer, x.astype(given.dtype)


def network():
    return mr.Sequential(
        [
            Input((8, 8, 1)),
            Conv2D(6, 3, padding="same", name="conv1"),
            BatchNormalization(name="norm1"),
            mr.layers.Activation("relu"),
            mr.layers.MaxPooling2D(2),
            Conv2D(8, 3, activation="relu", name="conv2"),
            mr.layers.Flatten(),
            Dense(16, "tanh", name="dense1"),
            Dense(10, name="dense2"),
        ]
    )


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_with_pytorchs_weights_computes_what_pytorch_does(name):
    model, layer, x = model_of(name)
    from_torch(layer, state_of(name))
    expected = FIXTURE[f"{name}/out"]
    np.testing.assert_allclose(model.predict(x).reshape(expected.shape), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_what_came_from_pytorch_goes_back_the_same(name):
    _, layer, _ = model_of(name)
    state = state_of(name)
    from_torch(layer, state)
    back = to_torch(layer)
    assert set(back) == {key for key in state if not key.endswith("num_batches_tracked")}
    for key, array in back.items():
        assert array.flags.c_contiguous and array.shape == state[key].shape
        if not key.startswith("bias_"):
            np.testing.assert_array_equal(array, state[key])
    for end in {key.removeprefix("bias_ih") for key in back if key.startswith("bias_ih")}:
        both = back[f"bias_ih{end}"] + back[f"bias_hh{end}"]
        np.testing.assert_allclose(both, state[f"bias_ih{end}"] + state[f"bias_hh{end}"], rtol=1e-6)


def test_a_network_trained_in_pytorch_predicts_the_same_here():
    model = network()
    from_torch(model, state_of("trained_in_torch"))  # keys 0.weight, 1.weight, ...: found in their order
    x, expected = FIXTURE["trained_in_torch/x"], FIXTURE["trained_in_torch/out"]
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-4)


def test_a_network_trained_here_predicts_the_same_in_pytorch():
    model, state = network(), state_of("trained_in_millrace")
    from_torch(model, state)  # our own export, read back: PyTorch made these outputs with it
    x, expected = FIXTURE["trained_in_millrace/x"], FIXTURE["trained_in_millrace/out"]
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-4)
    again = to_torch(model, like=state)
    assert set(again) == set(state)
    for key in state:
        np.testing.assert_array_equal(again[key], state[key])


def test_names_of_our_layers_are_found_by_name_in_any_order():
    model, other = network(), network()
    state = to_torch(model)
    assert list(state)[:2] == ["conv1.weight", "conv1.bias"] and "norm1.running_var" in state
    from_torch(other, dict(reversed(state.items())))
    for mine, its in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_layers_within_layers_and_separable_ones_have_names_of_their_own():
    x = Input((6, 6, 4))
    block = Residual([Conv2D(4, 3, padding="same", name="a"), BatchNormalization(name="b")], name="block")
    model = mr.Model(x, SeparableConv2D(3, 3, name="sep")(block(x)))
    state = to_torch(model)
    assert set(state) == {
        "block.a.weight", "block.a.bias", "block.b.weight", "block.b.bias", "block.b.running_mean",
        "block.b.running_var", "sep.depthwise.weight", "sep.pointwise.weight", "sep.pointwise.bias",
    }  # fmt: skip
    before = model.get_weights()
    model.set_weights([array + 1 for array in before])
    from_torch(model, state)
    for mine, its in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_slopes_that_are_learned_come_over_a_number_a_channel():
    x = np.random.default_rng(0).standard_normal((2, 3, 2, 4)).astype(np.float32)
    for kind in ({"shared_axes": (1, 2)}, {}):
        flat = not kind  # behind a Flatten, PyTorch's numbers stand channel by channel
        layer = mr.layers.PReLU(**kind)
        model = mr.Sequential([Input((3, 2, 4)), *([mr.layers.Flatten()] if flat else []), layer])
        weight = np.arange(1, 25 if flat else 5, dtype=np.float32) / 8
        from_torch(layer, {"weight": weight})
        np.testing.assert_array_equal(to_torch(layer)["weight"], weight)
        slopes = weight.reshape(4, 3, 2).transpose(1, 2, 0) if flat else weight
        np.testing.assert_allclose(model.predict(x).reshape(x.shape), np.where(x > 0, x, slopes * x), rtol=1e-6)
        from_torch(layer, {"weight": np.float32([0.25])})  # nn.PReLU() has one for all
        np.testing.assert_allclose(model.predict(x).reshape(x.shape), np.where(x > 0, x, 0.25 * x), rtol=1e-6)
    layer = mr.layers.PReLU()
    layer(Input((3, 2, 4)))
    with pytest.raises(ArgumentError, match="shared_axes"):
        to_torch(layer)


def test_a_tensor_is_taken_like_an_array():
    class Tensor:
        def __init__(self, array):
            self.array = array

        def detach(self):
            return self

        def cpu(self):
            return self

        def numpy(self):
            return self.array

    _, layer, _ = model_of("dense")
    from_torch(layer, {key: Tensor(array) for key, array in state_of("dense").items()})
    np.testing.assert_array_equal(layer.kernel.numpy(), state_of("dense")["weight"].T)


def test_what_does_not_fit_is_named_and_nothing_changes():
    model = network()
    before = model.get_weights()
    state = state_of("trained_in_torch")
    with pytest.raises(ShapeError, match=r"layer 'dense2'.*'9'.*\[16, 11\]"):
        from_torch(model, {**state, "9.weight": np.zeros((11, 16), np.float32)})
    with pytest.raises(ArgumentError, match="no weights left for layer 'dense2'") as caught:
        from_torch(model, {k: v for k, v in state.items() if not k.startswith("9.")})
    assert [" ".join(line.split()) for line in str(caught.value).splitlines()[-2:]] == [
        "dense1.weight [16, 32], 1 more 7.weight [16, 32], 1 more",
        "dense2.weight [10, 16], 1 more -",
    ]
    with pytest.raises(ArgumentError, match="no layer here takes: 10"):
        from_torch(model, {**state, "10.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(ArgumentError, match=r"layer 'norm1' \(BatchNormalization\) needs weight, bias, running_mean"):
        from_torch(model, {k: v for k, v in state.items() if "running" not in k})
    for mine, its in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


def plain():
    return mr.Sequential([Input((8,)), Dense(4, use_bias=False, name="fc")], name="plain")


def lstm(count=1):
    return mr.Sequential([Input((5, 4)), *(LSTM(6, return_sequences=True, name=f"lstm{n}") for n in range(count))])


FC = {"fc.weight": np.arange(32, dtype=np.float32).reshape(4, 8)}
STATISTICS = {f"bn.{name}": np.ones(4, np.float32) for name in ("weight", "bias", "running_mean", "running_var")}
LEVELS = {
    f"{name}_l{level}": np.zeros((24, width)[: 1 + name.startswith("weight")], np.float32)
    for level, first in ((0, 4), (1, 6))
    for name, width in (("weight_ih", first), ("weight_hh", 6), ("bias_ih", 0), ("bias_hh", 0))
}


@pytest.mark.parametrize(
    ("make", "state", "message"),
    [
        (plain, {**FC, **STATISTICS}, r"no layer here takes: bn\.weight \[4\], .*bn\.running_var \[4\]"),
        (plain, {**FC, "fc.bias": np.zeros(4, np.float32)}, r"no layer here takes: fc\.bias \[4\]"),
        (
            plain,
            {"0.weight": FC["fc.weight"], "0.bias": np.zeros(4, np.float32)},
            "'fc'.* takes weight, but next .*bias",
        ),
        (plain, {**FC, "fc.weight_scale": np.ones(4, np.int8)}, "fc.weight_scale"),
        (
            lstm,
            {f"lstm0.{key}": array for key, array in LEVELS.items()},
            r"weight_ih_l1 \[24, 6\].*num_layers=2.*RNN\(",
        ),
        (lstm, {f"rnn.{key}": array for key, array in LEVELS.items()}, r"layer 'lstm0'.*num_layers=2.*RNN\("),
        (lambda: lstm(2), LEVELS, r"layer 'lstm0'.*num_layers=2.*RNN\("),
    ],
)
def test_learned_numbers_that_no_layer_takes_are_refused_and_nothing_changes(make, state, message):
    model = make()
    before = model.get_weights()
    with pytest.raises(ArgumentError, match=f"(?s){message}"):
        from_torch(model, state)
    for mine, its in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("name", ["fc", "0"])
def test_what_was_not_learned_and_tied_weights_may_be_left_out(name):
    weight, model = FC["fc.weight"], plain()
    more = {
        "norm.num_batches_tracked": np.int64(3), "position_ids": np.arange(5), "mask": np.ones((2, 2), bool),
        "same.weight": weight, "copied.weight": weight.copy(),
    }  # fmt: skip
    pairs = from_torch(model, {f"{name}.weight": weight, **more})
    assert pairs == ([] if name == "fc" else [("fc", "0")])
    np.testing.assert_array_equal(model.layers[-1].kernel.numpy(), weight.T)
    with pytest.raises(ArgumentError, match="same"):  # another matrix is no tied one
        from_torch(model, {f"{name}.weight": weight, "same.weight": weight + 1})


@pytest.mark.parametrize("name", ["attention", "bidirectional_lstm", "stacked_gru"])
def test_a_layer_of_several_parts_is_taken_whole_by_name_and_by_order(name):
    model, layer, x = model_of(name)
    expected = FIXTURE[f"{name}/out"]
    for prefix in (layer.name, "other"):
        layer.set_weights([0 * array for array in layer.get_weights()])
        pairs = from_torch(model, {f"{prefix}.{key}": array for key, array in state_of(name).items()})
        assert pairs == ([] if prefix == layer.name else [(layer.name, "other")])
        np.testing.assert_allclose(model.predict(x).reshape(expected.shape), expected, rtol=2e-5, atol=2e-6)


def test_what_pytorch_lacks_is_said():
    given = Input((4, 3))
    gru = GRU(2, reset_after=False, name="old")
    gru(given)
    with pytest.raises(ArgumentError, match="layer 'old': PyTorch has no GRU with reset_after=False"):
        to_torch(gru)
    wide = MultiHeadAttention(2, 5, name="wide")
    wide(given, given)
    with pytest.raises(ArgumentError, match=r"layer 'wide'.*num_heads \* key_dim = 3"):
        to_torch(wide)
