"""Nearest examples by Euclidean distance, and how often they are of the same class."""

from __future__ import annotations

import numpy as np

from millrace.ir.errors import ArgumentError, ShapeError

BLOCK = 256  # queries whose distances are held at a time


def nearest(queries: np.ndarray, examples: np.ndarray, count: int) -> np.ndarray:
    """For each query the `count` examples that are nearest to it, the nearest first: int64 [queries, count].

    queries [queries, features], examples [examples, features], of any numbers; of equally near ones the first.
    Raises ShapeError where the features differ, ArgumentError where there are fewer examples than asked for.
    """
    if queries.ndim != 2 or examples.ndim != 2 or queries.shape[1] != examples.shape[1]:
        raise ShapeError(
            f"queries and examples must have the same features, [queries, features] and [examples, features]; got "
            f"{list(queries.shape)} and {list(examples.shape)}."
        )
    if not 1 <= count <= len(examples):
        raise ArgumentError(f"the {count} nearest of {len(examples)} examples are asked for: ask for 1 up to all.")
    known = examples.astype(np.float64)
    squares = (known**2).sum(axis=1)
    found = []
    for start in range(0, len(queries), BLOCK):
        some = queries[start : start + BLOCK].astype(np.float64)
        # the square of a query itself is the same for all examples, so it does not change their order
        distances = squares - 2 * some @ known.T
        found.append(np.argsort(distances, axis=1, kind="stable")[:, :count])
    return np.concatenate(found)


def shared(near: np.ndarray, labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Which share of the examples near each query is of its class: [queries].

    near [queries, count]: numbers of examples, labels [examples]: their classes, own [queries]: the queries'.
    """
    same: np.ndarray = (labels[near] == own[:, None]).mean(axis=1)
    return same


def by_chance(labels: np.ndarray, own: np.ndarray) -> float:
    """The share that is expected of examples drawn by chance."""
    return float(np.mean([(labels == label).mean() for label in own]))
