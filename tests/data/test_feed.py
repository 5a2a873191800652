"""Input regions: batches are a function of seed, epoch and number, whoever makes them, and errors say where."""

import threading
import time

import numpy as np
import pytest

from millrace.data.arrays import Arrays, epoch_order
from millrace.data.feed import Feed
from millrace.data.queue import Ended
from millrace.data.rows import opened
from millrace.data.source import Source, Taken
from millrace.ir.errors import DataError, FileError, GraphError
from millrace.ir.types import TensorType
from millrace.ops.stages import Batch, Convert, ReadRecords, Shuffle, Weigh


class Numbers(Source):
    """Records n, with 10 * n beside them; some are broken, some take their time."""

    def __init__(self, count, broken=(), slow=0.0, failing=()):
        self.name, self.count, self.broken, self.slow, self.failing = "numbers", count, broken, slow, failing
        self.elements = (TensorType("int32", (2,)), TensorType("int32", ()))
        self.threads = set()

    def take(self, numbers):
        self.threads.add(threading.current_thread().name)
        if self.slow:
            time.sleep(self.slow * (int(numbers[0]) % 3))
        if any(n in self.failing for n in numbers):
            raise OSError("the disk is gone")
        pairs = np.stack([numbers, 10 * numbers], axis=1).astype(np.int32)
        return Taken((pairs, numbers.astype(np.int32)), {i: "torn" for i, n in enumerate(numbers) if n in self.broken})


def batches(source, size, seed=None, *stages):
    stream = ReadRecords(source.name, source.count, source.elements)()
    stream = stream if seed is None else Shuffle(seed)(stream)
    for stage in stages:
        stream = stage(stream)
    return opened(Batch(size)(stream), {source.name: source})


def taken(source, size, seed, workers, epoch=0, step=0, epochs=2, capacity=3):
    feed = Feed(batches(source, size, seed), "training input", capacity, workers, epoch, step, epochs)
    made = []
    try:
        while True:
            made.append(feed.take())
    except Ended:
        feed.cancel()
        return made


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_the_order_is_that_of_seed_and_epoch_whatever_the_number_of_threads(workers):
    source = Numbers(11, slow=0.002)
    made = taken(source, 4, 7, workers)
    real = [b.arrays[1][: b.count] for b in made]
    assert np.concatenate(real).tolist() == [*epoch_order(11, 7, 1), *epoch_order(11, 7, 2)]
    assert [b.count for b in made] == [4, 4, 3, 4, 4, 3]
    if workers > 1:
        assert len(source.threads) > 1, "only one thread worked"


@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (0, 2), (1, 0), (1, 1)])
def test_a_run_that_goes_on_gets_the_rest(epoch, step):
    whole = taken(Numbers(11), 4, 7, 2)
    rest = taken(Numbers(11), 4, 7, 3, epoch, step)
    assert len(rest) == len(whole) - 3 * epoch - step
    for a, b in zip(whole[3 * epoch + step :], rest, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.arrays, b.arrays, strict=True))


def test_a_short_batch_is_filled_with_its_own_records_that_count_for_nothing():
    *_, last = taken(Numbers(6), 4, None, 0, epochs=1)
    assert last.weights.tolist() == [1, 1, 0, 0]
    assert last.arrays[1].tolist() == [4, 5, 4, 5]


def test_a_broken_record_keeps_its_place_counts_for_nothing_and_is_named():
    first, second = taken(Numbers(8, broken=(1, 2, 7)), 4, None, 2, epochs=1)
    assert first.weights.tolist() == [1, 0, 0, 1]
    assert first.arrays[1][[0, 3]].tolist() == [0, 3] and set(first.arrays[1]) <= {0, 3}
    assert first.broken == {"record 1": "torn", "record 2": "torn"} and second.broken == {"record 7": "torn"}
    assert second.arrays[1].tolist() == [4, 5, 6, 4] or second.arrays[1][3] in (4, 5, 6)


def test_a_broken_record_of_a_shuffled_epoch_has_its_own_name():
    made = batches(Numbers(9, broken=(5,)), 3, 4)
    for epoch in range(3):
        place = epoch_order(9, 4, epoch + 1).tolist().index(5)
        found = [made.make(epoch, n).broken for n in range(3)]
        assert found[place // 3] == {"record 5": "torn"} and sum(map(len, found)) == 1


class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Particular(FileError):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


@pytest.mark.parametrize("error", [Odd(), Particular("a", "b")], ids=["without text", "of two arguments"])
def test_an_error_that_cannot_be_told_again_still_ends_the_run(error):
    class Failing(Numbers):
        def take(self, numbers):
            raise error

    with pytest.raises(DataError, match=r"training input.*(Odd|Particular)"):
        taken(Failing(3), 1, None, 2)


def test_a_record_that_is_not_finite_is_a_broken_one():
    x = np.array([[1.0], [np.nan], [3.0]], np.float32)
    made = batches(Arrays([x], ["x"]), 3, None, Convert(("float32",), (0,))).make(0, 0)
    assert made.weights.tolist() == [1, 0, 1] and np.isfinite(made.arrays[0]).all()
    assert made.broken == {"example 1": "element 0 is NaN or infinite"}


def test_threads_that_cannot_start_leave_none_behind(monkeypatch):
    begun, start = [], threading.Thread.start

    def starts(thread):
        if len(begun) == 2:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starts)
    with pytest.raises(RuntimeError):
        Feed(batches(Numbers(100), 2), "training input", 2, 4)
    assert len(begun) == 2 and not any(thread.is_alive() for thread in begun)


