"""Connections that wait, with limits small enough to be seen."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from tellapart.server.connections import guarded_protocol
from tellapart.server.limits import Limits

UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
LARGE = 32_000_000  # bytes: more than the system keeps for a client
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An app that says ok to everything."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An app that gives the body back."""
    body, is_whole = b"", False
    while not is_whole:
        message = await receive()
        body, is_whole = body + message["body"], not message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body) + 2).encode())]})
    await send({"type": "http.response.body", "body": body + b"ok"})


async def large(scope: Any, receive: Any, send: Any) -> None:
    """An app that has much to say."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(LARGE).encode())]})
    await send({"type": "http.response.body", "body": bytes(LARGE)})


def with_server(
    runner: asyncio.Runner, protocol: type[asyncio.Protocol], use: Callable[[Connect], Awaitable[None]], app: Any = answer
) -> None:
    """Run `use` against a real server whose connections are of this kind."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(app, http=protocol, lifespan="off", ws="none", log_config=None)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server._serve([listener]))
            try:
                async with asyncio.timeout(30):
                    await use(lambda: asyncio.open_connection(*listener.getsockname()))
            finally:
                server.should_exit = True
                await serving

    runner.run(run())


def guarded(**limits: float) -> type[asyncio.Protocol]:
    return guarded_protocol(Limits(**limits), lambda _: None)  # type: ignore[arg-type]


async def is_closed(streams: Streams) -> bool:
    """Whether the other side closes the connection, for which this waits."""
    with suppress(ConnectionResetError):
        return await streams[0].read(1) == b""
    return True


async def asked(streams: Streams) -> bytes:
    streams[1].write(GET)
    return await streams[0].readuntil(b"ok")


def test_headers_have_their_time(runner: asyncio.Runner) -> None:
    async def use(connect: Connect) -> None:
        silent, slow = await connect(), await connect()
        slow[1].write(GET[:10])
        assert await is_closed(silent)
        assert await is_closed(slow)
        kept = await connect()
        assert (await asked(kept)).startswith(b"HTTP/1.1 200")
        assert (await asked(kept)).startswith(b"HTTP/1.1 200")  # a connection is not closed for having been used
        kept[1].write(GET[:10])
        assert await is_closed(kept)
        for streams in (silent, slow, kept):
            streams[1].close()

    with_server(runner, guarded(headers_s=0.2), use)


def test_of_too_many_the_longest_waiting_goes(runner: asyncio.Runner) -> None:
    async def use(connect: Connect) -> None:
        busy = await connect()
        await asked(busy)
        waiting = [await connect() for _ in range(5)]
        assert await is_closed(busy)  # idle since its answer
        assert await is_closed(waiting[0])
        new = await connect()
        assert (await asked(new)).startswith(b"HTTP/1.1 200")
        for streams in (busy, new, *waiting):
            streams[1].close()

    with_server(runner, guarded(connections=4), use)


@pytest.mark.parametrize(
    ("beginning", "endless"),
    [
        (GET[:-2] + b"A: ", b"a" * 5000),  # a header
        (GET[:-2], b"A: b\r\n" * 1000),  # headers
        (b"GET /", b"a" * 5000),  # an address
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 1000),  # trailers
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 5000),  # what stands beside a chunk's size
    ],
)
def test_what_is_no_body_is_not_read_for_ever(runner: asyncio.Runner, beginning: bytes, endless: bytes) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(beginning)
        await asyncio.sleep(0.05)  # a piece of its own
        writer.write(endless)
        with suppress(ConnectionResetError):
            assert (await reader.read()).endswith(b"headers are too long.")  # and then the connection is closed
        writer.close()

    with_server(runner, guarded(head_bytes=4096), use)


def test_a_body_may_be_longer_than_headers(runner: asyncio.Runner) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        for _ in range(2):  # one after the other
            writer.write(POST + b"Content-Length: 1000000\r\n\r\n" + bytes(1_000_000))
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()

    with_server(runner, guarded(head_bytes=4096), use)


