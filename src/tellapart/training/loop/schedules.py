"""How the learning rate runs over a training, and how far a training is: by its steps, or by the time that it has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

RISE = 0.25  # of a one-cycle training its rate rises; fastai's fit_one_cycle
FIRST_PART = 1 / 25  # of the highest rate, at the start of one cycle; fastai's
LAST_PART = 1e-5  # of it, at the end; fastai's
WARM_UP = 0.05  # of a cosine training


def one_cycle(progress: float) -> float:
    """Part of the highest rate at `progress` (0 to 1): up from 1/25 in the first quarter, then down to nearly nothing, both as
    cosines.

    Smith, "Super-Convergence", arXiv:1708.07120; the constants are fastai's.
    """
    if progress < RISE:
        return _between(FIRST_PART, 1, progress / RISE)
    return _between(1, LAST_PART, (progress - RISE) / (1 - RISE))


def cosine(progress: float) -> float:
    """Part of the highest rate at `progress` (0 to 1): a straight warm-up, then half a cosine down to zero; arXiv:1608.03983."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, FIRST_PART)
    return _between(1, 0, (progress - WARM_UP) / (1 - WARM_UP))


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {"onecycle": one_cycle, "cosine": cosine, "constant": constant}


def _between(first: float, last: float, part: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(part, 1))) / 2


class Clock:
    """How far a training is: the part of its steps that is done or the part of its time that is gone, whichever is more.

    So one that has time for all steps comes down by them, and one that has not comes down in time.
    """

    def __init__(self, deadline: float | None, *, seconds: float = 0.0, progress: float = 0.0) -> None:
        """`deadline` is in time.monotonic(); `seconds` and `progress` are those of a part of the training before this one."""
        self._deadline, self._seconds, self._first = deadline, seconds, progress
        self._start = time.monotonic()

    @property
    def total_s(self) -> float | None:
        """Seconds from the beginning to the deadline; None where there is none."""
        return None if self._deadline is None else self._seconds + max(self._deadline - self._start, 1)

    @property
    def seconds(self) -> float:
        """How long the training has run."""
        return self._seconds + time.monotonic() - self._start

    def progress(self, steps: float, *, reserve_s: float) -> float:
        """0 to 1, where `steps` is the part of the steps that is done; the last `reserve_s` seconds are for something else."""
        if self._deadline is None:
            return min(steps, 1.0)
        now = time.monotonic()
        if (left := self._deadline - reserve_s - now) <= 0:
            return 1.0
        gone = now - self._start
        return min(max(steps, self._first + (1 - self._first) * gone / (gone + left)), 1.0)
