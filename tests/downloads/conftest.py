"""Real servers on the loopback address: one that serves pictures and fails in every way, and one that only counts contacts."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("aiohttp", reason="the extra `collect` is not installed")

from tellapart.downloads.fetching import Limits
from tellapart.downloads.guards import Address, Guard

Handler = Callable[["Request"], Awaitable[None]]

# Tiny, so that failures are quick; retries come at once.
QUICK = Limits(connections=20, per_host=8, timeout_s=0.5, max_bytes=200_000, retries=1, first_wait_s=0.001)


def is_loopback(address: Address) -> bool:
    return address == ip_address("127.0.0.1")


LOCAL = Guard(is_allowed=is_loopback)


def jpeg(seed: int, *, side_px: int = 48, quality: int = 80) -> bytes:
    """A picture of its own for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((side_px, side_px)).save(file, "JPEG", quality=quality)
    return file.getvalue()


class Request:
    """One request, and the connection to answer it on as one likes."""

    def __init__(self, path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        self.path, self.head, self.writer = path, head, writer

    async def answer(self, body: bytes, *, status: str = "200 OK", length: int | None = None, **headers: str) -> None:
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        length = len(body) if length is None else length
        self.writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n".encode() + body)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST rather than FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.writer.transport.abort()


class Server:
    """Answers paths with handlers; counts connections, and requests by path."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.handlers: dict[str, Handler] = {}
        self.asked: Counter[str] = Counter()
        self.n_contacts = 0
        self.most_at_once = 0
        self._n_now = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, host, 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{host}:{self.port}"

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def on(self, path: str, handler: Handler | bytes) -> str:
        """Answer `path` so; its link."""
        self.handlers[path] = handler if callable(handler) else _sender(handler)
        return self.url + path

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_contacts += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                self.asked[path] += 1
                self._n_now += 1
                self.most_at_once = max(self.most_at_once, self._n_now)
                try:
                    await self.handlers.get(path, not_found)(Request(path, head, writer))
                finally:
                    self._n_now -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        async def stop() -> None:
            self._server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._run(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def _sender(body: bytes) -> Handler:
    async def send(request: Request) -> None:
        await request.answer(body)

    return send


async def not_found(request: Request) -> None:
    await request.answer(b"nothing here", status="404 Not Found")


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()


@pytest.fixture
def canary() -> Iterator[Server]:
    """A server that nothing may ever contact."""
    started = Server()
    yield started
    started.close()


def write_list(folder: Path, name: str, links: list[str]) -> Path:
    path = folder / name
    path.write_text("".join(f"{link}\n" for link in links))
    return path
