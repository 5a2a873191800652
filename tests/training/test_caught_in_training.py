"""Faults that were put into training by hand and that no other test noticed: each has its test here."""

import csv

import numpy as np
import pytest

import millrace as mr
from millrace import callbacks, layers, losses, metrics, optimizers
from millrace.ir.errors import DataError, FileError
from millrace.training.callback import restore, states
from millrace.training.progress import duration, shown
from millrace.training.summary import rows

RNG = np.random.default_rng(11)
X = RNG.standard_normal((8, 3)).astype(np.float32)
Y = RNG.standard_normal((8, 1)).astype(np.float32)
KERNEL, BIAS = np.float32([[1], [-2], [0.5]]), np.float32([0.25])


def linear(optimizer, **options):
    model = mr.Sequential([mr.Input((3,)), layers.Dense(1, name="dense")])
    model.set_weights([KERNEL, BIAS])
    model.compile(optimizer, "mse", engine="numpy", **options)
    return model


def fit(model, x=X, y=Y, **options):
    return model.fit(x, y, **{"batch_size": 4, "shuffle": False, "verbose": 0, **options})


def slope(kernel, bias, x, y):
    """The gradient of the mean square error of x @ kernel + bias with respect to the kernel."""
    return 2 * x.T @ (x @ kernel + bias - y) / len(x)


# ---- optimizers


def test_the_first_mean_of_gradients_starts_from_nothing_whatever_the_slots_start_from():
    model = linear(optimizers.Adagrad(0.5, initial_accumulator_value=0.4, gradient_accumulation_steps=2))
    fit(model)
    g = slope(KERNEL, BIAS, X, Y)  # two batches of one size: the mean of their gradients
    expected = KERNEL - 0.5 * g / np.sqrt(0.4 + g**2 + 1e-7)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)


def test_clipping_bounds_the_mean_of_gradients_and_not_their_sum():
    g = slope(KERNEL, BIAS, X, Y)
    bound = float(np.abs(g).max() * 0.9)  # their sum is beyond it everywhere that matters, their mean hardly
    model = linear(optimizers.SGD(0.5, clipvalue=bound, gradient_accumulation_steps=2))
    fit(model)
    np.testing.assert_allclose(model.get_weights()[0], KERNEL - 0.5 * np.clip(g, -bound, bound), rtol=1e-5)
    total = np.sqrt(np.sum(g**2) + np.sum((2 * np.mean(X @ KERNEL + BIAS - Y)) ** 2))
    model = linear(optimizers.SGD(0.5, global_clipnorm=float(total) * 1.5, gradient_accumulation_steps=2))
    fit(model)
    np.testing.assert_allclose(model.get_weights()[0], KERNEL - 0.5 * g, rtol=1e-5)


def test_an_optimizers_description_holds_the_learning_rate_that_is_set():
    one = optimizers.SGD(0.3, momentum=0.5)
    again = optimizers.optimizer(one.get_config())
    assert float(again.learning_rate.numpy()) == np.float32(0.3)
    one.learning_rate = 0.02
    assert one.get_config()["config"]["learning_rate"] == np.float32(0.02)


class Halves(layers.Layer):
    """A factor of 16 bits."""

    def build(self, x):
        self.factor = self.add_weight("factor", (x.shape[-1],), "ones", dtype="bfloat16")

    def call(self, x):
        return mr.cast(x, "bfloat16") * self.factor


def test_weights_of_16_bits_have_their_memory_and_their_loss_in_32():
    model = mr.Sequential([mr.Input((3,)), Halves(name="halves")])
    model.compile(optimizers.Adam(0.25), "mse", engine="numpy")
    x = np.ones((4, 3), np.float32)
    assert model.evaluate(x, x + np.float32(1e-3))["loss"] == pytest.approx(1e-6, rel=1e-3)  # 1.001 is 1 in 16 bits
    model.optimizer.build(model.trainable_weights)
    assert {slot.dtype for slots in model.optimizer.memory.values() for slot in slots.values()} == {"float32"}
    fit(model, x, 3 * x)
    assert model.get_weights()[0].dtype.name == "bfloat16"
    np.testing.assert_allclose(model.get_weights()[0].astype(np.float32), 1.25, rtol=1e-2)


