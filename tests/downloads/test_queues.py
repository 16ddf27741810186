"""Jobs by host: bounds, turns, pauses."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.downloads.queues import HostQueue, Job


def jobs_of(hosts: list[str]) -> list[Job]:
    return [Job(number, f"http://{host}/{number}", Path()) for number, host in enumerate(hosts)]


def test_hosts_take_turns() -> None:
    async def take() -> list[str]:
        queue = HostQueue(per_host=2)
        for job in jobs_of(["a", "a", "a", "b", "c"]):
            queue.put(job)
        return [(await queue.get()).host for _ in range(4)]

    assert asyncio.run(take()) == ["a", "b", "c", "a"]


def test_a_paused_host_waits_and_the_others_go_on() -> None:
    async def take() -> list[str]:
        queue = HostQueue(per_host=2)
        for job in jobs_of(["a", "a", "b"]):
            queue.put(job)
        first = await queue.get()
        queue.pause("a", 0.01)
        queue.again("a", first)
        order = [first.host]
        while (job := await queue.get()) is not None:
            order.append(job.host)
            queue.done(job.host)
        return order

    assert asyncio.run(take()) == ["a", "b", "a", "a"]


@settings(deadline=None)
@given(
    hosts=st.lists(st.sampled_from("abcd"), max_size=40), per_host=st.integers(1, 3), workers=st.integers(1, 6), data=st.data()
)
def test_every_job_is_done_once_within_the_bounds(hosts: list[str], per_host: int, workers: int, data: st.DataObject) -> None:
    detours = data.draw(st.lists(st.sampled_from(["", "same", "other"]), min_size=len(hosts), max_size=len(hosts)))
    done: Counter[int] = Counter()
    out: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def work(queue: HostQueue) -> None:
        while (job := await queue.get()) is not None:
            host = job.host
            out[host] += 1
            most[host] = max(most[host], out[host])
            await asyncio.sleep(0)
            out[host] -= 1
            detour, detours[job.number] = detours[job.number], ""
            if detour:
                job.link = job.link if detour == "same" else f"http://z/{job.number}"
                queue.again(host, job)
            else:
                done[job.number] += 1
                queue.done(host)

    async def run() -> None:
        queue = HostQueue(per_host)
        for job in jobs_of(hosts):
            queue.put(job)
        await asyncio.wait_for(asyncio.gather(*(work(queue) for _ in range(workers))), 5)

    asyncio.run(run())
    assert done == Counter(range(len(hosts)))
    assert max(most.values(), default=0) <= per_host
