"""What layers do that no single number of an oracle shows: randomness, state, masks, penalties."""

import warnings

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.dims import dim
from millrace.ir.errors import ArgumentError
from millrace.layers.base import LAYERS
from millrace.layers.calls import mask_of, set_mask
from millrace.layers.regularizers import L1, L1L2, L2, OrthogonalRegularizer, Regularizer

ENGINES = pytest.mark.parametrize("engine", ["xla", "numpy"])
RNG = np.random.default_rng(5)


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


def trained_once(layer, x, steps=1, engine="numpy"):
    """What a layer makes of x in some steps of training."""
    given = mr.Input(x.shape[1:])
    run = mr.function([given], layer(given), dict(layer.all_updates), engine=engine)
    return [np.asarray(run(x)) for _ in range(steps)]


# ---- what is random


@ENGINES
@pytest.mark.parametrize("arguments", [{"rate": 0.3}, {"keep_prob": 0.7}])
@pytest.mark.parametrize(("kind", "space"), [("1D", (7,)), ("2D", (3, 4)), ("3D", (2, 3, 2))])
def test_spatial_dropout_drops_whole_channels(kind, space, arguments, engine):
    layer = getattr(layers, f"SpatialDropout{kind}")(**arguments)
    (out,) = trained_once(layer, np.ones((40, *space, 50), np.float32), engine=engine)
    first = out.reshape(40, -1, 50)
    np.testing.assert_array_equal(first, np.broadcast_to(first[:, :1], first.shape))
    assert (first[:, 0] == 0).mean() == pytest.approx(0.3, abs=0.035)
    np.testing.assert_allclose(first[first != 0], 1 / 0.7, rtol=1e-6)


@ENGINES
def test_gaussian_noise_and_dropout_have_their_mean_and_deviation(engine):
    x = np.full((200, 300), 3, np.float32)
    (noisy,) = trained_once(layers.GaussianNoise(0.5), x, engine=engine)
    assert noisy.mean() == pytest.approx(3, abs=0.01) and noisy.std() == pytest.approx(0.5, rel=0.02)
    (times,) = trained_once(layers.GaussianDropout(0.2), x, engine=engine)
    assert times.mean() == pytest.approx(3, rel=0.01) and times.std() == pytest.approx(3 * np.sqrt(0.25), rel=0.02)
    first, second = trained_once(layers.GaussianNoise(0.5), x, 2, engine=engine)
    assert (first != second).any()


def test_the_gradient_goes_through_the_same_mask():
    x = mr.Input((1000,))
    for layer in (layers.Dropout(0.4), layers.GaussianDropout(0.4)):
        out = layer(x)
        (dx,) = mr.gradients(mr.sum(out), [x])
        value, slope = mr.function([x], [out, dx], engine="numpy")(np.full((2, 1000), 2, np.float32))
        np.testing.assert_allclose(value, 2 * slope, rtol=1e-6)


def test_a_noise_shape_shares_its_mask():
    (out,) = trained_once(layers.Dropout(0.5, noise_shape=(None, 1, None)), np.ones((30, 5, 40), np.float32))
    np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1], out.shape))
    assert (out[:, 0] == 0).mean() == pytest.approx(0.5, abs=0.06)


