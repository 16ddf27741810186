from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.training.thresholds import FEWEST, best_threshold


def test_the_threshold_parts_what_can_be_parted() -> None:
    probabilities = np.array([0.1] * 5 + [0.3] * 5)
    assert best_threshold(probabilities, probabilities > 0.2) == pytest.approx(0.2)


def test_of_equally_good_ones_the_nearest_to_a_half_is_taken() -> None:
    probabilities, has = np.linspace(0.05, 0.95, 10), np.arange(10) >= 5
    assert best_threshold(probabilities, has) == pytest.approx(0.5)


@pytest.mark.parametrize("n_with", [0, FEWEST - 1, 20 - FEWEST + 1, 20])
def test_with_too_few_on_either_side_it_is_a_half(n_with: int) -> None:
    assert best_threshold(np.linspace(0, 1, 20) ** 3, np.arange(20) >= 20 - n_with) == 0.5


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(np.linspace(0, 1, 9).tolist()), st.booleans()), min_size=2 * FEWEST, max_size=40))
def test_no_threshold_has_a_better_f1(pictures: list[tuple[float, bool]]) -> None:
    probabilities, has = (np.array(column) for column in zip(*pictures, strict=True))
    if min(has.sum(), (~has).sum()) < FEWEST:
        return

    def f1(threshold: float) -> float:
        said = probabilities >= threshold
        return float(2 * (said & has).sum() / (said.sum() + has.sum()))

    assert f1(best_threshold(probabilities, has)) == pytest.approx(max(map(f1, np.linspace(0, 1, 33))))
