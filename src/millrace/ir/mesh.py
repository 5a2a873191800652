"""A mesh: devices in a grid with named axes, over which values are split."""

from __future__ import annotations

import math
from dataclasses import dataclass

from millrace.ir.errors import ArgumentError

BATCH_AXIS = "data"  # the axis over which a batch is split, where a mesh has it
OPEN = "*"  # in place of a mesh axis: the compiler chooses


@dataclass(frozen=True, init=False)
class Mesh:
    """Devices in a grid with named axes: Mesh(data=4, tower=2) takes eight.

    Along the axis "data" each device gets its share of the batch; along others, weights and what they make are split
    as `mr.shard` and the `shard` argument of layers say. What is split over no axis is whole on each device.

    Raises ArgumentError for a name that is no word or a size below 1.
    Source: Shazeer et al. 2018, Mesh-TensorFlow; JAX Mesh.
    """

    axes: tuple[tuple[str, int], ...]

    def __init__(self, **axes: int):
        if not axes:
            raise ArgumentError("a mesh needs at least one axis: Mesh(data=2), say.")
        for name, size in axes.items():
            if not name.isidentifier():
                raise ArgumentError(f"the name of a mesh axis must be a word, got {name!r}.")
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ArgumentError(f"the mesh axis {name!r} must be a number of devices, at least 1, got {size!r}.")
        object.__setattr__(self, "axes", tuple(axes.items()))

    @classmethod
    def of_text(cls, text: str) -> Mesh:
        """A mesh from "data=2,tower=2".  Raises ArgumentError for anything else."""
        axes: dict[str, int] = {}
        for part in text.split(","):
            name, _, size = part.strip().partition("=")
            if not name.isidentifier() or not size.isdecimal() or name in axes:
                raise ArgumentError(f"a mesh is said as data=2,tower=2 (each axis and its devices), got {text!r}.")
            axes[name] = int(size)
        return cls(**axes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.axes)

    @property
    def size(self) -> int:
        """How many devices it takes."""
        return math.prod(size for _, size in self.axes)

    def along(self, name: str | None) -> int:
        """How many parts a value has that is split over an axis; 1 for an axis that this mesh does not have."""
        return dict(self.axes).get(name, 1) if name is not None else 1

    def __str__(self) -> str:
        return ",".join(f"{name}={size}" for name, size in self.axes)


def check_batch(size: int, mesh: Mesh) -> None:
    """Raise ArgumentError for a batch that the devices of a mesh cannot share evenly."""
    shares = mesh.along(BATCH_AXIS)
    if size % shares:
        raise ArgumentError(
            f"batch_size={size} cannot be divided over the {shares} devices of the mesh axis {BATCH_AXIS!r}."
        )
