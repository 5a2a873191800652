"""Each diagnosis on numbers made by hand, at both sides of its limit."""

import math

import pytest

from millrace.diagnosis.judge import NAMES, first_told, judge
from millrace.diagnosis.record import Activity, Facts, Record, Sizes, Vitals
from millrace.words import LANGUAGES, words

FINE = {"loss": [1.0, 0.5, 0.3, 0.2], "val_loss": [1.1, 0.6, 0.4, 0.35]}


def vitals(epoch, truth=(50.0, 50.0), guessed=(50.0, 50.0), **changed):
    """Of a network with three layers that nothing is wrong with, but for what is said."""
    acts = {
        "first": Activity("tanh", 10, changed.get("flat", 0.1), 0.0),
        "second": Activity("relu", 10, 0.5, changed.get("stuck", 0.1)),
    }
    first = Sizes(changed.get("gradient", 0.01), 0.1, changed.get("update", 1e-4))
    rest = Sizes(changed.get("last", 0.01), 0.1, changed.get("update", 1e-4))
    return Vitals(epoch, acts, {"first/kernel": first, "second/kernel": rest, "out/kernel": rest}, truth, guessed)


def record(curves=FINE, facts=None, broke=False, **changed):
    return Record(curves, [vitals(n + 1, **changed) for n in range(len(curves["loss"]))], facts, broke)


def found(one):
    return {finding.rule for finding in judge(one)}


def curves(*loss, validation=None):
    return {"loss": list(loss), **({} if validation is None else {"val_loss": list(validation)})}


def test_nothing_is_found_where_nothing_is_wrong():
    assert found(record()) == set()
    assert judge(Record({})) == [] and judge(Record(FINE)) == []


@pytest.mark.parametrize(
    ("rule", "wrong", "right"),
    [
        ("saturation", record(flat=0.51), record(flat=0.49)),
        ("dead", record(stuck=0.51), record(stuck=0.49)),
        ("vanishing", record(gradient=0.9e-5), record(gradient=1.1e-5)),
        ("exploding", record(gradient=10.1, last=10.1), record(gradient=9.9, last=9.9)),
        ("divergence", record(curves(1.0, 0.4, 1.2)), record(curves(1.0, 0.4, 0.7))),
        ("divergence_nan", record(broke=True), record()),
        ("divergence_nan", record(curves(1.0, math.inf)), record(curves(1.0, 1.0))),
        ("too_high", record(curves(2.0, 0.69, 0.69), update=0.004), record(curves(2.0, 0.69, 0.3), update=0.004)),
        ("too_high", record(curves(2.0, 0.69, 0.69), update=0.004), record(curves(2.0, 0.69, 0.69), update=0.002)),
        ("too_low", record(curves(0.8, 0.79, 0.78), update=9e-6), record(curves(0.8, 0.79, 0.78), update=1.1e-5)),
        ("too_low", record(curves(0.8, 0.79, 0.78), update=9e-6), record(curves(0.8, 0.78, 0.79), update=9e-6)),
        ("imbalance", record(truth=(101.0, 10.0)), record(truth=(99.0, 10.0))),
        ("constant", record(truth=(100.0, 0.0)), record(truth=(99.0, 1.0))),
        ("one_answer", record(guessed=(96.0, 4.0)), record(guessed=(94.0, 6.0))),
        ("one_answer", record(guessed=(96.0, 4.0)), record(guessed=(96.0, 4.0), truth=(88.0, 12.0))),
        ("underfitting", record(curves(*[0.6] * 6)), record(curves(*[0.3] * 6))),
        ("underfitting", record(curves(*[0.6] * 6)), record(curves(0.6, 0.59, 0.58, 0.57, 0.565, 0.56))),
        ("underfitting", record(curves(*[0.6] * 6)), record(curves(*[0.6] * 6, validation=[0.3] * 6))),
        (
            "overfitting",
            record(curves(0.5, 0.3, 0.2, 0.1, 0.05, validation=[0.5, 0.4, 0.4, 0.7, 0.8])),
            record(curves(0.5, 0.3, 0.2, 0.1, 0.05, validation=[0.5, 0.4, 0.4, 0.4, 0.45])),
        ),
        (
            "overfitting",
            record(curves(0.5, 0.3, 0.2, 0.1, 0.05, validation=[0.5, 0.4, 0.4, 0.7, 0.8])),
            record(curves(0.05, 0.04, 0.03, 0.02, 0.01, validation=[0.02, 0.02, 0.02, 0.03, 0.04])),
        ),
        ("shared", record(facts=Facts(100, 50, 100, 1)), record(facts=Facts(100, 200, 100, 1))),
        ("shared", record(facts=Facts(1000, 200, 100, 1)), record(facts=Facts(1000, 2000, 100, 1))),
        ("near", record(facts=Facts(100, 50, 100, 0, 50, 2)), record(facts=Facts(100, 50, 100, 0, 50, 1))),
        ("unscaled", record(facts=Facts(layer="first", size=11)), record(facts=Facts(layer="first", size=9))),
    ],
)  # fmt: skip
def test_each_is_found_above_its_limit_and_not_below(rule, wrong, right):
    assert rule in found(wrong)
    assert rule not in found(right)