@ENGINES
@pytest.mark.parametrize(
    "layer",
    [
        layers.Dropout(0.5), layers.SpatialDropout1D(0.5), layers.GaussianNoise(1.0), layers.GaussianDropout(0.5),
        layers.ActivityRegularization(0.1, 0.1),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_noise_is_gone_in_use(layer, engine):
    x = normal(4, 5, 3)
    again = type(layer).from_config(layer.get_config())
    model = mr.Sequential([mr.Input((5, 3)), again])
    model.compile("sgd", "mse", engine=engine)
    np.testing.assert_array_equal(model.predict(x), x)
    penalty = float(model.evaluate(x, x)["loss"])  # of the activity alone
    assert (penalty > 0) == isinstance(layer, layers.ActivityRegularization)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_recurrent_dropout_uses_one_mask_for_all_steps_and_none_in_use(kind):
    ones = {"kernel_initializer": "ones", "recurrent_initializer": "glorot_uniform"}
    layer = getattr(layers, kind)(3, dropout=0.5, recurrent_dropout=0.25, **ones)
    given = mr.Input((6, 4))
    model = mr.Model(given, layer(given))
    plain = getattr(layers, kind)(3, **ones)
    twin = mr.Model(given, plain(given))
    twin.set_weights(model.get_weights()[-len(twin.weights) :] if len(model.weights) > len(twin.weights) else [])
    x = normal(2, 6, 4)
    np.testing.assert_allclose(model.predict(x), twin.predict(x), rtol=1e-6)
    first, second = trained_once(layer, x, 2)
    assert np.isfinite(first).all() and (first != second).any()


# ---- penalties


def value(x):
    return float(mr.function([], x, engine="numpy")())


def test_regularizers_by_hand():
    w = np.array([[1, -2], [0, 3]], np.float32)
    assert value(L1(0.1)(w)) == pytest.approx(0.6)
    assert value(L2(0.1)(w)) == pytest.approx(1.4)
    assert value(L1L2(0.1, 0.01)(w)) == pytest.approx(0.6 + 0.14)
    cosine = abs(1 * 0 + -2 * 3) / (np.sqrt(5) * 3)
    assert value(OrthogonalRegularizer(0.1)(w)) == pytest.approx(0.1 * cosine, rel=1e-5)
    across = abs(1 * -2 + 0 * 3) / np.sqrt(13)
    assert value(OrthogonalRegularizer(0.1, mode="columns")(w)) == pytest.approx(0.1 * across, rel=1e-5)
    assert value(OrthogonalRegularizer(0.1)(np.eye(3, dtype=np.float32))) == 0


@pytest.mark.parametrize("name", ["l1", "l2", "l1l2", "orthogonal_regularizer", "L2"])
def test_a_penalty_is_known_by_name_and_in_its_layers_losses(name):
    layer = layers.Dense(2, kernel_regularizer=name)
    layer(mr.Input((3,)))
    assert len(layer.losses) == 1
    again = layers.Dense.from_config(layer.get_config())
    again(mr.Input((3,)))
    again.kernel.assign(layer.kernel.numpy())
    assert value(again.losses[0]) == value(layer.losses[0])


def test_an_activity_penalty_is_divided_by_the_batch():
    x = normal(4, 3)
    for layer in (layers.ActivityRegularization(0.1, 0.2), layers.Identity(activity_regularizer=L1L2(0.1, 0.2))):
        given = mr.Input((3,))
        layer(given)
        got = mr.function([given], layer.losses[0], engine="numpy")(x)
        assert got == pytest.approx((0.1 * np.abs(x).sum() + 0.2 * np.square(x).sum()) / 4, rel=1e-5)


def test_training_adds_penalties_to_the_loss():
    model = mr.Sequential([mr.Input((2,)), layers.Dense(1, use_bias=False, kernel_regularizer=L2(0.5))])
    model.set_weights([[[1.0], [2.0]]])
    model.compile(mr.optimizers.SGD(0.1), "mse", engine="numpy")
    model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], [[0.9], [1.8]], rtol=1e-6)


def test_a_regularizer_of_ones_own():
    before = dict(Regularizer.known)

    class Far(Regularizer):
        def call(self, x):
            return mr.sum(mr.square(x - 1.0))

    layer = layers.Dense(1, use_bias=False, kernel_initializer="zeros", kernel_regularizer="far")
    layer(mr.Input((3,)))
    assert value(layer.losses[0]) == 3
    Regularizer.known.clear()
    Regularizer.known.update(before)


# ---- batch normalization over several steps


def by_hand(batches, momentum, epsilon=1e-3):
    mean, variance = 0.0, 1.0
    for x in batches:
        axes = tuple(range(x.ndim - 1))
        mean = momentum * mean + (1 - momentum) * x.astype(np.float64).mean(axes)
        variance = momentum * variance + (1 - momentum) * x.astype(np.float64).var(axes)
    return mean, variance


