"""The queue between two regions: order, bounds, ends."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.data.queue import BoundedQueue, Ended


@given(st.data(), st.integers(1, 4), st.one_of(st.none(), st.integers(0, 12)))
def test_it_behaves_like_a_list_with_numbers(data, capacity, total):
    """Any sequence of calls, against the plainest model: what is reserved, what lies ready, what was taken."""
    queue = BoundedQueue(capacity, total)
    reserved, taken, ready, closed, cancelled = 0, 0, {}, False, False
    for _ in range(data.draw(st.integers(0, 40))):
        ending = closed or cancelled or reserved == total
        choices = ["close", "cancel"] if data.draw(st.integers(0, 9)) == 0 else []
        if ending or reserved - taken < capacity:
            choices.append("reserve")
        out = [n for n in range(taken, reserved) if n not in ready]
        if out:
            choices.append("put")
        if taken in ready or cancelled or (ending and taken >= reserved):
            choices.append("take")
        if not choices:
            continue
        match data.draw(st.sampled_from(choices)):
            case "reserve" if ending:
                with pytest.raises(Ended):
                    queue.reserve()
            case "reserve":
                assert queue.reserve() == reserved
                reserved += 1
            case "put":
                number = data.draw(st.sampled_from(out))
                queue.put(number, f"element {number}")
                if not cancelled:
                    ready[number] = f"element {number}"
                else:
                    ready.pop(number, None)
            case "take" if cancelled or taken not in ready:
                with pytest.raises(Ended):
                    queue.take()
            case "take":
                assert queue.take() == ready.pop(taken)
                taken += 1
            case "close":
                queue.close()
                closed = True
            case "cancel":
                queue.cancel()
                cancelled = True
                ready.clear()
        if cancelled:
            taken = reserved  # nothing will come
            total = reserved
        assert queue.ready <= capacity


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 40), st.randoms(use_true_random=False))
def test_elements_leave_in_order_whoever_makes_them_first(capacity, workers, total, random):
    queue = BoundedQueue(capacity, total)
    pauses = [random.random() / 2000 for _ in range(total)]
    ahead = []

    def work():
        try:
            while True:
                number = queue.reserve()
                ahead.append(number - queue.levels.taken)
                time.sleep(pauses[number])
                queue.put(number, number * number)
        except Ended:
            return

    with ThreadPoolExecutor(workers) as pool:
        for _ in range(workers):
            pool.submit(work)
        got = [queue.take() for _ in range(total)]
        with pytest.raises(Ended):
            queue.take()
    assert got == [n * n for n in range(total)]
    assert all(n <= capacity for n in ahead)
    assert queue.levels.taken == total


def test_a_full_queue_holds_its_makers_back():
    queue = BoundedQueue(2)
    for number in range(2):
        queue.put(queue.reserve(), number)
    third = threading.Thread(target=lambda: queue.put(queue.reserve(), 2), daemon=True)
    third.start()
    third.join(0.05)
    assert third.is_alive(), "the third element was made while two lay ready"
    assert queue.take() == 0
    third.join(5)
    assert not third.is_alive() and queue.ready == 2


def test_an_error_comes_in_its_elements_place_and_ends_the_queue():
    queue = BoundedQueue(3)
    first, second, third = queue.reserve(), queue.reserve(), queue.reserve()
    queue.fail(second, ValueError("broken"))
    with pytest.raises(Ended):
        queue.reserve()
    queue.put(third, "c")
    queue.put(first, "a")
    assert queue.take() == "a"
    with pytest.raises(ValueError, match="broken"):
        queue.take()
    with pytest.raises(Ended):
        queue.take()


@pytest.mark.parametrize("who", ["reserve", "take"])
def test_cancelling_wakes_everybody_up(who):
    queue = BoundedQueue(1)
    if who == "reserve":
        queue.reserve()
    ended = []

    def wait():
        try:
            getattr(queue, who)()
        except Ended:
            ended.append(True)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    queue.cancel()
    for thread in threads:
        thread.join(5)
    assert ended == [True] * 3


def test_closing_lets_the_rest_be_taken():
    queue = BoundedQueue(3)
    queue.put(queue.reserve(), "a")
    late = queue.reserve()
    queue.close()
    assert queue.take() == "a"
    queue.put(late, "b")
    assert queue.take() == "b"
    with pytest.raises(Ended):
        queue.take()


def test_the_levels_tell_who_waited():
    queue = BoundedQueue(4)
    for n in range(3):
        queue.put(queue.reserve(), n)
    queue.take()
    queue.take()
    assert (queue.levels.taken, queue.levels.ready, queue.levels.empty) == (2, 5, 0)
    queue.take()
    number = queue.reserve()
    really = queue._changed.wait

    def wait():
        threading.Thread(target=queue.put, args=(number, "late"), daemon=True).start()  # only now that somebody waits
        return really()

    queue._changed.wait = wait
    assert queue.take() == "late"
    assert queue.levels.empty == 1 and queue.levels.waited > 0
