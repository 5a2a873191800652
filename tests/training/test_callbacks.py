"""Callbacks that watch, save and record; and runs that go on with what they remembered."""

import csv
import signal
from types import SimpleNamespace

import numpy as np
import pytest

import millrace as mr
from millrace import callbacks, layers, optimizers
from millrace.ir.errors import ArgumentError
from millrace.training.checkpoint import load_arrays

RNG = np.random.default_rng(5)
X = RNG.standard_normal((12, 3)).astype(np.float32)
Y = (X @ [[1.0], [-2.0], [0.5]]).astype(np.float32)


def linear(optimizer=None, metrics=()):
    model = mr.Sequential([mr.Input((3,)), layers.Dense(1, kernel_initializer="zeros", name="dense")])
    model.compile(optimizer or optimizers.SGD(0.1), "mse", metrics, engine="numpy")
    return model


def fit(model, *used, epochs=6, **options):
    return model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0, seed=2, callbacks=used, **options)


class Curve(callbacks.Callback):
    """Puts a made-up metric in the logs."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["score"] = self.values[epoch]


def test_an_unknown_monitor_is_told_what_there_is():
    for made in (callbacks.EarlyStopping("accuracy"), callbacks.ReduceLROnPlateau("val_mae")):
        with pytest.raises(ArgumentError, match=r"unknown monitor of \w+ '.*Known: .*loss") as caught:
            fit(linear(metrics=["mae"]), made)
        assert "mae" in str(caught.value)
    with pytest.raises(ArgumentError, match="needs validation_data"):
        fit(linear(), callbacks.EarlyStopping())
    with pytest.raises(ArgumentError, match="unknown name in filepath 'acc'"):
        fit(linear(), callbacks.ModelCheckpoint("{acc}.safetensors"))


@pytest.mark.parametrize(
    ("metric", "values", "stopped"),
    [("r2_score", [0.1, 0.5, 0.4], 2), ("mae", [0.1, 0.5, 0.4], 1), ("loss", [3.0, 2.0, 2.5], 2)],
)
def test_mode_auto_knows_which_way_is_better(metric, values, stopped):
    model = linear(metrics=["mae", "r2_score"])

    class Set(callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            logs[metric] = values[epoch]

    assert fit(model, Set(), callbacks.EarlyStopping(metric), epochs=3).epoch[-1] == stopped
    with pytest.raises(ArgumentError, match="mode='max' or mode='min'"):
        fit(model, Curve([1, 2, 3]), callbacks.EarlyStopping("score"), epochs=3)


def test_the_alexnet_rule_divides_by_ten_three_times_and_then_ends():
    rule = callbacks.ReduceLROnPlateau("score", 0.1, patience=2, mode="min", times=3, stop=True)
    model = linear(optimizers.SGD(0.1))
    history = fit(model, Curve([1.0] * 50), rule, epochs=50)
    # the first value is the best; then two epochs to each of three reductions, and two to the end
    assert history.history["learning_rate"] == pytest.approx([0.1] * 3 + [0.01] * 2 + [1e-3] * 2 + [1e-4] * 2)
    with pytest.raises(ArgumentError, match="give times"):
        callbacks.ReduceLROnPlateau(stop=True)


def test_a_scheduler_sets_the_rate_before_each_epoch():
    history = fit(linear(), callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5 if epoch else rate))
    assert history.history["learning_rate"] == pytest.approx([0.1 * 0.5**n for n in range(6)])
    assert fit(linear(), callbacks.LearningRateScheduler(lambda epoch: 0.3), epochs=1).history["learning_rate"] == [
        pytest.approx(0.3)
    ]
    with pytest.raises(ArgumentError, match="is a schedule"):
        fit(linear(optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 9))), callbacks.ReduceLROnPlateau("loss"),
            callbacks.LearningRateScheduler(lambda epoch: 0.3))  # fmt: skip


def test_lambdas_are_called_at_their_turning_points():
    seen = []
    fit(
        linear(),
        callbacks.LambdaCallback(on_epoch_begin=lambda e, logs: seen.append(("begin", e)),
                                 on_epoch_end=lambda e, logs: seen.append(("end", e))),
        epochs=2,
    )  # fmt: skip
    assert seen == [("begin", 0), ("end", 0), ("begin", 1), ("end", 1)]
    with pytest.raises(ArgumentError, match="on_epoch_end"):
        callbacks.LambdaCallback(on_epoch_ends=print)


def test_model_checkpoints_have_names_and_the_best_is_kept(tmp_path):
    curve = [3.0, 2.0, 2.5, 1.0]
    every = callbacks.ModelCheckpoint(tmp_path / "m-{epoch:02d}-{score:.1f}.safetensors", "score")
    best = callbacks.ModelCheckpoint(
        tmp_path / "best-{epoch}.safetensors", "score", save_best_only=True, save_weights_only=True, mode="min"
    )
    model = linear()
    fit(model, Curve(curve), every, best, epochs=4)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "best-1.safetensors", "best-2.safetensors", "best-4.safetensors", "m-01-3.0.safetensors",
        "m-02-2.0.safetensors", "m-03-2.5.safetensors", "m-04-1.0.safetensors",
    ]  # fmt: skip
    assert set(load_arrays(tmp_path / "best-4.safetensors")[0]) == {"dense/kernel", "dense/bias"}
    fresh = linear()
    fresh.load_weights(tmp_path / "best-4.safetensors")
    np.testing.assert_array_equal(fresh.predict(X), model.predict(X))
    assert mr.load_model(tmp_path / "m-02-2.0.safetensors").progress["epoch"] == 2


def test_a_table_has_a_row_an_epoch_and_goes_on(tmp_path):
    path = tmp_path / "log.csv"
    model = linear()
    fit(model, callbacks.CSVLogger(path), epochs=3)
    more = fit(model, callbacks.CSVLogger(path), epochs=4, initial_epoch=2)  # epoch 2 once more
    rows = list(csv.DictReader(path.open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert [float(row["loss"]) for row in rows[2:]] == pytest.approx(more.history["loss"])


class Halt(callbacks.Callback):
    """Ends the run after an epoch, as a kill would."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs):
        self.model.stop_training = self.model.stop_training or epoch == self.epoch


