"""Soak tests of our server: clients that dawdle, damaged requests, bombs. Each gives counts, and whether they are as asked."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from answers import quantiles
from hostile import Sent, bombs, mutated
from servers import Running, post, status, tellapart_serve
from setting import picture_paths

PREDICT = "/v1/predict"
HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 1000000\r\n"
DRIP_EVERY_S = 1.0
NORMAL_S = 20.0  # for which a normal client asks beside the dawdlers: longer than the headers' 10 s
FILES = 100  # that the server may have open afterwards: libraries, models, one or two connections
HANG_S = 2.0
BOMB_MS, BOMB_MB = 200.0, 100.0
THREADS = 4
MUTANTS_MB = 200.0  # that memory may grow by while damaged pictures are decoded; a guess


def dawdlers(run: Path, pictures: Path, n: int) -> dict[str, Any]:
    """n sockets that send heads and bodies a byte a second, and a normal client beside them."""
    contents = [path.read_bytes() for path in picture_paths(pictures)]
    with tellapart_serve(run) as running:
        quiet = _asked_for(running, contents, seconds=3.0)
        with _dawdling(running.port, n) as sockets:
            beside = _asked_for(running, contents, seconds=NORMAL_S)
            n_let_go = sum(map(_is_closed, sockets))
        after = _asked_for(running, contents, seconds=1.0)
        n_files = len(os.listdir(f"/proc/{running.process.pid}/fd"))
    found = {"quiet": quiet, "beside": beside, "after": after}
    passed = all(one["statuses"].keys() == {200} for one in found.values()) and n_let_go == n and n_files < FILES
    return {"n": n, "n_let_go": n_let_go, **found, "open_files_after": n_files, "passed": passed}


@contextmanager
def _dawdling(port: int, n: int) -> Iterator[list[socket.socket]]:
    """Sockets that have begun a request, every other one its body; each gets a further byte every second."""
    sockets, stop = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(n)], threading.Event()

    def drip() -> None:
        while not stop.wait(DRIP_EVERY_S):
            for one in sockets:
                with suppress(OSError):
                    one.send(b"x")

    for number, one in enumerate(sockets):
        one.sendall(HEAD + b"\r\nx" if number % 2 else HEAD + b"X-More: ")
    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        yield sockets
    finally:
        stop.set()
        dripping.join()
        for one in sockets:
            one.close()


def _is_closed(one: socket.socket) -> bool:
    """Whether the server has answered that it waits no longer, or closed the connection."""
    one.settimeout(0)
    try:
        return one.recv(12) in (b"", b"HTTP/1.1 408")
    except BlockingIOError:
        return False
    except OSError:
        return True


def _asked_for(running: Running, contents: Sequence[bytes], *, seconds: float) -> dict[str, Any]:
    statuses, ms, end = Counter[int](), [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        code, _ = _answer(running, Sent("", "image/jpeg", contents[len(ms) % len(contents)]))
        statuses[code] += 1
        ms.append(1000 * (time.perf_counter() - start))
    return {"statuses": dict(statuses), "ms": quantiles(ms)}


def _answer(running: Running, sent: Sent) -> tuple[int, bytes]:
    """Status and body of the answer; 0 where the connection broke."""
    try:
        return post(running.port, PREDICT, sent.content_type, sent.body)
    except OSError as error:
        return 0, repr(error).encode()


def mutations(run: Path, _pictures: Path, n: int) -> dict[str, Any]:
    """n damaged requests, several at a time."""
    statuses, slow, failed, slowest_s = Counter[int](), list[str](), list[str](), 0.0
    with tellapart_serve(run) as running:

        def ask(number: int) -> tuple[int, int, float, bytes]:
            start = time.perf_counter()
            code, body = _answer(running, mutated(number))
            return number, code, time.perf_counter() - start, body

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(ask, range(-200, 0)))  # so that what is loaded once does not count as growth
            before_mb = running.resident_mb()
            running.forget_peak()
            for number, code, seconds, body in pool.map(ask, range(n)):
                statuses[code] += 1
                slowest_s = max(slowest_s, seconds)
                what = f"{number} ({mutated(number).name}): status {code} after {seconds:.2f} s"
                slow += [what] if seconds > HANG_S else []
                failed += [f"{what}: {body[:200]!r}"] if code >= 500 or code == 0 else []
        peak_mb, after_mb = running.resident_mb("VmHWM"), running.resident_mb()
        events = running.events()
        is_alive = status(running.port, "/health") == 200
    grown_mb = peak_mb - before_mb
    return {
        "n": n,
        "statuses": dict(sorted(statuses.items())),
        "n_5xx_or_broken": len(failed),
        "n_over_2_s": len(slow),
        "slowest_s": round(slowest_s, 3),
        "examples": (failed + slow)[:10],
        "resident_mb": {"before": round(before_mb), "peak": round(peak_mb), "after": round(after_mb)},
        "logged": events[:5],
        "passed": is_alive and not failed and not slow and not events and grown_mb < MUTANTS_MB,
    }


def hurled(run: Path, _pictures: Path, n: int) -> dict[str, Any]:
    """n bombs, one after the other: how each is refused, in how many ms and with how much more memory."""
    rows = []
    with tellapart_serve(run) as running:
        _answer(running, mutated(0))
        for bomb in bombs(n):
            rows.append({"bomb": bomb.name, "mb": round(len(bomb.body) / 1e6, 2), **_hurled(running, bomb)})
        is_alive = status(running.port, "/health") == 200
    wrong = [row for row in rows if row["status"] not in (400, 413, 422) or row["ms"] >= BOMB_MS or row["more_mb"] >= BOMB_MB]
    return {
        "n": n,
        "n_kinds": len({row["bomb"] for row in rows}),
        "slowest_ms": max(row["ms"] for row in rows),
        "most_mb": max(row["more_mb"] for row in rows),
        "n_wrong": len(wrong),
        "wrong": wrong[:20],
        "passed": is_alive and not wrong,
    }


def _hurled(running: Running, bomb: Sent) -> dict[str, Any]:
    running.forget_peak()
    before_mb, start = running.resident_mb(), time.perf_counter()
    code, body = _answer(running, bomb)
    ms = 1000 * (time.perf_counter() - start)
    more_mb = running.resident_mb("VmHWM") - before_mb
    return {"status": code, "ms": round(ms, 1), "more_mb": round(more_mb, 1), "said": _said(body)}


def _said(body: bytes) -> str:
    """Why it was refused."""
    try:
        found = json.loads(body)
        return str(found["results"][0]["error"] if "results" in found else found["error"]["text"])
    except (ValueError, KeyError, IndexError):
        return repr(body[:100])
