"""A predictor as it is served: what its inputs and outputs are called and take, and how many examples it computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from millrace.inference.predictor import Port, Predictor
from millrace.inference.server.limits import Limits, malformed
from millrace.inference.server.tensors import DATATYPES
from millrace.ir.dims import Dim, bind, solve
from millrace.ir.errors import ArgumentError
from millrace.models import RECIPES, Recipe

VERSION = "1"
PROGRAMS = 64  # sizes for which programs are kept, where a graph has open sizes besides its batch


@dataclass(frozen=True)
class Served:
    """A predictor and what it is called.

    batch: the examples of every program: () where any number will do, (n,) where the graph is made for n, None where
    its first axes are no batch, and each request is computed by itself.
    """

    predictor: Predictor
    name: str
    batch: tuple[int, ...] | None

    @classmethod
    def of(cls, predictor: Predictor, name: str | None = None) -> Served:
        """Raises ArgumentError for a name that an address cannot hold."""
        called = name if name is not None else predictor.about.name
        if not called or "/" in called or not called.isprintable() or len(called) > 200:
            raise ArgumentError(
                f"a model cannot be served as {called[:80]!r}: give --name, of printable characters without a slash."
            )
        return cls(predictor, called, batch_of([*predictor.inputs, *predictor.outputs]))

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self.predictor.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        return self.predictor.outputs

    @cached_property
    def recipe(self) -> Recipe | None:
        """The network that makes examples of pictures or sentences; None where there is none, or several inputs."""
        found = RECIPES.get(self.predictor.about.recipe)
        fits = (
            isinstance(found, Recipe) and found.example is not None and len(self.inputs) == 1 and self.batch is not None
        )
        return found if fits and isinstance(found, Recipe) else None

    @property
    def takes(self) -> str:
        """What a BYTES tensor may hold in place of numbers: "picture", "sentence", or "" for nothing."""
        return "" if self.recipe is None else "sentence" if self.predictor.about.vocabulary else "picture"

    @cached_property
    def example(self) -> Callable[[bytes], Any]:
        """Makes an example of a picture's or a sentence's bytes."""
        assert self.recipe is not None and self.recipe.example is not None
        made, vocabulary = self.recipe.example, self.predictor.about.vocabulary
        return lambda content: made(content, vocabulary)

    def sizes(self, limits: Limits) -> tuple[int, ...]:
        """How many examples a batch may have, each a program of its own; () where requests are not batched."""
        return limits.sizes if self.batch == () else self.batch or ()

    @cached_property
    def has_open_sizes(self) -> bool:
        """Whether sizes besides the batch are open, so that programs cannot be made ahead."""
        return any(isinstance(n, Dim) for port in self.inputs for n in rest(self, port))

    def bytes_of_an_example(self, shapes: Sequence[tuple[int, ...]]) -> int:
        """Of all inputs and outputs of one example, for inputs of these shapes; a size that only the data tell is 1.

        Raises Refusal for shapes that do not fit together.
        """
        sizes: dict[str, int] = {}
        for port, shape in zip(self.inputs, shapes, strict=True):
            for n, size in zip(rest(self, port), shape if self.batch is None else shape[1:], strict=False):
                if not solve(n, size, sizes):
                    also = f", which is {sizes[str(n)]} in the inputs before" if str(n) in sizes else ""
                    raise malformed(f"input {port.name!r} of shape {list(shape)}: {size} is no size for {n}{also}.")
        known = [(port, [bind(n, sizes) for n in rest(self, port)]) for port in (*self.inputs, *self.outputs)]
        return sum(
            math.prod(n if isinstance(n, int) else 1 for n in shape) * np.dtype(port.type.dtype).itemsize
            for port, shape in known
        )

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the predictor makes of one batch.  Programs for too many sizes are forgotten, all at once."""
        function = self.predictor.function
        if function.compiled_programs > PROGRAMS and self.has_open_sizes:
            self.predictor.__dict__.pop("function")
        return self.predictor(*arrays)

    def warm(self, size: int) -> None:
        """Compute a batch of zeros, so that its program is there before a request needs it."""
        first = () if self.batch is None else (size,)
        self([np.zeros((*first, *rest(self, port)), port.type.dtype) for port in self.inputs])

    def metadata(self) -> dict[str, Any]:
        """Source: Open Inference Protocol (REST), model metadata; `parameters` are an addition of this server."""
        inputs = [described(self, port) for port in self.inputs]
        if self.takes:
            inputs[0]["parameters"] = {"bytes": self.takes}
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "millrace",
            "inputs": inputs,
            "outputs": [described(self, port) for port in self.outputs],
        }


def rest(served: Served, port: Port) -> tuple[Any, ...]:
    """The sizes of one example, or of the whole tensor where there is no batch."""
    return port.type.shape if served.batch is None else port.type.shape[1:]


def described(served: Served, port: Port) -> dict[str, Any]:
    """A tensor's metadata: -1 for each size that is open. A graph made for n examples is filled up: so that is open."""
    shape = [n if isinstance(n, int) else -1 for n in rest(served, port)]
    return {
        "name": port.name,
        "datatype": DATATYPES[port.type.dtype],
        "shape": shape if served.batch is None else [-1, *shape],
    }


def batch_of(ports: Sequence[Port]) -> tuple[int, ...] | None:
    """The first axis of all ports, where it is the same and nothing else depends on it: see `Served.batch`."""
    firsts = {port.type.shape[0] for port in ports if port.type.ndim}
    if len(firsts) != 1 or not all(port.type.ndim for port in ports):
        return None
    (first,) = firsts
    if isinstance(first, int):
        return (first,) if first > 0 else None
    others = {name for port in ports for n in port.type.shape[1:] if isinstance(n, Dim) for name in n.names}
    return None if len(first.names) != 1 or str(first) not in first.names or first.names & others else ()
