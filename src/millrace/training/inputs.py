"""The input of a run as stages: from a source to a queue of batches, as the model's step takes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from millrace.data.arrays import Arrays
from millrace.data.feed import Feed
from millrace.data.ordered import cores
from millrace.data.rows import Batched, Batches, batches, opened
from millrace.data.source import ENCODED, Source
from millrace.ir.core import Value
from millrace.ir.dims import Dim, shape_text
from millrace.ir.errors import ArgumentError, DataError
from millrace.ir.stream import StreamType
from millrace.ir.types import TensorType
from millrace.layers.calls import limit_of
from millrace.ops.stages import Batch, Convert, Decode, Queue, ReadRecords, Shuffle, Weigh
from millrace.training.examples import class_weights
from millrace.training.loss import Loss
from millrace.training.step import Answer

AHEAD = 4  # batches that a queue holds, where nobody says how many; one for each worker where there are more
CORES = 16  # threads that read and decode, at most, unless more are asked for
MOST_WORKERS = 256
SMALL = 2**17  # bytes of a batch that is made by who takes it


@dataclass(frozen=True)
class Input:
    """An input region: `queue` is the stream that it ends in, `source` what it reads."""

    queue: Value
    source: Source
    check: Callable[[Batched], None] | None = None  # raises DataError for what a step cannot be given
    share: range | None = None  # the places of a batch that this process reads, where several share the work

    @property
    def is_shared(self) -> bool:
        """Whether other processes read parts of each batch, so that nobody knows by itself whether all is broken."""
        return self.share is not None and len(self.share) < self.batch_size

    def whole_batch(self, epoch: int, number: int) -> Batched:
        """A batch with all its records, whoever reads them otherwise."""
        return replace(self, share=None).batches.make(epoch, number)

    @cached_property
    def batches(self) -> Batches:
        (batched,) = self.queue.node.inputs
        assert isinstance(batched.op, Batch)
        (stream,) = batched.node.inputs
        made = batches(batched.op, opened(stream, {self.source.name: self.source}), self.share)
        check = self.check
        if check is None:
            return made

        def make(epoch: int, number: int) -> Batched:
            batch = made.make(epoch, number)
            check(batch)
            return batch

        return Batches(made.count, make)

    @property
    def size(self) -> dict[str, int]:
        """What decides the order of an epoch, for who goes on with a run."""
        return {"records": self.source.count, "batch_size": self.batch_size}

    @property
    def op(self) -> Queue:
        assert isinstance(self.queue.op, Queue)
        return self.queue.op

    @property
    def batch_size(self) -> int:
        op = self.queue.node.inputs[0].op
        assert isinstance(op, Batch)
        return op.size

    @property
    def region(self) -> str:
        return f"{self.op.label} input"

    def start(self, epoch: int = 0, step: int = 0, epochs: int = 1) -> Feed:
        """Start the region at a batch of an epoch, to the end of epoch `epochs` - 1."""
        return Feed(self.batches, self.region, self.op.capacity, self.op.workers, epoch, step, epochs)


def input_of(
    source: Source, label: str, batch_size: int, shuffle_seed: int | None, workers: int | None, capacity: int | None,
    inputs: Sequence[Value], outputs: Sequence[Value] = (), answers: Sequence[Answer] = (),
    class_weight: Mapping[int, float] | None = None, share: range | None = None,
) -> Input:  # fmt: skip
    """The stages from a source to batches. Arrays are checked already; other sources are brought into the step's form.

    workers: None chooses. Files are read and decoded by a thread for each core. Arrays are gathered by one thread, or,
    where a batch is small, by who takes it: a tiny network on batches of 100 kB (Dense(10), batch 32) trains 1.18 times
    as long with a thread, the digits network (16 kB, 64) 1.02 and an MLP 784-512-512-10 (400 kB, 128) 0.99 times
    (medians of 7 interleaved ratios, 2 cores, Zen 4).
    Raises DataError for a source whose records the model does not take.
    """
    stream: Value = ReadRecords(source.name, source.count, source.elements)()
    if shuffle_seed is not None:
        stream = Shuffle(shuffle_seed)(stream)
    if not isinstance(source, Arrays):
        stream = as_the_step_takes(stream, source, inputs, outputs, answers, class_weight)
    batched = Batch(batch_size)(stream)
    if workers is None:
        workers = min(cores(), CORES) if ENCODED in source.elements else int(size_in_bytes(batched) > SMALL)
    if capacity is None:
        capacity = max(AHEAD, workers)
    queue = Queue(label, capacity, min(workers, capacity))(batched)
    check = None if isinstance(source, Arrays) else checker(source, inputs, outputs, answers)
    return Input(queue, source, check, share)


def checker(
    source: Source, inputs: Sequence[Value], outputs: Sequence[Value], answers: Sequence[Answer]
) -> Callable[[Batched], None]:  # fmt: skip
    """What looks at each batch of a source as `fit` looks at arrays: at the real rows."""
    tables = [n for n, x in enumerate(inputs) if limit_of(x) is not None and x.type.is_float]

    def check(batch: Batched) -> None:
        real = batch.weights > 0
        if not real.any():
            return
        for n in tables:
            numbers = batch.arrays[n][real]
            if not (numbers == np.floor(numbers)).all():
                raise DataError(f"the inputs of {source.name} are fractions, but the model looks whole numbers up.")
        for n, answer in enumerate(answers, len(inputs)):
            output = outputs[answer.place].type
            last = output.shape[-1] if output.ndim > 1 else 1
            if not answer.masked:
                loss_of(answer).check(
                    batch.arrays[n][real], f"{source.name}'s answers", last if isinstance(last, int) else 2
                )

    return check


def size_in_bytes(stream: Value) -> int:
    """What an element of a stream takes."""
    return sum(math.prod(map(int, type.shape)) * np.dtype(type.dtype).itemsize for type in elements_of(stream))


def elements_of(stream: Value) -> tuple[TensorType, ...]:
    assert isinstance(stream.type, StreamType)
    return stream.type.elements


def as_the_step_takes(
    stream: Value, source: Source, inputs: Sequence[Value], outputs: Sequence[Value], answers: Sequence[Answer],
    class_weight: Mapping[int, float] | None,
) -> Value:  # fmt: skip
    """Decoded, in the step's dtypes, checked, and with weights."""
    wanted = [TensorType(x.dtype, x.shape[1:]) for x in inputs]
    first = source.elements[0]
    if first == ENCODED:
        image = wanted[0]
        known = image.ndim == 3 and not any(isinstance(size, Dim) for size in image.shape)
        if len(inputs) != 1 or not known or image.shape[-1] not in (1, 3):
            raise DataError(
                f"{source.name} holds pictures, but the model takes {', '.join(map(str, wanted))}: begin it with "
                "mr.Input((height, width, 3), dtype='uint8'), numbers for height and width, 1 for grey."
            )
        stream = Decode(*image.shape)(stream)
    targets = [TensorType(a.target.dtype, a.target.shape[1:]) for a in answers]
    have = elements_of(stream)
    if len(have) < len(inputs) + len(targets):
        kind = ", ".join(map(str, have))
        raise DataError(
            f"the records of {source.name} consist of {kind}, without an answer to learn from for each of the model's "
            f"inputs ({len(inputs)}) and outputs ({len(targets)}): give y to ArraySource, target= to CSVSource, or a "
            "folder of pictures for each class."
        )
    columns = [
        fitted(g, w, n < len(wanted), source) for n, (g, w) in enumerate(zip(have, [*wanted, *targets], strict=False))
    ]
    limits: list[int] = [found[0] if (found := limit_of(x)) is not None else 0 for x in inputs]
    limits += [loss_of(a).classes(outputs[a.place].type) or 0 for a in answers]
    classes = len(source.classes)
    if answers and 0 < limits[-1] < classes:
        raise DataError(
            f"{source.name} has {classes} classes, but the model has {limits[-1]} outputs: give the last layer "
            f"{classes} units."
        )
    stream = Convert(tuple(type.dtype for type in [*wanted, *targets]), tuple(limits), tuple(columns))(stream)
    if not answers:
        return stream
    weights: tuple[float, ...] = ()
    if class_weight is not None:
        if len(answers) != 1 or not limits[-1]:
            raise ArgumentError("class_weight is for a model with one output that tells classes apart.")
        weights = class_weights(class_weight, limits[-1])
    return Weigh(len(answers), weights)(stream)


