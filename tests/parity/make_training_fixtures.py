"""What Keras 3 makes of losses, metrics, schedules, optimizers, callbacks and whole steps: training.npz.

Run with Keras 3 on JAX, from anywhere: KERAS_BACKEND=jax python tests/parity/make_training_fixtures.py
The cases stand in the fixture as JSON beside Keras's values, so that the tests make the same objects.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace

os.environ["KERAS_BACKEND"] = "jax"
import keras
import numpy as np

RNG = np.random.default_rng(20)
F = np.float32
stored = {}
cases = {}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(F)


def sparse_rows(rows):
    return np.eye(4, dtype=F)[rows]


# ---- data of each kind: answers and outputs of 24 examples, looked at in batches of 10, 10 and 4
N = 24
classes = RNG.integers(0, 4, N).astype(np.int32)
scores = RNG.standard_normal((N, 4)).astype(F) * 2
binary = RNG.integers(0, 2, (N, 3)).astype(F)
logits = RNG.standard_normal((N, 3)).astype(F) * 2
DATA = {
    "sparse": (classes, softmax(scores)),
    "sparse_logits": (classes, scores),
    "one_hot": (sparse_rows(classes), softmax(scores)),
    "one_hot_logits": (sparse_rows(classes), scores),
    "distribution": (softmax(RNG.standard_normal((N, 4))), softmax(scores)),
    "binary": (binary, (1 / (1 + np.exp(-logits))).astype(F)),
    "binary_logits": (binary, logits),
    "signs": (binary * 2 - 1, logits),
    "numbers": (RNG.standard_normal((N, 3)).astype(F) * 3, RNG.standard_normal((N, 3)).astype(F) * 3),
    "positive": (RNG.random((N, 3)).astype(F) * 4 + F(0.1), RNG.random((N, 3)).astype(F) * 4 + F(0.1)),
    "labels": (RNG.integers(0, 3, (N, 5)).astype(F), RNG.integers(0, 3, (N, 5)).astype(F)),
}
for name, (y, p) in DATA.items():
    stored[f"data/{name}/y"], stored[f"data/{name}/p"] = y, p
weights = RNG.random(N).astype(F) * 2
stored["data/weights"] = weights

# ---- losses
cases["losses"] = [
    ["CategoricalCrossentropy", {}, "one_hot"],
    ["CategoricalCrossentropy", {"label_smoothing": 0.1}, "one_hot"],
    ["CategoricalCrossentropy", {"label_smoothing": 0.2, "from_logits": True}, "one_hot_logits"],
    ["CategoricalFocalCrossentropy", {}, "one_hot"],
    ["CategoricalFocalCrossentropy", {"alpha": [0.1, 0.2, 0.3, 0.4], "gamma": 1.5}, "one_hot"],
    ["CategoricalFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "one_hot_logits"],
    ["SparseCategoricalCrossentropy", {}, "sparse"],
    ["SparseCategoricalCrossentropy", {"from_logits": True}, "sparse_logits"],
    ["BinaryCrossentropy", {}, "binary"],
    ["BinaryCrossentropy", {"label_smoothing": 0.1}, "binary"],
    ["BinaryCrossentropy", {"label_smoothing": 0.3, "from_logits": True}, "binary_logits"],
    ["BinaryFocalCrossentropy", {}, "binary"],
    ["BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.4, "gamma": 3.0}, "binary"],
    ["BinaryFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary_logits"],
    ["KLDivergence", {}, "distribution"],
    ["KLDivergence", {}, "one_hot"],
    ["Poisson", {}, "positive"],
    ["Hinge", {}, "signs"],
    ["Hinge", {}, "binary_logits"],
    ["SquaredHinge", {}, "signs"],
    ["SquaredHinge", {}, "binary_logits"],
    ["CategoricalHinge", {}, "one_hot_logits"],
    ["LogCosh", {}, "numbers"],
    ["MeanSquaredError", {}, "numbers"],
    ["MeanAbsoluteError", {}, "numbers"],
    ["MeanAbsolutePercentageError", {}, "numbers"],
    ["MeanSquaredLogarithmicError", {}, "positive"],
    ["MeanSquaredLogarithmicError", {}, "numbers"],
    ["CosineSimilarity", {}, "numbers"],
    ["Huber", {"delta": 1.5}, "numbers"],
]
for n, (kind, options, data) in enumerate(cases["losses"]):
    rule = getattr(keras.losses, kind)(**options, reduction=None)
    values = np.asarray(rule(*DATA[data]))
    stored[f"losses/{n}"] = values

# ---- metrics, over three batches, without and with weights
cases["metrics"] = [
    ["Precision", {}, "binary"],
    ["Precision", {"thresholds": 0.7}, "binary"],
    ["Precision", {"top_k": 2}, "one_hot"],
    ["Precision", {"class_id": 1}, "one_hot"],
    ["Recall", {}, "binary"],
    ["Recall", {"top_k": 2, "class_id": 2}, "one_hot"],
    ["TruePositives", {}, "binary"],
    ["FalsePositives", {"thresholds": 0.3}, "binary"],
    ["TrueNegatives", {}, "binary"],
    ["FalseNegatives", {}, "binary"],
    ["AUC", {}, "binary"],
    ["AUC", {"curve": "PR"}, "binary"],
    ["AUC", {"num_thresholds": 11, "summation_method": "minoring"}, "binary"],
    ["AUC", {"num_thresholds": 11, "summation_method": "majoring", "curve": "PR"}, "binary"],
    ["AUC", {"from_logits": True}, "binary_logits"],
    ["F1Score", {"average": "macro"}, "one_hot"],
    ["F1Score", {"average": "micro"}, "one_hot"],
    ["F1Score", {"average": "weighted"}, "one_hot"],
    ["F1Score", {}, "one_hot"],
    ["F1Score", {"average": "macro", "threshold": 0.4}, "binary"],
    ["FBetaScore", {"average": "weighted", "beta": 2.0}, "one_hot"],
    ["TopKCategoricalAccuracy", {"k": 2}, "one_hot"],
    ["SparseTopKCategoricalAccuracy", {"k": 3}, "sparse"],
    ["CategoricalAccuracy", {}, "one_hot"],
    ["SparseCategoricalAccuracy", {}, "sparse"],
    ["BinaryAccuracy", {"threshold": 0.6}, "binary"],
    ["CosineSimilarity", {}, "numbers"],
    ["MeanSquaredError", {}, "numbers"],
    ["RootMeanSquaredError", {}, "numbers"],
    ["MeanAbsoluteError", {}, "numbers"],
    ["MeanAbsolutePercentageError", {}, "numbers"],
    ["MeanSquaredLogarithmicError", {}, "positive"],
    ["KLDivergence", {}, "distribution"],
    ["Poisson", {}, "positive"],
    ["LogCoshError", {}, "numbers"],
    ["Hinge", {}, "signs"],
    ["SquaredHinge", {}, "signs"],
    ["CategoricalHinge", {}, "one_hot_logits"],
    ["R2Score", {}, "numbers"],
    ["R2Score", {"class_aggregation": "variance_weighted_average"}, "numbers"],
    ["R2Score", {"class_aggregation": None}, "numbers"],
    ["BinaryCrossentropy", {"label_smoothing": 0.1}, "binary"],
    ["CategoricalCrossentropy", {"from_logits": True}, "one_hot_logits"],
    ["SparseCategoricalCrossentropy", {}, "sparse"],
    ["MeanIoU", {"num_classes": 3}, "labels"],
]
for n, (kind, options, data) in enumerate(cases["metrics"]):
    y, p = DATA[data]
    for weighted in (False, True):
        wide = {"dtype": "float32"} if kind == "MeanIoU" else {}  # by itself it counts in whole numbers
        metric = getattr(keras.metrics, kind)(**options, **wide)
        for a, b in ((0, 10), (10, 20), (20, 24)):
            w = weights[a:b]
            if kind == "MeanIoU":  # which wants a weight for each place
                w = np.repeat(w[:, None], 5, 1)
            metric.update_state(y[a:b], p[a:b], sample_weight=w if weighted else None)
        stored[f"metrics/{n}/{'weighted' if weighted else 'plain'}"] = np.asarray(metric.result(), np.float64)

# ---- schedules
cases["schedules"] = [
    ["ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}],
    ["ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}],
    ["PiecewiseConstantDecay", {"boundaries": [5, 20, 40], "values": [1.0, 0.5, 0.1, 0.01]}],
    ["PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}],
    ["PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 20, "end_learning_rate": 0.02, "power": 2.0,
                         "cycle": True}],
    ["InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}],
    ["InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}],
    ["CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 30}],
    ["CosineDecay", {"initial_learning_rate": 0.0, "decay_steps": 30, "alpha": 0.1, "warmup_target": 0.2,
                     "warmup_steps": 10}],
    ["CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 7}],
    ["CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 9, "t_mul": 1.0, "m_mul": 0.8,
                             "alpha": 0.1}],
    ["CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.5, "m_mul": 0.5}],
]  # fmt: skip
for n, (kind, options) in enumerate(cases["schedules"]):
    schedule = getattr(keras.optimizers.schedules, kind)(**options)
    stored[f"schedules/{n}"] = np.array([float(schedule(step)) for step in range(61)])

# ---- optimizers: 20 steps of a small network, its weights after them and its losses
hidden = [RNG.standard_normal((3, 4)).astype(F), RNG.standard_normal(4).astype(F) * F(0.1)]
last = [RNG.standard_normal((4, 2)).astype(F), np.zeros(2, F)]
x = RNG.standard_normal((80, 3)).astype(F)
y = np.stack([np.sin(x.sum(1)), x[:, 0] * x[:, 1]], 1).astype(F)
stored |= {"train/x": x, "train/y": y}
stored |= {f"train/start/{n}": w for n, w in enumerate([*hidden, *last])}
DECAY = {
    "class_name": "ExponentialDecay",
    "config": {"initial_learning_rate": 0.05, "decay_steps": 5, "decay_rate": 0.5},
}
cases["optimizers"] = [
    ["SGD", {"learning_rate": 0.1}],
    ["SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "clipnorm": 0.3}],
    ["SGD", {"learning_rate": 0.1, "weight_decay": 0.1}],
    ["SGD", {"learning_rate": DECAY, "momentum": 0.5}],
    ["RMSprop", {"learning_rate": 0.02}],
    ["RMSprop", {"learning_rate": 0.02, "momentum": 0.7, "centered": True, "rho": 0.8}],
    ["RMSprop", {"learning_rate": 0.02, "weight_decay": 0.1, "clipvalue": 0.1}],
    ["Adagrad", {"learning_rate": 0.1}],
    ["Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1}],
    ["Adadelta", {"learning_rate": 1.0, "rho": 0.9}],
    ["Adamax", {"learning_rate": 0.02}],
    ["Adamax", {"learning_rate": 0.02, "gradient_accumulation_steps": 4}],
    ["Nadam", {"learning_rate": 0.02}],
    ["Nadam", {"learning_rate": 0.02, "gradient_accumulation_steps": 3, "weight_decay": 0.05}],
    ["Adam", {"learning_rate": 0.02, "amsgrad": True, "beta_2": 0.5}],
    ["Adam", {"learning_rate": 0.02, "global_clipnorm": 0.2}],
    ["Adam", {"learning_rate": 0.02, "gradient_accumulation_steps": 3, "clipnorm": 0.1}],
    ["Adam", {"learning_rate": DECAY, "gradient_accumulation_steps": 2}],
    ["AdamW", {"learning_rate": 0.02, "weight_decay": 0.2}],
    ["AdamW", {"learning_rate": 0.02, "weight_decay": 0.2, "amsgrad": True, "clipvalue": 0.05}],
    ["Lion", {"learning_rate": 0.01}],
    ["Lion", {"learning_rate": 0.01, "weight_decay": 0.1, "beta_1": 0.7}],
]


def made(kind, options):
    options = dict(options)
    if isinstance(options["learning_rate"], dict):
        options["learning_rate"] = keras.optimizers.schedules.deserialize(options["learning_rate"])
    return getattr(keras.optimizers, kind)(**options)


class Losses(keras.callbacks.Callback):
    """The loss of each step alone, out of the means that Keras shows."""

    def on_train_begin(self, logs=None):
        self.means = []

    def on_train_batch_end(self, batch, logs=None):
        self.means.append(logs["loss"])


for n, (kind, options) in enumerate(cases["optimizers"]):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)])
    model.set_weights([*hidden, *last])
    model.compile(made(kind, options), "mse")
    losses = Losses()
    model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0, callbacks=[losses])
    stored[f"optimizers/{n}/mean_losses"] = np.array(losses.means)
    for k, w in enumerate(model.get_weights()):
        stored[f"optimizers/{n}/{k}"] = w

# ---- callbacks on curves
CURVE = [1.0, 0.8, 0.79, 0.81, 0.8, 0.7, 0.72, 0.71, 0.705, 0.73, 0.69999, 0.75, 0.75, 0.74, 0.6, 0.61, 0.62, 0.6, 0.63]
cases["curve"] = CURVE
cases["early_stopping"] = [
    {"patience": 0}, {"patience": 2}, {"patience": 3, "min_delta": 0.05}, {"patience": 2, "baseline": 0.5},
    {"patience": 1, "start_from_epoch": 6}, {"patience": 4}, {"patience": 1, "mode": "max"},
]  # fmt: skip
for n, options in enumerate(cases["early_stopping"]):
    callback = keras.callbacks.EarlyStopping("val_loss", **{"mode": "min", **options}, restore_best_weights=True)
    model = SimpleNamespace(stop_training=False, get_weights=lambda: [0], set_weights=lambda w: None)
    callback.set_model(model)
    callback.on_train_begin()
    stopped = -1
    for epoch, value in enumerate(CURVE):
        callback.on_epoch_end(epoch, {"val_loss": value})
        if model.stop_training:
            stopped = epoch
            break
    stored[f"early_stopping/{n}"] = np.array([stopped, callback.best_epoch])
cases["plateau"] = [
    {"patience": 1}, {"patience": 2, "factor": 0.5}, {"patience": 1, "cooldown": 2, "factor": 0.5},
    {"patience": 2, "min_delta": 0.02, "factor": 0.3}, {"patience": 1, "factor": 0.1, "min_lr": 0.005},
    {"patience": 1, "mode": "max", "factor": 0.9},
]  # fmt: skip
for n, options in enumerate(cases["plateau"]):
    callback = keras.callbacks.ReduceLROnPlateau("val_loss", **{"mode": "min", **options})
    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=0.1))
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(CURVE):
        callback.on_epoch_end(epoch, {"val_loss": value})
        rates.append(float(model.optimizer.learning_rate))
    stored[f"plateau/{n}"] = np.array(rates)

# ---- two inputs, two outputs, weights
a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
joined = keras.layers.Concatenate(name="joined")([keras.layers.Dense(4, "tanh", name="left")(a), b])
model = keras.Model(
    [a, b], [keras.layers.Dense(1, name="number")(joined), keras.layers.Dense(4, "softmax", name="kind")(joined)]
)
parts = {w.path: RNG.standard_normal(w.shape).astype(F) * F(0.5) for w in model.weights}
for w in model.weights:
    w.assign(parts[w.path])
    stored[f"joint/start/{w.path}"] = parts[w.path]
xs = {"a": RNG.standard_normal((24, 3)).astype(F), "b": RNG.standard_normal((24, 2)).astype(F)}
ys = {"number": RNG.standard_normal((24, 1)).astype(F), "kind": classes}
ws = {"number": weights, "kind": weights[::-1].copy()}
stored |= {f"joint/x/{k}": v for k, v in xs.items()} | {f"joint/y/{k}": v for k, v in ys.items()}
stored |= {f"joint/w/{k}": v for k, v in ws.items()}
model.compile(
    keras.optimizers.SGD(0.1), ["mse", "sparse_categorical_crossentropy"], loss_weights=[0.5, 2.0],
    metrics=[["mae"], ["accuracy"]],
    weighted_metrics=[[], [keras.metrics.SparseCategoricalAccuracy(name="weighted_accuracy")]],
)  # fmt: skip
given, answers, counts = ([d[k] for k in d] for d in (xs, ys, ws))
first = model.evaluate(given, answers, batch_size=8, sample_weight=counts, return_dict=True, verbose=0)
history = model.fit(given, answers, batch_size=8, epochs=3, shuffle=False, sample_weight=counts, verbose=0)
cases["joint"] = {"first": {k: float(v) for k, v in first.items()}, "curves": history.history}
for w in model.weights:
    stored[f"joint/end/{w.path}"] = np.asarray(w)
single = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "softmax")])
single.set_weights([parts["left/kernel"], parts["left/bias"]])
single.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
history = single.fit(xs["a"], classes, batch_size=8, epochs=2, shuffle=False, verbose=0, class_weight={0: 3.0, 2: 0.5})
cases["class_weight"] = history.history["loss"]

# ---- masked steps
steps = RNG.standard_normal((6, 5, 3)).astype(F)
for row, length in enumerate([5, 3, 1, 4, 2, 5]):
    steps[row, length:] = 0
model = keras.Sequential(
    [keras.Input((5, 3)), keras.layers.Masking(), keras.layers.Dense(4, "softmax", name="dense")]
)  # fmt: skip
model.set_weights([parts["left/kernel"], parts["left/bias"]])
model.compile(
    keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"],
)  # fmt: skip
labels = RNG.integers(0, 4, (6, 5))
stored |= {"masked/x": steps, "masked/y": labels.astype(np.int32)}
history = model.fit(steps, labels, batch_size=6, epochs=3, shuffle=False, verbose=0)
cases["masked"] = history.history["loss"]  # its metrics count the padded steps, which Millrace's do not
stored["masked/kernel"], stored["masked/bias"] = model.get_weights()

stored["cases"] = np.array(json.dumps(cases))
out = Path(__file__).with_name("training.npz")
np.savez_compressed(out, **stored)
print(f"{out}: {out.stat().st_size:,} bytes, {len(stored)} arrays, Keras {keras.__version__}")
