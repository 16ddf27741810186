"""Soak tests of our server under load: too much of it, stops, models replaced, starts. Each says whether all was as asked."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

from answers import Tally
from load import Target
from servers import Running, post, tellapart_serve
from serving import generated
from setting import picture_paths

TIMES = 10  # of the capacity
WINDOW_S = 10  # in which capacity and goodput are asked for
WARM_UP_S = 1  # before each: connections are made
TURNS = 8
CLIENTS = 32
LIVE_CLIENTS = 6  # while models are replaced and servers stopped; half of them connect anew for every request
NORMAL_TIMES = 2.0  # of the time that a request takes on an idle server: back to normal
NORMAL_WITHIN_S = 5.0
NORMAL_IN_A_ROW = 5
FLAT_MB = 100.0  # that memory may grow by under overload: the queue's bodies, and what is decoded. A guess
GOODPUT_FRAC = 0.9
READY_S = 2.0
RESIDENT_MB = 350.0
STOPPED_AT_ONCE = 2  # servers, one a core
SWAP_WITHIN_S = 30.0


def overload(run: Path, pictures: Path, n: int) -> dict[str, Any]:
    """Ten times what can be answered, for n seconds: what it costs, and what remains of it. Then the goodput, see `_goodputs`;
    `flood_frac` is that of those n seconds, beside all that was found of the capacity.
    """
    with tellapart_serve(run) as running:
        ask = partial(generated, url=running.url(), pictures=pictures)
        rate = TIMES * _capacity(ask)["ok_per_s"]
        idle_ms = ask("alone", seconds=3)["ms"]["p50"]
        start_mb = running.resident_mb()
        with _watched(running) as resident_mb:
            flood = ask("open", seconds=n, rate=rate)
        normal_s = flood["drained_s"] + _normal_again(running, picture_paths(pictures)[0].read_bytes(), idle_ms)
        goodputs = _goodputs(ask, rate)
    more_mb = max(resident_mb) - start_mb
    flood["ok_each_second"] = flood["ok_each_second"][:n]
    goodputs["flood_frac"] = round(statistics.mean(flood["ok_each_second"]) / statistics.mean(goodputs["capacity_per_s"]), 3)
    is_as_asked = goodputs["goodput_frac"] >= GOODPUT_FRAC and more_mb < FLAT_MB and normal_s <= NORMAL_WITHIN_S
    return {
        "n": flood["n"],
        **goodputs,
        "flood": flood,
        "idle_ms": idle_ms,
        "normal_after_s": round(normal_s, 2),
        "resident_mb": {"before": round(start_mb), "most": round(max(resident_mb)), "last": round(resident_mb[-1])},
        "passed": is_as_asked and not flood["broken"] and not goodputs["broken"],
    }


def _goodputs(ask: Callable[..., dict[str, Any]], rate: float) -> dict[str, Any]:
    """What is answered of a flood of that rate, as a part of what can be: windows by turns, as a machine's speed changes within
    minutes. Each begins after a warm-up; answers that come after a window are not counted in it.
    """
    full, floods = [_capacity(ask)], []
    for _ in range(TURNS):
        floods.append(ask("open", seconds=WARM_UP_S + WINDOW_S, rate=rate))
        full.append(_capacity(ask))
    most = [part["ok_per_s"] for part in full]
    good = [statistics.mean(part["ok_each_second"][WARM_UP_S:][:WINDOW_S]) for part in floods]
    fracs = [answered / statistics.mean(pair) for answered, pair in zip(good, pairwise(most), strict=True)]
    generator_cores = statistics.median(part["generator_cores"] for part in floods) - full[0]["generator_cores"]
    left_frac = 1 - generator_cores / len(os.sched_getaffinity(0))
    return {
        "capacity_per_s": most,
        "goodput_fracs": [round(frac, 3) for frac in fracs],
        "goodput_frac": round(statistics.median(fracs), 3),
        "goodput_frac_of_what_the_generator_leaves": round(statistics.median(fracs) / left_frac, 3),
        "broken": dict(sum((Counter(part["broken"]) for part in floods), Counter())),
    }


def _capacity(ask: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return ask("closed", seconds=WINDOW_S, warm_up=WARM_UP_S, clients=CLIENTS)


@contextmanager
def _watched(running: Running) -> Iterator[list[float]]:
    """What the server holds, looked at every half second."""
    seen, stop = [running.resident_mb()], threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            seen.append(running.resident_mb())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


def _normal_again(running: Running, content: bytes, idle_ms: float) -> float:
    """Seconds until requests take as long as on an idle server."""
    start, n_quick = time.perf_counter(), 0
    while n_quick < NORMAL_IN_A_ROW and time.perf_counter() - start < 60:
        since = time.perf_counter()
        code, _ = post(running.port, "/v1/predict", "image/jpeg", content)
        is_quick = code == 200 and 1000 * (time.perf_counter() - since) < NORMAL_TIMES * idle_ms
        n_quick = n_quick + 1 if is_quick else 0
    return time.perf_counter() - start


def stops(run: Path, pictures: Path, n: int) -> dict[str, Any]:
    """n servers, each told to stop while clients ask as fast as they can.

    Accepted is whatever was sent on a connection that came about, unless the answer before had said that it would be closed; so a
    client ends where its connection is refused, and anything else than the status 200 is a loss.
    """
    requests = _requests(pictures)

    def stop(number: int) -> tuple[int, Tally]:
        with tellapart_serve(run) as running:
            tally = asyncio.run(_asked_until_stopped(running, requests, random.Random(number)))
            code = running.stop()
        if tally.broken or code:
            print(f"server {number}: exit code {code}, {dict(tally.broken)}", file=sys.stderr, flush=True)
        return code, tally

    with ThreadPoolExecutor(STOPPED_AT_ONCE) as pool:
        done = list(pool.map(stop, range(n)))
    tally, codes = Tally(), [code for code, _ in done]
    for _, each in done:
        tally.merge(each)
    passed = set(codes) == {0} and not tally.broken and tally.statuses.keys() == {200}
    return {"n": n, **_counts(tally), "exit_codes": sorted(set(codes)), "passed": passed}


async def _asked_until_stopped(running: Running, requests: Sequence[bytes], chance: random.Random) -> Tally:
    async with _clients(running, requests) as tally:
        await _until(lambda: sum(tally.statuses.values()) > 20)
        await asyncio.sleep(chance.random() / 10)
        running.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(running.process.wait, 60)
    return tally


@asynccontextmanager
async def _clients(running: Running, requests: Sequence[bytes]) -> AsyncIterator[Tally]:
    """Clients that ask as fast as they can; one ends where it cannot connect."""
    tally, turn, stopped = Tally(), cycle(requests), asyncio.Event()

    async def client(keeps: bool) -> None:
        target = Target(running.url())  # its own, and so its own connection
        while not stopped.is_set():
            since = time.perf_counter()
            try:
                tally.add(since, await target.ask(next(turn), keeps=keeps))
            except ConnectionRefusedError:
                break
            except OSError as error:
                tally.broken[f"{type(error).__name__}: {error} ({'kept' if keeps else 'new'} connection)"] += 1
        target.close()

    tasks = [asyncio.create_task(client(number % 2 == 0)) for number in range(LIVE_CLIENTS)]
    try:
        yield tally
    finally:
        stopped.set()
        await asyncio.gather(*tasks)


async def _until(holds: Callable[[], bool], *, seconds: float = SWAP_WITHIN_S) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


def swaps(run: Path, pictures: Path, n: int) -> dict[str, Any]:
    """n models put in the place of others while clients ask as fast as they can, by turns the first and a second."""
    with tempfile.TemporaryDirectory(prefix="tellapart-bench-") as scratch:
        places = [_another(run / "bundle", Path(scratch) / name, name.encode()) for name in ("first", "second")]
        link = Path(scratch) / "current"
        link.symlink_to(places[0])
        with tellapart_serve(f"swapped={scratch}") as running:
            tally = asyncio.run(_asked_while_swapped(running, _requests(pictures), link, places, n))
            loaded = [event for event in running.events() if event["event"] == "model_loaded"]
    passed = len(loaded) == n and not tally.broken and tally.statuses.keys() == {200}
    return {"n": n, "n_loaded": len(loaded), **_counts(tally), "passed": passed}


async def _asked_while_swapped(running: Running, requests: Sequence[bytes], link: Path, places: Sequence[Path], n: int) -> Tally:
    async with _clients(running, requests) as tally:
        await _until(lambda: sum(tally.statuses.values()) > 20)
        for number in range(1, n + 1):
            beside = link.with_name("beside")
            beside.symlink_to(places[number % 2])
            beside.replace(link)
            running.process.send_signal(signal.SIGHUP)
            await _until(lambda number=number: len(running.events()) >= number)
    return tally


def _another(bundle: Path, place: Path, text: bytes) -> Path:
    """A copy of a bundle whose network has another hash, and the same answers: with `text` as the ONNX file's doc_string."""
    from tellapart.files import sha256_of

    shutil.copytree(bundle, place)
    with (place / "model.onnx").open("ab") as file:
        file.write(b"\x32" + bytes([len(text)]) + text)  # field 6 of a ModelProto; where it is twice the last one counts
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = sha256_of(place / "model.onnx")
    (place / "manifest.json").write_text(json.dumps(manifest))
    return place


def starts(run: Path, pictures: Path, n: int) -> dict[str, Any]:
    """n starts, one after the other: seconds until each is ready, and what it holds after some answers."""
    content, ready_s, resident_mb = picture_paths(pictures)[0].read_bytes(), [], []
    for _ in range(n):
        with tellapart_serve(run) as running:
            ready_s.append(running.ready_s)
            for _ in range(20):
                post(running.port, "/v1/predict", "image/jpeg", content)
            resident_mb.append(running.resident_mb())
    return {
        "n": n,
        "ready_s": {"median": round(statistics.median(ready_s), 3), "most": round(max(ready_s), 3)},
        "resident_mb": round(max(resident_mb)),
        "passed": statistics.median(ready_s) < READY_S and max(resident_mb) < RESIDENT_MB,
    }


def _requests(pictures: Path) -> list[bytes]:
    target = Target("http://127.0.0.1/v1/predict")
    return [target.request("image/jpeg", path.read_bytes()) for path in picture_paths(pictures)]


def _counts(tally: Tally) -> dict[str, Any]:
    return {"statuses": dict(tally.statuses), "broken": dict(tally.broken)}
