"""LeNet-5: the network that read cheques: convolution, pooling, convolution, pooling, three dense layers.

As in LeCun, Bottou, Bengio and Haffner 1998, section II.B, with what has become usual since: every map of
the second convolution sees all maps of the first, pooling is a plain mean, and the output is a softmax. 61,706
parameters, of which the two convolutions have 2,572; 98.3% of the MNIST test digits right after 8 passes.
"""

from __future__ import annotations

from typing import Any

from millrace.data.datasets import Dataset, mnist
from millrace.layers import AveragePooling2D, Conv2D, Dense, Flatten, Input
from millrace.models.digits import centred_ink
from millrace.models.recipe import Recipe
from millrace.training.model import Model, Sequential


def network(data: Dataset | None = None) -> Model:
    """The network: image [batch, 28, 28, 1] from 0 (paper) to 1 (ink), to probabilities [batch, 10]."""
    return Sequential(
        [
            Input((28, 28, 1), name="image"),
            Conv2D(6, 5, padding="same", activation="tanh", name="c1"),
            AveragePooling2D(2, name="s2"),
            Conv2D(16, 5, activation="tanh", name="c3"),
            AveragePooling2D(2, name="s4"),
            Flatten(name="flatten"),
            Dense(120, activation="tanh", name="c5"),
            Dense(84, activation="tanh", name="f6"),
            Dense(10, activation="softmax", name="output"),
        ],
        name="lenet",
    )


def example(given: str | bytes, vocabulary: Any = ()) -> Any:
    """A picture of a digit as MNIST has them: [28, 28, 1], the ink in a box of 20 by 20, centred."""
    return centred_ink(given, box=20, frame=28)


LENET = Recipe(
    name="lenet",
    about="LeNet-5 on the 70,000 digits of MNIST",
    build=network,
    data=lambda seed: mnist(),
    epochs=8,
    batch_size=64,
    learning_rate=0.001,
    example=example,
    unit="images",
    seconds="one to two minutes",
)
