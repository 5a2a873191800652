"""The published data sets: counts, balance, and figures that their literature knows. Needs MILLRACE_DATA."""

from collections import Counter

import numpy as np

from millrace.data.datasets import cifar10, fashion_mnist, mnist
from millrace.data.text_files import rt_polarity, tinyshakespeare


def pictures(data, shape, train, test):
    for x, y, count in ((data.x_train, data.y_train, train), (data.x_validation, data.y_validation, test)):
        assert x.shape == (count, *shape) and x.dtype == np.float32
        assert y.shape == (count,) and y.dtype == np.int32
        assert x.min() == 0 and x.max() == 1
    assert len(data.classes) == 10


def moments(x):
    """Mean and standard deviation of each channel, by the counts of the 256 levels: exact and quick."""
    levels = np.rint(x * 255).astype(np.uint8)
    counts = np.stack([np.bincount(levels[..., c].ravel(), minlength=256) for c in range(x.shape[-1])])
    share, grey = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    mean = share @ grey
    return mean, np.sqrt(share @ grey**2 - mean**2)


def test_mnist(real_data):
    real_data("mnist")
    data = mnist()
    pictures(data, (28, 28, 1), 60_000, 10_000)
    # LeCun et al.'s own counts of each digit, and the first labels that every textbook prints
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.y_validation).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    np.testing.assert_allclose(moments(data.x_train), [[0.1307], [0.3081]], atol=5e-5)
    assert data.classes[7] == "7"


def test_fashion_mnist(real_data):
    real_data("fashion_mnist")
    data = fashion_mnist()
    pictures(data, (28, 28, 1), 60_000, 10_000)
    assert np.bincount(data.y_train).tolist() == [6000] * 10
    assert np.bincount(data.y_validation).tolist() == [1000] * 10
    np.testing.assert_allclose(moments(data.x_train), [[0.2860], [0.3530]], atol=5e-5)
    assert data.classes[data.y_train[0]] == "Ankle boot"


def test_cifar10(real_data):
    folder = real_data("cifar10")
    data = cifar10()
    pictures(data, (32, 32, 3), 50_000, 10_000)
    assert np.bincount(data.y_train).tolist() == [5000] * 10
    assert np.bincount(data.y_validation).tolist() == [1000] * 10
    mean, std = moments(data.x_train)
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=5e-5)
    np.testing.assert_allclose(std, [0.2470, 0.2435, 0.2616], atol=5e-5)
    # copies differ in the order of the pictures, not in what they show: the grounds of ships and airplanes are the
    # bluest, those of frogs the least blue
    held = [data.x_validation[data.y_validation == c] for c in range(10)]
    order = np.argsort([(x[..., 2] - x[..., 1]).mean() for x in held])
    assert data.classes[order[0]] == "frog" and {data.classes[c] for c in order[-2:]} == {"airplane", "ship"}
    names = folder / "batches.meta.txt"
    if names.exists():
        assert tuple(names.read_text().split()) == data.classes


def test_tinyshakespeare(real_data):
    real_data("tinyshakespeare")
    text = tinyshakespeare()
    assert len(text) == 1_115_394 and len(set(text)) == 65
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.")


def test_rt_polarity(real_data):
    real_data("rt_polarity")
    data = rt_polarity()
    assert len(data.texts) == len(data.labels) == 10_662
    assert Counter(data.labels.tolist()) == {0: 5_331, 1: 5_331}
    assert data.texts[0].startswith('the rock is destined to be the 21st century\'s new " conan "')
    assert data.classes[data.labels[0]] == "positive"
    assert data.texts[5_331].startswith("simplistic , silly and tedious")
    assert data.classes[data.labels[5_331]] == "negative"
    assert not any(text != text.strip() or not text or "�" in text for text in data.texts)
    assert any("cliché" in text for text in data.texts)


def test_the_digits_are_upright(real_data):
    """The ink of a 1 lies in a column, that of a 7 along its top: a reader that turned them would show here."""
    real_data("mnist")
    data = mnist()
    one, seven = (data.x_validation[data.y_validation == n].mean(axis=(0, 3)) for n in (1, 7))
    assert one[5:23, 11:17].sum() > 0.75 * one.sum()
    assert seven[7:11].sum() > 1.3 * seven[17:21].sum()
