"""Ask a server about pictures, from a process of its own that costs little; prints one JSON object.

    python bench/load.py closed URL PICTURES --seconds 15 --clients 32      # each client asks again when it is answered
    python bench/load.py open URL PICTURES --seconds 40 --rate 150          # requests at random moments, answered or not
    python bench/load.py alone URL PICTURES --seconds 5                     # one at a time, with pauses

A latency counts from the moment at which a request was meant to be sent, so that a server that holds others up is not flattered.
Connections are kept; beside the standard library only uvloop is used, where it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import statistics
import time
import urllib.parse
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

PAUSE_S = 0.05  # between requests of `alone`
MAX_OPEN = 2000  # connections of `open`; a request that finds none free waits, and its latency shows it
KEPT_S = 2.0  # for which a connection is kept without a request; servers close theirs after five
LATE_S = 30.0  # what is not answered so long after the last request counts as broken


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


Told = Callable[["Answer | OSError"], None]  # who is told what came back, or what broke


class Connection(asyncio.Protocol):
    """One connection: a request at a time. Reads just as much HTTP as answers with a Content-Length need."""

    def __init__(self) -> None:
        self.is_open = True
        self._received = b""
        self._told: Told | None = None  # None while nothing is asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes, told: Told) -> None:
        if self._transport.is_closing():
            told(ConnectionResetError("closed before a request was sent"))
        else:
            self._told = told
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._told is None:
            return
        head = self._received[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r")[0] or 0)
        if len(self._received) >= end + 4 + length:
            self.is_open = b"connection: close" not in head
            answer = Answer(int(head[9:12]), self._received[end + 4 :])
            self._received = b""
            self._tell(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._tell(exc if isinstance(exc, OSError) else ConnectionResetError("closed without an answer"))

    def close(self) -> None:
        self.is_open = False
        self._transport.abort()

    def _tell(self, answer: Answer | OSError) -> None:
        told, self._told = self._told, None
        if told is not None:
            told(answer)


@dataclass
class Tally:
    """What became of requests: milliseconds and moments of those answered with 200, the statuses of all, what broke."""

    ms: list[float] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)

    def add(self, since: float, answer: Answer | OSError) -> None:
        """Note what became of a request that was meant to be sent at this moment."""
        now = time.perf_counter()
        if isinstance(answer, OSError):
            self.broken[type(answer).__name__] += 1
            return
        self.statuses[answer.status] += 1
        if answer.status == 200:
            self.ms.append(1000 * (now - since))
            self.at_s.append(now)
        else:
            self.refused_ms.append(1000 * (now - since))

    def merge(self, other: Tally) -> None:
        for mine, more in ((self.ms, other.ms), (self.at_s, other.at_s), (self.refused_ms, other.refused_ms)):
            mine.extend(more)
        self.statuses += other.statuses
        self.broken += other.broken

    def to_json(self, *, seconds: float) -> dict[str, Any]:
        return {
            "n": sum(self.statuses.values()),
            "seconds": round(seconds, 3),
            "ok_per_s": round(len(self.ms) / seconds, 2),
            "statuses": dict(self.statuses),
            "broken": dict(self.broken),
            "ms": quantiles(self.ms),
            "refused_ms": quantiles(self.refused_ms),
        }


class Target:
    """A server, and the connections to it."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.path = parts.hostname, parts.port, f"{parts.path or '/'}?{parts.query}".rstrip("?")
        self.n_asked = 0  # requests that are not answered yet
        self._n_made = 0  # connections
        self._idle: list[tuple[Connection, float]] = []  # and since when
        self._waiting = deque[tuple[bytes, Told, bool]]()  # for a connection
        self._tasks = set[asyncio.Task[None]]()

    def request(self, content_type: str, body: bytes) -> bytes:
        facts = {"Host": self.host, "Content-Type": content_type, "Content-Length": len(body)}
        head = "".join(f"{name}: {value}\r\n" for name, value in facts.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body

    async def ask(self, request: bytes, *, keeps: bool = True) -> Answer:
        """The answer. Raises ConnectionRefusedError where no connection can be made, OSError where one breaks."""
        answered: asyncio.Future[Answer | OSError] = asyncio.get_running_loop().create_future()
        self.send(request, answered.set_result, keeps=keeps)
        answer = await answered
        if isinstance(answer, OSError):
            raise answer
        return answer

    def send(self, request: bytes, told: Told, *, keeps: bool = True) -> None:
        """Ask, for `told` to be told. No coroutine where a connection is free: it would cost as much as the sending."""
        self.n_asked += 1
        connection = self._free()
        if connection is not None:
            connection.ask(request, partial(self._answered, connection, told, keeps))
        elif self._n_made < MAX_OPEN:
            self._n_made += 1
            task = asyncio.create_task(self._connect(request, told, keeps))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._waiting.append((request, told, keeps))

    def _answered(self, connection: Connection, told: Told, keeps: bool, answer: Answer | OSError) -> None:
        self.n_asked -= 1
        if connection.is_open and keeps:
            self._idle.append((connection, time.perf_counter()))
        else:
            self._drop(connection)
        told(answer)
        self._send_next()

    def _send_next(self) -> None:
        """There is room for another that waits."""
        if self._waiting:
            self.n_asked -= 1
            request, told, keeps = self._waiting.popleft()
            self.send(request, told, keeps=keeps)

    def _free(self) -> Connection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_open and time.perf_counter() - since < KEPT_S:
                return connection
            self._drop(connection)
        return None

    async def _connect(self, request: bytes, told: Told, keeps: bool) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, self.host, self.port)
        except OSError as error:
            self.n_asked -= 1
            self._n_made -= 1
            told(error)
            self._send_next()
        else:
            connection.ask(request, partial(self._answered, connection, told, keeps))

    def _drop(self, connection: Connection) -> None:
        self._n_made -= 1
        connection.close()

    def close(self) -> None:
        for connection, _ in self._idle:
            self._drop(connection)


