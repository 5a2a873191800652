"""Stages of a training run: reading, decoding, batching, queueing; evaluating, recording, saving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from millrace.ir.core import Bad
from millrace.ir.dims import Size, same
from millrace.ir.errors import ArgumentError, DTypeError, ShapeError
from millrace.ir.stream import Stage, StageSample, StreamType, require_stream
from millrace.ir.types import TensorType

IMAGE, ENCODED = TensorType("uint8", (8, 8, 3)), TensorType("uint8", (3,))
NUMBER, COUNT, WEIGHT = TensorType("int32", ()), TensorType("int64", ()), TensorType("float32", ())
RECORDS = StreamType((IMAGE, NUMBER))
NOTHING = StreamType(())
FITS = ("crop", "stretch", "pad")


def at_least(value: int, low: int, name: str) -> None:
    if value < low:
        raise ArgumentError(f"{name} must be at least {low}, got {value}.")


@dataclass(frozen=True)
class ReadRecords(Stage):
    """Records of a source by number, 0 to count - 1, once an epoch.

    source: its name. elements: what a record consists of.  Source: Abadi et al., TensorFlow, OSDI 2016, section 3.1
    (Reader operations).
    """

    source: str
    count: int
    elements: tuple[TensorType, ...]

    def infer(self) -> StreamType:
        at_least(self.count, 1, "the number of records")
        return StreamType(self.elements)

    @classmethod
    def samples(cls) -> list[StageSample]:
        return [StageSample(cls("digits", 1797, RECORDS.elements), (), (RECORDS,))]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [(lambda: cls("nothing", 0, (IMAGE,))(), "number of records must be at least 1")]


@dataclass(frozen=True)
class Shuffle(Stage):
    """The records of each epoch in an order of its own: a pure function of seed and epoch."""

    seed: int

    def infer(self, records: Any) -> StreamType:
        return require_stream(self, records)

    @classmethod
    def samples(cls) -> list[StageSample]:
        return [StageSample(cls(0), (RECORDS,), (RECORDS,))]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [(lambda: cls(0).infer(IMAGE), "takes a stream")]


@dataclass(frozen=True)
class Decode(Stage):
    """The first element of each record, a picture file's bytes, as an image [height, width, channels] of uint8.

    fit: "crop" scales until the shorter side fits and cuts the middle out, "stretch" scales both sides, "pad" scales
    until all is inside.  Source: Krizhevsky et al. 2012, section 2 (crop).
    """

    height: int
    width: int
    channels: int
    fit: str = "crop"

    def infer(self, records: Any) -> StreamType:
        first, *others = require_stream(self, records).elements or (WEIGHT,)
        if first.dtype != "uint8" or first.ndim != 1:
            raise DTypeError(f"decode takes records that begin with a file's bytes, uint8[bytes]; got {first}.")
        at_least(min(self.height, self.width), 1, "height and width")
        if self.channels not in (1, 3):
            raise ArgumentError(f"channels must be 1 (grey) or 3 (red, green, blue), got {self.channels}.")
        if self.fit not in FITS:
            raise ArgumentError(f"fit must be one of {', '.join(FITS)}, got {self.fit!r}.")
        return StreamType((TensorType("uint8", (self.height, self.width, self.channels)), *others))

    @classmethod
    def samples(cls) -> list[StageSample]:
        return [StageSample(cls(8, 8, 3), (StreamType((ENCODED, NUMBER)),), (RECORDS,))]

    @classmethod
    def errors(cls) -> list[Bad]:
        files = StreamType((ENCODED, NUMBER))
        return [
            (lambda: cls(8, 8, 3).infer(RECORDS), "file's bytes"),
            (lambda: cls(8, 8, 4).infer(files), "channels must be 1"),
            (lambda: cls(8, 8, 3, "squeeze").infer(files), "fit must be one of"),
        ]


@dataclass(frozen=True)
class Convert(Stage):
    """The first elements of each record as a step takes them: other dtypes, and whole numbers checked.

    limits: element n must lie from 0 to limits[n] - 1, as class numbers and rows of a table do; 0 is no limit. columns:
    1 gives element n a last axis of 1, -1 takes one away, 0 leaves it; () leaves all. A number that does not fit stops
    the run. Elements for which no dtype is named are left out.
    """

    dtypes: tuple[str, ...]
    limits: tuple[int, ...]
    columns: tuple[int, ...] = ()

    def infer(self, records: Any) -> StreamType:
        elements = require_stream(self, records).elements
        if len(elements) < len(self.dtypes) or len(self.dtypes) != len(self.limits):
            raise ShapeError(f"records have {len(elements)} elements, convert names {len(self.dtypes)} dtypes.")
        kept = elements[: len(self.dtypes)]
        made = []
        for type, dtype, column in zip(kept, self.dtypes, self.columns or (0,) * len(kept), strict=True):
            if type.is_float and not TensorType(dtype, ()).is_float:
                raise DTypeError(f"convert would cut {type} to whole numbers of {dtype}.")
            if column < 0 and type.shape[-1:] != (1,):
                raise ShapeError(f"convert takes a last axis of 1 away, which {type} does not have.")
            shape = (*type.shape, 1) if column > 0 else type.shape[:-1] if column < 0 else type.shape
            made.append(TensorType(dtype, shape))
        return StreamType(tuple(made))

    @classmethod
    def samples(cls) -> list[StageSample]:
        floats = StreamType((IMAGE.with_dtype("float32"), NUMBER))
        column = StreamType((IMAGE, TensorType("float32", (1,))))
        return [
            StageSample(cls(("float32", "int32"), (0, 10)), (RECORDS,), (floats,)),
            StageSample(cls(("uint8",), (0,)), (RECORDS,), (StreamType((IMAGE,)),)),
            StageSample(cls(("uint8", "float32"), (0, 0), (0, 1)), (RECORDS,), (column,)),
            StageSample(cls(("uint8", "int32"), (0, 0), (0, -1)), (column_of_numbers(),), (RECORDS,)),
        ]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [
            (lambda: cls(("float32",) * 3, (0,) * 3).infer(RECORDS), "2 elements"),
            (lambda: cls(("int32",), (0,)).infer(StreamType((WEIGHT,))), "would cut"),
            (lambda: cls(("uint8",), (0,), (-1,)).infer(RECORDS), "last axis of 1"),
        ]


def column_of_numbers() -> StreamType:
    return StreamType((IMAGE, TensorType("int32", (1,))))


@dataclass(frozen=True)
class Weigh(Stage):
    """Records with numbers float32[] behind them, how much each counts in a loss: one for each of `losses`.

    class_weights: the weight of each class, by the class number that stands last in a record; () for 1 in any case.
    """

    losses: int
    class_weights: tuple[float, ...] = ()

    def infer(self, records: Any) -> StreamType:
        elements = require_stream(self, records).elements
        if self.class_weights and not (elements and elements[-1].is_integer and elements[-1].ndim == 0):
            raise DTypeError("weights of classes are for records that end with a class number, int32[].")
        return StreamType((*elements, *(WEIGHT,) * self.losses))

    @classmethod
    def samples(cls) -> list[StageSample]:
        weighed = StreamType((*RECORDS.elements, WEIGHT))
        return [StageSample(cls(1), (RECORDS,), (weighed,)), StageSample(cls(1, (1.0, 5.0)), (RECORDS,), (weighed,))]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [
            (lambda: cls(1).infer(IMAGE), "takes a stream"),
            (lambda: cls(1, (2.0,)).infer(StreamType((IMAGE,))), "end with a class number"),
        ]


@dataclass(frozen=True)
class Batch(Stage):
    """Records in batches [batch, ...], and behind them which rows are real: float32[batch], 1 or 0.

    A short last batch is filled up with copies of its own records, and so is the row of a broken record: such a row
    counts for nothing.
    """

    size: int

    def infer(self, records: Any) -> StreamType:
        at_least(self.size, 1, "the batch size")
        elements = require_stream(self, records).elements
        batched = tuple(type.with_shape(self.size, *type.shape) for type in elements)
        return StreamType((*batched, TensorType("float32", (self.size,))))

    @classmethod
    def samples(cls) -> list[StageSample]:
        batches = (
            TensorType("uint8", (4, 8, 8, 3)), TensorType("int32", (4,)), TensorType("float32", (4,)),
        )  # fmt: skip
        return [StageSample(cls(4), (RECORDS,), (StreamType(batches),))]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [(lambda: cls(0).infer(RECORDS), "batch size must be at least 1")]


@dataclass(frozen=True)
class Queue(Stage):
    """A bounded queue between two regions, which run at the same time: full, it holds the first one back.

    label: what messages call it. capacity: elements that it holds at most. workers: threads that fill it; elements
    leave it in their order, however many there are. 0 workers: who takes an element makes it.
    Source: Abadi et al., TensorFlow, OSDI 2016, section 3.1 (queues).
    """

    label: str
    capacity: int
    workers: int

    def infer(self, elements: Any) -> StreamType:
        at_least(self.capacity, 1, "a queue's capacity")
        at_least(self.workers, 0, "workers")
        return require_stream(self, elements)

    @classmethod
    def samples(cls) -> list[StageSample]:
        return [StageSample(cls("training", 4, 2), (RECORDS,), (RECORDS,))]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [
            (lambda: cls("training", 0, 1).infer(RECORDS), "capacity must be at least 1"),
            (lambda: cls("training", 1, -1).infer(RECORDS), "workers must be at least 0"),
        ]


@dataclass(frozen=True)
class Dequeue(Stage):
    """The next element of a queue as arrays: the door from streams to what a device computes."""

    def infer(self, elements: Any) -> tuple[TensorType, ...]:
        return require_stream(self, elements).elements

    @classmethod
    def samples(cls) -> list[StageSample]:
        return [StageSample(cls(), (RECORDS,), RECORDS.elements)]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [(lambda: cls().infer(IMAGE), "takes a stream")]


@dataclass(frozen=True)
class Every(Stage):
    """Says when: after each epoch, and within one after so many steps (0: not within one).

    Takes the number of steps that are done, and passes it on at those times.
    """

    steps: int = 0

    def infer(self, completed: Any) -> StreamType:
        if not isinstance(completed, TensorType) or not completed.is_integer or not same_shape(completed, ()):
            raise DTypeError(f"every takes the number of steps that are done, a whole number; got {completed}.")
        at_least(self.steps, 0, "steps")
        return StreamType((completed,))

    def due(self, step: int) -> bool:
        """Whether the time has come after `step` steps of an epoch that goes on."""
        return bool(self.steps) and step % self.steps == 0

    @classmethod
    def samples(cls) -> list[StageSample]:
        return [StageSample(cls(100), (COUNT,), (StreamType((COUNT,)),))]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [
            (lambda: cls().infer(WEIGHT), "a whole number"),
            (lambda: cls(-1).infer(COUNT), "steps must be at least 0"),
        ]


def same_shape(type: TensorType, shape: tuple[Size, ...]) -> bool:
    return type.ndim == len(shape) and all(same(a, b) for a, b in zip(type.shape, shape, strict=True))


@dataclass(frozen=True)
class Evaluate(Stage):
    """Run another graph of the program over all its records, on the weights as they are then, and pass its means on."""

    graph: str

    def infer(self, when: Any) -> StreamType:
        return require_stream(self, when)

    @classmethod
    def samples(cls) -> list[StageSample]:
        when = StreamType((COUNT,))
        return [StageSample(cls("validation"), (when,), (when,))]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [(lambda: cls("validation").infer(COUNT), "takes a stream")]


@dataclass(frozen=True)
class WriteLog(Stage):
    """Write the means of the loss and of the metrics down: `kind` says how, `path` where."""

    kind: str
    path: str

    def infer(self, when: Any) -> StreamType:
        require_stream(self, when)
        return NOTHING

    @classmethod
    def samples(cls) -> list[StageSample]:
        return [StageSample(cls("lines", "metrics.jsonl"), (StreamType((COUNT,)),), (NOTHING,))]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [(lambda: cls("lines", "metrics.jsonl").infer(COUNT), "takes a stream")]


@dataclass(frozen=True)
class Save(Stage):
    """Write weights, the optimizer's memory, random states and the input's position as a checkpoint.

    path: the directory, or the file. keep: how many of the last ones stay; 0 where each replaces the one before.
    """

    path: str
    keep: int = 0

    def infer(self, when: Any) -> StreamType:
        at_least(self.keep, 0, "keep")
        require_stream(self, when)
        return NOTHING

    @classmethod
    def samples(cls) -> list[StageSample]:
        return [StageSample(cls("checkpoints", 3), (StreamType((COUNT,)),), (NOTHING,))]

    @classmethod
    def errors(cls) -> list[Bad]:
        return [(lambda: cls("checkpoints").infer(COUNT), "takes a stream")]