def test_a_batch_of_broken_records_has_no_weight():
    first, _ = taken(Numbers(8, broken=(0, 1, 2, 3)), 4, None, 0, epochs=1)
    assert not first.weights.any() and len(first.broken) == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_region_batch_and_record_and_the_batches_before_it_come(workers):
    feed = Feed(batches(Numbers(12, failing=(9,)), 4), "training input", 2, workers, 0, 0, 1)
    assert feed.take().arrays[1].tolist() == [0, 1, 2, 3]
    assert feed.take().arrays[1].tolist() == [4, 5, 6, 7]
    with pytest.raises(DataError) as error:
        feed.take()
    text = str(error.value)
    assert "region 'training input'" in text and "batch 3 of epoch 1" in text
    assert "record 9" in text and "the disk is gone" in text
    feed.cancel()
    assert not any(thread.is_alive() for thread in feed.threads)


def test_an_error_of_millrace_keeps_its_kind():
    class Gone(Numbers):
        def take(self, numbers):
            raise FileError("photos has vanished: put it back.")

    with pytest.raises(FileError, match=r"training input.*photos has vanished"):
        taken(Gone(4), 2, None, 1)


def test_cancelling_stops_threads_that_wait_for_room():
    feed = Feed(batches(Numbers(1000), 2), "training input", 2, 3, 0, 0, 5)
    feed.take()
    feed.cancel()
    assert not any(thread.is_alive() for thread in feed.threads)


def test_a_queue_is_never_further_ahead_than_it_may():
    source = Numbers(100)
    feed = Feed(batches(source, 2), "training input", 3, 2, 0, 0, 1)
    time.sleep(0.05)
    assert feed.queue.ready <= 3
    feed.cancel()


def test_a_number_outside_a_limit_is_an_error_that_names_its_record():
    made = batches(Numbers(6), 3, None, Convert(("float32", "int32"), (0, 4)), Weigh(1, (1.0, 2.0, 3.0, 4.0)))
    first = made.make(0, 0)
    assert first.arrays[0].dtype == np.float32 and first.arrays[2].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=r"record 4: it holds the number 4, but the model knows 0 to 3: give the last"):
        made.make(0, 1)


def test_a_broken_record_is_not_checked():
    made = batches(Numbers(6, broken=(4, 5)), 3, None, Convert(("int32", "int32"), (0, 4)))
    assert made.make(0, 1).weights.tolist() == [1, 0, 0]


def test_a_number_that_the_input_does_not_hold_is_an_error():
    fits = batches(Numbers(26), 26, None, Convert(("uint8", "uint8"), (0, 0)))
    assert fits.make(0, 0).arrays[0].max() == 250
    with pytest.raises(DataError, match=r"record 26: it holds the number 260, which uint8 does not"):
        batches(Numbers(27), 27, None, Convert(("uint8", "uint8"), (0, 0))).make(0, 0)


def test_a_last_axis_of_one_is_added_and_taken_away():
    there = batches(Numbers(4), 4, None, Convert(("int32", "float32"), (0, 0), (0, 1))).make(0, 0)
    assert there.arrays[1].shape == (4, 1) and there.arrays[1][:, 0].tolist() == [0, 1, 2, 3]


def test_a_graph_is_not_carried_out_over_another_source():
    source = Numbers(6)
    stream = Batch(2)(ReadRecords("numbers", 7, source.elements)())
    with pytest.raises(GraphError, match="has changed: 6 records, the graph says 7"):
        opened(stream, {"numbers": source})
    with pytest.raises(GraphError, match="'numbers' is not given"):
        opened(stream, {})


def test_arrays_are_handed_out_without_a_copy_where_rows_follow_one_another():
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    source = Arrays([x], ["x"])
    assert np.shares_memory(source.run(3, 7).columns[0], x)
    assert source.run(3, 7).columns[0].tolist() == x[3:7].tolist()
    assert source.take(np.array([3, 5, 4, 4])).columns[0].tolist() == x[[3, 5, 4, 4]].tolist()
