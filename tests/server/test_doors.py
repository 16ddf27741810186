"""Requests that are turned away at the door are answered like those that are refused inside, and nothing odd is read there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.server.connections import guarded_protocol
from tellapart.server.doors import plain_request
from tellapart.server.limits import Limits

from .conftest import Server, Start
from .test_connections import Connect, asked, with_server
from .test_load import large_png, metric, until

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 4\r\n"


@pytest.mark.parametrize(
    ("head", "request_id"),
    [
        (HEAD, ""),
        (HEAD.replace(b" HTTP", b"?top_k=1 HTTP"), ""),
        (HEAD + b"connection: Keep-Alive\r\nX-REQUEST-ID: \ta.1 \r\n", "a.1"),
        (HEAD + b"X-Request-ID: <b>\r\n", ""),
    ],
)
def test_a_plain_request_is_read(head: bytes, request_id: str) -> None:
    assert plain_request(head + b"\r\nbody and more") == (b"/v1/predict", len(head) + len(b"\r\nbody"), request_id)


@pytest.mark.parametrize(
    "data",
    [
        HEAD,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n",
        HEAD + b"A: b\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"A: b\r\n Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"A: b\rContent-Length: 9\r\n\r\n",
        HEAD + b"Content-Length: 4\r\n\r\n",
        HEAD + b"Content-Length : 4\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\n\r\n",
        HEAD + b"Connection: close\r\n\r\n",
        HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        HEAD.replace(b"Length: 4", b"Length: +4") + b"\r\n",
        HEAD.replace(b"Length: 4", b"Length: 4, 4") + b"\r\n",
        HEAD.replace(b"Content-Length: 4\r\n", b"") + b"\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"\r\n",
        HEAD.replace(b"POST", b"PUT") + b"\r\n",
        HEAD.replace(b"POST ", b"POST  ") + b"\r\n",
        HEAD + b"A: " + bytes(9000) + b"\r\n\r\n",
    ],
)  # fmt: skip
def test_nothing_unusual_is_read(data: bytes) -> None:
    assert plain_request(data) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_looked_at(data: bytes) -> None:
    assert plain_request(data) is None
    plain_request(HEAD + data + b"\r\n\r\n")


@contextmanager
def full(start: Start, run_folder: object, *options: str) -> Iterator[Server]:
    """A server whose room is full for some seconds."""
    with start(run_folder, "--queue", "2", "--max-pictures", "1", *options) as server:
        busy = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        body = large_png()
        for one in busy:
            one.sendall(HEAD.replace(b"Length: 4", f"Length: {len(body)}".encode()) + b"\r\n" + body)
        until(lambda: metric(server, "tellapart_queue_pictures") == 2)
        try:
            yield server
        finally:
            for one in busy:
                one.close()


def test_who_is_turned_away_hears_what_others_hear(start: Start, run_folder: object) -> None:
    with full(start, run_folder) as server:
        outside = server.predict(b"body", X_Request_ID="mine")
        inside = server.predict(b"body", X_Request_ID="mine", Connection="close")
        assert metric(server, "tellapart_queue_pictures") == 2  # else both were let in
        assert (outside.status, inside.status) == (429, 429)
        assert outside.json == inside.json == outside.json | {"request_id": "mine"}
        for reply in (outside, inside):
            for name in ("connection", "date"):
                reply.headers.pop(name, None)
        assert outside.headers == inside.headers
        assert metric(server, 'tellapart_requests_total{route="/v1/predict",status="429"}') == 2
        assert metric(server, 'tellapart_refusals_total{kind="overloaded"}') == 2
        until(lambda: any(line["event"] == "overloaded" for line in server.logs()))
    told = [line for line in server.logs() if line["event"] == "overloaded"]
    assert [(line["route"], line["status"], line["requests"]) for line in told] == [("/v1/predict", 429, 1)]


def test_bodies_that_are_not_here_yet_take_no_room(start: Start, run_folder: object, contents: list[bytes]) -> None:
    with start(run_folder, "--queue", "4", "--max-pictures", "4") as server:
        dawdlers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        for one in dawdlers:
            one.sendall(HEAD + b"\r\nb")
        assert {server.predict(contents[0]).status for _ in range(5)} == {200}
        for one in dawdlers:
            one.close()
        until(lambda: metric(server, 'tellapart_requests_total{route="/v1/predict",status="499"}') == 50)


def test_the_body_is_passed_over_and_the_connection_kept(runner: asyncio.Runner) -> None:
    """However the requests are cut into pieces."""
    request, other = HEAD + b"\r\nbody", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    def turn_away(data: bytes) -> tuple[bytes, int] | None:
        return (b"HTTP/1.1 429 \r\ncontent-length: 2\r\n\r\nno", len(request)) if data.startswith(b"POST") else None

    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        for pieces in (
            [request + request + other],
            [request[:-1], request[-1:] + request, other],
            [request[:-3], request[-3:-1], request[-1:] + request + other],
        ):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.02)  # so that they are read one by one
            answers = await reader.readuntil(b"ok")
            assert answers.count(b"HTTP/1.1 429") == 2
            assert answers.count(b"HTTP/1.1 200") == 1
        assert (await asked((reader, writer))).startswith(b"HTTP/1.1 200")
        writer.close()

    with_server(runner, guarded_protocol(Limits(), turn_away), use)


def test_a_body_that_does_not_come_has_its_time(runner: asyncio.Runner) -> None:
    async def use(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(HEAD + b"\r\nb")
        assert await reader.read() == b"no"
        writer.close()

    with_server(runner, guarded_protocol(Limits(headers_s=0.2), lambda _: (b"no", 1000)), use)
