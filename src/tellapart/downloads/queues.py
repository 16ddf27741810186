"""Jobs that wait for their host: hosts take turns, and none is asked more than so often at once."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(slots=True)
class Job:
    """A link on its way: where it stands after redirects and retries."""

    number: int  # of its entry
    link: str  # what is asked next, checked by a guard
    folder: Path  # of its class
    tries: int = 0
    seconds: float = 0.0  # spent on it, waiting for its turn left out
    seen: list[str] = field(default_factory=list)  # the links that led here

    @property
    def host(self) -> str:
        """Host and port: what is asked only so often at once."""
        return urlsplit(self.link).netloc


class HostQueue:
    """Hands out jobs so that at most `per_host` of a host are out at once; hosts that have some waiting take turns.

    Every job that was put in must come back through `done` or `again`; `get` says None when none is left.
    """

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._waiting: dict[str, deque[Job]] = {}
        self._out: Counter[str] = Counter()
        self._paused: Counter[str] = Counter()
        self._ready: dict[str, None] = {}  # the hosts that may be asked now, in their order
        self._n_open = 0
        self._sleepers: deque[asyncio.Future[None]] = deque()

    def put(self, job: Job) -> None:
        """A new job."""
        self._n_open += 1
        self._line_up(job)

    async def get(self) -> Job | None:
        """The next job, once its host may be asked; None when every job is done."""
        while not self._ready:
            if self._n_open == 0:
                return None
            sleeper = asyncio.get_running_loop().create_future()
            self._sleepers.append(sleeper)
            await sleeper
        host = next(iter(self._ready))
        del self._ready[host]
        job = self._waiting[host].popleft()
        self._out[host] += 1
        self._look_at(host)
        return job

    def done(self, host: str) -> None:
        """A job that was out at `host` has its outcome."""
        self._n_open -= 1
        self._came_back(host)
        if self._n_open == 0:
            while self._sleepers:
                self._wake()

    def again(self, host: str, job: Job, *, delay_s: float = 0.0) -> None:
        """A job that was out at `host` must go out once more, perhaps to another host, not before `delay_s`."""
        self._came_back(host)
        if delay_s > 0:
            asyncio.get_running_loop().call_later(delay_s, self._line_up, job)
        else:
            self._line_up(job)

    def pause(self, host: str, delay_s: float) -> None:
        """Ask nothing of a host for so long: it said that it is busy."""
        self._paused[host] += 1
        self._ready.pop(host, None)
        asyncio.get_running_loop().call_later(delay_s, self._resume, host)

    def _resume(self, host: str) -> None:
        self._paused[host] -= 1
        self._look_at(host)

    def _line_up(self, job: Job) -> None:
        self._waiting.setdefault(job.host, deque()).append(job)
        self._look_at(job.host)

    def _came_back(self, host: str) -> None:
        self._out[host] -= 1
        self._look_at(host)

    def _look_at(self, host: str) -> None:
        """Make a host ready where it has a job waiting, is below its bound and not paused."""
        waiting = self._waiting.get(host)
        if not waiting:
            self._waiting.pop(host, None)
            if not self._out[host]:
                del self._out[host]  # a run may meet a million hosts
            return
        if host not in self._ready and self._out[host] < self._per_host and self._paused[host] <= 0:
            self._ready[host] = None
            self._wake()

    def _wake(self) -> None:
        while self._sleepers:
            sleeper = self._sleepers.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                return
