"""What flows between the stages of a running program: one element after another, each a tuple of arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace.ir.core import Bad, Op, snake
from millrace.ir.dims import Size
from millrace.ir.errors import DTypeError, GraphError
from millrace.ir.types import TensorType


@dataclass(frozen=True)
class StreamType:
    """A stream whose elements are tuples of arrays of these types, e.g. stream<uint8[28, 28, 1], int32[]>.

    A stream without anything in its elements, stream<>, only says when.
    """

    elements: tuple[TensorType, ...]

    @property
    def is_concrete(self) -> bool:
        return all(type.is_concrete for type in self.elements)

    @property
    def shape(self) -> tuple[Size, ...]:
        """None: a stream is no array, and no rule about named dimensions looks into it."""
        return ()

    def __str__(self) -> str:
        return f"stream<{', '.join(map(str, self.elements))}>"

    @staticmethod
    def parse(text: str) -> StreamType:
        """The type that `str` gave.  Raises GraphError for another text."""
        match = re.fullmatch(r"stream<(.*)>", text.strip())
        if not match:
            raise GraphError(f"not a stream: {text!r}. A stream reads like stream<float32[8, 8, 1], int32[]>.")
        return StreamType(tuple(TensorType.parse(one) for one in re.findall(r"\w+\[[^\]]*\]", match[1])))


class Stage(Op, abstract=True):
    """An effect on the host over streams: reading, transforming, batching, queueing, saving, recording.

    A stage says what it is and what its streams hold. What does the work of an input's stages stands in
    `millrace.data`, chosen by the stage's class; the run and its callbacks evaluate, record and save.
    """

    facets: ClassVar[tuple[str, ...]] = ("infer", "samples", "errors")
    pure = False
    moves = True
    samples: Callable[..., Sequence[StageSample]]
    errors: Callable[..., Sequence[Bad]]


@dataclass(frozen=True)
class StageSample:
    """A valid use of a stage: the types that go in and those that come out."""

    op: Stage
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


def require_stream(op: Op, type: Any) -> StreamType:
    """The input of a stage.  Raises DTypeError where it is an array."""
    if not isinstance(type, StreamType):
        raise DTypeError(f"{snake(op.name)} takes a stream, got {type}.")
    return type
