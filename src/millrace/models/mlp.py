"""A multilayer perceptron: layers of neurons, each fed by all of the layer before.

Two hidden layers of rectified units between the pixels of a digit and ten probabilities. It knows nothing of
space: shuffle the pixels of all pictures alike, and it learns as well. Convolutions (`lenet`) do know.
"""

from __future__ import annotations

from millrace.data.datasets import Dataset, digits
from millrace.layers import Dense, Dropout, Flatten, Input
from millrace.models.digits import example
from millrace.models.recipe import Recipe
from millrace.training.model import Model, Sequential


def network(data: Dataset | None = None) -> Model:
    """The network: image [batch, 8, 8, 1] from 0 (paper) to 1 (ink), to probabilities [batch, 10]."""
    return Sequential(
        [
            Input((8, 8, 1), name="image"),
            Flatten(name="flatten"),
            Dense(128, activation="relu", kernel_initializer="he_normal", name="hidden1"),
            Dropout(0.2, name="dropout"),
            Dense(64, activation="relu", kernel_initializer="he_normal", name="hidden2"),
            Dense(10, activation="softmax", name="output"),
        ],
        name="mlp",
    )


MLP = Recipe(
    name="mlp",
    about="a multilayer perceptron on 1,797 handwritten digits",
    build=network,
    data=digits,
    epochs=40,
    batch_size=64,
    learning_rate=0.002,
    example=example,
    unit="images",
)
