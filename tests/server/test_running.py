"""What a server is made of before it serves."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import closing

import pytest

from tellapart.server.running import event_loop
from tellapart.server.starting import listening


def test_the_event_loop_is_uvloop_s_where_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(event_loop()) as found:
        assert isinstance(found, pytest.importorskip("uvloop").Loop)
    monkeypatch.setitem(sys.modules, "uvloop", None)  # as if it were not
    with closing(event_loop()) as found:
        assert isinstance(found, asyncio.BaseEventLoop)


def test_no_part_of_an_answer_waits_for_word_of_the_one_before() -> None:
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
