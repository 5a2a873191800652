"""What a step measures of its network: the right numbers, and no bit of the weights changed by it."""

import json
from itertools import pairwise

import numpy as np
import pytest

import millrace as mr
from millrace.training.callbacks import Callback, Measurements
from millrace.training.run import Run

layers = mr.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 20).astype(np.int32)


def network(activation="tanh", vitals=True, engine=None, optimizer=None, **more):
    mr.set_seed(3)
    hidden = layers.Dense(
        5, activation, kernel_initializer=mr.initializers.RandomNormal(stddev=2.0), name="hidden", **more
    )
    model = mr.Sequential([mr.Input((6,)), hidden, layers.Dropout(0.3), layers.Dense(3, "softmax", name="out")])
    model.compile(
        optimizer or mr.optimizers.Adam(0.01), "sparse_categorical_crossentropy", vitals=vitals, engine=engine
    )
    return model


def fit(model, **more):
    return model.fit(X, Y, batch_size=8, verbose=0, seed=1, **{"epochs": 1, **more})


class Kernels(Callback):
    """The first layer's weights before the first step, and after each."""

    def on_train_begin(self, plan):
        self.kernels = [self.now()]

    def on_step_end(self, epoch, step):
        self.kernels.append(self.now())

    def now(self):
        kernel, bias, *_ = (v.numpy() for v in self.model.weights)
        return kernel, bias


SLOPES = {
    "tanh": lambda z: 1 - np.tanh(z) ** 2 <= 0.02,
    "sigmoid": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2 <= 0.005,
    "relu": lambda z: z <= 0,
}


@pytest.mark.parametrize("engine", ["xla", "numpy"])
@pytest.mark.parametrize("kind", SLOPES)
def test_the_shares_are_those_that_numpy_gives(kind, engine):
    """The last batch is filled up with 4 examples that do not count."""
    watch = Kernels()
    model = network(kind, engine=engine, bias_initializer=mr.initializers.Constant(-1.0))
    history = fit(model, callbacks=[watch], shuffle=False)
    flat = np.concatenate(
        [SLOPES[kind](X[n : n + 8] @ w + b) for n, (w, b) in zip((0, 8, 16), watch.kernels, strict=False)]
    )
    one = history.vitals[0].activations["hidden"]
    assert (one.kind, one.units) == (kind, 5)
    assert one.flat == pytest.approx(flat.mean(), abs=1e-6)
    assert one.stuck == pytest.approx(flat.all(axis=0).mean(), abs=1e-6)


@pytest.mark.parametrize("engine", ["xla", "numpy"])
def test_the_sizes_are_those_of_the_weights_and_their_changes(engine):
    watch = Kernels()
    history = fit(network(engine=engine, optimizer=mr.optimizers.SGD(0.5)), callbacks=[watch])
    kernels = [w.astype(np.float64) for w, _ in watch.kernels]
    changes = [b - a for a, b in pairwise(kernels)]
    found = history.vitals[0].weights["hidden/kernel"]
    assert found.weight == pytest.approx(np.sqrt(np.mean(np.square(kernels[1:]))), rel=1e-4)
    assert found.update == pytest.approx(np.sqrt(np.mean(np.square(changes))), rel=1e-3)
    assert found.gradient == pytest.approx(found.update / 0.5, rel=1e-3)  # a step of SGD is the rate times the gradient


def test_answers_are_counted_as_they_weigh():
    history = fit(network(), class_weight={0: 2.0})
    counts = np.bincount(Y, minlength=3) * [2, 1, 1]
    assert history.vitals[0].truth == pytest.approx(counts.tolist())
    assert sum(history.vitals[0].guessed) == pytest.approx(counts.sum())


def test_each_epoch_is_measured_by_itself():
    history = fit(network(), epochs=3)
    assert [sum(one.truth) for one in history.vitals] == [20, 20, 20]
    assert all(0 < one.activations["hidden"].flat < 1 for one in history.vitals)


