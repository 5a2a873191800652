"""MixUp in training: the loss of mixed examples, held to sums written out in NumPy."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import ArgumentError

both = pytest.mark.parametrize("engine", ["xla", "numpy"])
SEED = 7


@pytest.fixture(autouse=True)
def seed_zero():
    mr.set_seed(0)
    yield
    mr.set_seed(0)


def draws(model, count, weights, x):
    """The shares and partners of the step number `count`, for a batch with these weights."""
    form = model.form()
    real = mr.Input((), name="weights")
    mixing = form.for_training(real).mixing
    state = next(v for v in model.weights if v.name.endswith("/random"))
    before = state.numpy()
    state.assign(mr.random_state(SEED, count))
    run = mr.function([real, *form.inputs], [mixing.share, mixing.partner], engine="numpy")
    share, partner = (np.asarray(part) for part in run(np.asarray(weights, np.float32), x))
    state.assign(before)
    return share.astype(np.float64), partner


def classifier(engine=None, alpha=1.0, **compiled):
    model = mr.Sequential([mr.Input((4,)), layers.MixUp(alpha, seed=SEED), layers.Dense(3, "softmax", name="out")])
    how = {"loss": "sparse_categorical_crossentropy", "optimizer": mr.optimizers.SGD(0.5), **compiled}
    model.compile(engine=engine, **how)
    return model


def data(count=8):
    rng = np.random.default_rng(1)
    return rng.standard_normal((count, 4)).astype(np.float32), rng.integers(0, 3, count)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def mixed(x, share, partner):
    """Examples mixed by a plain loop."""
    out = np.empty(x.shape, np.float64)
    for i in range(len(x)):
        out[i] = share[i] * x[i].astype(np.float64) + (1 - share[i]) * x[partner[i]].astype(np.float64)
    return out


@both
def test_loss_step_and_metric_are_those_written_out(engine):
    x, y = data()
    model = classifier(engine, metrics=["accuracy"])
    kernel, bias = (w.astype(np.float64) for w in model.get_layer("out").get_weights())
    share, partner = draws(model, 0, np.ones(8), x)
    history = model.fit(x, y, 8, 1, shuffle=False, verbose=0)

    z = mixed(x, share, partner)
    p = softmax(z @ kernel + bias)
    rows = np.arange(8)
    losses = -share * np.log(p[rows, y]) - (1 - share) * np.log(p[rows, y[partner]])
    assert history.batch_losses[0] == pytest.approx(losses.mean(), rel=1e-5)
    assert history.history["loss"][0] == pytest.approx(losses.mean(), rel=1e-5)
    larger = np.where(share >= 0.5, y, y[partner])
    assert history.history["accuracy"][0] == pytest.approx((p.argmax(-1) == larger).mean())
    assert 0 < (share < 0.5).sum() < 8  # both kinds were there

    wanted = share[:, None] * np.eye(3)[y] + (1 - share)[:, None] * np.eye(3)[y[partner]]
    slope = z.T @ (p - wanted) / 8
    np.testing.assert_allclose(model.get_layer("out").get_weights()[0], kernel - 0.5 * slope, rtol=1e-4, atol=1e-6)


@both
def test_each_step_draws_anew_and_a_short_last_batch_is_mixed_among_its_own(engine):
    x, y = data(13)
    model = classifier(engine, optimizer=mr.optimizers.SGD(1e-9))
    kernel, bias = (w.astype(np.float64) for w in model.get_layer("out").get_weights())
    found = model.fit(x, y, 8, 1, shuffle=False, verbose=0).batch_losses
    for step, (first, count) in enumerate(((0, 8), (8, 5))):
        here = np.arange(first, first + count)
        weights = np.arange(8) < count
        filled = np.resize(x[here], (8, 4))
        share, partner = draws(model, step, weights, filled)
        share, partner = share[:count], partner[:count]
        assert (partner < count).all() and (partner != np.arange(count)).all()
        p = softmax(mixed(x[here], share, partner) @ kernel + bias)
        own, other = y[here], y[here][partner]
        losses = -share * np.log(p[np.arange(count), own]) - (1 - share) * np.log(p[np.arange(count), other])
        assert found[step] == pytest.approx(losses.mean(), rel=1e-5)


def test_a_batch_of_one_is_not_mixed():
    x, y = data(1)
    plain = mr.Sequential([mr.Input((4,)), layers.Dense(3, "softmax")])
    plain.compile("sgd", "sparse_categorical_crossentropy")
    model = classifier()
    plain.set_weights(model.get_layer("out").get_weights())
    expected = plain.evaluate(x, y)["loss"]
    assert model.fit(x, y, 1, 1, verbose=0).batch_losses[0] == pytest.approx(expected, rel=1e-6)


def test_what_fills_a_batch_up_does_not_reach_the_real_ones():
    x, y = data(5)
    model = classifier("numpy")
    steps = model.training_steps
    before = model.get_weights()
    found = []
    for rest in (0.0, 1e6):  # what lies in the places of the last three examples
        model.set_weights(before)
        given = np.full((8, 4), rest, np.float32)
        given[:5] = x
        answers = np.array([*y, 0, 1, 2], np.int32)
        weights = np.float32([1, 1, 1, 1, 1, 0, 0, 0])
        loss = float(steps.train(given, answers, np.ones(8, np.float32), weights))
        found.append((loss, *model.get_layer("out").get_weights()))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1:], found[1][1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_answer_counts_with_its_own_weight():
    x, y = data()
    weights = np.float32([1, 0, 2, 1, 0.5, 1, 3, 0])
    model = classifier("numpy", weighted_metrics=["accuracy"])
    kernel, bias = (w.astype(np.float64) for w in model.get_layer("out").get_weights())
    share, partner = draws(model, 0, np.ones(8), x)
    history = model.fit(x, y, 8, 1, shuffle=False, verbose=0, sample_weight=weights)
    p = softmax(mixed(x, share, partner) @ kernel + bias)
    rows = np.arange(8)
    losses = -share * np.log(p[rows, y]) * weights
    losses -= (1 - share) * np.log(p[rows, y[partner]]) * weights[partner]
    assert history.batch_losses[0] == pytest.approx(losses.sum() / 8, rel=1e-5)
    keeps = share >= 0.5
    larger, counted = np.where(keeps, y, y[partner]), np.where(keeps, weights, weights[partner])
    expected = ((p.argmax(-1) == larger) * counted).sum() / counted.sum()
    assert history.history["accuracy"][0] == pytest.approx(expected, rel=1e-5)


def test_evaluation_and_prediction_see_the_examples_themselves():
    x, y = data()
    plain = mr.Sequential([mr.Input((4,)), layers.Dense(3, "softmax")])
    plain.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    model = classifier(metrics=["accuracy"])
    plain.set_weights(model.get_layer("out").get_weights())
    np.testing.assert_array_equal(model.predict(x), plain.predict(x))
    assert model.evaluate(x, y) == plain.evaluate(x, y)
    assert model.form().for_use().mixing is None


def test_answers_in_rows_and_vectors_are_mixed_too():
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((6, 5, n)).astype(np.float32) for n in (3, 2))
    x[:, 3:] = 0  # steps that only fill up, in all examples
    model = mr.Sequential(
        [mr.Input((5, 3)), layers.MixUp(1.0, seed=SEED), layers.Masking(), layers.Dense(2, name="out")]
    )
    model.compile(mr.optimizers.SGD(1e-9), "mse", engine="numpy")
    kernel, bias = (w.astype(np.float64) for w in model.get_layer("out").get_weights())
    share, partner = draws(model, 0, np.ones(6), x)
    found = model.fit(x, y, 6, 1, shuffle=False, verbose=0).batch_losses[0]
    p = mixed(x, share, partner) @ kernel + bias
    own, other = (((p - answer) ** 2).mean(-1)[:, :3] for answer in (y, y[partner]))
    expected = (share[:, None] * own + (1 - share)[:, None] * other).mean()
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_mixup_inside_a_model_that_is_a_layer_is_found():
    inner = mr.Sequential([mr.Input((4,)), layers.MixUp(1.0, seed=SEED), layers.Dense(3, "softmax", name="out")])
    x = mr.Input((4,))
    outer = mr.Model(x, inner(x))
    outer.compile(mr.optimizers.SGD(1e-9), "sparse_categorical_crossentropy", engine="numpy")
    xs, ys = data()
    kernel, bias = (w.astype(np.float64) for w in inner.get_layer("out").get_weights())
    share, partner = draws(outer, 0, np.ones(8), xs)
    p = softmax(mixed(xs, share, partner) @ kernel + bias)
    losses = -share * np.log(p[np.arange(8), ys]) - (1 - share) * np.log(p[np.arange(8), ys[partner]])
    assert outer.fit(xs, ys, 8, 1, shuffle=False, verbose=0).batch_losses[0] == pytest.approx(losses.mean(), rel=1e-5)


def test_two_mixups_are_refused():
    model = mr.Sequential([mr.Input((4,)), layers.MixUp(), layers.MixUp(), layers.Dense(3)])
    with pytest.raises(ArgumentError, match=r"2 times.*one MixUp"):
        model.compile("sgd", "mse")
