"""The rate over a training, and the clock."""

from __future__ import annotations

import time

import pytest

from tellapart.training.loop.schedules import SCHEDULES, Clock, constant, cosine, one_cycle

STEPS = [i / 100 for i in range(101)]


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_rates_lie_between_none_and_the_highest(schedule) -> None:
    assert all(0 <= schedule(step) <= 1 for step in STEPS)
    assert max(schedule(step) for step in STEPS) == pytest.approx(1)


def test_one_cycle_is_torchs() -> None:
    """With fastai's constants."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=401, pct_start=0.25, div_factor=25, final_div_factor=4000
    )
    for step in range(401):
        rate = optimizer.param_groups[0]["lr"]
        assert one_cycle(step / 400) == pytest.approx(rate, abs=0.02)  # its peak lies a step earlier
        optimizer.step()
        if step < 400:
            theirs.step()
    assert one_cycle(0) == pytest.approx(1 / 25)
    assert one_cycle(0.25) == pytest.approx(1)
    assert one_cycle(1) == pytest.approx(1e-5)


def test_cosine_warms_up_and_ends_at_none() -> None:
    assert cosine(0) == pytest.approx(1 / 25)
    assert cosine(0.05) == pytest.approx(1)
    assert cosine(0.525) == pytest.approx(0.5)
    assert cosine(1) == pytest.approx(0)
    assert {constant(step) for step in STEPS} == {1.0}


def test_without_a_deadline_steps_are_all_that_counts() -> None:
    clock = Clock(None)
    assert [clock.progress(steps, reserve_s=1e9) for steps in (0, 0.3, 1, 1.5)] == [0, 0.3, 1, 1]


def test_with_a_deadline_time_counts_where_it_is_further() -> None:
    clock = Clock(time.monotonic() + 1000, progress=0.5)
    assert clock.progress(0.1, reserve_s=0) == pytest.approx(0.5, abs=0.01)  # from where an earlier part ended
    assert clock.progress(0.9, reserve_s=0) == pytest.approx(0.9)
    assert clock.progress(0.1, reserve_s=1001) == 1
    assert Clock(time.monotonic() - 1).progress(0, reserve_s=0) == 1
