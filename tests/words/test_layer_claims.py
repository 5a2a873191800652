"""What the texts about layers, optimizers and losses say with numbers is what happens."""

import warnings

import numpy as np
import pytest

import millrace as mr
from millrace import layers as L
from millrace import losses, optimizers
from millrace.ir.errors import ArgumentError, DataError, MillraceError, ShapeError
from millrace.words import LANGUAGES, words


def says(part, name, figure):
    """Every language says the figure in its texts about a name."""
    for language in LANGUAGES:
        assert figure in " ".join(words(part, language)[name].values()), f"[{name}] in {language} lacks {figure}"


def run(layer, *arrays):
    """What a layer makes of arrays in use."""
    return mr.evaluate(layer(*map(mr.constant, arrays)))


PARAMETERS = [  # layer, shape of an example, what the texts say it has
    (L.Dense(128), (784,), 100_480),
    (L.Conv2D(32, 3), (32, 32, 3), 896),
    (L.Conv3D(32, 3), (16, 16, 16, 1), 896),
    (L.DepthwiseConv1D(5), (100, 32), 192),
    (L.DepthwiseConv2D(3), (32, 32, 64), 640),
    (L.SeparableConv1D(64, 5), (100, 32), 2_272),
    (L.SeparableConv2D(128, 3), (32, 32, 64), 8_896),
    (L.SimpleRNN(64), (10, 32), 6_208),
    (L.GRU(64), (10, 32), 18_816),
    (L.Bidirectional(L.LSTM(64)), (10, 32), 49_664),
    (L.Embedding(10_000, 64), (20,), 640_000),
    (L.LayerNormalization(), (10, 64), 128),
    (L.PReLU(), (32, 32, 64), 65_536),
]
BESIDE = [  # what the texts compare with: in the words about whom, layer, shape of an example, parameters
    ("DepthwiseConv2D", L.Conv2D(64, 3), (32, 32, 64), 36_928),
    ("SeparableConv1D", L.Conv1D(64, 5), (100, 32), 10_304),
    ("SeparableConv2D", L.Conv2D(128, 3), (32, 32, 64), 73_856),
    ("GRU", L.LSTM(64), (10, 32), 24_832),
    ("GlobalAveragePooling2D", L.Dense(1000, kernel_initializer="zeros"), (512,), 513_000),
    ("GlobalAveragePooling2D", L.Dense(1000, kernel_initializer="zeros"), (7 * 7 * 512,), 25_089_000),
]


