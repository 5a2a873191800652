"""What tests of experiments share."""

import numpy as np
import pytest

from millrace.data.datasets import Dataset
from millrace.experiments import pictures


@pytest.fixture
def photographs(monkeypatch):
    """Pictures made up in place of CIFAR-10: 400 to train on, 100 held out, a colour and a stripe for each class."""
    rng = np.random.default_rng(0)
    kinds = rng.random((10, 32, 1, 3)) * np.ones((1, 1, 32, 1)) * 0.4 + rng.random((10, 1, 1, 3)) * 0.4

    def part(count):
        y = (np.arange(count) % 10).astype(np.int32)
        x = kinds[y] + rng.normal(0, 0.05, (count, 32, 32, 3))
        return x.clip(0, 1).astype(np.float32), y

    data = Dataset("made up", *part(400), *part(100), tuple("0123456789"), "here")
    monkeypatch.setattr(pictures, "cifar10", lambda: data)
    return data