async def closed(target: Target, requests: Sequence[bytes], *, n_clients: int, warm_up_s: float, seconds: float) -> Tally:
    """Ask with so many clients at once; what is answered between the end of the warm-up and that of the time counts."""
    tally, turn = Tally(), cycle(requests)
    start = time.perf_counter() + warm_up_s

    async def client() -> None:
        while (since := time.perf_counter()) < start + seconds:
            answer = await _answer(target, next(turn))
            if start <= time.perf_counter() < start + seconds:
                tally.add(since, answer)

    await asyncio.gather(*(client() for _ in range(n_clients)))
    return tally


async def open_loop(target: Target, requests: Sequence[bytes], *, rate: float, seconds: float, seed: int = 0) -> Tally:
    """Ask at the moments of a Poisson process, whether others are answered or not."""
    tally, turn = Tally(), cycle(requests)
    async for moment in _moments(rate, seconds, seed):
        target.send(next(turn), partial(tally.add, moment))
    end = time.perf_counter() + LATE_S
    while target.n_asked and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    if target.n_asked:
        tally.broken["late"] += target.n_asked
    return tally


async def _moments(rate: float, seconds: float, seed: int) -> AsyncIterator[float]:
    chance, moment = random.Random(seed), time.perf_counter()
    end = moment + seconds
    while (moment := moment + chance.expovariate(rate)) < end:
        if (wait_s := moment - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        yield moment


async def alone(target: Target, requests: Sequence[bytes], *, seconds: float) -> Tally:
    """Ask one at a time, with pauses."""
    tally, end = Tally(), time.perf_counter() + seconds
    for request in cycle(requests):
        if (now := time.perf_counter()) > end:
            return tally
        tally.add(now, await _answer(target, request))
        await asyncio.sleep(PAUSE_S)
    return tally


async def _answer(target: Target, request: bytes) -> Answer | OSError:
    try:
        return await target.ask(request)
    except OSError as error:
        return error


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum; empty for fewer than two values."""
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {name: round(value, 2) for name, value in (("p50", cuts[49]), ("p99", cuts[98]), ("max", max(values)))}


def _as_litserve(content: bytes) -> bytes:
    return json.dumps({"image_data": base64.b64encode(content).decode()}).encode()


def _as_json(content: bytes) -> bytes:
    return json.dumps({"images": [base64.b64encode(content).decode()]}).encode()


BODIES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "raw": ("image/jpeg", bytes),  # as our documentation asks
    "litserve": ("application/json", _as_litserve),  # as LitServe's own image example asks
    "json": ("application/json", _as_json),
}


def per_second(tally: Tally) -> list[int]:
    """How many were answered with 200 in each second since the first."""
    first = min(tally.at_s, default=0.0)
    counts = Counter(int(moment - first) for moment in tally.at_s)
    return [counts[second] for second in range(max(counts, default=-1) + 1)]


async def run(args: argparse.Namespace) -> dict[str, Any]:
    target = Target(args.url)
    content_type, body_of = BODIES[args.body]
    requests = [
        target.request(content_type, body_of(path.read_bytes())) for path in sorted(args.pictures.rglob("*")) if path.is_file()
    ]
    cpu, start = time.process_time(), time.perf_counter()
    if args.how == "closed":
        tally = await closed(target, requests, n_clients=args.clients, warm_up_s=args.warm_up, seconds=args.seconds)
    elif args.how == "open":
        tally = await open_loop(target, requests, rate=args.rate, seconds=args.seconds)
    else:
        tally = await alone(target, requests, seconds=args.seconds)
    used_s, whole_s = time.process_time() - cpu, time.perf_counter() - start
    target.close()
    more = {"ok_each_second": per_second(tally), "drained_s": round(whole_s - args.seconds, 2)} if args.how == "open" else {}
    return tally.to_json(seconds=args.seconds) | {"generator_cores": round(used_s / whole_s, 3)} | more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("how", choices=("closed", "open", "alone"))
    parser.add_argument("url")
    parser.add_argument("pictures", type=Path, help="a folder of JPEGs")
    parser.add_argument("--body", choices=BODIES, default="raw")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=0.0, help="seconds before those, of closed")
    parser.add_argument("--clients", type=int, default=32, help="of closed")
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second, of open")
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=event_loop()) as runner:
        print(json.dumps(runner.run(run(parser.parse_args()))))


def event_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop: what it does not take of the cores is left to the server."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
