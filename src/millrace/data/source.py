"""What a source of records is: how many there are, what each consists of, and records by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.ir.dims import dim
from millrace.ir.types import TensorType

ENCODED = TensorType("uint8", (dim("bytes"),))  # a picture file's content, before it is decoded


@dataclass(frozen=True)
class Taken:
    """Records that were asked for, column by column.

    columns: one for each element of a record: an array [records, ...], or a list of bytes where it is ENCODED.
    broken: by place among those asked for, why a record cannot be used; what its columns hold then means nothing.
    """

    columns: tuple[Any, ...]
    broken: Mapping[int, str] = field(default_factory=dict)


class Source(ABC):
    """Records that can be read by number, in any order, by several threads at once.

    name: what messages and drawings call it. count: how many records there are. elements: what one record
    consists of, such as (uint8[bytes], int32[]) for a picture file and its class. classes: what the class numbers
    are called, () where there are none.
    """

    name: str
    count: int
    elements: tuple[TensorType, ...]
    classes: tuple[str, ...] = ()

    @abstractmethod
    def take(self, numbers: np.ndarray) -> Taken:
        """The records with these numbers [records], in their order.

        One that is damaged is told of in `broken`.  Raises FileError where the source itself is gone.
        """

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {self.count:,} records of {', '.join(map(str, self.elements))})"

    def run(self, first: int, last: int) -> Taken:
        """The records from number `first` to `last` - 1."""
        return self.take(np.arange(first, last))

    def record(self, number: int) -> str:
        """What messages call a record: a file's name, a line, or its number."""
        return f"record {number}"


class Part(Source):
    """Some records of another source, by their numbers [records] there."""

    def __init__(self, source: Source, numbers: np.ndarray):
        self.source, self.numbers, self.count = source, numbers, len(numbers)
        self.name, self.elements, self.classes = source.name, source.elements, source.classes

    def take(self, numbers: np.ndarray) -> Taken:
        return self.source.take(self.numbers[numbers])

    def record(self, number: int) -> str:
        return self.source.record(int(self.numbers[number]))
