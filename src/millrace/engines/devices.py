"""The devices of a mesh, and how the parts of a value lie on them.

Several processes, each with devices of its own, share one mesh: every process runs the same program on its part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace.engines.processes import processes
from millrace.engines.xla import gathered, jax
from millrace.ir.core import Value
from millrace.ir.dims import Dim, shape_text
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.mesh import BATCH_AXIS, OPEN, Mesh
from millrace.ir.state import Variable, adopt

Axes = Sequence[str | None]


class Devices:
    """A mesh laid over the devices that JAX has.

    Raises ArgumentError where there are fewer than the mesh takes.
    """

    def __init__(self, mesh: Mesh):
        have = available(mesh.size)
        if mesh.size % processes().count:
            raise ArgumentError(
                f"the mesh {mesh} takes {mesh.size} devices, which {processes().count} processes cannot share evenly."
            )
        if len(have) < mesh.size:
            kind = have[0].platform.upper()
            raise ArgumentError(
                f"the mesh {mesh} takes {mesh.size} devices, but here {'is' if len(have) == 1 else 'are'} {len(have)} "
                f"({kind})."
                + (
                    " To split a processor into several devices, start Python with "
                    f"JAX_NUM_CPU_DEVICES={mesh.size // processes().count} in the environment."
                    if kind == "CPU"
                    else ""
                )
            )
        self.mesh = mesh
        names, sizes = zip(*mesh.axes, strict=True)
        grid = np.array(have[: mesh.size]).reshape(sizes)
        self.grid = jax.sharding.Mesh(grid, names, axis_types=(jax.sharding.AxisType.Auto,) * len(names))
        self.whole = self.split(())

    def split(self, axes: Axes) -> Any:
        """How a value lies that is split over these axes of the mesh; those that the mesh lacks are left out."""
        spec = [
            jax.sharding.PartitionSpec.UNCONSTRAINED if axis == OPEN else axis if axis in self.mesh.names else None
            for axis in axes
        ]
        return jax.sharding.NamedSharding(self.grid, jax.sharding.PartitionSpec(*spec))

    def last(self, ndim: int, axis: str) -> Any:
        """How the last of `ndim` axes alone is said to be split."""
        return jax.sharding.PartitionSpec(*[None] * (ndim - 1), axis)

    def of_variable(self, variable: Variable) -> Any:
        return self.split(self.fitting(variable.sharding, variable.shape, f"variable {variable.name!r}"))

    def of_input(self, value: Value, sizes: Sequence[int]) -> Any:
        """An input's batch is split over the axis "data"; whole where it cannot be divided, as in a last prediction."""
        batch = value.shape[:1] and isinstance(value.shape[0], Dim)
        n = self.mesh.along(BATCH_AXIS)
        return self.split((BATCH_AXIS,)) if batch and n > 1 and sizes[0] % n == 0 else self.whole

    def share(self, size: int) -> range:
        """The places of a batch that lie on this process's devices, and what is between them."""
        if size % self.mesh.along(BATCH_AXIS):
            return range(size)
        parts = self.split((BATCH_AXIS,)).addressable_devices_indices_map((size,)).values()
        places = [range(size)[part] for (part,) in parts]
        return range(min(place.start for place in places), max(place.stop for place in places))

    def fitting(self, axes: Axes, shape: tuple[Any, ...], what: str) -> Axes:
        """The axes, if each divides its size.  Raises ShapeError where one does not."""
        for axis, size in zip(axes, shape, strict=False):
            n = 1 if axis == OPEN else self.mesh.along(axis)
            if n > 1 and size % n:
                raise ShapeError(
                    f"{what} {shape_text(shape)} cannot be split over the mesh axis {axis!r}: {n} devices do not "
                    f"divide {size} evenly."
                )
        return axes

    def place(self, buffer: Any, sharding: Any) -> Any:
        """An array on the devices, split so: each device gets a copy of its part."""
        if isinstance(buffer, jax.Array):
            if buffer.sharding.is_equivalent_to(sharding, buffer.ndim):
                return buffer
            buffer = fetched(buffer)
        return jax.make_array_from_callback(buffer.shape, sharding, lambda part: np.array(buffer[part]))

    def copied(self, buffer: Any) -> Any:
        """A copy of what lies on the devices, made by each for itself: nobody waits for another process."""
        parts = [part.data.copy() for part in buffer.addressable_shards]
        return jax.make_array_from_single_device_arrays(buffer.shape, buffer.sharding, parts)


def fetched(buffer: Any) -> np.ndarray:
    """What lies on devices as one array; its parts on other processes' devices are asked for, by all of them."""
    if buffer.is_fully_addressable or buffer.is_fully_replicated:
        return np.asarray(buffer)
    return gathered(buffer)


def available(wanted: int) -> list[Any]:
    """All devices of all processes; a processor is split into as many as are wanted, if JAX has not started yet."""
    here = max(1, wanted // processes().count)
    try:
        if jax.config.jax_num_cpu_devices < here:  # type: ignore[attr-defined]
            jax.config.update("jax_num_cpu_devices", here)
    except RuntimeError:
        pass  # it has started: there are as many as there are
    if processes().count == 1:
        return list(jax.devices())
    return [device for number in range(processes().count) for device in devices_of(number)[:here]]


def devices_of(number: int) -> list[Any]:
    """The devices of one process."""
    return [device for device in jax.devices() if device.process_index == number]


def every_device() -> Mesh:
    """A mesh whose devices, all that there are, share each batch."""
    return Mesh(**{BATCH_AXIS: len(jax.devices())})


def bring_home(variables: Sequence[Variable]) -> None:
    """Give every process all of these variables, in memory of its own; each process has to call it."""
    for variable in variables:
        adopt([variable], lambda buffer: fetched(buffer) if isinstance(buffer, jax.Array) else buffer)


def is_spread(buffer: Any) -> bool:
    """Whether a buffer lies on more than one device."""
    return isinstance(buffer, jax.Array) and len(buffer.sharding.device_set) > 1
