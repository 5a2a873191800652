"""Medians of per-round ratios and their intervals, against what is computed by hand or by binomial tables."""

import pytest
from benchmarks.ratios import coverage, ran, ratios, spread


def test_a_ratio_is_taken_within_each_round_and_only_there():
    # the machine slows down threefold between rounds 1 and 3: medians of times would say 30 / 20 = 1.5
    theirs, mine = [10.0, 20.0, 30.0], [20.0, None, 60.0]
    assert ratios(mine, theirs) == [2.0, 2.0]
    assert ratios([1.0], [None]) == []
    assert ran(mine) == [20.0, 60.0]


def test_rounds_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_the_interval_runs_between_order_statistics():
    # n = 9: between the 2nd smallest and the 2nd largest lie 1 - 2 * (1 + 9) / 512 = 96.1%
    found = spread([9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0])
    assert (found.median, found.low, found.high, found.count) == (5.0, 2.0, 8.0, 9)
    assert found.coverage == pytest.approx(1 - 20 / 512)


@pytest.mark.parametrize(("count", "rank"), [(5, 1), (6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (15, 4), (20, 6)])
def test_ranks_are_those_of_the_sign_test_tables(count, rank):
    found = spread([float(n) for n in range(1, count + 1)])
    assert (found.low, found.high) == (rank, count + 1 - rank)
    assert count < 6 or found.coverage >= 0.95


def test_few_values_give_the_smallest_and_the_largest_and_say_how_little_that_covers():
    found = spread([3.0, 1.0, 2.0])
    assert (found.median, found.low, found.high) == (2.0, 1.0, 3.0)
    assert found.coverage == pytest.approx(0.75)  # 1 - 2 / 8
    assert spread([4.0]).coverage == 0.0
    assert coverage(6, 1) == pytest.approx(0.96875)  # 1 - 2 / 64


def test_an_even_number_of_values_has_the_mean_of_the_middle_two():
    assert spread([1.0, 2.0, 4.0, 8.0]).median == 3.0


def test_no_values_have_no_median():
    with pytest.raises(ValueError, match="at least one"):
        spread([])
