from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.evaluation.significance import (
    Difference,
    bootstrap_interval,
    holm,
    mcnemar_p,
    paired_difference,
    unpaired_difference,
)


def test_mcnemar_is_the_binomial_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    for gained, lost in [(0, 0), (0, 1), (1, 1), (0, 6), (5, 6), (3, 14), (40, 70), (900, 1100)]:
        wanted = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1
        assert mcnemar_p(gained, lost) == pytest.approx(wanted, rel=1e-9)


def test_mcnemar_of_many_pictures_neither_overflows_nor_vanishes() -> None:
    assert mcnemar_p(30_000, 30_000) == 1
    assert 0 < mcnemar_p(29_500, 30_500) < 1e-4
    assert mcnemar_p(0, 100_000) == 0  # 2 ** -99999 is below what a float holds


def test_a_paired_difference_says_what_is_noise() -> None:
    noise = paired_difference(6, 10, 200)
    assert (noise.value, noise.n, noise.n_gained, noise.n_lost, noise.is_paired) == (-0.02, 200, 6, 10, True)
    assert noise.is_noise
    assert noise.interval[0] < -0.02 < 0 < noise.interval[1]
    clear = paired_difference(25, 4, 200)
    assert not clear.is_noise
    assert clear.interval[0] > 0


def test_the_bootstrap_is_that_of_resampled_pictures() -> None:
    """Drawn picture by picture: the same interval but for what 10,000 draws leave open and half a picture on either side."""
    outcomes = np.repeat([1, -1, 0], [60, 30, 910])
    rng = np.random.default_rng(1)
    means = [rng.choice(outcomes, len(outcomes)).mean() for _ in range(4000)]
    assert bootstrap_interval(60, 30, 1000) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.0025)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth, n, n_hits = 0.06 - 0.02, 250, 0
    for gained, lost, _ in rng.multinomial(n, [0.06, 0.02, 0.92], 400):
        lo, hi = bootstrap_interval(int(gained), int(lost), n)
        n_hits += lo <= truth <= hi
    assert 0.91 <= n_hits / 400 <= 0.99


def test_agreement_leaves_the_difference_open() -> None:
    lo, hi = bootstrap_interval(0, 0, 50)
    assert lo < 0 < hi
    assert hi <= 3 / 50


def test_the_seed_decides_the_draws() -> None:
    assert bootstrap_interval(60, 30, 1000, seed=3) == bootstrap_interval(60, 30, 1000, seed=3)


def test_different_pictures_are_compared_as_wholes() -> None:
    """Newcombe 1998, table II, example (a), method 10: 56/70 less 48/80 is 0.2, from 0.0524 to 0.3339."""
    difference = unpaired_difference(56, 70, 48, 80)
    assert difference.value == pytest.approx(0.2)
    assert difference.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert (difference.n, difference.is_paired, difference.is_noise) == (150, False, False)
    stats = pytest.importorskip("scipy.stats")
    chi2 = stats.chi2_contingency([[56, 14], [48, 32]], correction=False)
    assert difference.p_value == pytest.approx(chi2.pvalue)


def test_without_pictures_nothing_is_known() -> None:
    assert paired_difference(0, 0, 0) == Difference(0, (-1, 1), 1, 0)
    assert unpaired_difference(0, 0, 5, 9) == Difference(0, (-1, 1), 1, 9, is_paired=False)
    assert unpaired_difference(5, 5, 9, 9).p_value == 1


def test_impossible_counts_are_refused() -> None:
    for counts in [(3, 3, 5), (-1, 0, 5)]:
        with pytest.raises(ValueError, match="cannot be parts of 5 pictures"):
            paired_difference(*counts)


def test_several_comparisons_raise_each_other() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([0.02]) == (0.02,)
    assert holm([]) == ()


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_any_counts_give_a_probability_and_an_interval(n_gained: int, n_lost: int, n_neither: int) -> None:
    one = paired_difference(n_gained, n_lost, n_gained + n_lost + n_neither)
    other = paired_difference(n_lost, n_gained, one.n)
    assert 0 < one.p_value <= 1
    assert one.p_value == other.p_value
    assert one.value == -other.value
    assert -1 <= one.interval[0] <= one.interval[1] <= 1
    assert not math.isnan(one.value)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_raised_values_keep_their_order(p_values: list[float]) -> None:
    raised = holm(p_values)
    assert all(lo <= hi <= 1 for lo, hi in zip(p_values, raised, strict=True))
    ranks = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [raised[place] for place in ranks] == sorted(raised)
