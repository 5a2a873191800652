"""Losses, metrics, schedules, optimizers, callbacks and whole steps, held to Keras 3's own numbers.

tests/parity/make_training_fixtures.py says how they were made; the cases stand in the fixture itself.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import millrace as mr
from millrace import callbacks, layers, losses, metrics, optimizers
from millrace.training import schedules

with np.load(Path(__file__).parents[1] / "parity" / "training.npz") as file:
    STORED = dict(file)
CASES = json.loads(str(STORED["cases"]))


def each(kind):
    """The cases of a kind, numbered, with names that say what they are."""
    cases = CASES[kind]
    ids = [" ".join(map(str, case)) if isinstance(case, list) else str(case) for case in cases]
    return pytest.mark.parametrize(("number", "case"), list(enumerate(cases)), ids=ids)


def data(name):
    return STORED[f"data/{name}/y"], STORED[f"data/{name}/p"]


def as_a_model(p):
    """A model that hands on what it is given, so that fit and evaluate see outputs that are known."""
    return mr.Sequential([mr.Input(p.shape[1:]), layers.Activation("linear", name="out")])


@each("losses")
def test_a_loss_is_keras_loss_of_each_example(number, case):
    kind, options, name = case
    y, p = data(name)
    t, q = mr.Input(y.shape[1:], dtype=str(y.dtype)), mr.Input(p.shape[1:])
    rule = getattr(losses, kind)(**options)
    run = mr.function([t, q], [rule(t, q), *mr.gradients(mr.sum(rule(t, q)), [q])], engine="numpy")
    found, gradient = run(y, p)
    np.testing.assert_allclose(found, STORED[f"losses/{number}"], rtol=2e-5, atol=2e-6)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@each("metrics")
def test_a_metric_over_three_batches_is_keras_metric(number, case, weighted):
    kind, options, name = case
    y, p = data(name)
    metric = getattr(metrics, kind)(**options, name="it")
    model = as_a_model(p)
    rule = "sparse_categorical_crossentropy" if y.ndim < p.ndim else "mse"
    model.compile("sgd", rule, engine="numpy", **{"weighted_metrics" if weighted else "metrics": [metric]})
    found = model.evaluate(p, y, batch_size=10, sample_weight=STORED["data/weights"])
    found = [value for column, value in found.items() if column.startswith("it")]
    expected = STORED[f"metrics/{number}/{'weighted' if weighted else 'plain'}"]
    np.testing.assert_allclose(found, np.atleast_1d(expected), rtol=3e-5, atol=1e-6)


@each("schedules")
def test_a_schedule_is_keras_schedule_at_every_step(number, case):
    kind, options = case
    schedule = getattr(schedules, kind)(**options)
    step = mr.Input((), dtype="float32")
    found = mr.function([step], schedule(step), engine="numpy")(np.arange(61, dtype=np.float32))
    np.testing.assert_allclose(found, STORED[f"schedules/{number}"], rtol=1e-5, atol=2e-7)
    again = schedules.schedule(json.loads(json.dumps(schedule.get_config())))
    assert float(again(13)) == pytest.approx(float(schedule(13)), rel=1e-7)


def network():
    model = mr.Sequential([mr.Input((3,)), layers.Dense(4, "tanh", name="hidden"), layers.Dense(2, name="last")])
    model.set_weights([STORED[f"train/start/{n}"] for n in range(4)])
    return model


def optimizer(case):
    kind, options = case
    if kind == "SGD" and options.get("weight_decay"):
        assert not options.get("momentum")  # there decay is another rule on purpose
    return getattr(optimizers, kind)(**options)


@each("optimizers")
def test_twenty_steps_of_an_optimizer_are_keras_steps(number, case):
    model = network()
    model.compile(optimizer(case), "mse", engine="xla")
    history = model.fit(STORED["train/x"], STORED["train/y"], batch_size=4, shuffle=False, verbose=0)
    means = np.cumsum(history.batch_losses) / np.arange(1, 21)
    np.testing.assert_allclose(means, STORED[f"optimizers/{number}/mean_losses"], rtol=3e-4, atol=1e-5)
    for n, found in enumerate(model.get_weights()):
        np.testing.assert_allclose(found, STORED[f"optimizers/{number}/{n}"], rtol=2e-3, atol=3e-4)


@each("optimizers")
def test_an_optimizer_goes_on_from_a_file_as_if_never_stopped(number, case, tmp_path):
    x, y = STORED["train/x"], STORED["train/y"]

    def fit(model, **options):
        return model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, **options)

    straight, stopped = network(), network()
    straight.compile(optimizer(case), "mse", engine="numpy")
    stopped.compile(optimizer(case), "mse", engine="numpy")
    fit(straight)
    stopped.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    stopped.save(tmp_path / "m.safetensors")
    resumed = mr.load_model(tmp_path / "m.safetensors", engine="numpy")
    assert resumed.optimizer.get_config() == stopped.optimizer.get_config()
    fit(resumed, initial_epoch=1)
    for a, b in zip(straight.state, resumed.state, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.name)


def run(callback, curve, compiled=None):
    """What a callback makes of a curve of val_loss: the epoch it stopped after, and the learning rates."""
    rate = mr.optimizers.SGD(0.1)
    weight = mr.Variable(np.float32(0), "w")
    callback.model = SimpleNamespace(stop_training=False, optimizer=rate, weights=[weight], compiled=compiled)
    callback.on_train_begin({"initial_epoch": 0, "initial_step": 0})
    rates = []
    for epoch, value in enumerate(curve):
        weight.assign(np.float32(epoch))
        callback.on_epoch_end(epoch, {"val_loss": value})
        rates.append(float(rate.learning_rate.numpy()))
        if callback.model.stop_training:
            break
    callback.on_train_end({})
    return epoch if callback.model.stop_training else -1, rates, float(weight.numpy())


@each("early_stopping")
def test_early_stopping_stops_where_keras_stops(number, case):
    callback = callbacks.EarlyStopping("val_loss", **{"mode": "min", **case}, restore_best_weights=True)
    stopped, _, weight = run(callback, CASES["curve"])
    assert [stopped, callback.best_epoch] == STORED[f"early_stopping/{number}"].tolist()
    assert weight == callback.best_epoch  # the weights are the best epoch's again


@each("plateau")
def test_the_rate_falls_where_keras_lets_it_fall(number, case):
    _, rates, _ = run(callbacks.ReduceLROnPlateau("val_loss", **{"mode": "min", **case}), CASES["curve"])
    np.testing.assert_allclose(rates, STORED[f"plateau/{number}"], rtol=1e-6)


def group(prefix):
    return {name.removeprefix(prefix): value for name, value in STORED.items() if name.startswith(prefix)}


def joint(engine="numpy"):
    a, b = mr.Input((3,), name="a"), mr.Input((2,), name="b")
    joined = layers.Concatenate(name="joined")([layers.Dense(4, "tanh", name="left")(a), b])
    outputs = [layers.Dense(1, name="number")(joined), layers.Dense(4, "softmax", name="kind")(joined)]
    model = mr.Model([a, b], outputs)
    for weight in model.weights:
        weight.assign(STORED[f"joint/start/{weight.name}"])
    model.compile(
        optimizers.SGD(0.1), {"number": "mse", "kind": "sparse_categorical_crossentropy"},
        loss_weights={"number": 0.5, "kind": 2.0}, metrics={"number": ["mae"], "kind": ["accuracy"]}, engine=engine,
        weighted_metrics={"kind": [metrics.SparseCategoricalAccuracy(name="weighted_accuracy")]},
    )  # fmt: skip
    return model


KERAS_NAMES = {"number_mean_absolute_error": "number_mae"}


@pytest.mark.parametrize("form", ["names", "lists"])
def test_two_inputs_and_two_outputs_train_as_in_keras(form):
    model = joint()
    x, y, w = group("joint/x/"), group("joint/y/"), group("joint/w/")
    if form == "lists":
        x, y, w = [x["a"], x["b"]], [y["number"], y["kind"]], (w["number"], w["kind"])
    first = model.evaluate(x, y, batch_size=8, sample_weight=w)
    expected = {KERAS_NAMES.get(k, k): v for k, v in CASES["joint"]["first"].items()}
    assert first == pytest.approx(expected, rel=1e-5)
    curves = model.fit(x, y, batch_size=8, epochs=3, shuffle=False, sample_weight=w, verbose=0).history
    for name, curve in CASES["joint"]["curves"].items():
        assert curves[KERAS_NAMES.get(name, name)] == pytest.approx(curve, rel=1e-4), name
    for weight in model.weights:
        np.testing.assert_allclose(weight.numpy(), STORED[f"joint/end/{weight.name}"], rtol=1e-4, atol=1e-5)


def dense(*front):
    model = mr.Sequential([*front, layers.Dense(4, "softmax", name="dense")])
    model.set_weights([STORED["joint/start/left/kernel"], STORED["joint/start/left/bias"]])
    return model


def test_class_weights_weigh_as_in_keras():
    model = dense(mr.Input((3,)))
    model.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy", engine="numpy")
    history = model.fit(
        STORED["joint/x/a"], STORED["joint/y/kind"], batch_size=8, epochs=2, shuffle=False, verbose=0,
        class_weight={0: 3.0, 2: 0.5},
    )  # fmt: skip
    assert history.history["loss"] == pytest.approx(CASES["class_weight"], rel=1e-5)


def test_masked_steps_count_as_in_keras():
    model = dense(mr.Input((5, 3)), layers.Masking())
    model.compile(optimizers.SGD(0.5), "sparse_categorical_crossentropy", ["accuracy"], engine="numpy")
    x, y = STORED["masked/x"], STORED["masked/y"]
    history = model.fit(x, y, batch_size=6, epochs=3, shuffle=False, verbose=0)
    assert history.history["loss"] == pytest.approx(CASES["masked"], rel=1e-5)
    valid, right = np.abs(x).sum(-1) > 0, model.predict(x).argmax(-1) == y
    assert model.evaluate(x, y, batch_size=4)["accuracy"] == pytest.approx(right[valid].mean())
    np.testing.assert_allclose(model.get_weights()[0], STORED["masked/kernel"], rtol=1e-4, atol=1e-6)
