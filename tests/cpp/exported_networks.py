"""The networks of `millrace.models`, small, with real examples: what `test_cpp.py` exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from millrace import models
from millrace.data.datasets import digits, mnist
from millrace.data.stories import stories
from millrace.data.text import Vocabulary, pad_sequences, windows
from millrace.data.text_files import rt_polarity, tinyshakespeare
from millrace.ir.errors import FileError
from millrace.models import (
    char_rnn,
    cifar_quick,
    fashion,
    lenet,
    memory_network,
    mlp,
    perceptron,
    resnet18,
    sentiment,
)

ROOT = Path(__file__).parents[2]


def pixels(size, count=64):
    """Square pieces of two photographs: [count, size, size, 3] from 0 to 1."""
    from sklearn.datasets import load_sample_image

    rng = np.random.default_rng(0)
    made = []
    for n in range(count):
        photograph = load_sample_image(("china.jpg", "flower.jpg")[n % 2])
        top, left = rng.integers(0, np.array(photograph.shape[:2]) - size)
        made.append(photograph[top : top + size, left : left + size])
    return np.stack(made).astype(np.float32) / 255


def text():
    try:
        return tinyshakespeare()[:20_000]
    except FileError:
        return (ROOT / "docs" / "first-hour.md").read_text()


def sentences():
    try:
        return rt_polarity().texts[:64]
    except FileError:
        words = (ROOT / "docs" / "training.md").read_text().split()
        return [" ".join(words[n * 9 : n * 9 + 5 + n % 40]) for n in range(64)]


def digit_pictures():
    return digits().x_validation[:64]


def large_digits():
    try:
        return mnist().x_validation[:64]
    except FileError:
        return np.pad(digit_pictures().repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2), (0, 0)))


def letters():
    vocabulary = Vocabulary.from_texts([text()], split="characters")
    x, _ = windows(vocabulary.encode(text()), 100)
    return char_rnn.network(characters=len(vocabulary)), x[:64]


def reviews():
    given = sentences()
    vocabulary = Vocabulary.from_texts(given)
    rows = pad_sequences([vocabulary.encode(each) for each in given], sentiment.STEPS, padding="post")
    return sentiment.network(words=len(vocabulary)), rows


def told():
    some = stories(64)
    return memory_network.network(), [some.story, some.question]


NETWORKS = {
    "digits": lambda: (models.digits.network(), digit_pictures()),
    "perceptron": lambda: (perceptron.network(), digit_pictures()),
    "mlp": lambda: (mlp.network(), digit_pictures()),
    "lenet": lambda: (lenet.network(), large_digits()),
    "fashion": lambda: (fashion.network(), large_digits()),
    "cifar_quick": lambda: (cifar_quick.network(), pixels(32)),
    "resnet18": lambda: (resnet18.small_network(width=1 / 8), pixels(32)),
    "alexnet": lambda: (models.alexnet(classes=10, width=1 / 24, size=99), pixels(99) - 0.5),
    "char_rnn": letters,
    "sentiment": reviews,
    "memory_network": told,
}


def lively(model):
    """Weights with some life in them: first ones give nearly the same answer to everything."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        value = variable.numpy()
        if value.dtype.kind != "f":
            continue
        if "variance" in variable.name:
            variable.assign(rng.uniform(0.5, 2.0, value.shape).astype(np.float32))
        elif value.ndim < 2:
            variable.assign(value + rng.normal(0, 0.1, value.shape).astype(np.float32))
        else:
            size = np.sqrt(2 / max(1, np.prod(value.shape[:-1])))
            variable.assign(rng.normal(0, max(size, 0.05), value.shape).astype(np.float32))
