"""Faults that were put into layers by hand and that no other test noticed: each has its test here."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.inference.torch import from_torch, to_torch
from millrace.ir.errors import DataError, ShapeError
from millrace.layers.base import LAYERS
from millrace.layers.calls import mask_of, set_mask
from millrace.layers.initializers import Constant
from millrace.layers.regularizers import L2

RNG = np.random.default_rng(17)
A = np.array([[True, True, False], [True, False, False]])
GLOROT = {"recurrent_initializer": "glorot_uniform"}


@pytest.fixture(autouse=True)
def seed_zero():
    before = dict(LAYERS)
    mr.set_seed(0)
    yield
    mr.set_seed(0)
    LAYERS.clear()
    LAYERS.update(before)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def value(x, *given):
    """What an expression is worth: pairs of an input and its array are given to it."""
    found = mr.function([one for one, _ in given], x, engine="numpy")(*(array for _, array in given))
    return [np.asarray(part) for part in found] if isinstance(found, (list, tuple)) else np.asarray(found)


def masked(*shape, mask=A):
    x = mr.Input(shape, batch_size=len(mask))
    set_mask(x, mr.constant(mask))
    return x


# ---- masks on their way


def test_a_recurrent_layer_that_gives_one_vector_has_no_steps_left_to_mask():
    for kind in (layers.SimpleRNN, layers.LSTM, layers.GRU):
        assert mask_of(kind(3, **GLOROT)(masked(3, 2))) is None
        steps, *states = kind(3, return_sequences=True, return_state=True, **GLOROT)(masked(3, 2))
        np.testing.assert_array_equal(value(mask_of(steps)), A)
        assert all(mask_of(state) is None for state in states)


def test_both_outputs_of_a_bidirectional_layer_are_masked():
    both = layers.Bidirectional(layers.SimpleRNN(2, return_sequences=True, **GLOROT), merge_mode=None)
    for out in both(masked(3, 2)):
        np.testing.assert_array_equal(value(mask_of(out)), A)


@pytest.mark.parametrize("kind", ["heads", "dot", "additive"])
def test_attention_keeps_the_mask_of_its_targets(kind):
    made = {
        "heads": lambda: layers.MultiHeadAttention(1, 2),
        "dot": layers.Attention,
        "additive": layers.AdditiveAttention,
    }
    out = made[kind]()(masked(3, 2), masked(4, 2, mask=np.array([[True] * 4, [False] * 4])))
    np.testing.assert_array_equal(value(mask_of(out)), A)


def test_a_shortcut_that_masks_steps_masks_those_of_the_sum():
    x = masked(3, 2)
    out = layers.Residual(layers.Dense(2), shortcut=layers.Masking())(x)
    data = normal(2, 3, 2)
    data[0, 0] = 0  # padding to the shortcut alone
    np.testing.assert_array_equal(value(mask_of(out), (x, data)), [[False, True, False], [True, False, False]])


def test_an_axis_counted_from_the_end_joins_the_masks_too():
    joined = layers.Concatenate(axis=-2)([masked(3, 2), mr.Input((2, 2), batch_size=2)])
    np.testing.assert_array_equal(value(mask_of(joined)), np.concatenate([A, np.full((2, 2), True)], 1))


def test_a_step_with_one_number_that_is_no_padding_is_real():
    x = mr.Input((3, 2), batch_size=1)
    out = layers.Masking(mask_value=-1.0)(x)
    data = np.float32([[[-1, 5], [-1, -1], [5, 5]]])
    kept, real = value([out, mask_of(out)], (x, data))
    np.testing.assert_array_equal(real, [[True, False, True]])
    np.testing.assert_array_equal(kept, [[[-1, 5], [0, 0], [5, 5]]])


def test_steps_that_are_treated_apart_stay_masked():
    np.testing.assert_array_equal(value(mask_of(layers.TimeDistributed(layers.Dense(4))(masked(3, 2)))), A)


def test_a_neuron_over_steps_leaves_them_masked():
    np.testing.assert_array_equal(value(mask_of(layers.Neuron()(masked(3, 2)))), A)
    x = mr.Input((2,))
    set_mask(x, mr.constant(A))
    assert mask_of(layers.Neuron()(x)) is None


def test_a_mask_that_is_made_within_a_model_reaches_the_layers_after_it():
    words = mr.Input((4,), dtype="int32")
    inner = mr.Model(words, layers.Embedding(5, 3, mask_zero=True)(words))
    given = mr.Input((4,), dtype="int32")
    seen = inner(given)
    model = mr.Model(given, layers.GlobalAveragePooling1D()(seen))
    numbers = np.array([[2, 3, 0, 0], [1, 0, 0, 0]], np.int32)
    table = inner.get_weights()[0]
    np.testing.assert_allclose(model.predict(numbers), [(table[2] + table[3]) / 2, table[1]], rtol=1e-5)
    np.testing.assert_array_equal(value(mask_of(seen), (given, numbers)), numbers != 0)


# ---- recurrent layers


def test_the_first_half_of_the_states_is_the_forward_layers():
    handing_on = {"activation": "linear", "kernel_initializer": "zeros", "recurrent_initializer": "identity"}
    x, a, b = mr.Input((3, 2)), mr.Input((2,)), mr.Input((2,))
    out = layers.Bidirectional(layers.SimpleRNN(2, **handing_on))(x, initial_state=[a, b])
    found = value(out, (x, normal(1, 3, 2)), (a, np.float32([[1, 2]])), (b, np.float32([[3, 4]])))
    np.testing.assert_array_equal(found, [[1, 2, 3, 4]])


def test_recurrent_dropout_has_the_rate_that_is_asked_for_and_a_mask_for_each_example():
    size = 400
    handing_on = {"activation": "linear", "kernel_initializer": "zeros", "recurrent_initializer": "identity"}
    layer = layers.SimpleRNN(size, dropout=0.6, recurrent_dropout=0.2, **handing_on)
    x, h = mr.Input((1, 2)), mr.Input((size,))
    found = value(layer(x, initial_state=h), (x, normal(3, 1, 2)), (h, np.ones((3, size), np.float32)))
    assert (found == 0).mean() == pytest.approx(0.2, abs=0.04)
    np.testing.assert_allclose(found[found != 0], 1 / 0.8, rtol=1e-6)
    assert (found[0] != found[1]).any()


def test_input_dropout_drops_the_same_numbers_at_each_step():
    forgetting = {"activation": "linear", "kernel_initializer": "identity", "recurrent_initializer": "zeros"}
    layer = layers.SimpleRNN(200, dropout=0.25, return_sequences=True, **forgetting)
    x = mr.Input((3, 200))
    found = value(layer(x), (x, np.ones((2, 3, 200), np.float32)))
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1], found.shape))
    assert (found == 0).mean() == pytest.approx(0.25, abs=0.07) and (found[0] != found[1]).any()


def test_an_open_forget_gate_leaves_the_other_biases_as_they_are_asked_for():
    layer = layers.LSTM(2, bias_initializer=Constant(0.5), **GLOROT)
    layer(mr.Input((2, 2)))
    np.testing.assert_array_equal(layer.cell.bias.numpy(), [0.5, 0.5, 1, 1, 0.5, 0.5, 0.5, 0.5])


# ---- penalties of each weight


def test_each_weight_of_a_recurrent_layer_has_a_penalty_of_its_own():
    layer = layers.SimpleRNN(
        2, kernel_initializer="ones", recurrent_initializer="ones", bias_initializer="ones",
        kernel_regularizer=L2(1.0), recurrent_regularizer=L2(10.0), bias_regularizer=L2(100.0),
    )  # fmt: skip
    layer(mr.Input((4, 3)))
    assert sorted(float(value(x)) for x in layer.losses) == [6, 40, 200]  # 3 * 2, 2 * 2 and 2 ones


def test_penalties_of_scales_and_of_the_biases_of_heads():
    norm = layers.BatchNormalization(gamma_regularizer=L2(1.0), beta_regularizer=L2(1.0), beta_initializer="ones")
    norm(mr.Input((3,)))
    assert [float(value(x)) for x in norm.losses] == [3, 3]
    heads = layers.MultiHeadAttention(2, 3, bias_initializer="ones", bias_regularizer=L2(1.0))
    x = mr.Input((4, 5))
    heads(x, x)
    assert [float(value(x)) for x in heads.losses] == [6, 6, 6, 5]


@pytest.mark.parametrize(
    ("make", "shape", "weight"),
    [
        (lambda rule: layers.Dense(2, bias_initializer="ones", bias_regularizer=rule), (3,), "bias"),
        (lambda rule: layers.Conv2D(2, 3, kernel_regularizer=rule), (4, 4, 3), "kernel"),
        (lambda rule: layers.Conv2D(2, 3, bias_initializer="ones", bias_regularizer=rule), (4, 4, 3), "bias"),
        (lambda rule: layers.DepthwiseConv2D(3, depthwise_regularizer=rule), (4, 4, 2), "depthwise_kernel"),
        (lambda rule: layers.SeparableConv2D(2, 3, depthwise_regularizer=rule), (4, 4, 2), "depthwise_kernel"),
        (lambda rule: layers.SeparableConv2D(2, 3, pointwise_regularizer=rule), (4, 4, 2), "pointwise_kernel"),
        (lambda rule: layers.Embedding(5, 2, embeddings_regularizer=rule), (3,), "embeddings"),
    ],
)
def test_a_penalty_is_of_the_weight_that_it_is_named_for(make, shape, weight):
    layer = make(L2(1.0))
    layer(mr.Input(shape, dtype="int32" if weight == "embeddings" else "float32"))
    (penalty,) = layer.losses
    assert float(value(penalty)) == pytest.approx(np.sum(getattr(layer, weight).numpy() ** 2), rel=1e-5)


def test_each_kernel_of_the_heads_has_its_penalty():
    heads = layers.MultiHeadAttention(2, 3, kernel_initializer="ones", kernel_regularizer=L2(1.0))
    heads(mr.Input((4, 5)), mr.Input((4, 7)))
    assert [float(value(x)) for x in heads.losses] == [30, 42, 42, 30]


# ---- attention


def test_dropout_of_attention_thins_the_weights():
    layer = layers.Attention(dropout=0.5)
    x = mr.Input((40, 4))
    out, scores = layer(x, x, return_attention_scores=True)
    first = value(scores, (x, np.zeros((2, 40, 4), np.float32)))  # without dropout all weights are 1 / 40
    assert (first == 0).mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(first[first != 0], 2 / 40, rtol=1e-5)
    data = normal(2, 40, 4)
    model = mr.Model(x, out)
    weights = np.exp(data @ data.swapaxes(1, 2))
    np.testing.assert_allclose(
        model.predict(data), weights / weights.sum(-1, keepdims=True) @ data, rtol=1e-3, atol=1e-4
    )


def test_a_seed_of_its_own_goes_before_that_of_the_run():
    x = mr.Input((3, 4))
    for seed in (0, 9):
        mr.set_seed(seed)
        recurrent, attention = layers.GRU(4, dropout=0.5, seed=5, **GLOROT), layers.Attention(dropout=0.5, seed=6)
        recurrent(x), attention(x, x)
        assert (recurrent.random.numpy()[0], attention.random.numpy()[0]) == (5, 6)


def test_two_uses_of_one_attention_drop_different_weights():
    layer = layers.Attention(dropout=0.5)
    x = mr.Input((40, 4))
    first, second = (layer(x, x, return_attention_scores=True)[1] for _ in range(2))
    one, other = value([first, second], (x, np.zeros((1, 40, 4), np.float32)))
    assert ((one == 0) != (other == 0)).mean() == pytest.approx(0.5, abs=0.06)


def test_an_attention_mask_without_a_batch_holds_for_every_example():
    layer = layers.MultiHeadAttention(1, 2)
    x = mr.Input((3, 4), batch_size=3)  # as many examples as targets: the axes could be taken for one another
    allowed = np.tril(np.ones((3, 3), bool))
    one = layer(x, x, attention_mask=allowed)
    each = layer(x, x, attention_mask=np.broadcast_to(allowed, (3, 3, 3)).copy())
    found, right = value([one, each], (x, normal(3, 3, 4)))
    np.testing.assert_allclose(found, right, rtol=1e-6)


# ---- numbers that are looked up


def test_a_question_with_a_number_beyond_the_memory_is_refused():
    story, question = mr.Input((2, 3), dtype="int32"), mr.Input((3,), dtype="int32")
    model = mr.Model([story, question], layers.MemoryNetwork(6, 4, name="memory")(story, question))
    words = np.ones((2, 2, 3), np.int32)
    with pytest.raises(DataError, match=r"holds the number 6 \(example 1\), but layer 'memory'"):
        model.predict([words, np.array([[1, 2, 3], [1, 6, 0]], np.int32)])


def test_of_two_tables_the_smaller_one_is_the_limit():
    for first, second in ((9, 5), (5, 9)):
        x = mr.Input((2,), dtype="int32")
        outs = [layers.Embedding(n, 2, name=f"table{n}")(x) for n in (first, second)]
        model = mr.Model(x, layers.Add()(outs))
        with pytest.raises(DataError, match="'table5' has rows for 0 to 4"):
            model.predict(np.array([[1, 7]], np.int32))


def test_the_model_up_to_an_error_is_told_from_its_input_on():
    x = mr.Input((8, 8, 1), name="image")
    flat = layers.Flatten(name="flat")(layers.Conv2D(2, 3, name="conv")(x))
    with pytest.raises(ShapeError) as caught:
        layers.Conv2D(2, 3, name="late")(flat)
    text = str(caught.value)
    places = [text.rindex(f"{name}  ") for name in ("image", "conv", "flat", "late")]
    assert places == sorted(places), text


# ---- a layer applied to each step of short batches


def test_normalization_of_each_step_is_trained_though_its_examples_are_steps():
    x = normal(6, 4, 2) + 3
    model = mr.Sequential(
        [mr.Input((4, 2)), layers.TimeDistributed(layers.BatchNormalization(momentum=0.0, name="bn"))]
    )
    model.compile(mr.optimizers.SGD(0.0), "mse", engine="numpy")
    model.fit(x, x, batch_size=6, verbose=0)
    bn = model.layers[-1].layer
    np.testing.assert_allclose(bn.moving_mean.numpy(), x.mean((0, 1)), rtol=1e-5)


# ---- 16 bits


def test_a_layer_made_anew_computes_in_what_it_did_whatever_the_policy_is_now():
    plain = layers.Dense(2).get_config()
    mr.set_dtype_policy("mixed_bfloat16")
    try:
        again, new = layers.Dense.from_config(plain), layers.Dense(2)
    finally:
        mr.set_dtype_policy(None)
    x = mr.Input((3,))
    assert (again(x).dtype, new(x).dtype) == ("float32", "bfloat16")


def test_a_gradient_within_autocast_is_of_the_variable_as_it_is():
    w, x = mr.Variable(np.float32([1, 2]), "w"), mr.Input((2,))
    with mr.autocast("bfloat16"):
        loss = mr.sum(mr.cast(mr.cast(x, "bfloat16") * w, "float32"))
        (slope,) = mr.gradients(loss, [w])
    assert slope.dtype == "float32"
    np.testing.assert_array_equal(value(slope, (x, np.float32([[2, 4], [1, 1]]))), [3, 5])


def test_the_slope_of_gelu_is_finite_where_a_cube_overflows():
    x = mr.Input((3,), dtype="float16")
    (slope,) = mr.gradients(mr.sum(mr.cast(mr.gelu(x, approximate=True), "float32")), [x])
    np.testing.assert_array_equal(value(slope, (x, np.float16([[-5000, 500, 60000]]))), [[0, 1, 1]])


def test_sparsemax_of_16_bits_is_that_of_32_rounded():
    x = normal(6, 30).astype("float16")
    half, wide = mr.Input((30,), dtype="float16"), mr.Input((30,))
    right = value(mr.sparsemax(wide), (wide, x.astype(np.float32)))
    np.testing.assert_array_equal(value(mr.sparsemax(half), (half, x)), right.astype(np.float16))


# ---- weights from PyTorch


def test_channels_are_put_in_order_through_what_lies_between_flatten_and_dense():
    def network(*between):
        return mr.Sequential(
            [
                mr.Input((2, 3, 2)),
                layers.Conv2D(2, 1, name="conv"),
                layers.Flatten(),
                *between,
                layers.Dense(3, name="d"),
            ]
        )

    plain, apart = network(), network(layers.Dropout(0.5), layers.Activation("relu"))
    state, last = to_torch(plain), plain.get_layer("d").kernel.numpy()
    kernel = last.reshape(2, 3, 2, 3)  # height, width, channels, units
    np.testing.assert_array_equal(state["d.weight"], kernel.transpose(3, 2, 0, 1).reshape(3, 12))
    from_torch(apart, state)
    np.testing.assert_array_equal(apart.get_layer("d").kernel.numpy(), last)


def test_projections_of_widths_of_their_own_are_told_apart():
    def heads():
        layer = layers.MultiHeadAttention(2, 2)
        layer(mr.Input((3, 4)), mr.Input((5, 6)), mr.Input((5, 6)))
        return layer

    layer, again = heads(), heads()
    state = to_torch(layer)
    for name, (kernel, _) in (("q", layer.query_pair), ("k", layer.key_pair), ("v", layer.value_pair)):
        np.testing.assert_array_equal(state[f"{name}_proj_weight"], kernel.numpy().reshape(kernel.shape[0], -1).T)
    from_torch(again, state)
    for old, new in zip(layer.weights, again.weights, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())
