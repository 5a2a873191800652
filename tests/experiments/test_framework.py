"""What experiments share: spread over seeds, "at least", the search for a rate, verdicts, photographs, figures."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import millrace as mr
from millrace.data.datasets import Dataset
from millrace.experiments import EXPERIMENTS, Scale, Setting, pictures
from millrace.experiments.arms import Arm, Curve, Trainee, compare, dropping, train
from millrace.experiments.comparison import compared, points, verdict
from millrace.experiments.figure import draw_curves, draw_dots
from millrace.experiments.rates import best_rate
from millrace.experiments.reach import Factor, Reached, reached, told
from millrace.experiments.spread import Difference, deviation, half_width, percent_text, spread_text
from millrace.experiments.watch import Watch
from millrace.ir.errors import DataError, NonFiniteError


@pytest.fixture
def setting(tmp_path):
    return Setting(True, (0, 1, 2), tmp_path, lambda line: None, Scale(10, 10, 3, 4))


# ---- spread over seeds


def test_the_spread_and_its_interval_are_those_of_the_textbooks():
    from scipy import stats

    for count in (2, 3, 5, 12, 40):
        values = np.random.default_rng(count).normal(5, 2, count)
        low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
        assert deviation(values) == pytest.approx(values.std(ddof=1))
        assert half_width(values) == pytest.approx((high - low) / 2, rel=2e-3)
    assert spread_text([1.0, 2.0, 3.0]) == "2.0 ± 1.0" and spread_text([2.0]) == "2.0"
    assert percent_text([0.1, 0.12]) == "11.0 ± 1.4%"
    assert deviation([5.0]) is None and half_width([5.0]) is None


def test_a_difference_is_taken_seed_by_seed():
    # each seed is 2 to 4 points better, though the seeds differ among each other by 20
    paired = Difference([30.0, 50.0, 40.0], [33.0, 52.0, 44.0])
    assert paired.mean == pytest.approx(-3.0) and paired.half == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)
    assert paired.clear and paired.text() == "-3.0 ± 2.5"
    assert not Difference([29.0, 49.0, 39.0], [33.0, 49.0, 44.0]).clear
    assert not Difference([30.0], [90.0]).clear  # one seed shows no spread, however far apart


@pytest.mark.parametrize(
    ("first", "claim", "says", "not_"),
    [
        ([0.10, 0.11, 0.12], -1, "as the paper says", "cannot tell"),
        ([0.10, 0.11, 0.12], 1, "the paper says higher", "cannot tell"),
        ([0.19, 0.23, 0.20], -1, "cannot tell", "as the paper says"),
        ([0.40, 0.41, 0.42], -1, "the paper says lower", "cannot tell"),
    ],
)
def test_a_verdict_follows_from_the_numbers(setting, first, claim, says, not_):
    text = verdict(points(first, [0.20, 0.21, 0.22]), "with", "without", claim, setting)
    assert says in text and not_ not in text
    assert "3 seeds" in text and ("--full" in text) == ("cannot tell" in text)


def test_one_seed_gives_no_verdict(setting):
    text = verdict(points([0.1], [0.2]), "with", "without", -1, setting)
    assert "10.0 points lower" in text and "may be chance" in text and "as the paper says" not in text


# ---- at least


def test_the_epoch_of_an_error_is_read_along_the_curve():
    # means over epochs stand at 0.5, 1.5, 2.5; from 0.4 to 0.2 the error is 0.25 three quarters of the way
    assert reached([0.6, 0.4, 0.2], 0.25, 0.9) == Reached(pytest.approx(2.25), True)
    assert reached([0.6, 0.4, 0.2], 0.25, 0.9, [1, 2, 3]).epochs == pytest.approx(2.75)
    assert reached([0.1], 0.5, 0.9) == Reached(pytest.approx(0.25), True)
    assert reached([0.6, 0.4, 0.3], 0.25, 0.9) == Reached(2.5, False)
    assert str(reached([0.6] * 40, 0.25, 0.9)) == "> 39.5"


def factor(slow, fast):
    return Factor([Reached(abs(e), e > 0) for e in slow], [Reached(abs(e), e > 0) for e in fast])  # below 0: not there


def say(slow, fast):
    return told(factor(slow, fast), "tanh", "ReLU", 6.0, "25% training error", "quick")


def test_a_factor_says_what_is_known_of_it():
    assert factor([60, 55, 66], [10, 10, 10]).kind == "measured"
    assert str(factor([60, -40, 66], [10, 10, 10])) == "> 5.5"  # the second is at least 4
    assert str(factor([60, 50, 66], [10, -40, 10])) == "unknown"
    assert factor([60, -40], [10, 10]).half is None


def test_verdicts_on_a_factor_follow_from_the_numbers():
    assert "the paper's 6 is within it" in say([60, 55, 66], [10, 10, 10])
    assert "less than the paper's 6" in say([21, 20, 22], [10, 10, 10])
    assert "more than the paper's 6" in say([90, 91, 92], [10, 10, 10])
    assert "no clear difference" in say([9, 14, 11], [10, 10, 10])
    assert "the paper says slower" in say([5, 5.1, 5.2], [10, 10, 10])
    assert "more than 4.0 times" in say([-40, -40, -40], [10, 10, 10])
    assert "at least the paper's 6" in say([-40, -40, -40], [5, 5, 5])
    assert "is not known" in say([60, 60, 60], [10, -40, 10])
    assert "one seed shows no spread" in say([60], [10])


# ---- the search for a rate


def falling(by_rate):
    """Trains that fall by a share an epoch; None for a rate at which training breaks down."""
    tried = []

    def train(rate, enough):
        tried.append(rate)
        fall, errors = by_rate[rate], []
        if fall is None:
            return Curve("x", 0, {"error": [0.9]}, diverged=True)
        while len(errors) < 30:
            errors.append(0.9 * (1 - fall) ** (len(errors) + 1))
            if enough({"error": errors[-1]}):
                break
        return Curve("x", 0, {"error": errors})

    return train, tried


def test_the_best_rate_is_found_on_either_side_and_its_neighbours_are_worse():
    for by_rate, best, tried_ones in (
        ({0.003: 0.05, 0.01: 0.2, 0.03: 0.1}, 0.01, [0.01, 0.03, 0.003]),
        ({0.01: 0.05, 0.03: 0.1, 0.1: 0.2, 0.3: None}, 0.1, [0.01, 0.03, 0.1, 0.3]),
        ({0.0003: 0.05, 0.001: 0.2, 0.003: 0.1, 0.01: 0.05, 0.03: None}, 0.001, [0.01, 0.03, 0.003, 0.001, 0.0003]),
    ):
        train, tried = falling(by_rate)
        found = best_rate(train, 0.25, 0.9)
        assert found[0].rate == best and tried == tried_ones
        assert sorted(one.rate for one in found) == sorted(tried)


def test_what_is_behind_is_given_up_early_and_says_so():
    train, _ = falling({0.003: 0.02, 0.01: 0.2, 0.03: None})
    found = {one.rate: one for one in best_rate(train, 0.25, 0.9)}
    assert found[0.003].given_up and found[0.003].curve.epochs < 5
    assert str(found[0.003]) == f"0.003: > {found[0.003].curve.epochs - 0.5} epochs, given up as slower"
    assert str(found[0.03]) == "0.03: broke down"


# ---- photographs


def test_each_class_comes_equally_often_and_the_same_ones_each_time():
    rng = np.random.default_rng(0)
    y = np.sort(rng.integers(0, 10, 2_000)).astype(np.int32)  # class by class, as files lie
    x = np.arange(2_000, dtype=np.float32).reshape(-1, 1, 1, 1)
    data = Dataset("made", x, y, x, y, tuple("0123456789"), "here")
    part = pictures.balanced(data, 503, 100)
    counts = np.bincount(part.y_train)
    assert counts.sum() == 503 and set(counts) == {50, 51} and set(np.bincount(part.y_validation)) == {10}
    assert len(np.unique(part.x_train)) == 503 and (y[part.x_train.astype(int).ravel()] == part.y_train).all()
    assert (pictures.balanced(data, 503, 100).x_train == part.x_train).all()
    with pytest.raises(DataError, match="3,000 are asked for, there are 2,000"):
        pictures.balanced(data, 3_000, 100)
    with pytest.raises(DataError, match="of class"):
        pictures.balanced(data, 1_990, 100)


def test_centred_photographs_have_no_mean_image_and_a_deviation_of_1(photographs):
    data = pictures.centred(photographs)
    assert np.abs(data.x_train.mean(axis=0)).max() < 1e-5 and data.x_train.std() == pytest.approx(1, abs=1e-4)
    mean, scale = photographs.x_train.mean(axis=0), pictures.contrast(photographs)
    assert np.allclose(data.x_validation, (photographs.x_validation - mean) / scale, atol=1e-4)


# ---- arms


def small(dropout=0.0):
    layers = [mr.Input((32, 32, 3)), mr.layers.AveragePooling2D(8, 8), mr.layers.Flatten()]
    layers += [mr.layers.Dense(8, "relu"), mr.layers.Dropout(dropout)] if dropout else []
    return mr.Sequential([*layers, mr.layers.Dense(10, "softmax")])


def test_a_network_that_begins_anew_learns_what_a_new_one_does(photographs):
    """Weights, the optimizer's memory and dropout's random state: nothing is left of the seed before."""
    data, watch = pictures.centred(photographs), Watch(lambda line: None, 100)
    arm = Arm("one", lambda: small(0.5), dropping(0.05, 4))
    used = Trainee(arm)
    first = train(used, data, 1, 4, 20, watch)
    other = train(used, data, 2, 4, 20, watch)
    again = train(used, data, 1, 4, 20, watch)
    assert first.columns == again.columns != other.columns
    assert train(Trainee(arm), data, 2, 4, 20, watch).columns == other.columns


def test_arms_see_the_same_order_and_stop_when_it_is_enough(photographs):
    data, said = pictures.centred(photographs), []
    made = compare(
        [Arm("a", small, 0.05), Arm("b", small, 0.05), Arm("c", small, 0.0)], data, (0, 1), 6, 20,
        Watch(said.append, 36), enough=lambda logs: logs["error"] < 0.5, over_all=True,
    )  # fmt: skip
    assert made["a"][0].columns == made["b"][0].columns != made["a"][1].columns
    assert made["a"][0]["error"][-1] < 0.5 and made["a"][0].epochs < 6 == made["c"][0].epochs
    assert len(set(made["c"][0]["train_error"])) == 1  # a rate of 0 changes nothing
    assert said[-1].startswith("c, seed 1: training error") and "left" not in said[-1] and "left" in said[0]


def test_training_that_breaks_down_ends_as_it_is(photographs):
    said = []
    curve = train(
        Trainee(Arm("wild", small, 1e30)), pictures.centred(photographs), 0, 3, 20, Watch(said.append, 3), rate=1e30
    )
    assert curve.diverged and "broke down" in said[-1]
    with pytest.raises(NonFiniteError, match="wild, seed 0: training broke down in epoch 1"):
        compare([Arm("wild", small, 1e30)], photographs, (0,), 3, 20, Watch(said.append, 3))


def test_where_a_training_ends_is_the_mean_of_its_last_epochs():
    assert Curve("x", 0, {"val_error": [0.9, 0.3, 0.2, 0.1]}).final("val_error") == pytest.approx(0.2)
    rate = dropping(0.1, 8)
    assert [rate(n) for n in (0, 5, 6, 7)] == pytest.approx([0.1, 0.1, 0.01, 0.01])


# ---- the outcome and its figures


def drawn(path):
    """The texts and polylines of an SVG; raises where it is no XML."""
    root = ET.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg" and root.find(f"{space}style") is not None
    return [t.text for t in root.iter(f"{space}text")], list(root.iter(f"{space}polyline"))


def test_arms_are_compared_in_a_table_with_the_papers_figure(setting):
    ends = {"without": [0.40, 0.42, 0.41], "with": [0.30, 0.31, 0.32]}
    curves = {
        name: [Curve(name, n, {"val_error": [0.9, v, v, v]}) for n, v in enumerate(e)] for name, e in ends.items()
    }
    found = compared(
        setting, curves, "without", {"with": -1}, {"without": "13%", "with": "11%"}, "it falls", "T", "f.svg"
    )
    assert found.rows[0] == ["without", "13%", "41.0 ± 1.0%", "40.0, 42.0, 41.0", "-"]
    assert found.rows[1][:2] == ["with", "11%"] and found.rows[1][4].startswith("-10.0 ± ")
    assert "as the paper says" in found.verdict
    texts, lines = drawn(found.figures[0])
    assert {"T", "with", "without", "epoch", "validation error"} <= set(texts) and len(lines) == 8


def test_of_many_arms_the_figure_shows_where_they_end(setting):
    curves = {
        f"arm {n}": [Curve("x", k, {"val_error": [0.9, 0.1 * n, 0.1 * n]}) for k in range(3)] for n in range(1, 7)
    }
    found = compared(setting, curves, "arm 1", dict.fromkeys(list(curves)[1:], 1), {}, "more", "T", "f.svg")
    texts, lines = drawn(found.figures[0])
    assert not lines and set(curves) <= set(texts) and found.verdict.count("as the paper says") == 5


def test_a_figure_places_points_where_their_numbers_say(tmp_path):
    path = draw_curves(
        tmp_path / "deep" / "f.svg", "A & B", {"one": [[0.9, 0.5], [0.7, 0.3, 0.1]]}, "error", levels={"25%": 0.25}
    )
    texts, lines = drawn(path)
    assert "A & B" in texts and "25%" in texts
    xs, ys = zip(*(map(float, p.split(",")) for p in lines[-1].get("points").split()), strict=True)  # the mean
    assert len(xs) == 2  # as far as both seeds go
    every = [float(p.split(",")[1]) for line in lines for p in line.get("points").split()]
    legend = float(re.search(r'y="(\d+)">one</text>', path.read_text())[1])
    assert legend < min(every) < ys[1] and ys[0] < ys[1]  # less error is further down: y grows downwards
    share = (ys[1] - ys[0]) / (max(every) - min(every))
    assert share == pytest.approx((0.8 - 0.4) / (0.9 - 0.1), abs=0.01)


def test_dots_show_every_seed_and_the_mean(tmp_path):
    path = draw_dots(tmp_path / "d.svg", "Dots", {"a": [0.1, 0.2, 0.3], "b": [0.5]}, "error")
    text = path.read_text()
    assert len(re.findall("<circle", text)) == 4 and ">20%<" in text and ">50%<" in text


def test_long_names_take_a_further_row_of_the_legend(tmp_path):
    names = [f"a network with a long name, number {n}" for n in range(5)]
    texts, _ = drawn(draw_curves(tmp_path / "f.svg", "T", {name: [[0.5, 0.4]] for name in names}, "error"))
    assert set(names) <= set(texts)
    places = re.findall(r'<text x="(\d+)" y="(\d+)">a network', (tmp_path / "f.svg").read_text())
    assert len({y for _, y in places}) > 1 and max(int(x) for x, _ in places) < 500


def test_the_papers_claims_are_all_there():
    assert set(EXPERIMENTS) >= {
        "relu-vs-tanh", "lrn", "overlapping-pooling", "dropout", "augmentation", "pca-colour", "two-towers", "depth",
        "kernels", "neighbours",
    }  # fmt: skip
    for name, one in EXPERIMENTS.items():
        assert one.name == name and one.claim and one.source and one.quick and one.full and one.seeds >= 1
