"""A web server of pictures on 127.0.0.1 for bench/collect.py, as light as may be; prints its port.

    python bench/picture_server.py FOLDER

/ok/N.jpg is a picture of its own for each N; /KIND/N.jpg fails in one of ten ways.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n%s\r\n"
DRIP_EVERY_S = 0.1
OVERSIZE_BYTES = 2 * 2**20


class Connection(asyncio.Protocol):
    """One client's connection: requests come one after the other."""

    pictures: list[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            request, self.received = self.received[:end], self.received[end + 4 :]
            _, kind, name = request.split(b" ", 2)[1].decode().split("/")
            self.answer(kind, int(name.partition(".")[0]), closes=b"onnection: close" in request)

    def answer(self, kind: str, number: int, *, closes: bool) -> None:
        # Decoders stop at the end-of-image marker: zeros after it make another content of the same picture.
        body = self.pictures[number % len(self.pictures)] + b"\0" * (number // len(self.pictures))
        if kind == "ok":
            self.transport.write(HEAD % (len(body), b"Connection: close\r\n" if closes else b"") + body)
            if closes:
                self.transport.close()
        else:
            FAILURES[kind](self.transport, body)


def status(line: bytes, more: bytes = b"") -> Callable[[asyncio.Transport, bytes], None]:
    def answer(transport: asyncio.Transport, body: bytes) -> None:
        transport.write(b"HTTP/1.1 " + line + b"\r\nContent-Length: 0\r\n" + more + b"\r\n")

    return answer


def silence(transport: asyncio.Transport, body: bytes) -> None:
    """Never an answer."""


def reset(transport: asyncio.Transport, body: bytes) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # close with RST
    transport.abort()


def truncated(transport: asyncio.Transport, body: bytes) -> None:
    transport.write(HEAD % (len(body), b"") + body[: len(body) // 2])
    transport.close()


def web_page(transport: asyncio.Transport, body: bytes) -> None:
    page = b"<!doctype html><html><body>Please log in</body></html>"
    transport.write(HEAD % (len(page), b"") + page)


def oversize(transport: asyncio.Transport, body: bytes) -> None:
    transport.write(HEAD % (OVERSIZE_BYTES, b"") + b"\0" * OVERSIZE_BYTES)


def wrong_length(transport: asyncio.Transport, body: bytes) -> None:
    transport.write(HEAD % (len(body) // 2, b"") + body)
    transport.close()


def drip(transport: asyncio.Transport, body: bytes) -> None:
    transport.write(HEAD % (len(body), b"") + body[:1])
    _drop(transport, body, 1)


def _drop(transport: asyncio.Transport, body: bytes, place: int) -> None:
    if not transport.is_closing() and place < len(body):
        transport.write(body[place : place + 1])
        asyncio.get_running_loop().call_later(DRIP_EVERY_S, _drop, transport, body, place + 1)


FAILURES = {
    "missing": status(b"404 Not Found"),
    "error": status(b"500 Internal Server Error"),
    "circle": status(b"302 Found", b"Location: 0.jpg\r\n"),
    "silence": silence,
    "reset": reset,
    "truncated": truncated,
    "page": web_page,
    "oversize": oversize,
    "length": wrong_length,
    "drip": drip,
}


async def serve(folder: Path) -> None:
    Connection.pictures = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))]
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
