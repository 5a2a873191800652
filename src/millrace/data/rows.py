"""How the stages of an input region are carried out: records by number, then batches by number.

Every stage is random access: it says how many records there are, and gives those with certain numbers of an epoch. So a
batch is a pure function of seed, epoch and its number: any thread may make any batch, in any order, and a run that goes
on asks for the batch where it stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from millrace.data.arrays import epoch_order
from millrace.data.decode import decode_image
from millrace.data.source import Source, Taken
from millrace.ir.core import Value
from millrace.ir.errors import DataError, GraphError, MillraceError
from millrace.ir.types import is_float_array
from millrace.ops.stages import Batch, Convert, Decode, ReadRecords, Shuffle, Weigh

Numbers = np.ndarray | range


@dataclass(frozen=True)
class Rows:
    """Records of each epoch: `take(epoch, numbers)` gives some of them, `record(epoch, number)` what one is called."""

    count: int
    take: Callable[[int, Numbers], Taken]
    record: Callable[[int, int], str]


@dataclass(frozen=True)
class Batched:
    """Arrays of one size for each batch, which rows of them are real, and what is wrong with those that are not.

    arrays: [batch, ...] each. weights [batch] float32: 0 in a row that only fills up. count: how many records the
    batch has, broken ones too. broken: what could not be used, by the record's name.
    """

    arrays: tuple[Any, ...]
    weights: np.ndarray
    count: int
    broken: Mapping[str, str]


@dataclass(frozen=True)
class Batches:
    """The batches of each epoch, `count` of them: `make(epoch, number)` gives one."""

    count: int
    make: Callable[[int, int], Batched]


def opened(value: Value, sources: Mapping[str, Source]) -> Any:
    """The Rows or Batches that a graph of stages describes, over sources by name.

    Raises GraphError for a source that is not given or has other records than the graph says.
    """
    node = value.node
    return carry_out(node.op, *(opened(x, sources) for x in node.inputs), sources=sources)


@singledispatch
def carry_out(op: Any, *inputs: Any, sources: Mapping[str, Source]) -> Any:
    """What one stage does with what the stages before it give."""
    raise GraphError(f"{op.name} does not belong to the input of a run.")


@carry_out.register
def _(op: ReadRecords, *, sources: Mapping[str, Source]) -> Rows:
    if op.source not in sources:
        raise GraphError(f"the source {op.source!r} is not given.")
    source = sources[op.source]
    if (source.count, source.elements) != (op.count, op.elements):
        raise GraphError(f"the source {op.source!r} has changed: {source.count} records, the graph says {op.count}.")

    def take(epoch: int, numbers: Numbers) -> Taken:
        return source.run(numbers.start, numbers.stop) if isinstance(numbers, range) else source.take(numbers)

    return Rows(source.count, take, lambda epoch, number: source.record(number))


@carry_out.register
def _(op: Shuffle, rows: Rows, *, sources: Mapping[str, Source]) -> Rows:
    orders: dict[int, np.ndarray] = {}
    lock = threading.Lock()

    def order(epoch: int) -> np.ndarray:
        known = orders.get(epoch)
        if known is not None:
            return known
        with lock:  # several threads may come to a new epoch at once
            if epoch not in orders:
                for old in [e for e in orders if e < epoch - 1]:
                    del orders[old]
                orders[epoch] = epoch_order(rows.count, op.seed, epoch + 1)
            return orders[epoch]

    def take(epoch: int, numbers: Numbers) -> Taken:
        chosen = slice(numbers.start, numbers.stop) if isinstance(numbers, range) else numbers
        return rows.take(epoch, order(epoch)[chosen])

    return Rows(
        rows.count,
        take,
        lambda epoch, number: rows.record(epoch, int(order(epoch)[number])),
    )


@carry_out.register
def _(op: Decode, rows: Rows, *, sources: Mapping[str, Source]) -> Rows:
    def take(epoch: int, numbers: Numbers) -> Taken:
        files, *others = (taken := rows.take(epoch, numbers)).columns
        images = np.empty((len(files), op.height, op.width, op.channels), np.uint8)
        broken = dict(taken.broken)
        for n, content in enumerate(files):
            if n not in broken:
                try:
                    decode_image(content, op.height, op.width, op.channels, op.fit, out=images[n])
                except DataError as error:
                    broken[n] = str(error)
            if n in broken:
                images[n] = 0
        return Taken((images, *others), broken)

    return Rows(rows.count, take, rows.record)


@carry_out.register
def _(op: Convert, rows: Rows, *, sources: Mapping[str, Source]) -> Rows:
    columns = op.columns or (0,) * len(op.dtypes)

    def take(epoch: int, numbers: Numbers) -> Taken:
        taken = rows.take(epoch, numbers)
        broken = dict(taken.broken)
        for n, column in enumerate(taken.columns[: len(op.dtypes)]):
            if is_float_array(column):
                bad = ~np.isfinite(column.reshape(len(column), -1)).all(axis=1)
                broken |= {int(place): f"element {n} is NaN or infinite" for place in np.flatnonzero(bad)}
        good = np.array([n not in broken for n in range(len(numbers))])
        made = []
        for column, dtype, limit, axis in zip(taken.columns, op.dtypes, op.limits, columns, strict=False):
            check_range(column[good], dtype, limit)
            column = column[..., None] if axis > 0 else column[..., 0] if axis < 0 else column
            made.append(column.astype(dtype, copy=False))
        return Taken(tuple(made), broken)

    return Rows(rows.count, take, rows.record)


def check_range(column: np.ndarray, dtype: str, limit: int) -> None:
    """Raise DataError for a whole number that a dtype does not hold, or that is not below a limit."""
    low, high = (0, limit - 1) if limit else (None, None)
    if not limit and column.dtype.kind in "iu" and np.dtype(dtype).kind in "iu":
        if np.can_cast(column.dtype, dtype):
            return
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if low is None or high is None or not column.size or (column.min() >= low and column.max() <= high):
        return
    worst = column.min() if column.min() < low else column.max()
    if limit:
        raise DataError(
            f"it holds the number {worst}, but the model knows 0 to {high}: give the last layer more units (or its "
            "table more rows), or number the records anew."
        )
    raise DataError(f"it holds the number {worst}, which {dtype} does not: convert the records first.")


@carry_out.register
def _(op: Weigh, rows: Rows, *, sources: Mapping[str, Source]) -> Rows:
    def take(epoch: int, numbers: Numbers) -> Taken:
        taken = rows.take(epoch, numbers)
        weights = np.ones(len(numbers), np.float32)
        if op.class_weights:
            weights = np.array(op.class_weights, np.float32).take(taken.columns[-1], mode="clip")
        return Taken((*taken.columns, *(weights for _ in range(op.losses))), taken.broken)

    return Rows(rows.count, take, rows.record)


@carry_out.register
def _(op: Batch, rows: Rows, *, sources: Mapping[str, Source]) -> Batches:
    return batches(op, rows)


def batches(op: Batch, rows: Rows, share: range | None = None) -> Batches:
    """Batches of records. share: the places in each batch whose records are read here, where others read the rest.

    In the other places stand copies of what was read; they count as real, which whoever reads them knows better.
    """
    share = range(op.size) if share is None else share
    full = np.ones(op.size, np.float32)
    full.flags.writeable = False

    def make(epoch: int, number: int) -> Batched:
        first = number * op.size
        count = min(op.size, rows.count - first)
        here = range(min(share.start, count), min(share.stop, count)) or range(1)  # one, so that there are columns
        taken = tried(rows, epoch, range(first + here.start, first + here.stop))
        columns, weights = taken.columns, full
        if len(here) < op.size or taken.broken:
            good = np.array([n for n in range(len(here)) if n not in taken.broken], int)
            weights = full.copy()
            weights[count:] = 0
            weights[[here[n] for n in taken.broken]] = 0
            places = np.zeros(op.size, int)
            if len(good):  # a row that fills up is a copy of a real one, which does no harm to any arithmetic
                places[:] = np.resize(good, op.size)
                places[here.start + good] = good
            columns = tuple(column[places] for column in columns)
        broken = {rows.record(epoch, first + here[n]): why for n, why in sorted(taken.broken.items())}
        return Batched(columns, weights, count, broken)

    return Batches(-(-rows.count // op.size), make)


def tried(rows: Rows, epoch: int, numbers: Numbers) -> Taken:
    """Some records; where reading them fails, the error names the one that is to blame."""
    try:
        return rows.take(epoch, numbers)
    except Exception:
        for number in numbers if len(numbers) > 1 else ():
            try:
                rows.take(epoch, np.array([number]))
            except Exception as error:
                raise retold(error, rows.record(epoch, int(number))) from error
        raise


def retold(error: Exception, where: str) -> MillraceError:
    """An error of the same kind that says where it happened; of Millrace's own kind where it cannot be made anew."""
    try:
        if isinstance(error, MillraceError):
            return type(error)(f"{where}: {error}")
        return DataError(f"{where}: {type(error).__name__}: {error}")
    except Exception:  # an error of a source's own, with other arguments or without a text
        return DataError(f"{where}: {type(error).__name__}")
