"""One neuron: it weighs the pixels of a digit, adds them up, and says whether the digit is odd.

The oldest network that learns (Rosenblatt 1958), with a smooth threshold so that it has a gradient. A single
neuron can only draw one straight cut through the space of all pictures; about 93% of digits end up on the right
side of it. `mlp` has a layer between and does not have that limit.
"""

from __future__ import annotations

import dataclasses

from millrace.data.datasets import Dataset, digits
from millrace.layers import Flatten, Input, Neuron
from millrace.models.digits import example
from millrace.models.recipe import Recipe
from millrace.training.model import Model, Sequential


def network(data: Dataset | None = None) -> Model:
    """The network: image [batch, 8, 8, 1] from 0 (paper) to 1 (ink), to the probability of odd, [batch]."""
    return Sequential(
        [
            Input((8, 8, 1), name="image"),
            Flatten(name="flatten"),
            Neuron(activation="sigmoid", name="neuron"),
        ],
        name="perceptron",
    )


def odd_or_even(seed: int = 0) -> Dataset:
    """The digits of scikit-learn, labelled 1 where odd."""
    data = digits(seed)
    return dataclasses.replace(
        data, y_train=data.y_train % 2, y_validation=data.y_validation % 2, classes=("even", "odd")
    )


PERCEPTRON = Recipe(
    name="perceptron",
    about="one neuron that tells odd digits from even ones",
    build=network,
    data=odd_or_even,
    epochs=60,
    batch_size=32,
    learning_rate=0.01,
    loss="binary_crossentropy",
    example=example,
    unit="images",
)