@pytest.mark.parametrize(
    ("name", "layer", "shape", "count"),
    [(type(layer).__name__, layer, shape, count) for layer, shape, count in PARAMETERS] + BESIDE,
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_layers_have_as_many_parameters_as_said(name, layer, shape, count):
    layer(mr.Input(shape))
    assert layer.count_params() == count
    says("layers", name, f"{count:,}")


def test_rectifiers_make_what_is_said_of_what_is_below_0():
    for layer, x, made in ((L.ELU(), -1, "-0.63"), (L.ELU(), -10, "-1.00"), (L.LeakyReLU(), -2, "-0.6")):
        assert f"{float(run(layer, np.float32([x]))[0]):.{len(made) - 3}f}" == made
        says("layers", type(layer).__name__, made)
    assert f"{np.exp(-10):.5f}" == "0.00005"  # the slope of ELU
    says("layers", "ELU", "0.00005")


def test_attention_has_as_many_parameters_as_said():
    layer, x = L.MultiHeadAttention(8, 64), mr.Input((10, 512))
    layer(x, x)
    assert layer.count_params() == 1_050_624
    says("layers", "MultiHeadAttention", "1,050,624")


SHAPES = [
    (L.Conv2DTranspose(16, 3, 2, padding="same"), (7, 7, 8), (14, 14, 16)),
    (L.Conv1DTranspose(16, 4, strides=2, padding="same"), (7, 8), (14, 16)),
    (L.Conv3DTranspose(2, 4, strides=(1, 2, 2), padding="same"), (3, 4, 4, 1), (3, 8, 8, 2)),
    (L.MaxPooling2D(3, 2), (55, 55, 96), (27, 27, 96)),
    (L.MaxPooling2D(2), (55, 55, 96), (27, 27, 96)),  # the last row and column are left out
    (L.MaxPooling3D((1, 2, 2)), (4, 8, 8, 3), (4, 4, 4, 3)),
    (L.GlobalAveragePooling2D(), (7, 7, 512), (512,)),
    (L.Flatten(), (6, 6, 256), (9216,)),
    (L.Permute((2, 1)), (10, 3), (3, 10)),
    (L.ZeroPadding2D(), (32, 32, 3), (34, 34, 3)),
    (L.Cropping2D(), (32, 32, 3), (30, 30, 3)),
    (L.Bidirectional(L.LSTM(64)), (10, 32), (128,)),
    (L.Neuron("sigmoid"), (2,), ()),
    (L.Residual(L.Conv2D(128, 3, 2, padding="same"), L.Conv2D(128, 1, 2)), (8, 8, 64), (4, 4, 128)),
]


@pytest.mark.parametrize(("layer", "before", "after"), SHAPES, ids=[type(s[0]).__name__ for s in SHAPES])
def test_layers_make_the_shapes_that_are_said(layer, before, after):
    assert layer(mr.Input(before)).shape[1:] == after


def row(*numbers):
    return np.array([numbers], np.float32)


VALUES = [  # the name, what the texts say, what happens, what it must be
    ("Softmax", "23%", lambda: run(L.Softmax(), row(1, *[0] * 9)).max(), 0.232),
    ("LogSoftmax", "-138", lambda: run(L.LogSoftmax(), row(0, np.log(1e-30) * 2)).min(), -138.16),
    ("Sigmoid", "0.98", lambda: run(L.Sigmoid(), row(4)), 0.982),
    ("LocalResponseNormalization", "1.68", lambda: 1 / run(L.LocalResponseNormalization(), row(*[1] * 9))[0, 4], 1.682),
    ("RMSNormalization", "[0.46, 0.93, 1.39]", lambda: run(L.RMSNormalization(), row(1, 2, 3)), [[0.46, 0.93, 1.39]]),
    ("UnitNormalization", "[0.6, 0.8]", lambda: run(L.UnitNormalization(), row(3, 4)), [[0.6, 0.8]]),
    ("LayerNormalization", "0.001", lambda: run(L.LayerNormalization(), row(1e-3, 2e-3, 3e-3)).max(), 0.0316),
    ("Rescaling", "127.5", lambda: run(L.Rescaling(1 / 127.5, -1), np.array([[0, 255]], np.uint8)), [[-1, 1]]),
    ("Hopfield", "0.138", lambda: 0.138 * 784, 108),
    ("LSTMCell", "ten steps", lambda: 1 / (1 + np.exp(0)) ** -10, 2**10),
]


@pytest.mark.parametrize(("name", "said", "happens", "must"), VALUES, ids=[v[0] for v in VALUES])
def test_layers_compute_what_is_said(name, said, happens, must):
    np.testing.assert_allclose(happens(), must, rtol=0.01)
    if said[0].isdigit() or said[0] in "-[":
        says("layers", name, said)


def test_padding_does_not_count_in_a_mean():
    image = np.ones((1, 3, 3, 1), np.float32)
    assert (run(L.AveragePooling2D(2, padding="same"), image) == 1).all()


def test_the_first_of_equal_maxima_gets_the_gradient():
    x = mr.Variable(np.ones((1, 2, 2, 1), np.float32), name="x")
    slope = mr.evaluate(mr.gradients(mr.sum(L.MaxPooling2D(2)(x)), [x])[0])
    assert slope.ravel().tolist() == [1, 0, 0, 0]


def test_one_example_comes_out_of_batch_normalization_as_beta():
    model = mr.Sequential([mr.Input((3,)), L.BatchNormalization(), L.Dense(1, use_bias=False)])
    model.compile(optimizers.SGD(0.1), "mse", engine="numpy")
    before = model.layers[-1].kernel.numpy()
    model.fit(row(1, 2, 3), row(1), epochs=1, verbose=0)
    assert (model.layers[-1].kernel.numpy() == before).all(), "it saw something else than beta, 0"


def test_keep_prob_and_rate_are_two_sides():
    assert L.Dropout(keep_prob=0.8).rate == pytest.approx(0.2)
    with pytest.raises(ArgumentError):
        L.Dropout(rate=0.2, keep_prob=0.8)
    with pytest.raises(ArgumentError):
        L.GaussianDropout(keep_prob=0.8)


def test_cross_entropy_behind_two_softmaxes_has_the_floor_that_is_said():
    sure = run(L.Softmax(), row(100, *[0] * 9))
    assert loss(losses.SparseCategoricalCrossentropy(from_logits=True), np.array([0]), sure) == pytest.approx(
        1.461, 1e-3
    )
    for part, name in (("losses", "SparseCategoricalCrossentropy"), ("layers", "Softmax")):
        says(part, name, "1.46")


def test_layers_that_lose_the_mask_say_so():
    words_ = L.Embedding(10, 4, mask_zero=True)(mr.Input((6,), dtype="int32"))
    for layer in (L.Flatten(), L.Conv1D(4, 3), L.MaxPooling1D(), L.AveragePooling1D()):
        with pytest.warns(UserWarning, match="does not know masks"):
            layer(words_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layer in (
            L.LSTM(4),
            L.GlobalAveragePooling1D(),
            L.GlobalMaxPooling1D(),
            L.Dense(4),
            L.LayerNormalization(),
        ):
            layer(words_)


REFUSED = [
    (lambda: L.GroupNormalization()(mr.Input((8, 8, 48))), ArgumentError),
    (lambda: L.CenterCrop(8, 8)(mr.Input((4, 4, 3))), ShapeError),
    (lambda: L.SpatialDropout2D(0.2)(mr.Input((5,))), ShapeError),
    (lambda: L.Subtract()([mr.Input((3,))] * 3), ArgumentError),
    (lambda: L.Dot(axes=0)([mr.Input((3,))] * 2), ArgumentError),
    (lambda: L.SimpleRNNCell(4)(mr.Input((5, 3))), ArgumentError),
    (lambda: L.Conv1DTranspose(4, 3, padding="causal"), ArgumentError),
    (lambda: L.SeparableConv1D(4, 3, padding="causal"), ArgumentError),
    (lambda: fit_one("poisson", row(-3), row(2)), MillraceError),
    (lambda: fit_one("categorical_crossentropy", row(0.5, 0.1), row(1, 1)), DataError),
]


@pytest.mark.parametrize(("attempt", "error"), REFUSED)
def test_what_is_said_to_be_an_error_is_one(attempt, error):
    with pytest.raises(error):
        attempt()


def fit_one(loss_, x, y, optimizer="sgd"):
    model = mr.Sequential([mr.Input(x.shape[1:]), L.Identity(), L.Dense(y.shape[1], kernel_initializer="ones")])
    model.compile(optimizer, loss_, engine="numpy")
    model.fit(x, y, epochs=1, verbose=0)
    return model.weights


# ---- optimizers: the first step of one weight whose gradient is 1

FIRST_STEPS = [
    (optimizers.Adam(), 0.001, None),
    (optimizers.Adamax(), 0.001, "0.001"),
    (optimizers.Lion(), 0.001, "0.001"),
    (optimizers.RMSprop(), 0.0032, "3.2"),
    (optimizers.Adadelta(), 0.0000014, "0.0000014"),
]


def first_step(optimizer, weight_decay=0.0, start=0.0, slope=1.0):
    w = mr.Variable(np.float32(start), name="w")
    made = optimizer.updates([w], [mr.constant(np.float32(slope))])
    return float(mr.evaluate(made[w])) - start


@pytest.mark.parametrize(("optimizer", "step", "said"), FIRST_STEPS, ids=[type(s[0]).__name__ for s in FIRST_STEPS])
def test_first_steps_are_as_large_as_said(optimizer, step, said):
    assert first_step(optimizer) == pytest.approx(-step, rel=0.02)
    if said:
        says("optimizers", type(optimizer).__name__, said)


def test_momentum_of_nadam_grows_as_said():
    at = [float(mr.evaluate(optimizers.Nadam().momentum_at(mr.constant(np.float32(t))))) for t in (1, 1000)]
    assert at == pytest.approx([0.468, 0.9], abs=1e-3)
    says("optimizers", "Nadam", "0.47")


def test_a_spike_fades_in_adamax_as_slowly_as_said():
    assert np.log(0.5) / np.log(optimizers.Adamax().beta_2) == pytest.approx(693, abs=1)
    says("optimizers", "Adamax", "693")


def test_weight_decay_enters_where_it_is_said_to():
    """Without a gradient decay apart is rate * decay * w; decay in Adam's gradient is scaled away to a whole step."""
    apart = [kind(0.001, weight_decay=0.1) for kind in (optimizers.AdamW, optimizers.Adamax, optimizers.Nadam)]
    for optimizer in apart:
        assert first_step(optimizer, start=1.0, slope=0.0) == pytest.approx(-0.0001, rel=1e-2), type(optimizer).__name__
    assert first_step(optimizers.Adam(0.001, weight_decay=0.1), start=1.0, slope=0.0) == pytest.approx(-0.001, rel=1e-2)
    assert optimizers.AdamW().weight_decay == 0.004
    says("optimizers", "AdamW", "0.004")


# ---- losses


def loss(rule, y, p):
    return float(mr.evaluate(rule(mr.constant(y), mr.constant(p)))[0])


LOSSES = [  # loss, right answer, prediction, what it must be, how the texts say it
    (losses.SparseCategoricalCrossentropy(), np.array([3]), np.full((1, 10), 0.1, np.float32), 2.303, "2.30"),
    (losses.BinaryCrossentropy(), row(1), row(0.5), 0.693, "0.693"),
    (losses.Huber(), row(0), row(0.5), 0.125, "0.125"),
    (losses.Huber(), row(0), row(10), 9.5, "9.5"),
    (losses.LogCosh(), row(0), row(10), 10 - 0.693, "0.69"),
    (losses.MeanAbsolutePercentageError(), row(100), row(90), 10, "10"),
    (losses.MeanAbsolutePercentageError(), row(0), row(1), 1e9, "1,000,000,000"),
    (losses.MeanSquaredLogarithmicError(), row(200), row(100), 0.474, "0.474"),
    (losses.MeanSquaredLogarithmicError(), row(2000), row(1000), 0.480, "0.480"),
    (losses.MeanSquaredLogarithmicError(), row(100), row(50), 0.467, "0.47"),
    (losses.MeanSquaredLogarithmicError(), row(100), row(150), 0.162, "0.16"),
    (losses.Poisson(), row(10), row(10), -13.03, "-13.0"),
    (losses.CosineSimilarity(), row(1, 2), row(100, 200), -1, "-1"),
    (losses.Hinge(), row(0), row(0), 1, "1"),
    (losses.CategoricalHinge(), row(1, 0, 0), row(0.5, -3, -4), 0.5, "0"),  # wrong scores below 0 count as 0
]


@pytest.mark.parametrize(("rule", "y", "p", "must", "said"), LOSSES, ids=[type(x[0]).__name__ for x in LOSSES])
def test_losses_cost_what_is_said(rule, y, p, must, said):
    assert loss(rule, y, p) == pytest.approx(must, rel=5e-3)
    says("losses", type(rule).__name__, said)


def test_focal_losses_count_what_is_right_a_hundredth():
    plain = loss(losses.BinaryCrossentropy(), row(1), row(0.9))
    assert loss(losses.BinaryFocalCrossentropy(), row(1), row(0.9)) == pytest.approx(plain / 100, rel=1e-3)
    focal = losses.CategoricalFocalCrossentropy(alpha=1.0)
    assert loss(focal, row(1, 0), row(0.9, 0.1)) == pytest.approx(plain / 100, rel=1e-3)


def test_label_smoothing_asks_for_what_is_said():
    best = np.full((1, 10), 0.01, np.float32)
    best[0, 0] = 0.91
    rule, y = losses.CategoricalCrossentropy(label_smoothing=0.1), row(1, *[0] * 9)
    assert loss(rule, y, best) < min(
        loss(rule, y, np.roll(best, 1, 1)), loss(rule, y, np.full((1, 10), 0.1, np.float32))
    )
    asked = mr.evaluate(rule.smoothed(mr.constant(y)))
    np.testing.assert_allclose(asked, best, rtol=1e-5)


@pytest.mark.parametrize(("from_logits", "learns"), [(False, False), (True, True)])
def test_binary_cross_entropy_is_blind_to_sure_mistakes_behind_a_sigmoid_alone(from_logits, learns):
    x = mr.Variable(row(30), name="score")
    p = x.value if from_logits else mr.sigmoid(x)
    rule = losses.BinaryCrossentropy(from_logits=from_logits)
    slope = float(mr.evaluate(mr.gradients(mr.sum(rule(mr.constant(row(0)), p)), [x])[0])[0, 0])
    assert slope == (pytest.approx(1) if learns else 0)


def test_scores_up_to_about_16_still_teach_behind_a_sigmoid():
    def slope(score):
        x = mr.Variable(row(score), name="score")
        out = losses.BinaryCrossentropy()(mr.constant(row(0)), mr.sigmoid(x))
        return float(mr.evaluate(mr.gradients(mr.sum(out), [x])[0])[0, 0])

    assert slope(14) == pytest.approx(1, rel=0.1)
    assert slope(18) == 0
