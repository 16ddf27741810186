"""Listening no more, without a reset for those who have just connected.

The system makes connections by itself, and the program takes them up one by one. Whoever stands between when the listening
socket is closed is reset, with the request that may be sent already. So first no new connection is begun, on Linux by a filter
that passes over packets which ask for one (who sent it tries again a second later, and is refused); then those that stand there
are taken up.
"""

from __future__ import annotations

import asyncio
import ctypes
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

COMING_S = 0.1  # for connections of which the first packet has come already; a guess: a round trip within a continent
EMPTY_WITHIN_S = 1.0  # for a moment without a connection that is yet to be taken up
ATTACH_FILTER = 26  # Linux's SO_ATTACH_FILTER, which Python does not name
FLAGS_BYTE, SYN = 13, 0x02  # of a TCP header
# A program of Linux's classic packet filter: code, places to jump where true and where not, operand (linux/filter.h).
NO_SYN = (
    (0x30, 0, 0, FLAGS_BYTE),  # load the byte
    (0x45, 0, 1, SYN),  # of its bits
    (0x06, 0, 0, 0),  # keep nothing of the packet
    (0x06, 0, 0, 0xFFFF_FFFF),  # keep all of it
)


async def close_listening(server: asyncio.Server, sockets: Sequence[socket.socket]) -> None:
    """Close `server`, and the `sockets` that it listens on, at a moment when no connection waits to be taken up."""
    if _holds_off_new(sockets):
        await asyncio.sleep(COMING_S)
    end = time.monotonic() + EMPTY_WITHIN_S
    while select.select(sockets, [], [], 0)[0] and time.monotonic() < end:
        await asyncio.sleep(0)
    server.close()


def _holds_off_new(sockets: Sequence[socket.socket]) -> bool:
    """Let the system begin no new connections to these sockets; whether it does so."""
    if sys.platform != "linux":
        return False
    program = b"".join(struct.pack("HBBI", *step) for step in NO_SYN)
    held = ctypes.create_string_buffer(program, len(program))
    option = struct.pack("HP", len(NO_SYN), ctypes.addressof(held))
    with suppress(OSError):  # of a system that only looks like Linux
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, option)
        return True
    return False
