"""How large what a file describes may become while it is built: its sizes are claims until its arrays bear them out.

Outside of `within`, whoever builds a network knows what they ask for, and nothing is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from millrace.ir.errors import ArgumentError


@dataclass
class Bounds:
    """What is left of what a file may ask for.

    shapes: those of its arrays, which the weights are to be taken from. weights: how many. elements: of an array that
    is computed from sizes, such as how words count by their positions. nodes: of the graph, and of all that it is
    made by way of.
    """

    shapes: Collection[tuple[int, ...]]
    weights: int
    elements: int
    nodes: int


_bounds: ContextVar[Bounds | None] = ContextVar("bounds", default=None)


@contextmanager
def within(bounds: Bounds) -> Iterator[None]:
    """What is built inside raises ArgumentError where it goes beyond bounds, before it takes memory."""
    token = _bounds.set(bounds)
    try:
        yield
    finally:
        _bounds.reset(token)


def weight_is_given(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a weight will be taken from a file, so that nothing need be drawn for it.

    Raises ArgumentError where the file has none of its shape, or fewer weights.
    """
    bounds = _bounds.get()
    if bounds is None:
        return False
    bounds.weights -= 1
    if shape not in bounds.shapes or bounds.weights < 0:
        raise ArgumentError(f"weight {name!r} has the shape {list(shape)}, and the file holds no such array for it.")
    return True


def check_elements(shape: Any, what: str) -> None:
    """Raise ArgumentError for an array that is to be made and is larger than the file lets expect."""
    bounds = _bounds.get()
    if bounds is not None and math.prod(shape) > bounds.elements:
        raise ArgumentError(f"{what} would have the shape {list(shape)}: more numbers than its file accounts for.")


def count_node() -> None:
    """One more node is made.  Raises ArgumentError where there are more than the file lets expect."""
    bounds = _bounds.get()
    if bounds is not None:
        bounds.nodes -= 1
        if bounds.nodes < 0:
            raise ArgumentError("the network has far more operations than the length of its description accounts for.")