# ---- losses


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_shares_that_do_not_sum_to_one_are_taken_in_proportion(name):
    p = mr.Input((3,))
    y = np.array([2, 0]) if name.startswith("sparse") else np.float32([[0, 0, 1], [1, 0, 0]])
    wanted = mr.Input((), dtype="int32") if name.startswith("sparse") else mr.Input((3,))
    given = np.float32([[0.1, 0.1, 0.2], [1, 2, 1]])
    found = mr.function([wanted, p], losses.loss(name)(wanted, p), engine="numpy")(y.astype(wanted.dtype), given)
    np.testing.assert_allclose(found, [np.log(2), np.log(4)], rtol=1e-5)


# ---- callbacks


class Curve(callbacks.Callback):
    """Puts a made-up metric in the logs."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["made_up"] = self.values[epoch]


def test_a_checkpoint_is_kept_only_where_it_beats_the_threshold(tmp_path):
    model = linear(optimizers.SGD(0.01))
    saver = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.safetensors", "made_up", save_best_only=True, mode="max", initial_value_threshold=0.5
    )
    fit(model, epochs=4, callbacks=[Curve([0.4, 0.6, 0.55, 0.7]), saver])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2.safetensors", "4.safetensors"]


def test_a_column_that_an_epoch_lacks_is_not_available(tmp_path):
    table = callbacks.CSVLogger(tmp_path / "t.csv")
    table.on_train_begin({"initial_epoch": 0, "initial_step": 0})
    table.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})
    table.on_epoch_end(1, {"loss": 0.5})
    rows = list(csv.reader((tmp_path / "t.csv").read_text().splitlines()))
    assert rows == [["epoch", "loss", "val_loss"], ["0", "1.0", "2.0"], ["1", "0.5", "NA"]]


def test_events_are_named_by_what_they_are_of_and_numbered_by_epoch(tmp_path):
    written = []

    class Writer:
        def write_event(self, event):
            (value,) = event.summary.value
            written.append((value.tag, value.simple_value, event.step))

        def flush(self):
            pass

    board = callbacks.TensorBoard(tmp_path)
    board.writer = Writer()
    board.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})
    assert written == [("loss/training", 1.0, 1), ("loss/validation", 2.0, 1)]


# ---- a step that breaks down though its loss is finite


class Root(layers.Layer):
    """x times the root of a factor: at 0 its slope is infinite, though its value is not."""

    def build(self, x):
        self.factor = self.add_weight("factor", (1,), "ones")
        self.seen = self.add_weight("seen", (1,), "zeros", trainable=False)

    def call(self, x):
        self.add_update(self.seen, self.seen.value + 1.0 / mr.mean(mr.abs(x)))
        return x * mr.sqrt(self.factor)


def test_an_infinite_gradient_or_statistic_stops_training_and_keeps_all_there_was():
    model = mr.Sequential([mr.Input((1,)), Root(name="root")])
    model.compile(optimizers.SGD(0.1), "mse", engine="numpy")
    x = np.ones((4, 1), np.float32)
    fit(model, x, x)
    kept = model.get_weights()
    with pytest.raises(mr.layers.base.MillraceError, match="step 1 of epoch 1"):
        fit(model, 0 * x, x)  # the mean of nothing but zeros
    for before, after in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    model.set_weights([np.zeros(1, np.float32), np.float32([3])])
    assert np.isfinite(model.evaluate(x, x)["loss"])
    with pytest.raises(mr.layers.base.MillraceError, match="step 1 of epoch 1"):
        fit(model, x, x)
    for before, after in zip([[0], [3]], model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


# ---- weights of examples and classes


def test_the_weight_of_an_example_is_that_of_its_real_steps():
    model = mr.Sequential([mr.Input((3, 2)), layers.Masking(), layers.Dense(1, use_bias=False, name="dense")])
    kernel = np.float32([[1], [2]])
    model.set_weights([kernel])
    model.compile(optimizers.SGD(0.1), "mse", engine="numpy")
    x, y = RNG.standard_normal((4, 3, 2)).astype(np.float32), RNG.standard_normal((4, 3, 1)).astype(np.float32)
    x[0, 1:], x[2, 2:] = 0, 0
    weights, real = np.float32([1, 0, 3, 0.5]), np.abs(x).sum(-1) > 0
    error = ((x @ kernel - y) ** 2)[..., 0] * weights[:, None]
    assert model.evaluate(x, y, sample_weight=weights)["loss"] == pytest.approx(
        error[real].sum() / real.sum(), rel=1e-5
    )


@pytest.mark.parametrize("kind", ["yes or no", "one-hot rows"])
def test_class_weights_of_answers_that_are_no_class_numbers(kind):
    classes = np.array([0, 1, 1, 0, 1, 0, 0, 0])
    binary = kind == "yes or no"
    model = mr.Sequential([mr.Input((3,)), layers.Dense(1 if binary else 2, "sigmoid" if binary else "softmax")])
    model.compile(optimizers.SGD(0.0), f"{'binary' if binary else 'categorical'}_crossentropy", engine="numpy")
    y = classes.astype(np.float32) if binary else np.eye(2, dtype=np.float32)[classes]
    by_class = fit(model, X, y, class_weight={1: 4.0}).history["loss"]
    by_example = fit(model, X, y, sample_weight=np.where(classes == 1, 4.0, 1.0)).history["loss"]
    plain = fit(model, X, y).history["loss"]
    assert by_class == by_example and by_class[0] > 1.2 * plain[0]


# ---- several outputs


def forked(**options):
    x = mr.Input((3,), name="x")
    model = mr.Model(x, [layers.Dense(1, name="near")(x), layers.Dense(2, "softmax", name="kind")(x)])
    model.compile(optimizers.SGD(0.1), engine="numpy", **options)
    return model


KINDS = np.array([0, 1, 1, 0, 1, 0, 0, 0])


def test_answers_in_a_list_are_of_the_outputs_at_their_places():
    model = forked(loss={"kind": "sparse_categorical_crossentropy"})
    by_name, by_place = (model.evaluate(X, y) for y in ({"kind": KINDS}, [None, KINDS]))
    assert by_name == by_place


def test_one_array_of_weights_is_every_outputs():
    model = forked(loss=["mse", "sparse_categorical_crossentropy"])
    weights = np.float32([0, 1, 2, 3, 0, 1, 2, 3])
    one = model.evaluate(X, [Y, KINDS], sample_weight=weights)
    assert one == model.evaluate(X, [Y, KINDS], sample_weight=[weights, weights])
    assert one != model.evaluate(X, [Y, KINDS])


def test_it_is_known_which_way_each_column_is_better():
    scores = [metrics.F1Score(name="f1")]
    model = forked(loss=["mse", "categorical_crossentropy"], metrics=[["mae"], scores])
    directions = {"val_near_loss": "down", "kind_loss": "down", "val_near_mae": "down", "val_kind_f1_1": "up"}
    for column, direction in directions.items():
        assert model.compiled.direction(column) == direction, column
    assert model.compiled.direction("kind_f1_first") is None


# ---- metrics


def ratio(metric, y, p):
    """What a metric makes of answers and outputs."""
    given = np.asarray(p, np.float32)
    model = mr.Sequential([mr.Input(given.shape[1:]), layers.Activation("linear")])
    model.compile("sgd", "mse", [metric], engine="numpy")
    return model.evaluate(given, np.asarray(y, np.float32))[metric.name]


def test_an_output_at_its_threshold_says_no():
    p, y = [[0.5], [0.75], [0.5], [0.25]], [[1], [1], [0], [0]]
    assert ratio(metrics.Recall(), y, p) == 0.5
    assert ratio(metrics.Precision(thresholds=0.25), y, p) == pytest.approx(2 / 3)
    assert ratio(metrics.FalseNegatives(thresholds=0.75), y, p) == 2


def test_of_the_greatest_outputs_those_below_the_threshold_say_no():
    p, y = [[0.5, 0.4, 0.1], [0.9, 0.7, 0.1]], [[1, 1, 0], [0, 1, 0]]
    assert ratio(metrics.Precision(top_k=2), y, p) == 0.75
    assert ratio(metrics.Recall(thresholds=0.45, top_k=2), y, p) == pytest.approx(2 / 3)


def test_settings_of_metrics_are_part_of_their_description():
    for made in (metrics.BinaryCrossentropy(label_smoothing=0.5), metrics.TruePositives(thresholds=0.8)):
        again = metrics.metric(made.get_config(), losses.loss("mse"))
        p, y = [[0.6], [0.9], [0.7]], [[1], [1], [0]]
        assert ratio(again, y, p) == ratio(made, y, p) != ratio(type(made)(), y, p)


# ---- what is behind the loss


def test_a_row_that_a_reshape_put_together_is_judged_by_itself():
    model = mr.Sequential([mr.Input((2, 2)), layers.Softmax(), layers.Reshape((4,))])
    model.compile("sgd", "categorical_crossentropy", engine="numpy")
    x = np.log(np.float32([[[1, 3], [8, 8]]]))  # shares 1/4, 3/4 and 1/2, 1/2; as one row 1/8, 3/8, 1/4, 1/4
    assert model.evaluate(x, np.float32([[1, 0, 0, 0]]))["loss"] == pytest.approx(np.log(8), rel=1e-5)


def test_a_penalty_of_a_short_batch_counts_as_its_examples_do():
    model = mr.Sequential([mr.Input((1,)), layers.ActivityRegularization(l2=1.0)])
    model.compile("sgd", "mse", engine="numpy")
    x = np.float32([[1], [1], [1], [1], [2], [2]])
    assert model.evaluate(x, x, batch_size=4)["loss"] == pytest.approx((4 * 1 + 2 * 4) / 6, rel=1e-5)


def test_a_model_that_is_not_trained_keeps_its_statistics():
    model = mr.Sequential([mr.Input((3,)), layers.BatchNormalization(momentum=0.5), layers.Dense(1)])
    model.trainable = False
    model.compile(optimizers.SGD(0.1), "mse", engine="numpy")
    before = model.get_weights()
    fit(model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_output_with_padding_has_its_own_mask_and_not_the_first_ones():
    x = mr.Input((3, 2), name="x")
    steps = layers.Dense(1, use_bias=False, name="steps")(layers.Masking()(x))
    model = mr.Model(x, [layers.Dense(1, use_bias=False, name="whole")(layers.Flatten()(x)), steps])
    model.compile("sgd", {"steps": "mse", "whole": "mse"}, engine="numpy")
    data, y = RNG.standard_normal((4, 3, 2)).astype(np.float32), RNG.standard_normal((4, 3, 1)).astype(np.float32)
    data[0, 1:], data[2, 2:] = 0, 0
    real = np.abs(data).sum(-1) > 0
    whole, of_steps = model.predict(data)
    found = model.evaluate(data, {"whole": y[:, 0], "steps": y})
    assert found["whole_loss"] == pytest.approx(np.mean((whole - y[:, 0]) ** 2), rel=1e-5)
    assert found["steps_loss"] == pytest.approx(np.mean((of_steps - y)[real] ** 2), rel=1e-5)


def test_outputs_of_one_layer_are_numbered_from_the_second_on():
    a, b, shared = mr.Input((3,)), mr.Input((3,)), layers.Dense(1, name="shared")
    model = mr.Model([a, b], [shared(a), shared(b)])
    model.compile("sgd", "mse", engine="numpy")
    assert list(model.evaluate([X, X], [Y, Y])) == ["loss", "shared_loss", "shared_1_loss"]


def test_the_crossentropy_that_fits_takes_scores_where_the_loss_does():
    model = mr.Sequential([mr.Input((3,)), layers.Dense(1)])
    model.compile("sgd", losses.BinaryCrossentropy(from_logits=True), ["crossentropy"], engine="numpy")
    found = model.evaluate(X, KINDS)
    assert found["crossentropy"] == pytest.approx(found["loss"], rel=1e-6)


def test_short_names_of_accuracy_and_crossentropy_have_the_columns_of_the_long_ones():
    model = mr.Sequential([mr.Input((3,)), layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", ["acc", "ce"], engine="numpy")
    assert list(model.evaluate(X, KINDS)) == ["loss", "accuracy", "crossentropy"]


def test_a_vector_of_zeros_has_no_direction_and_does_no_harm():
    y, p = mr.Input((2,)), mr.Input((2,))
    loss = losses.CosineSimilarity()(y, p)
    run = mr.function([y, p], [loss, *mr.gradients(mr.sum(loss), [p])], engine="numpy")
    found, slope = run(np.float32([[0, 0], [3, 4]]), np.float32([[1, 2], [0, 0]]))
    np.testing.assert_array_equal(found, [0, 0])
    assert np.isfinite(slope).all()


def test_answers_above_one_are_no_yes():
    model = mr.Sequential([mr.Input((3,)), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", engine="numpy")
    with pytest.raises(DataError, match=r"no or yes.*holds 2"):
        model.fit(X, KINDS * 2, verbose=0)


# ---- callbacks from run to run


def test_the_best_weights_come_back_also_where_the_epochs_ran_out():
    model, kept = linear(optimizers.SGD(0.05)), []
    keeper = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()))
    stopper = callbacks.EarlyStopping("made_up", mode="min", patience=9, restore_best_weights=True)
    fit(model, epochs=4, callbacks=[keeper, Curve([3, 1, 2, 2]), stopper])
    for best, last, found in zip(kept[1], kept[3], model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, best)
        assert (found != last).any()


def test_two_callbacks_of_one_class_remember_each_its_own():
    def pair():
        return [callbacks.ReduceLROnPlateau("loss", mode="min"), callbacks.ReduceLROnPlateau("val_loss", mode="min")]

    before, after = pair(), pair()
    before[0].best, before[1].best = 1.0, 2.0
    restore(after, {"epoch": 3, "step": 0, **states(before)}, 3, 0)
    assert [one.best for one in after] == [1.0, 2.0]


def test_a_table_has_the_separator_that_is_asked_for(tmp_path):
    model = linear(optimizers.SGD(0.1), metrics=["mae"])
    fit(model, callbacks=[callbacks.CSVLogger(tmp_path / "t.csv", separator=";")])
    assert (tmp_path / "t.csv").read_text().startswith("epoch;loss;mae\n0;")


def test_an_epoch_under_way_is_gone_on_with_by_the_same_metrics_alone(tmp_path):
    model = linear(optimizers.SGD(0.1))
    fit(model)
    model.save(tmp_path / "m.safetensors", progress={"epoch": 0, "step": 1})
    with pytest.raises(FileError, match="training/totals"):
        linear(optimizers.SGD(0.1), metrics=["mae"]).load_weights(tmp_path / "m.safetensors")


# ---- what is shown


def test_times_are_told_in_words():
    assert [duration(n) for n in (42.4, 185, 7800)] == ["42 s", "3 min 5 s", "2 h 10 min"]


def test_a_line_shows_four_columns_those_that_matter_most_first():
    logs = {"mae": 0.5, "loss": 1.0, "mse": 2.0, "val_loss": 3.0, "rmse": 4.0}
    assert shown(logs) == "loss 1.0000  val loss 3.0000  mae 0.5000  mse 2.0000"


def test_the_parameters_of_a_layer_that_is_used_twice_are_shown_once():
    a, b, shared = mr.Input((3,)), mr.Input((3,)), layers.Dense(2, name="shared")
    model = mr.Model([a, b], layers.Add(name="sum")([shared(a), shared(b)]))
    assert [row.parameters for row in rows(model) if row.name == "shared"] == [8, 0]