def test_the_layer_and_the_epoch_are_named():
    run = Record(curves(2.0, 1.0, 0.3), [vitals(1), vitals(2, flat=0.8), vitals(3, flat=0.83)])
    (one,) = judge(run)
    assert one.layers == ["first"]
    assert one.advice() == "advice: 83% of first's outputs saturated since epoch 2: a smaller rate, or relu"
    assert "2% of its greatest" in one.say("evidence") and "relu" in one.say("remedy")


def test_a_thing_is_clear_after_the_epoch_that_shows_it_and_may_pass():
    loss = curves(2.0, 1.0, 0.3, 0.2)
    run = Record(loss, [vitals(1, flat=0.6), vitals(2, flat=0.6), vitals(3, flat=0.1), vitals(4, flat=0.1)])
    assert found(run) == set()
    assert first_told(run)["saturation"][0] == 2


def test_a_vanished_gradient_is_no_finding_of_its_own_where_steps_are_too_large():
    """Units that one step has thrown to their flat ends hand no gradient on, and relu is no remedy for that."""
    poor = curves(2.0, 0.69, 0.69)
    assert found(record(poor, gradient=1e-6)) == {"vanishing"}
    assert found(record(poor, gradient=1e-6, update=0.01)) == {"too_high"}
    two = record(curves(2.0, 0.69), gradient=1e-6, update=0.01)  # before `too_high` is clear, too
    assert found(two) == set()
    assert found(record(curves(2.0, 0.69, 0.1), gradient=1e-6, update=0.01)) == {"vanishing"}  # the rate does well


def test_steps_that_were_not_measured_are_not_too_small():
    """A perceptron's weights have one axis."""
    loss = curves(0.8, 0.79, 0.78)
    assert found(Record(loss, [Vitals(n, {}, {}, (50.0, 50.0), (50.0, 50.0)) for n in (1, 2, 3)])) == set()


def test_tables_of_words_are_not_compared():
    """The rows that no example of a batch uses have the gradient 0, which says nothing of depth."""
    weights = {
        "words/embeddings": Sizes(1e-9, 0.1, 1e-4),
        "a/kernel": Sizes(0.1, 0.1, 1e-4),
        "b/kernel": Sizes(0.1, 0.1, 1e-4),
    }
    assert found(Record(FINE, [Vitals(n, {}, weights) for n in (1, 2, 3)])) == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_advice_is_one_line_of_at_most_100_letters(language):
    name = "a_layer_with_a_very_long_name_indeed"
    fill = {
        "layer": name, "last": "the_output", "share": 1.0, "since": 100, "inverse": 1e12, "times": 1e6, "epoch": 100,
        "lowest": 2.345, "now": 12.345, "loss": 12.3, "chance": 2.3, "ratio": 0.00001, "name": "10", "rare": "11",
        "count": 1_300_000, "right": 0.1, "size": 255.0,
    }  # fmt: skip
    from millrace.diagnosis.finding import Finding

    for rule in NAMES:
        line = Finding(rule, fill).advice(language)
        assert "\n" not in line and len(line) <= 100, f"{len(line)}: {line}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_diagnosis_has_its_texts(language):
    table = words("diagnosis", language)
    assert set(table) == {"line", *NAMES}
    for rule in NAMES:
        assert set(table[rule]) == {"title", "advice", "evidence", "meaning", "remedy"}


def test_what_is_kept_of_an_epoch_comes_back():
    one = vitals(3)
    assert Vitals.of(one.line()) == Vitals(3, one.activations, one.weights, [50.0, 50.0], [50.0, 50.0])
    broken = vitals(3, gradient=math.nan)
    assert math.isnan(Vitals.of(broken.line()).weights["first/kernel"].gradient)


def test_a_run_of_an_older_millrace_is_judged_by_its_curves():
    lines = [
        {"epoch": n + 1, "loss": 1 / (n + 1), "val_loss": v, "seconds": 1.0}
        for n, v in enumerate((1.0, 0.5, 0.5, 0.9, 1.5))
    ]
    assert found(Record.of(lines, [])) == {"overfitting"}
    assert found(Record.of(lines, [{"epoch": 1, "nonsense": 3}, {"epoch": 0}])) == {"overfitting"}