@pytest.mark.parametrize("cut", [len(POST) + 130, len(POST) + 30], ids=["after the headers", "within them"])
def test_who_would_speak_another_protocol_is_answered_in_ours(runner: asyncio.Runner, cut: int) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write((request := POST + UPGRADE + b"Content-Length: 4\r\n\r\nbody")[:cut])
        await asyncio.sleep(0.05)
        writer.write(request[cut:])
        answered = await reader.readuntil(b"ok")
        assert answered.startswith(b"HTTP/1.1 200")
        if b"connection: close" not in answered:  # else it comes again by another connection
            assert answered.endswith(b"bodyok")
            writer.write(request)
            assert (await reader.readuntil(b"ok")).endswith(b"bodyok")
        writer.close()

    with_server(runner, guarded(), use, echo)


def test_a_connection_asks_for_few_answers_at_a_time(runner: asyncio.Runner) -> None:
    async def use(connect: Connect) -> None:
        streams, other = await connect(), await connect()
        streams[1].write(GET * 5)  # as many as wait, and the one that is answered
        for _ in range(5):
            assert (await streams[0].readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        streams[1].write(GET * 6000)
        with suppress(ConnectionResetError):
            assert len(await streams[0].read()) < 5000  # and then the connection is closed
        assert (await asked(other)).startswith(b"HTTP/1.1 200")
        for one in (streams, other):
            one[1].close()

    with_server(runner, guarded(pipelined=4), use)


@pytest.mark.parametrize("request_", [GET, GET[:-2] + b"Connection: close\r\n\r\n"])
def test_who_does_not_read_an_answer_is_let_go(runner: asyncio.Runner, request_: bytes) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(request_)
        await asyncio.sleep(1.0)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with suppress(ConnectionResetError):
            assert len(await reader.read()) < LARGE
        writer.close()

    with_server(runner, guarded(read_s=0.2), use, large)


def test_who_reads_an_answer_slowly_is_not_let_go(runner: asyncio.Runner) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(GET[:-2] + b"Connection: close\r\n\r\n")
        n_bytes = 0
        while part := await reader.read(LARGE // 16):
            n_bytes += len(part)
            await asyncio.sleep(0.01)
        assert n_bytes > LARGE
        writer.close()

    with_server(runner, guarded(read_s=0.3), use, large)


def test_who_is_turned_away_over_and_over_and_reads_nothing_is_let_go(runner: asyncio.Runner) -> None:
    async def use(connect: Connect) -> None:
        _, writer = await connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        with suppress(ConnectionResetError):
            while True:  # with_server's time ends it
                writer.write(GET * 100)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    with_server(runner, guarded_protocol(Limits(), lambda data: (b"429" * 300, min(len(data), len(GET)))), use)


def test_of_a_burst_of_connections_as_many_are_kept_as_may_be(runner: asyncio.Runner) -> None:
    async def use(connect: Connect) -> None:
        burst = await asyncio.gather(*(connect() for _ in range(40)))
        await asyncio.sleep(0.2)
        kept = [one for one in burst if not one[0].at_eof() and one[0].exception() is None]
        assert len(kept) <= 8
        assert (await asked(kept[-1])).startswith(b"HTTP/1.1 200")
        for streams in burst:
            streams[1].close()

    with_server(runner, guarded(connections=8), use)


def test_the_leaving_of_a_client_that_has_asked_twice_is_told(runner: asyncio.Runner) -> None:
    told = list[str]()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        while not told and (await receive())["type"] != "http.disconnect":
            pass
        told.append("gone")

    async def use(connect: Connect) -> None:
        _, writer = await connect()
        writer.write(GET)
        await asyncio.sleep(0.05)
        writer.write(GET)
        await asyncio.sleep(0.05)
        writer.close()
        while not told:
            await asyncio.sleep(0.01)

    with_server(runner, guarded(), use, waits)