@ENGINES
@pytest.mark.parametrize("shape", [(10, 3), (10, 2, 2, 3)])
def test_running_statistics_follow_the_real_examples_of_each_batch(shape, engine):
    x = 2 * normal(*shape) + 1
    model = mr.Sequential([mr.Input(shape[1:]), layers.BatchNormalization(momentum=0.8)])
    model.compile(mr.optimizers.SGD(0.0), "mse", engine=engine)
    model.fit(x, x, batch_size=4, epochs=2, shuffle=False, verbose=0)  # the last batch of each epoch has 2 examples
    layer = model.layers[-1]
    mean, variance = by_hand([x[:4], x[4:8], x[8:]] * 2, 0.8)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-5)
    right = (x - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(model.predict(x), right, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.predict(x[:1]), right[:1], rtol=1e-4, atol=1e-5)


def test_a_short_last_batch_gives_the_same_loss_and_weights_as_when_it_comes_alone():
    x, y = normal(6, 3), normal(6, 2)
    runs = []
    for alone in (False, True):
        mr.set_seed(1)
        model = mr.Sequential([mr.Input((3,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)])
        model.compile(mr.optimizers.SGD(0.1), "mse", engine="numpy")
        if alone:
            model.fit(x[:4], y[:4], batch_size=4, shuffle=False, verbose=0)
            model.fit(x[4:], y[4:], batch_size=2, shuffle=False, verbose=0)
        else:
            model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        runs.append(model.get_weights())
    for a, b in zip(*runs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_frozen_batch_normalization_keeps_its_statistics_and_uses_them():
    layer = layers.BatchNormalization(trainable=False)
    model = mr.Sequential([mr.Input((3,)), layer, layers.Dense(1)])
    before = [w.numpy() for w in layer.weights]
    model.compile("sgd", "mse", engine="numpy")
    x = 5 * normal(8, 3) + 2
    model.fit(x, normal(8, 1), epochs=2, verbose=0)
    for old, new in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


# ---- recurrent layers: state, cells of one's own, masks


class Minimal(layers.Layer):
    """Keras's example of a cell: state_size, build and call(inputs, states)."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, x):
        self.kernel = self.add_weight("kernel", (x.shape[-1], self.units), "glorot_uniform")
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, self.units), "glorot_uniform")

    def call(self, inputs, states):
        h = mr.matmul(inputs, self.kernel)
        output = h + mr.matmul(states[0], self.recurrent_kernel)
        return output, [output]


@ENGINES
def test_a_cell_of_ones_own_alone_and_stacked(engine):
    x = normal(2, 4, 3)
    given = mr.Input((4, 3))
    rnn = layers.RNN([Minimal(5), Minimal(2)], return_sequences=True, return_state=True)
    got = mr.function([given], rnn(given), engine=engine)(x)
    (k1, u1, k2, u2), a, b, steps = [w.numpy() for w in rnn.weights], np.zeros((2, 5)), np.zeros((2, 2)), []
    for t in range(4):
        a = x[:, t] @ k1 + a @ u1
        b = a @ k2 + b @ u2
        steps.append(b)
    for found, right in zip(got, (np.stack(steps, 1), a, b), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)
    alone = layers.RNN.from_config(layers.RNN(Minimal(5)).get_config())
    assert alone(given).shape[1:] == (5,)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_a_stateful_layer_goes_on_where_the_last_batch_ended(kind):
    made = {"recurrent_initializer": "glorot_uniform"}
    x = normal(2, 6, 3)
    whole = getattr(layers, kind)(4, **made)
    given = mr.Input((6, 3))
    right = mr.Model(given, whole(given))
    stateful = getattr(layers, kind)(4, stateful=True, **made)
    half = mr.Input((3, 3), batch_size=2)
    model = mr.Model(half, stateful(half))
    for new, old in zip([w for w in stateful.weights if w.trainable], whole.weights, strict=True):
        new.assign(old.numpy())
    model.predict(x[:, :3])
    np.testing.assert_allclose(model.predict(x[:, 3:]), right.predict(x), rtol=1e-5, atol=1e-6)
    assert (model.predict(x[:, 3:]) != right.predict(x)).any()
    stateful.reset_states()
    model.predict(x[:, :3])
    np.testing.assert_allclose(model.predict(x[:, 3:]), right.predict(x), rtol=1e-5, atol=1e-6)


@ENGINES
def test_a_stateful_layer_keeps_its_state_from_batch_to_batch_of_training(engine):
    x = normal(6, 3, 2)
    given = mr.Input((3, 2), batch_size=2)
    rnn = layers.SimpleRNN(4, stateful=True, recurrent_initializer="glorot_uniform")
    model = mr.Model(given, rnn(given))
    model.compile(mr.optimizers.SGD(0.0), "mse", engine=engine)
    model.fit(x, np.zeros((6, 4)), batch_size=2, shuffle=False, verbose=0)
    kernel, recurrent, bias = (w.numpy() for w in rnn.weights if w.trainable)
    h = np.zeros((2, 4))
    for batch in range(3):
        for t in range(3):
            h = np.tanh(x[2 * batch : 2 * batch + 2, t] @ kernel + h @ recurrent + bias)
    np.testing.assert_allclose(rnn.states[0].numpy(), h, rtol=1e-5, atol=1e-6)


def test_a_sequence_whose_length_has_a_name_runs_at_every_length():
    x = mr.Input((dim("steps"), 2), batch_size=2)
    layer = layers.GRU(3, recurrent_initializer="glorot_uniform")
    run = mr.function([x], layer(x), engine="numpy")
    long = normal(2, 5, 2)
    fixed = mr.Input((3, 2))
    np.testing.assert_allclose(
        run(long[:, :3]), mr.function([fixed], layer(fixed), engine="numpy")(long[:, :3]), rtol=1e-6
    )
    assert run(long).shape == (2, 3)


def test_the_forget_gate_starts_open():
    lstm = layers.LSTM(3, recurrent_initializer="glorot_uniform")
    lstm(mr.Input((2, 2)))
    np.testing.assert_array_equal(lstm.cell.bias.numpy(), [0] * 3 + [1] * 3 + [0] * 6)
    closed = layers.LSTM(3, recurrent_initializer="glorot_uniform", unit_forget_bias=False)
    closed(mr.Input((2, 2)))
    assert not closed.cell.bias.numpy().any()


@ENGINES
def test_padding_changes_nothing_from_an_embedding_to_the_loss(engine):
    words = np.array([[3, 1, 2, 0, 0], [4, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32)
    given = mr.Input((5,), dtype="int32")
    embedding = layers.Embedding(6, 3, mask_zero=True)
    lstm = layers.LSTM(4, return_sequences=True, recurrent_initializer="glorot_uniform")
    last, mean = layers.GRU(2, recurrent_initializer="glorot_uniform"), layers.GlobalAveragePooling1D()
    seen = lstm(layers.Dropout(0.0)(embedding(given)))
    outs = [last(seen), mean(seen)]
    (slope,) = mr.gradients(mr.sum(outs[0]) + mr.sum(outs[1]), [embedding.embeddings])
    found = mr.function([given], [*outs, slope], engine=engine)
    whole = found(words)
    short = found(np.pad(words[:1, :3], ((0, 0), (0, 2)), constant_values=0))
    np.testing.assert_allclose(whole[0][:1], short[0], rtol=1e-5)
    np.testing.assert_array_equal(whole[0][2], 0)
    np.testing.assert_array_equal(whole[1][2], 0)
    assert not whole[2][0].any() and not whole[2][5].any() and whole[2][3].any()


# ---- masks on their way


def masked(*shape, mask):
    x = mr.Input(shape)
    set_mask(x, mr.constant(np.array(mask)))
    return x


A, B = [[True, True, False]], [[True, False, True]]


@pytest.mark.parametrize("kind", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
def test_a_step_of_several_values_is_real_where_it_is_real_in_all(kind):
    made = getattr(layers, kind)()(
        [masked(3, 2, mask=A), masked(3, 2, mask=B), mr.Input((3, 2))][: 2 + (kind != "Subtract")]
    )
    np.testing.assert_array_equal(mr.function([], mask_of(made))(), [[True, False, False]])


def test_masks_of_what_is_joined():
    along = layers.Concatenate(axis=1)([masked(3, 2, mask=A), masked(3, 2, mask=B)])
    np.testing.assert_array_equal(mr.function([], mask_of(along))(), [[True, True, False, True, False, True]])
    across = layers.Concatenate()([masked(3, 2, mask=A), masked(3, 2, mask=B)])
    np.testing.assert_array_equal(mr.function([], mask_of(across))(), [[True, False, False]])
    assert mask_of(layers.Dot(axes=2)([mr.Input((3, 2)), mr.Input((3, 2))])) is None


def test_a_layer_that_does_not_know_masks_says_so_once_they_are_lost():
    with pytest.warns(UserWarning, match="does not know masks"):
        out = layers.Conv1D(2, 1)(masked(3, 2, mask=A))
    assert mask_of(out) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = layers.LayerNormalization()(layers.Dense(2)(masked(3, 2, mask=A)))
    assert mask_of(kept) is not None


def test_a_block_hands_masks_on_as_its_layers_do():
    kept = layers.Residual([layers.Dense(2), layers.Dropout(0.5)])(masked(3, 2, mask=A))
    np.testing.assert_array_equal(mr.function([], mask_of(kept))(), A)
    with pytest.warns(UserWarning, match="Conv1D"):
        layers.Residual(layers.Conv1D(2, 1))(masked(3, 2, mask=A))


# ---- attention that may look nowhere


@ENGINES
@pytest.mark.parametrize("kind", ["heads", "dot", "concat", "additive"])
def test_a_target_that_may_look_nowhere_takes_nothing_and_stays_finite(kind, engine):
    layer = {
        "heads": lambda: layers.MultiHeadAttention(2, 3, use_bias=False), "dot": layers.Attention,
        "concat": lambda: layers.Attention(score_mode="concat"), "additive": layers.AdditiveAttention,
    }[kind]()  # fmt: skip
    q, v = mr.Input((2, 4), batch_size=2), mr.Input((3, 4), batch_size=2)
    set_mask(v, mr.constant(np.array([[True, True, False], [False, False, False]])))
    out, scores = layer(q, v, return_attention_scores=True)
    slopes = mr.gradients(mr.sum(mr.square(out)), [q, v])
    got = mr.function([q, v], [out, scores, *slopes], engine=engine)(100 * normal(2, 2, 4), 100 * normal(2, 3, 4))
    assert all(np.isfinite(g).all() for g in got)
    np.testing.assert_array_equal(got[0][1], 0)
    np.testing.assert_array_equal(got[1][1], 0)
    np.testing.assert_allclose(np.asarray(got[1])[0].sum(-1), 1, rtol=1e-5)
    assert not got[3][1].any() and not got[3][0, 2].any()


def test_attention_dropout_thins_the_weights_in_training_alone():
    layer = layers.MultiHeadAttention(1, 2, dropout=0.5)
    x = mr.Input((40, 4))
    out, scores = layer(x, x, return_attention_scores=True)
    model = mr.Model(x, out)
    data = normal(3, 40, 4)
    assert (model.predict(data) == model.predict(data)).all()
    run = mr.function([x], out, dict(layer.all_updates), engine="numpy")
    first, second = run(data), run(data)
    assert (first != second).any() and scores.shape[1:] == (1, 40, 40)


# ---- MemoryNetwork, Softmax with a mask


def test_softmax_leaves_masked_positions_out():
    x = mr.Input((3,))
    out = layers.Softmax()(x, mask=mr.constant(np.array([[True, False, True]])))
    got = mr.function([x], out, engine="numpy")(np.log(np.float32([[1, 5, 3]])))
    np.testing.assert_allclose(got, [[0.25, 0, 0.75]], rtol=1e-6)
    steps = layers.Softmax()(masked(3, 2, mask=A))
    assert mask_of(steps) is not None


def test_reset_states_of_a_layer_without_any_is_refused():
    with pytest.raises(ArgumentError, match="stateful=True"):
        layers.LSTM(2, recurrent_initializer="glorot_uniform").reset_states()


# ---- a model of many kinds of layers, saved and loaded


def many_kinds():
    words = mr.Input((6,), dtype="int32", name="words")
    allowed = mr.Input((6, 6), dtype="bool", name="allowed")
    glorot = {"recurrent_initializer": "glorot_uniform"}
    x = layers.Embedding(9, 4, mask_zero=True)(words)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, **glorot))(x)
    x, h = layers.GRU(4, return_sequences=True, return_state=True, **glorot)(x)
    seen = layers.MultiHeadAttention(2, 3)(x, x, attention_mask=allowed, use_causal_mask=True)
    x = layers.LayerNormalization()(layers.Add()([x, seen]))
    x = layers.Residual([layers.Dense(8, "relu"), layers.Dense(4)])(x)
    x = layers.TimeDistributed(layers.Dense(4))(x)
    x = layers.RNN([layers.LSTMCell(3, **glorot), layers.GRUCell(4, **glorot)])(
        x, initial_state=[h[:, :3], h[:, 1:], h]
    )
    x = layers.BatchNormalization()(layers.Dropout(0.5)(layers.Concatenate()([x, h])))
    return mr.Model([words, allowed], layers.Dense(2, "softmax", kernel_regularizer="l2")(x))


def test_a_model_of_many_kinds_of_layers_is_trained_saved_and_loaded(tmp_path):
    model = many_kinds()
    words = RNG.integers(0, 9, (8, 6)).astype(np.int32)
    words[0], words[1, 3:] = 0, 0
    given = [words, RNG.integers(0, 2, (8, 6, 6)).astype(bool)]
    labels = (words[:, 0] > 4).astype(np.int32)
    model.compile("adam", "sparse_categorical_crossentropy", engine="numpy")
    losses = model.fit(given, labels, batch_size=3, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors")
    np.testing.assert_allclose(loaded.predict(given), model.predict(given), rtol=1e-6)
    assert [w.name for w in loaded.weights] == [w.name for w in model.weights]


@pytest.mark.parametrize("kind", ["Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"])
def test_what_drops_is_made_anew_from_its_saved_form(kind):
    for arguments in ({"rate": 0.25, "seed": 4}, {"keep_prob": 0.5}):
        layer = getattr(layers, kind)(name="one", **arguments)
        again = type(layer).from_config(layer.get_config())
        assert (again.rate, again.seed, again.get_config()) == (layer.rate, layer.seed, layer.get_config())
