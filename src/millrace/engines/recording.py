"""Which routines an operation takes: its `lower` run on arrays that have shapes and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from millrace.engines import native
from millrace.engines.low import Low
from millrace.ir.core import Node


class BeyondRoutines(Exception):
    """An operation asks for what only XLA has."""


class Spot:
    """An array, float32, of which only the shape is known, and what array of another shape it is."""

    dtype = np.dtype(np.float32)

    def __init__(self, shape: Sequence[int], of: Spot | None = None):
        self.shape = tuple(map(int, shape))
        self.root: Spot = self if of is None else of.root

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def reshape(self, shape: Sequence[int]) -> Spot:
        return Spot(shape, self)


@dataclass(eq=False)
class Step:
    """One routine: its name, what it is given, what it makes, and the integers (`how`) that it takes beside them.

    nodes: those that it computes.
    """

    name: str
    given: list[Spot]
    made: list[Spot]
    how: tuple[int, ...]
    nodes: list[Node]


class Recorder(Low):
    """What an operation's `lower` is given where it is to say which routines it takes."""

    bundled = True

    def __init__(self, platform: str):
        super().__init__(platform)
        self.steps: list[Step] = []

    @property
    def lax(self) -> Any:
        raise BeyondRoutines

    jnp = lax

    def has_routine(self, *arrays: Any) -> bool:
        return all(x.dtype.name == "float32" for x in arrays)

    def boundary(self, f: Any, *arrays: Any) -> Any:
        return f(*arrays)

    def routine(self, name: str, shape: tuple[int, ...], *arrays: Any, how: Sequence[int] = ()) -> Any:
        return self.routines(name, [shape], *arrays, how=how)

    def routines(self, name: str, shapes: Sequence[tuple[int, ...]], *arrays: Any, how: Sequence[int] = ()) -> Any:
        if native.number(name) < 0 or not all(isinstance(x, Spot) for x in arrays):
            raise BeyondRoutines
        made = [Spot(shape) for shape in shapes]
        assert self.node is not None
        self.steps.append(Step(name, list(arrays), made, tuple(int(n) for n in how), [self.node]))
        return tuple(made) if len(made) > 1 else made[0]

    def recorded(self, node: Node, spots: Sequence[Spot]) -> list[Spot] | None:
        """What routines make of a node, which are noted; None where XLA is needed."""
        op: Any = node.op
        if not all(x.dtype == "float32" for x in node.inputs) or not hasattr(op, "lower"):
            return None
        self.node = node
        try:
            made = op.lower(self, *spots)
        except (BeyondRoutines, AttributeError, TypeError):  # it asks more of an array than a spot knows
            return None
        finally:
            self.node = None
        made = list(made) if isinstance(made, tuple) else [made]
        fits = all(
            isinstance(spot, Spot) and spot.shape == value.shape and value.dtype in ("float32", "bool")
            for spot, value in zip(made, node.outputs, strict=True)
        )
        return made if fits else None