def fitted(got: TensorType, want: TensorType, is_input: bool, source: Source) -> int:
    """How an element's axes are brought to those that the step takes: 1 adds a last one, -1 takes it away, 0 neither.

    Raises DataError for what does not fit.
    """
    what, taken = ("inputs", "takes") if is_input else ("answers", "is trained on")
    if got.is_float and not want.is_float:
        raise DataError(f"the {what} of {source.name} are {got.dtype}, the model {taken} {want.dtype}.")
    shapes = {0: got.shape}
    if not is_input:  # an array of answers may be a column or not, as well
        shapes |= {-1: got.shape[:-1]} if got.shape[-1:] == (1,) else {1: (*got.shape, 1)}
    for column, shape in shapes.items():
        if len(shape) == want.ndim and all(
            isinstance(b, Dim) or a == b for a, b in zip(shape, want.shape, strict=True)
        ):
            return column
    hint = ""
    if not is_input and got.ndim == want.ndim - 1 and got.is_integer:
        hint = " For class numbers compile with loss='sparse_categorical_crossentropy'."
    raise DataError(
        f"the {what} of {source.name} have the shape {shape_text(got.shape)}, the model {taken} "
        f"{shape_text(want.shape)}.{hint}"
    )


def loss_of(answer: Answer) -> Loss:
    assert answer.goal.loss is not None
    return answer.goal.loss
