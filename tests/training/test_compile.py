"""What compile takes: functions, several inputs and outputs, penalties, frozen layers, 16 bits; and files of it."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers, losses, metrics, optimizers
from millrace.ir.errors import ArgumentError, DataError, FileError, NonFiniteError, ShapeError

RNG = np.random.default_rng(9)
X = RNG.standard_normal((10, 3)).astype(np.float32)
Y = (X @ [[1.0], [-2.0], [0.5]] + 0.3 * RNG.standard_normal((10, 1))).astype(np.float32)
KERNEL, BIAS = np.array([[0.5], [0.25], [-1.0]], np.float32), np.array([0.125], np.float32)


def linear(optimizer="sgd", loss="mse", metrics=(), **options):
    model = mr.Sequential([mr.Input((3,)), layers.Dense(1, name="dense")])
    model.set_weights([KERNEL, BIAS])
    model.compile(optimizer, loss, metrics, engine="numpy", **options)
    return model


def fit(model, x=X, y=Y, **options):
    return model.fit(x, y, **{"batch_size": 10, "shuffle": False, "verbose": 0, **options})


# ---- functions


def cubed(y_true, y_pred):
    return mr.abs(y_true - y_pred) ** 3


def test_a_function_is_a_loss_and_a_metric():
    found = linear(loss=cubed, metrics=[cubed]).evaluate(X, Y)
    expected = np.mean(np.abs(X @ KERNEL + BIAS - Y) ** 3)
    assert found == pytest.approx({"loss": expected, "cubed": expected}, rel=1e-5)


def whole(y_true, y_pred):
    return mr.mean(mr.square(y_true - y_pred))


def test_a_function_of_the_whole_batch_is_refused():
    with pytest.raises(ShapeError, match=r"loss whole gives one number for the whole batch"):
        linear(loss=whole)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": cubed}, "the loss cubed"),
        ({"metrics": [cubed]}, "the metric cubed"),
        ({"optimizer": optimizers.SGD(lambda step: 0.1)}, "the learning rate"),
    ],
)
def test_a_file_says_which_function_must_be_given_again(options, words, tmp_path):
    model = linear(**options)
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors", engine="numpy")
    with pytest.raises(ArgumentError, match=f"does not hold {words}.*give it again"):
        loaded.evaluate(X, Y)
    loaded.compile("sgd", "mse")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_a_schedule_is_kept_and_goes_on(tmp_path):
    model = linear(optimizers.SGD(optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.01])))
    fit(model, epochs=3)
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors", engine="numpy")
    assert isinstance(loaded.optimizer.schedule, optimizers.schedules.PiecewiseConstantDecay)
    fit(loaded)
    assert loaded.optimizer.learning_rate.numpy() == pytest.approx(0.01)


def test_losses_and_metrics_with_settings_come_back_from_a_file(tmp_path):
    model = mr.Sequential([mr.Input((3,)), layers.Dense(2, "softmax")])
    made = [metrics.F1Score("macro"), metrics.AUC(num_thresholds=20), "accuracy", metrics.MeanSquaredError(name="far")]
    model.compile("adam", losses.CategoricalCrossentropy(label_smoothing=0.2), made, weighted_metrics=["crossentropy"])
    y = np.eye(2)[RNG.integers(0, 2, 10)]
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors")
    assert loaded.evaluate(X, y) == model.evaluate(X, y)
    assert list(loaded.evaluate(X, y)) == ["loss", "f1_score", "auc", "accuracy", "far", "crossentropy"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0), "only one of"),
        (lambda: optimizers.Adam(clipnorm=-1.0), "clipnorm"),
        (lambda: optimizers.Adam(global_clipnorm=0), "above 0"),
        (lambda: optimizers.Lion(gradient_accumulation_steps=0), "gradient_accumulation_steps"),
        (lambda: optimizers.RMSprop(rho=1.0), "rho"),
        (lambda: optimizers.schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps"),
        (lambda: optimizers.schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2]), "one more"),
        (lambda: optimizers.SGD({"class_name": "CosineDekay", "config": {}}), "Did you mean 'CosineDecay'"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=1.5), "label_smoothing"),
        (lambda: metrics.Precision(thresholds=[0.1, 0.2]), "thresholds"),
        (lambda: metrics.AUC(curve="roc"), "'ROC' or 'PR'"),
        (lambda: metrics.F1Score("mean"), "average"),
        (lambda: linear(metrics=["mae", "mae"]), "two metrics are called 'mae'"),
    ],
)
def test_what_is_out_of_range_is_named(make, words):
    with pytest.raises(ArgumentError, match=words):
        make()


def test_keras_names_of_classes_and_functions_are_the_same_losses():
    for one, other in (("mse", "MeanSquaredError"), ("kl_divergence", "KLDivergence"), ("bce", "binary_crossentropy")):
        assert type(losses.loss(one)) is type(losses.loss(other))
    assert {"kl_divergence", "log_cosh", "huber", "categorical_focal_crossentropy"} <= set(losses.Loss.known)


def test_the_adjusted_r2_allows_for_the_inputs_used():
    found = linear(metrics=[metrics.R2Score(name="r2"), metrics.R2Score(num_regressors=3, name="adjusted")]).evaluate(
        X, Y
    )
    r2 = 1 - np.sum((X @ KERNEL + BIAS - Y) ** 2) / np.sum((Y - Y.mean()) ** 2)
    assert found["r2"] == pytest.approx(r2, rel=1e-4)
    assert found["adjusted"] == pytest.approx(1 - (1 - r2) * 9 / 6, rel=1e-4)


def test_precision_and_recall_by_hand():
    model = mr.Sequential([mr.Input((1,)), layers.Activation("linear")])
    model.compile("sgd", "binary_crossentropy", ["precision", "recall", "accuracy"], engine="numpy")
    x, y = np.array([[0.9], [0.8], [0.7], [0.1], [0.2]], np.float32), np.array([1, 0, 1, 1, 0])
    found = model.evaluate(x, y, batch_size=2)
    assert (found["precision"], found["recall"]) == pytest.approx((2 / 3, 2 / 3))
    assert found["accuracy"] == pytest.approx(3 / 5)


# ---- accumulation, clipping, and steps that break down


def test_weights_keep_their_values_until_the_nth_step_and_then_take_the_mean():
    model = linear(optimizers.SGD(0.1, gradient_accumulation_steps=2))
    plain = linear(optimizers.SGD(0.1))
    fit(model, X[:5], Y[:5])
    np.testing.assert_array_equal(model.get_weights()[0], KERNEL)
    fit(model, X[5:], Y[5:])
    fit(plain)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], rtol=1e-6)


@pytest.mark.parametrize("steps", [None, 2])
def test_a_step_that_is_not_finite_keeps_all_there_was(steps):
    model = linear(optimizers.Adam(0.1, gradient_accumulation_steps=steps, clipnorm=1.0), loss="msle")
    fit(model, epochs=3)
    before = [v.numpy() for v in model.state]
    model.get_layer("dense").variables[0].assign(np.full((3, 1), np.float32(3e38)))
    with pytest.raises(NonFiniteError, match="step 1 of epoch 1"):
        fit(model)
    after = [v.numpy() for v in model.state]
    for variable, a, b in list(zip(model.state, before, after, strict=True))[1:]:
        if not variable.name.startswith("training/"):  # the means start anew with the epoch
            np.testing.assert_array_equal(a, b, err_msg=variable.name)


# ---- files of optimizers


def test_a_checkpoint_without_a_part_of_the_optimizer_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    model = linear("adam")
    fit(model)
    model.save(path)
    for other in ("sgd", optimizers.Adam(amsgrad=True), optimizers.Nadam(), optimizers.Lion()):
        fresh = linear(other)
        with pytest.raises(FileError, match="does not hold all that the optimizer remembers"):
            fresh.load_weights(path)
        np.testing.assert_array_equal(fresh.get_weights()[0], KERNEL)
    bare = mr.Sequential([mr.Input((3,)), layers.Dense(1, name="dense")])
    bare.load_weights(path)  # the weights alone
    bare.compile("sgd", "mse")
    np.testing.assert_array_equal(bare.get_weights()[0], model.get_weights()[0])


def test_other_metrics_do_not_keep_a_checkpoint_from_being_loaded(tmp_path):
    model = linear("adam")
    fit(model)
    model.save(tmp_path / "m.safetensors")
    fresh = linear("adam", metrics=["mae"])
    fresh.load_weights(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(fresh.get_weights()[0], model.get_weights()[0])


# ---- several inputs and outputs


def forked(**options):
    a, b = mr.Input((3,), name="a"), mr.Input((2,), name="b")
    both = layers.Concatenate()([a, b])
    outputs = [layers.Dense(1, name="near")(both), layers.Dense(2, "softmax", name="kind")(both)]
    model = mr.Model([a, b], outputs)
    if options:
        model.compile("adam", engine="numpy", **options)
    return model


B = RNG.standard_normal((10, 2)).astype(np.float32)
KINDS = RNG.integers(0, 2, 10)
BOTH = {"loss": ["mse", "sparse_categorical_crossentropy"], "metrics": {"kind": "accuracy", "near": ["mae", "mse"]}}


def test_columns_are_named_as_keras_names_them():
    history = fit(forked(**BOTH), [X, B], [Y, KINDS], validation_split=0.3).history
    names = ["loss", "near_loss", "kind_loss", "near_mae", "near_mse", "kind_accuracy"]
    assert list(history) == names + [f"val_{name}" for name in names]
    assert history["loss"][0] == pytest.approx(history["near_loss"][0] + history["kind_loss"][0], rel=1e-6)


def test_predict_gives_a_list_and_takes_names():
    model = forked()
    near, kind = model.predict([X, B], batch_size=4)
    assert near.shape == (10, 1) and kind.shape == (10, 2)
    for one, other in zip(model.predict({"b": B, "a": X}), (near, kind), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_model_of_several_outputs_goes_on_from_a_file(tmp_path):
    options = {**BOTH, "loss_weights": [1.0, 0.25], "weighted_metrics": {"kind": ["accuracy"]}, "metrics": None}
    weights = {"kind": np.arange(10) / 5, "near": np.ones(10)}
    straight, model = forked(**options), forked(**options)
    model.set_weights(straight.get_weights())
    fit(straight, [X, B], [Y, KINDS], epochs=2, sample_weight=weights)
    fit(model, [X, B], [Y, KINDS], epochs=1, sample_weight=weights)
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors", engine="numpy")
    fit(loaded, [X, B], {"near": Y, "kind": KINDS}, epochs=2, initial_epoch=1, sample_weight=weights)
    for a, b in zip(straight.state, loaded.state, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_an_output_without_a_loss_needs_no_answers():
    model = forked(loss={"near": "mse"})
    kept = model.get_layer("kind").weights[0].numpy()
    assert list(fit(model, [X, B], {"near": Y}).history) == ["loss", "near_loss"]
    fit(model, [X, B], [Y, None])
    np.testing.assert_array_equal(model.get_layer("kind").weights[0].numpy(), kept)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda m: m.fit([X, B], Y), "one array for each output"),
        (lambda m: m.fit([X], [Y, KINDS]), "takes 2 inputs"),
        (lambda m: m.fit({"a": X}, [Y, KINDS]), "no array for the input 'b'"),
        (lambda m: m.fit({"a": X, "c": B}, [Y, KINDS]), "names 'c', but the model's inputs are called a, b"),
        (lambda m: m.fit([X, B], {"near": Y, "far": KINDS}), "names 'far', but the model's outputs"),
        (lambda m: m.fit([X, B], {"near": Y}), r"y\['kind'\] is missing"),
        (lambda m: m.fit([X, B], [Y, KINDS[:4]]), "has 4"),
        (lambda m: m.fit([X, B], [Y, KINDS], sample_weight=[np.ones(4), None]), "has 4"),
        (lambda m: m.fit([X, B], [Y, KINDS], sample_weight=np.full(10, np.nan)), "NaN"),
        (lambda m: m.fit([X, B], [Y, KINDS], class_weight={0: 2.0}), "one output"),
        (lambda m: m.compile("sgd", {"nearer": "mse"}), "unknown output in loss 'nearer'. Did you mean 'near'"),
        (lambda m: m.compile("sgd", "mse", ["mae", "mae", "mae"]), "metrics has 3 entries"),
        (lambda m: m.compile("sgd", {"near": "mse"}, {"kind": "accuracy"}), "'kind' has metrics but no loss"),
    ],
)
def test_what_does_not_fit_several_outputs_is_named(use, words):
    with pytest.raises((ArgumentError, DataError), match=words):
        use(forked(**BOTH))


def test_example_weights_weigh_the_loss_but_not_the_metrics():
    weights = np.array([0, 1, 2, 0.5, 1, 1, 3, 0, 1, 1])
    error = (X @ KERNEL + BIAS - Y)[:, 0]
    model = linear(metrics=["mae"], weighted_metrics=[metrics.MeanAbsoluteError(name="weighted")])
    found = model.evaluate(X, Y, batch_size=4, sample_weight=weights)
    assert found["loss"] == pytest.approx((weights * error**2).sum() / 10, rel=1e-5)
    assert found["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert found["weighted"] == pytest.approx((weights * np.abs(error)).sum() / weights.sum(), rel=1e-5)
    history = fit(model, sample_weight=weights, validation_data=(X, Y, weights))
    assert history.history["loss"] == [pytest.approx(found["loss"], rel=1e-5)]
    expected = X.T @ (weights[:, None] * 2 * error[:, None]) / 10
    np.testing.assert_allclose(model.get_weights()[0], KERNEL - 0.01 * expected, rtol=1e-4)
    after = (X @ model.get_weights()[0] + model.get_weights()[1] - Y)[:, 0]
    assert history.history["val_loss"] == [pytest.approx((weights * after**2).sum() / 10, rel=1e-4)]


def test_class_weights_are_checked():
    model = mr.Sequential([mr.Input((3,)), layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", engine="numpy")
    with pytest.raises(ArgumentError, match="class_weight must map"):
        fit(model, X, KINDS, class_weight=[1.0, 2.0])
    with pytest.raises(ArgumentError, match="both"):
        fit(model, X, KINDS, class_weight={0: 1.0}, sample_weight=np.ones(10))


# ---- what layers ask of training


def test_penalties_are_added_to_the_loss_in_training_and_validation():
    rule = {"class_name": "l2", "config": {"l2": 0.1}}
    model = mr.Sequential([mr.Input((3,)), layers.Dense(1, name="dense", kernel_regularizer=rule)])
    model.set_weights([KERNEL, BIAS])
    model.compile(optimizers.SGD(0.1), "mse", engine="numpy")
    penalty, error = 0.1 * np.sum(KERNEL**2), X @ KERNEL + BIAS - Y
    assert [float(x) for x in model.losses] == [pytest.approx(penalty)]
    assert model.evaluate(X, Y, batch_size=4)["loss"] == pytest.approx(np.mean(error**2) + penalty, rel=1e-5)
    fit(model)
    expected = KERNEL - 0.1 * (2 * X.T @ error / 10 + 0.2 * KERNEL)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4)


class Watched(layers.Layer):
    """Adds the mean square of what it sees to the loss."""

    def call(self, x):
        self.add_loss(mr.mean(mr.square(x)))
        return x * 1.0


def test_a_model_within_a_model_brings_its_penalties_along():
    x = mr.Input((3,))
    inner = mr.Model(x, Watched(name="watched")(layers.Dense(1, name="dense")(x)), name="inner")
    inner.set_weights([KERNEL, BIAS])
    z = mr.Input((3,))
    outer = mr.Model(z, inner(z * 2.0))
    outer.compile("sgd", "mse", engine="numpy")
    inner.compile("sgd", "mse", engine="numpy")
    for model, p in ((outer, 2 * X @ KERNEL + BIAS), (inner, X @ KERNEL + BIAS)):
        assert model.evaluate(X, Y)["loss"] == pytest.approx(np.mean((p - Y) ** 2) + np.mean(p**2), rel=1e-5)


def normalized():
    model = mr.Sequential(
        [mr.Input((3,)), layers.BatchNormalization(momentum=0.5, name="bn"), layers.Dense(1, name="dense")]
    )
    return model


@pytest.mark.parametrize("engine", ["xla", "numpy"])
def test_a_short_batch_has_the_statistics_of_its_real_examples(engine):
    model = normalized()
    model.compile(optimizers.SGD(0.0), "mse", engine=engine)
    model.fit(X, Y, batch_size=8, shuffle=False, verbose=0, sample_weight=np.linspace(0, 3, 10))
    moving = np.zeros(3)
    for part in (X[:8], X[8:]):
        moving = 0.5 * moving + 0.5 * part.mean(axis=0)
    np.testing.assert_allclose(model.get_layer("bn").moving_mean.numpy(), moving, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
def test_a_frozen_batch_normalization_uses_its_statistics_and_keeps_them(nested):
    model = normalized()
    layer = model.get_layer("bn")
    layer.moving_mean.assign(np.float32([1, 2, 3]))
    frozen = model if nested else layer
    frozen.trainable = False
    if nested:
        x = mr.Input((3,))
        model = mr.Model(x, layers.Dense(1, name="top")(model(x)))
    model.compile(optimizers.SGD(0.1), "mse", engine="numpy")
    before = model.evaluate(X, Y)["loss"]
    history = fit(model)
    assert history.batch_losses == [pytest.approx(before, rel=1e-5)]  # training sees what evaluation saw
    np.testing.assert_array_equal(layer.moving_mean.numpy(), [1, 2, 3])
    np.testing.assert_array_equal(layer.gamma.numpy(), np.ones(3))
    frozen.trainable = True
    model.compile(optimizers.SGD(0.1), "mse", engine="numpy")
    fit(model)
    assert np.abs(layer.moving_mean.numpy() - [1, 2, 3]).max() > 0.1


@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "mse"])
def test_outputs_of_16_bits_are_judged_in_32(name):
    units, y = (4, RNG.integers(0, 4, 10)) if name.startswith("sparse") else (1, Y)
    model = mr.Sequential(
        [mr.Input((3,)), layers.Dense(units, "softmax" if units == 4 else None, dtype="mixed_bfloat16", name="dense")]
    )
    assert model.outputs[0].dtype == "bfloat16"
    model.compile(optimizers.Adam(0.05), name, engine="numpy")
    assert model.optimizer.variables[2].dtype == "float32"
    kernel = model.get_weights()[0]
    kernel[:] = 30 * np.sign(kernel)  # far out, where the logarithm of a softmax of 16 bits is worth nothing
    model.set_weights([kernel, model.get_weights()[1]])
    logits = X @ kernel
    if units == 4:
        expected = np.mean(np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
                           - logits[np.arange(10), y])  # fmt: skip
    else:
        expected = np.mean((logits - Y) ** 2)
    assert model.evaluate(X, y)["loss"] == pytest.approx(expected, rel=2e-2)
    curve = model.fit(X, y, epochs=20, verbose=0).history["loss"]
    assert curve[-1] < curve[0]


class Total(layers.Layer):
    """The sum of all batches so far, in training and after it."""

    def build(self, x):
        self.total = self.add_weight("total", (1,), "zeros", trainable=False)

    def call(self, x):
        new = self.total + mr.sum(x)
        self.add_update(self.total, new, always=True)
        return x * 1.0


def test_what_lasts_is_updated_by_evaluation_and_prediction_too():
    model = mr.Sequential([mr.Input((3,)), Total(name="total"), layers.Dense(1, name="dense")])
    total = model.get_layer("total").total
    model.predict(X, engine="numpy")
    assert total.numpy() == pytest.approx(X.sum(), rel=1e-4)
    model.compile("sgd", "mse", engine="numpy")
    for n, use in enumerate((lambda: model.predict(X), lambda: model.evaluate(X, Y), lambda: fit(model)), 2):
        use()
        assert total.numpy() == pytest.approx(n * X.sum(), rel=1e-4)


def test_a_batch_of_padding_alone_gives_no_nan():
    model = mr.Sequential([mr.Input((4, 2)), layers.Masking(), layers.Dense(1)])
    model.compile("sgd", "mse", engine="numpy")
    x = np.zeros((3, 4, 2), np.float32)
    assert fit(model, x, np.ones((3, 4, 1))).history["loss"] == [0]


def test_a_model_made_for_one_batch_size_fills_up_to_it():
    model = mr.Sequential([mr.Input((3,), batch_size=4), layers.Dense(1, name="dense")])
    model.set_weights([KERNEL, BIAS])
    model.compile("sgd", "mse", engine="numpy")
    np.testing.assert_allclose(model.predict(X), X @ KERNEL + BIAS, rtol=1e-5)
    assert model.evaluate(X[:3], Y[:3])["loss"] == pytest.approx(
        np.mean((X[:3] @ KERNEL + BIAS - Y[:3]) ** 2), rel=1e-5
    )