def test_two_classes_of_one_unit_are_counted():
    model = mr.Sequential([mr.Input((6,)), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    found = model.fit(X, (Y > 0).astype(np.float32), verbose=0).vitals[0]
    assert found.truth == [float((Y == 0).sum()), float((Y > 0).sum())]
    assert found.activations == {}  # an output may be sure


CASES = {
    "dense": lambda: [
        mr.Input((8, 8, 1)), layers.Flatten(), layers.Dense(64, "tanh"), layers.Dense(32, "relu"), layers.Dropout(0.5)
    ],
    "convolutions": lambda: [
        mr.Input((8, 8, 1)), layers.Conv2D(8, 3, padding="same", activation="relu"), layers.BatchNormalization(),
        layers.Activation("tanh"), layers.MaxPooling2D(2), layers.Flatten(),
    ],
    "mixed": lambda: [
        mr.Input((8, 8, 1)), layers.Flatten(), layers.Dense(64, "relu", dtype="mixed_bfloat16"),
        layers.Dense(32, "sigmoid", dtype="mixed_bfloat16"),
    ],
    "recurrent": lambda: [
        mr.Input((8, 8)), layers.Masking(), layers.LSTM(8, return_sequences=True),
        layers.TimeDistributed(layers.Dense(6, "relu")), layers.LSTM(4),
    ],
}  # fmt: skip
QUICK = (("dense", "adam"), ("convolutions", "momentum"))
EACH = [
    pytest.param(case, rule, marks=[] if (case, rule) in QUICK else pytest.mark.slow)
    for case in CASES
    for rule in ("adam", "momentum")
]


@pytest.mark.parametrize(("case", "optimizer"), EACH)
def test_weights_have_the_same_bits_with_and_without(case, optimizer):
    from millrace.data.datasets import digits

    data = digits(0)
    x = data.x_train[:200] if case != "recurrent" else data.x_train[:200, ..., 0]
    made = []
    for vitals in (True, False):
        mr.set_seed(0)
        model = mr.Sequential([*CASES[case](), layers.Dense(10, "softmax")])
        rule = mr.optimizers.Adam(0.003) if optimizer == "adam" else mr.optimizers.SGD(0.05, momentum=0.9)
        model.compile(rule, "sparse_categorical_crossentropy", ["accuracy"], vitals=vitals)
        history = model.fit(x, data.y_train[:200], epochs=2, verbose=0, seed=0)
        assert bool(history.vitals) is vitals
        made.append([v.numpy() for v in [*model.weights, *model.optimizer.variables]])
    for a, b in zip(*made, strict=True):
        np.testing.assert_array_equal(a, b)


def test_over_a_mesh_nothing_is_measured_and_nothing_said(capsys):
    model = mr.Sequential([mr.Input((6,)), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", mesh=mr.Mesh(data=2))
    assert fit(model).vitals == []
    model.fit(X, Y, batch_size=8)
    assert "advice" not in capsys.readouterr().out


class Stop(Callback):
    def __init__(self, at):
        self.at = at

    def on_step_end(self, epoch, step):
        if (epoch, step) == self.at:
            raise KeyboardInterrupt


def test_a_run_that_goes_on_measures_what_it_would_have(tmp_path):
    """Stopped in the middle of the third epoch, after a checkpoint at its second step."""
    whole, cut = Run(tmp_path / "whole"), Run(tmp_path / "cut")
    for run in (whole, cut):
        run.path.mkdir()
    fit(network(), epochs=4, callbacks=whole.callbacks(save_every=1, best=None))
    with pytest.raises(KeyboardInterrupt):
        fit(network(), epochs=4, callbacks=[*cut.callbacks(save_every=1, best=None), Stop((2, 2))])
    model = network()
    fit(model, epochs=4, callbacks=cut.callbacks(save_every=1, best=None), **model.resume(cut.checkpoints.directory))
    first, second = ((run.path / "vitals.jsonl").read_text() for run in (whole, cut))
    assert first == second
    assert [json.loads(line)["epoch"] for line in first.splitlines()] == [0, 1, 2, 3, 4]


def test_lines_of_later_epochs_are_cut_off(tmp_path):
    path = tmp_path / "vitals.jsonl"
    fit(network(), epochs=3, callbacks=[Measurements(path)])
    fit(network(), epochs=3, initial_epoch=1, callbacks=[Measurements(path)])
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [0, 1, 2, 3]


def test_a_file_of_an_older_millrace_is_gone_on_with(tmp_path):
    """It has no vitals in its state: they begin anew."""
    older, newer = network(vitals=False), network()
    fit(older)
    older.save(tmp_path / "older.safetensors", {"epoch": 1, "step": 0})
    newer.load_weights(tmp_path / "older.safetensors")
    history = fit(newer, epochs=2, initial_epoch=1)
    assert [one.epoch for one in history.vitals] == [2] and history.vitals[0].weights["hidden/kernel"].update < 0.05


@pytest.mark.parametrize(("size", "places"), [(2, [0, 1]), (7, [0, 2, 4, 6]), (8, [0, 2, 4, 6]), (36, [5, 17, 29])])
def test_places_are_spread_over_an_axis(size, places):
    from millrace.training.vitals import some

    assert list(range(*some(size))) == places


def test_what_was_said_is_not_said_again_by_a_run_that_goes_on(capsys):
    told = mr.callbacks.Advice()
    model = network(optimizer=mr.optimizers.SGD(0.01))
    x, y = np.concatenate([X, X * 100]), np.concatenate([Y, Y])  # numbers far from 1
    model.fit(x, y, epochs=1, verbose=0, callbacks=[told])
    said = capsys.readouterr().out
    assert said.count("advice:") == len(told.told) > 0
    again = mr.callbacks.Advice()
    again.restore(json.loads(json.dumps(told.state())))
    model.fit(x, y, epochs=2, initial_epoch=1, verbose=0, callbacks=[again])
    assert not set(capsys.readouterr().out.splitlines()) & set(said.splitlines())
    assert again.facts.line() == told.facts.line() and again.told[: len(told.told)] == told.told


def test_a_step_that_is_not_finite_leaves_no_trace():
    model = network(optimizer=mr.optimizers.SGD(0.01))
    model.fit(X, Y, batch_size=10, verbose=0, shuffle=False)
    gauges = model.training_steps.gauges
    kept = {v.name: v.numpy().copy() for v in (gauges.totals, gauges.before)}
    with pytest.raises(mr.ir.errors.NonFiniteError):
        model.fit(np.full_like(X, 1e38), Y, batch_size=20, verbose=0, shuffle=False)
    assert np.isfinite(gauges.totals.numpy()).all() and not gauges.totals.numpy().any()  # reset at the epoch's start
    np.testing.assert_array_equal(gauges.before.numpy(), kept[gauges.before.name])


def test_the_scale_of_the_data_is_that_of_real_rows():
    model = network()
    x = np.full((3, 6), 4.0, np.float32)  # a batch of 8 is filled up
    facts = model.program(x, Y[:3], batch_size=8).facts
    assert facts.layer == "hidden" and facts.size == pytest.approx(4.0)
