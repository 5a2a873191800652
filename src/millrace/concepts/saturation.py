"""`saturation`: how much of the gradient reaches the first of eight layers, by kind of unit and where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from millrace import functional as mr
from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import curve_figure
from millrace.concepts.trials import (
    Arm,
    Curve,
    Say,
    Trials,
    average,
    digits_split,
    finals,
    labels,
    momentum_sgd,
)  # fmt: skip
from millrace.engines.function import function
from millrace.experiments.spread import percent_text, spread_text
from millrace.explain.pages import Listing, Math
from millrace.layers import Dense, Input
from millrace.layers.base import set_seed
from millrace.layers.initializers import Constant
from millrace.training.model import Model, Sequential
from millrace.words import words

DEPTH, UNITS, EPOCHS, RATE, BATCH = 8, 64, 20, 0.02, 256
SEEDS = (0, 1)
STUCK = 2.0  # training loss of a network that hardly does better than guessing, which has 2.30
FLAT = 0.05  # a unit whose derivative is below this passes hardly anything
HALF = 0.5  # of the units: with more of them flat, a network is called saturated
DERIVATIVES = {
    "sigmoid": lambda out: out * (1 - out),
    "tanh": lambda out: 1 - out * out,
    "relu": lambda out: (out > 0).astype(float),
}
AWAY = 4.0  # a first bias that puts a tanh unit on its flat end: its derivative there is 0.0013
KINDS: Mapping[str, tuple[str, str, float]] = {  # activation, first weights, first biases
    "sigmoid": ("sigmoid", "glorot_uniform", 0.0),
    "tanh": ("tanh", "glorot_uniform", 0.0),
    "saturated": ("tanh", "glorot_uniform", AWAY),
    "relu": ("relu", "he_normal", 0.0),
}


@dataclass(frozen=True)
class Start:
    """A network before its first step: the gradient's size by layer, and what its units would pass of one.

    gradient: root of the mean square over a layer's weights, from the first layer to the last hidden one. derivative:
    the mean of the units' derivatives over all hidden units and digits; flat: the share of them below `FLAT`.
    """

    gradient: Sequence[float]
    derivative: float
    flat: float

    @property
    def left(self) -> float:
        """How much of the last hidden layer's gradient the first layer gets."""
        return self.gradient[0] / self.gradient[-1]


@dataclass(frozen=True)
class Measured:
    """One kind of network: before its first step, and its training, one a seed."""

    starts: Sequence[Start]
    curves: Sequence[Curve]


def network(activation: str, initializer: str, bias: float, depth: int = DEPTH) -> Model:
    """Layers of 64 units from 64 pixels [batch, 64] to the probabilities of ten digits [batch, 10]."""
    first = Constant(bias)
    hidden = [Dense(UNITS, activation, kernel_initializer=initializer, bias_initializer=first) for _ in range(depth)]
    return Sequential([Input((64,)), *hidden, Dense(10, "softmax")])


def start(model: Model, activation: str, x: np.ndarray, y: np.ndarray) -> Start:
    """The gradient and the units of a network on digits x [batch, 64] of classes y [batch]."""
    hidden = model.layers[:-1]
    truth = mr.Input((), dtype="int32", name="truth")
    loss = mr.mean(-mr.log(mr.sum(mr.one_hot(truth, 10) * model.outputs[0], axis=-1)))
    wanted = mr.gradients(loss, [layer.weights[0] for layer in hidden])
    sizes = [mr.sqrt(mr.mean(mr.square(g))) for g in wanted]
    outputs = [layer.output for layer in hidden]
    *numbers, made = function([model.inputs[0], truth], [*sizes, mr.stack(outputs)])(x, y)
    slopes = DERIVATIVES[activation](np.asarray(made, float))
    return Start([float(n) for n in numbers], float(slopes.mean()), float((slopes < FLAT).mean()))


def measure(
    say: Say, language: str, epochs: int = EPOCHS, seeds: Sequence[int] = SEEDS, depth: int = DEPTH
) -> dict[str, Measured]:
    """Each kind of network before training and in training."""
    table = words("concepts", language)["saturation"]
    data, trials = digits_split(), Trials(say, language)
    x, y = data.x_train[:BATCH], data.y_train[:BATCH]
    found = {}
    for key, (activation, initializer, bias) in KINDS.items():
        build = partial(network, activation, initializer, bias, depth)
        starts = []
        for seed in seeds:
            set_seed(seed)
            starts.append(start(build(), activation, x, y))
        arm = Arm(table[key], build, RATE, momentum_sgd)
        found[key] = Measured(starts, [trials.train(arm, data, epochs, seed) for seed in seeds])
    return found


def finding(measured: Mapping[str, Measured], language: str) -> Finding:
    """The table, the figures and the verdict of what was measured."""
    table, names = words("concepts", language)["saturation"], labels(language)
    rows: list[list[str]] = []
    numbers: dict[str, float] = {}
    for key, one in measured.items():
        left, loss = [s.left for s in one.starts], finals(one.curves, "train_loss")
        derivative, flat = [s.derivative for s in one.starts], [s.flat for s in one.starts]
        rows.append(
            [
                table[key],
                spread_text(derivative, 3),
                percent_text(flat, 0),
                f"{average(left):.2g}",
                spread_text(loss, 2),
                percent_text(finals(one.curves, "train_error")),
            ]
        )
        numbers |= {f"{key}_left": average(left), f"{key}_loss": average(loss), f"{key}_flat": average(flat)}
        numbers |= {
            f"{key}_derivative": average(derivative),
            f"{key}_first": average([s.gradient[0] for s in one.starts]),
        }
    numbers["bound"] = 0.25 ** (len(measured["relu"].starts[0].gradient) - 1)
    lost, kept = ("sigmoid", "saturated"), ("tanh", "relu")
    vanished = all(numbers[f"{key}_left"] < 0.01 for key in lost) and all(numbers[f"{key}_left"] > 0.01 for key in kept)
    stuck = all(numbers[f"{key}_loss"] > STUCK for key in lost) and all(numbers[f"{key}_loss"] < STUCK for key in kept)
    ends = numbers["saturated_flat"] > HALF > max(numbers["sigmoid_flat"], numbers["tanh_flat"])
    depth = len(measured["relu"].starts[0].gradient)
    layers = [float(n + 1) for n in range(depth)]
    gradients = {table[key]: [s.gradient for s in one.starts] for key, one in measured.items()}
    losses = {table[key]: [c["train_loss"] for c in one.curves] for key, one in measured.items()}
    return Finding(
        "seen" if vanished and stuck and ends else "unseen",
        numbers,
        [
            Listing([table[f"column_{n}"] for n in range(6)], rows),
            curve_figure(table["figure"], gradients, table["layer"], table["gradient"], language, layers, log="y"),
            curve_figure(table["figure_loss"], losses, names["epoch"], names["training_loss"], language),
        ],
    )


def experiment(language: str, say: Say) -> Finding:
    """Look at the four networks before their first step, then train them."""
    return finding(measure(say, language), language)


SATURATION = Concept(
    "saturation",
    experiment,
    see=("why-relu", "normalization-against-regularization", "softmax-and-cross-entropy"),
    also=("vanishing-gradients", "vanishing-gradient"),
    formulas=(
        Math(
            "sigmoid'(x) = s (1 - s) <= 1/4, where s = sigmoid(x)",
            r"\sigma'(x) = \sigma(x)\,(1 - \sigma(x)) \le \tfrac14",
        ),
        Math("tanh'(x) = 1 - tanh(x)^2 <= 1", r"\tanh'(x) = 1 - \tanh^2(x) \le 1"),
    ),
)
