"""What `millrace train NAME` needs: a network, its data, and settings that work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millrace.data.datasets import Dataset
from millrace.training.model import Model


@dataclass(frozen=True)
class Recipe:
    """A named experiment. `image` turns a picture file into one example for the network."""

    name: str
    about: str
    build: Callable[[], Model]
    data: Callable[[int], Dataset]
    image: Callable[[Path], np.ndarray]
    classes: tuple[str, ...]
    epochs: int
    batch_size: int
    learning_rate: float
