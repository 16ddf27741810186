"""Many links at once: jobs taken from the queue, asked, followed, tried again, and each brought to an outcome."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tellapart.downloads.fetching import MAX_WAIT_S, PASSING, Limits, PauseError, Redirect, fetch, open_session
from tellapart.downloads.following import followed
from tellapart.downloads.guards import Guard
from tellapart.downloads.provenance import Outcome
from tellapart.downloads.queues import HostQueue, Job
from tellapart.downloads.storing import keep
from tellapart.errors import LinkError, PictureError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

KEEPERS = 2  # threads that decode and write; Pillow decodes outside of Python's lock
RESOLVERS = 32  # threads that wait for name servers; a dead name blocks its thread for many seconds
FILES_A_CONNECTION = 4  # itself, its file, and those to other hosts that are still kept open; a guess
Take = Callable[[Job, Outcome], None]


def download(jobs: Sequence[Job], parts: Path, *, limits: Limits, guard: Guard, seed: int, take: Take) -> None:
    """Bring every job to an outcome, given to `take` as it comes. Unfinished files lie in `parts`.

    Ctrl-C ends the requests and then does what it would have done. Raises StorageError where the disk is full,
    MissingExtraError without aiohttp.
    """
    if jobs:
        _allow_open_files(limits.connections)
        run_to_end(_download(jobs, parts, limits, guard, Random(seed), take))


def _allow_open_files(n_connections: int) -> None:
    """Raise this process's bound as far as the system lets it: 1,024 is common, and too few for hundreds of connections."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 256 + FILES_A_CONNECTION * n_connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        highest = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))


async def _download(jobs: Sequence[Job], parts: Path, limits: Limits, guard: Guard, random: Random, take: Take) -> None:
    queue = HostQueue(limits.per_host)
    for job in jobs:
        queue.put(job)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(RESOLVERS, "resolving"))
    with ThreadPoolExecutor(KEEPERS, "keeping") as keepers:
        async with open_session(guard, limits) as session:
            worker = _Worker(queue, session, keepers, limits, guard, random, take)
            try:
                async with asyncio.TaskGroup() as group:
                    for number in range(min(limits.connections, len(jobs))):
                        group.create_task(worker.work_off(parts / str(number)))
            except BaseExceptionGroup as errors:  # the first one has ended the others
                raise errors.exceptions[0] from None


@dataclass(frozen=True)
class _Worker:
    """What all connections share."""

    queue: HostQueue
    session: aiohttp.ClientSession
    keepers: ThreadPoolExecutor
    limits: Limits
    guard: Guard
    random: Random
    take: Take

    async def work_off(self, part: Path) -> None:
        """One connection's worth of work: jobs until none is left."""
        while (job := await self.queue.get()) is not None:
            host, start = job.host, time.perf_counter()
            delay_s = 0.0
            try:
                outcome = await self._ask(job, part)
            except PictureError as error:
                outcome = Outcome(error.kind, str(error))
            except LinkError as error:
                outcome, delay_s = self._judge(job, host, error)
            job.seconds += time.perf_counter() - start
            if outcome is None:
                self.queue.again(host, job, delay_s=delay_s)
            else:
                self.take(job, outcome)
                self.queue.done(host)

    async def _ask(self, job: Job, part: Path) -> Outcome | None:
        """The outcome of one request; None where it leads on to another link."""
        reply = await fetch(self.session, job.link, limits=self.limits, part=part)
        if isinstance(reply, Redirect):
            self._follow(job, reply.link)
            return None
        loop = asyncio.get_running_loop()
        kept = await loop.run_in_executor(self.keepers, keep, reply.content, job.folder, part)
        return Outcome("kept", sha256=kept.sha256, bytes=reply.n_bytes, path=f"{job.folder.name}/{kept.name}")

    def _follow(self, job: Job, link: str) -> None:
        job.seen.append(job.link)
        job.link = followed(link, job.seen, guard=self.guard, limits=self.limits)

    def _judge(self, job: Job, host: str, error: LinkError) -> tuple[Outcome | None, float]:
        """A failure's outcome, or (None, seconds to wait) where another try may help."""
        tried = f" (tried {job.tries + 1} times)" if job.tries else ""
        final = Outcome(error.kind, f"{error}{tried}")
        if error.kind not in PASSING or job.tries >= self.limits.retries:
            return final, 0.0
        if isinstance(error, PauseError):
            if error.wait_s > MAX_WAIT_S:
                return final, 0.0
            self.queue.pause(host, error.wait_s)
        job.tries += 1
        wait_s = self.limits.first_wait_s * 2 ** (job.tries - 1)
        return None, wait_s * self.random.uniform(1.0, 1.5)


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run it in an event loop of its own, also where a notebook's is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        stopped = asyncio.run(_stoppable(work))
    else:
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(asyncio.run, _stoppable(work)).result()
    if stopped:
        signal.raise_signal(signal.SIGINT)  # now that every file is closed, what Ctrl-C does otherwise


async def _stoppable(work: Coroutine[Any, Any, None]) -> bool:
    """Whether Ctrl-C has ended it."""
    task = asyncio.ensure_future(work)
    with _ctrl_c(task.cancel) as pressed:
        try:
            await task
        except asyncio.CancelledError:
            if not pressed:
                raise
            return True
    return False


@contextmanager
def _ctrl_c(cancel: Callable[[], object]) -> Iterator[list[bool]]:
    """Call `cancel` at Ctrl-C; what is yielded is not empty then."""
    pressed: list[bool] = []
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield pressed
        return

    def stop() -> None:
        pressed.append(True)
        cancel()

    before = signal.getsignal(signal.SIGINT)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield pressed
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
