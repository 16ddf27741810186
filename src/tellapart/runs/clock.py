"""Where the time of a training goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tellapart.memory import give_back


class Clock:
    """Seconds by stage, and since it was made."""

    def __init__(self) -> None:
        self._start, self._began = time.perf_counter(), time.monotonic()
        self._spent: dict[str, float] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        give_back()  # so that what one stage freed is not held beside what the next one needs
        self._spent[stage] = time.perf_counter() - start

    def deadline(self, budget_s: float | None) -> float | None:
        """When a budget is over, in time.monotonic()."""
        return None if budget_s is None else self._began + budget_s

    def seconds(self) -> dict[str, float]:
        spent = {"total": time.perf_counter() - self._start, **self._spent}
        return {stage: round(seconds, 3) for stage, seconds in spent.items()}
