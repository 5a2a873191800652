"""What Keras and PyTorch computed for the layers, as make_layer_fixtures.py has kept it."""

import functools
import json
from pathlib import Path

import numpy as np

from millrace.layers.base import Layer

PARITY = Path(__file__).parent
FAMILIES = (
    "core", "rectifiers", "convolutions", "transposed", "poolings", "normalizations", "recurrences", "attentions",
)  # fmt: skip


@functools.cache
def fixture(family):
    with np.load(PARITY / f"layers_{family}.npz") as stored:
        return dict(stored)


@functools.cache
def cases(family):
    return {case["name"]: case for case in json.loads(str(fixture(family)["cases"]))}


def arrays(family, name, what):
    stored, found = fixture(family), []
    while f"{name}/{what}{len(found)}" in stored:
        found.append(stored[f"{name}/{what}{len(found)}"])
    return found


def tuples(value):
    """Lists as tuples, as a user writes them, but for lists of layers."""
    if isinstance(value, list):
        made = [tuples(v) for v in value]
        return made if any(isinstance(v, Layer) for v in made) else tuple(made)
    return value