CURVE = [3.0, 2.0, 2.5, 2.6, 2.2, 1.0, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]


def watchers():
    """Made so that each of them counts on what it saw before the run is cut in two."""
    return [
        Curve(CURVE),
        callbacks.EarlyStopping("score", patience=4, mode="min", restore_best_weights=True),
        callbacks.ReduceLROnPlateau("score", 0.5, patience=2, mode="min", times=2),
        callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    ]


@pytest.mark.parametrize("cut", [0, 2, 3, 6, 8])
@pytest.mark.parametrize("first", [True, False], ids=["checkpoint first", "checkpoint last"])
def test_a_run_cut_in_two_ends_as_one_that_was_not(cut, first, tmp_path):
    straight = linear("adam")
    whole = fit(straight, *watchers(), epochs=12)
    assert whole.epoch[-1] == 9  # four epochs after the best one
    checkpoint = [callbacks.Checkpoint(tmp_path / "m.safetensors")]
    used = [*checkpoint, *watchers()] if first else [*watchers(), *checkpoint]
    fit(linear("adam"), *used, Halt(cut), epochs=cut + 1)
    resumed = mr.load_model(tmp_path / "m.safetensors", engine="numpy")
    rest = fit(resumed, *watchers(), epochs=12, initial_epoch=cut + 1)
    assert rest.epoch == whole.epoch[cut + 1 :]
    assert rest.history["learning_rate"] == whole.history["learning_rate"][cut + 1 :]
    for a, b in zip(straight.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("same_process", [True, False])
def test_ctrl_c_within_an_epoch_loses_nothing_that_callbacks_know(same_process, tmp_path):
    straight = linear("adam")
    whole = fit(straight, *watchers(), epochs=12)
    stopper = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: signal.raise_signal(signal.SIGINT) if epoch == 4 else None
    )
    used, model = watchers(), linear("adam")
    with pytest.raises(KeyboardInterrupt, match="initial_epoch=5, initial_step=1"):
        fit(model, *used, stopper, callbacks.Checkpoint(tmp_path / "m.safetensors"), epochs=12)
    if not same_process:
        used, model = watchers(), mr.load_model(tmp_path / "m.safetensors", engine="numpy")
    rest = fit(model, *used, epochs=12, initial_epoch=5, initial_step=1)
    assert rest.history == {name: curve[5:] for name, curve in whole.history.items()}
    for a, b in zip(straight.weights, model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_another_run_of_the_same_callbacks_starts_anew():
    stopper = callbacks.EarlyStopping("score", mode="min")
    model = linear()
    assert fit(model, Curve([1, 2, 3]), stopper, epochs=3).epoch == [0, 1]
    assert fit(model, Curve([5, 4, 6]), stopper, epochs=3).epoch == [0, 1, 2]


def test_a_callback_by_itself_compares_with_its_baseline():
    stopper = callbacks.EarlyStopping("val_loss", patience=2, baseline=0.5, mode="min")
    stopper.model = SimpleNamespace(stop_training=False)
    for epoch, value in enumerate([0.9, 0.8, 0.7]):  # better each time, but never than the baseline
        stopper.on_epoch_end(epoch, {"val_loss": value})
    assert stopper.wait == 3 and not stopper.model.stop_training
    stopper.on_epoch_end(3, {"val_loss": 0.7})
    assert stopper.model.stop_training
