"""Rounds: who runs when, who sits out, and what becomes of a contender that fails."""

import pytest
from benchmarks.interleave import Entrant, is_slow, order, run_rounds, steps_per_turn
from benchmarks.live import Died
from benchmarks.measure import doubts, measure
from benchmarks.roster import ROSTER
from benchmarks.workloads import WORKLOADS

NAMES = ["a", "b", "c", "d"]


class Scripted:
    """A process that takes so many seconds a step, and may die at its n-th turn; it notes each turn."""

    pid = 0

    def __init__(self, name, seconds, log=None, dies_at=None, said=None):
        self.name, self.seconds, self.log, self.dies_at = name, seconds, [] if log is None else log, dies_at
        self.said, self.stopped = said or {"first": 2.3, "parameters": 10}, False

    def answer(self):
        return self.said

    def ask(self, line):
        if line.startswith("go"):
            self.log.append(self.name)
            if self.dies_at is not None and self.log.count(self.name) > self.dies_at:
                raise Died("ValueError: no more")
        return {"peak": 100.0} if line == "memory" else {"seconds": self.seconds}

    def stop(self):
        self.stopped = True


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr("benchmarks.interleave.PAUSE", 0.0)


def test_each_round_has_everybody_once_in_an_order_that_changes():
    rounds = [order(NAMES, turn, seed=0) for turn in range(20)]
    assert all(sorted(one) == NAMES for one in rounds)
    assert len({tuple(one) for one in rounds}) > 5
    assert {one[0] for one in rounds} == set(NAMES)


def test_the_order_follows_from_the_seed():
    assert [order(NAMES, n, 1) for n in range(9)] == [order(NAMES, n, 1) for n in range(9)]
    assert [order(NAMES, n, 1) for n in range(9)] != [order(NAMES, n, 2) for n in range(9)]


def test_all_run_as_many_steps_a_turn_as_the_fastest_needs():
    assert steps_per_turn([0.001, 5.0]) == 200
    assert steps_per_turn([0.03]) == 7
    assert steps_per_turn([2.0, 3.0]) == 1


def test_slow_is_who_is_slow_in_seconds_and_beside_the_fastest():
    assert is_slow(5.0, fastest=1.0, steps=1)
    assert not is_slow(5.0, fastest=2.0, steps=1)
    assert not is_slow(0.1, fastest=0.01, steps=20)
    assert is_slow(0.3, fastest=0.01, steps=20)


def test_contenders_take_turns_and_the_first_round_does_not_count():
    log = []
    entrants = [Entrant(name, Scripted(name, 0.1, log)) for name in NAMES]
    assert run_rounds(entrants, rounds=3) == 2
    assert [sorted(log[n : n + 4]) for n in range(0, 16, 4)] == [NAMES] * 4 and len(log) == 16
    assert all(e.times == [0.1] * 3 and e.memory == {"peak": 100.0} for e in entrants)


def test_where_a_turn_is_one_step_every_round_counts():
    log = []
    assert run_rounds([Entrant(name, Scripted(name, 1.0, log)) for name in NAMES], rounds=2) == 1
    assert len(log) == 8


def test_who_is_slow_runs_in_every_third_round():
    log = []
    fast, slow = Entrant("fast", Scripted("fast", 1.0, log)), Entrant("slow", Scripted("slow", 9.0, log))
    run_rounds([fast, slow], rounds=7)
    assert slow.times == [9.0, None, None, 9.0, None, None, 9.0]
    assert fast.times == [1.0] * 7


def test_who_dies_leaves_an_error_and_the_others_go_on():
    log = []
    good, bad = Entrant("good", Scripted("good", 1.0, log)), Entrant("bad", Scripted("bad", 1.0, log, dies_at=1))
    run_rounds([good, bad], rounds=4)
    assert bad.error == "ValueError: no more" and bad.times == [1.0, None, None, None]
    assert good.times == [1.0] * 4 and not bad.memory


def test_a_workload_whose_contenders_all_failed_has_no_rounds():
    assert run_rounds([Entrant("bad", None, error="ImportError: torch")], rounds=3) == 0


def scripted_contenders(monkeypatch, seconds, parameters=10):
    """`measure` with processes that run as scripted; returns them."""
    made = []

    def live(arguments, environment):
        name = arguments[0]
        made.append(Scripted(name, seconds.get(name, 1.0), said={"first": 2.3, "parameters": parameters}))
        return made[-1]

    monkeypatch.setattr("benchmarks.measure.Live", live)
    monkeypatch.setattr("benchmarks.measure.command", lambda contender, workload, peers: [contender.name])
    return made


def contenders(*names):
    return [c for c in ROSTER if c.name in names]


def test_a_measured_workload_has_ratios_to_millrace(monkeypatch):
    made = scripted_contenders(monkeypatch, {"millrace": 2.0, "torch": 3.0})
    result = measure(WORKLOADS["mlp"], contenders("millrace", "torch"), "python", 3, 0, lambda text: None)
    rows = {row["name"]: row for row in result["contenders"]}
    assert rows["torch"]["ratio"]["median"] == 1.5 and rows["torch"]["seconds"] == [3.0] * 3
    assert rows["torch"]["per_second"] == pytest.approx(128 / 3) and not result["doubts"]
    assert all(process.stopped for process in made)


def test_where_memory_is_short_contenders_run_in_heats_each_beside_millrace(monkeypatch):
    scripted_contenders(monkeypatch, {"millrace": 2.0, "torch": 3.0, "jax": 4.0, "keras-jax": 8.0})
    monkeypatch.setattr("benchmarks.measure.available", lambda: 100.0)
    monkeypatch.setattr("benchmarks.measure.resident", lambda pid: 60.0)
    able = contenders("millrace", "torch", "jax", "keras-jax")
    result = measure(WORKLOADS["mlp"], able, "python", 2, 0, lambda text: None)
    assert [heat["contenders"][0] for heat in result["heats"]] == ["millrace"] * 3
    assert {row["name"]: row["ratio"]["median"] for row in result["contenders"]} == {
        "millrace": 1.0, "torch": 1.5, "keras-jax": 4.0, "jax": 2.0,
    }  # fmt: skip


def test_what_does_not_compute_the_same_is_doubted():
    workload = WORKLOADS["lstm"]
    entrants = [
        Entrant("millrace", None, parameters=1000, first=2.3),
        Entrant("torch", None, parameters=1000 + 512, first=2.3),  # its LSTM has a second bias
        Entrant("jax", None, parameters=999, first=2.3),
        Entrant("keras-jax", None, parameters=1000, first=9.0),
    ]
    peers = {"millrace": "millrace", "torch": "torch", "jax": "jax", "keras-jax": "keras"}
    found = doubts(workload, entrants, peers)
    assert found == [
        "jax has 999 parameters, expected 1,000", "keras-jax: first loss 9, expected about 2.303",
    ]  # fmt: skip
