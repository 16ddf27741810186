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
import time
import urllib.parse
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

from answers import Answer, Tally, answer_in
from flood import KEPT_S, Flood

PAUSE_S = 0.05  # between requests of `alone`


class Connection(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self) -> None:
        self.is_open = True
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None  # None while nothing is asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> Answer:
        """The answer. Raises OSError where the connection breaks."""
        if self._transport.is_closing():
            raise ConnectionResetError("closed before a request was sent")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._answer is not None and (answer := answer_in(self._received)):
            self.is_open, self._received = answer.keeps, b""
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc if isinstance(exc, OSError) else ConnectionResetError("closed without an answer"))

    def close(self) -> None:
        self._transport.abort()


class Target:
    """A server, and the connections to it that are kept."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = f"{parts.path or '/'}?{parts.query}".rstrip("?")
        self._idle: list[tuple[Connection, float]] = []  # and since when

    def request(self, content_type: str, body: bytes) -> bytes:
        facts = {"Host": self.host, "Content-Type": content_type, "Content-Length": len(body)}
        head = "".join(f"{name}: {value}\r\n" for name, value in facts.items())
        return f"POST {self._path} HTTP/1.1\r\n{head}\r\n".encode() + body

    async def ask(self, request: bytes, *, keeps: bool = True) -> Answer:
        """The answer. Raises ConnectionRefusedError where no connection can be made, OSError where one breaks."""
        connection = self._free() or await self._connect()
        answer = await connection.ask(request)
        if connection.is_open and keeps:
            self._idle.append((connection, time.perf_counter()))
        else:
            connection.close()
        return answer

    def _free(self) -> Connection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_open and time.perf_counter() - since < KEPT_S:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self.host, self.port)
        return connection

    def close(self) -> None:
        for connection, _ in self._idle:
            connection.close()


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


def _as_litserve(content: bytes) -> bytes:
    return json.dumps({"image_data": base64.b64encode(content).decode()}).encode()


def _as_json(content: bytes) -> bytes:
    return json.dumps({"images": [base64.b64encode(content).decode()]}).encode()


BODIES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "raw": ("image/jpeg", bytes),  # as our documentation asks
    "litserve": ("application/json", _as_litserve),  # as LitServe's own image example asks
    "json": ("application/json", _as_json),
}


def run(args: argparse.Namespace) -> dict[str, Any]:
    target = Target(args.url)
    content_type, body_of = BODIES[args.body]
    requests = [
        target.request(content_type, body_of(path.read_bytes())) for path in sorted(args.pictures.rglob("*")) if path.is_file()
    ]
    cpu, start = time.process_time(), time.perf_counter()
    if args.how == "open":
        tally = Flood((target.host, target.port), requests).run(rate=args.rate, seconds=args.seconds)
    else:
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            tally = runner.run(_asked(target, requests, args))
    used_s, whole_s = time.process_time() - cpu, time.perf_counter() - start
    more = {"ok_each_second": tally.per_second(), "drained_s": round(whole_s - args.seconds, 2)} if args.how == "open" else {}
    return tally.to_json(seconds=args.seconds) | {"generator_cores": round(used_s / whole_s, 3)} | more


async def _asked(target: Target, requests: Sequence[bytes], args: argparse.Namespace) -> Tally:
    try:
        if args.how == "alone":
            return await alone(target, requests, seconds=args.seconds)
        return await closed(target, requests, n_clients=args.clients, warm_up_s=args.warm_up, seconds=args.seconds)
    finally:
        target.close()


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
    with suppress(KeyboardInterrupt):
        print(json.dumps(run(parser.parse_args())))


def event_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop: what it does not take of the cores is left to the server."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
