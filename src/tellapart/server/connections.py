"""HTTP connections that wait for no one for ever: uvicorn has no limit on the time that a request's headers may take."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tellapart.server.limits import Limits

TurnAway = Callable[[bytes], tuple[bytes, int] | None]


@dataclass(frozen=True)
class _Shared:
    """What all connections of a server share."""

    limits: Limits
    turn_away: TurnAway
    waiting: dict[_Guarded, None] = field(default_factory=dict)  # those without a request, the longest waiting first


def guarded_protocol(limits: Limits, turn_away: TurnAway) -> type[HttpToolsProtocol]:
    """The protocol of a server whose connections are closed where the headers of a request take too long or too much room, and
    the longest waiting of them first where there are too many.

    A request for which `turn_away` has an answer gets that, and its body is passed over.
    """
    return type("Guarded", (_Guarded,), {"shared": _Shared(limits, turn_away)})  # uvicorn makes the connections itself


class _Guarded(HttpToolsProtocol):
    shared: ClassVar[_Shared]
    timer: asyncio.TimerHandle | None = None
    n_passed_over = 0  # bytes that are still to come of a request that was turned away
    is_between = True  # requests: the last one is here in full, and nothing of the next
    n_head_bytes = 0  # read since the request's beginning, or the last of its body: headers, trailers, sizes of chunks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does so for sockets that name their protocol, which those of a listening socket made by hand do not: the
        # second part of an answer would wait for the client's word on the first, 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()
        if len(self.connections) > self.shared.limits.connections:
            next(iter(self.shared.waiting)).transport.abort()

    def data_received(self, data: bytes) -> None:
        while data and not self.transport.is_closing():
            if self.n_passed_over:
                data = self._rest(data)
            elif self.is_between and self._is_waiting() and (turned_away := self.shared.turn_away(data)):
                answer, self.n_passed_over = turned_away
                self._unset_keepalive_if_required()
                self._watch()  # the body has as long as headers have
                self.transport.write(answer)
            else:
                self._read(data)
                return

    def _read(self, data: bytes) -> None:
        self.n_head_bytes += len(data)
        super().data_received(data)
        if self.n_head_bytes > self.shared.limits.head_bytes and not self.transport.is_closing():
            self.send_400_response("The request's headers are too long.")
        self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.is_between = False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.n_head_bytes = 0
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # we speak nothing else, and the parser reads no other request after this one

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self.n_head_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.n_head_bytes = 0
        self.is_between = True

    def _rest(self, data: bytes) -> bytes:
        """What comes after the request that is passed over."""
        n_bytes = min(len(data), self.n_passed_over)
        self.n_passed_over -= n_bytes
        if not self.n_passed_over:
            self._unwatch()
            self.on_response_complete()
        return data[n_bytes:]

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_waiting():
            self.shared.waiting.setdefault(self)  # idle: uvicorn's own timer closes it

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

    def shutdown(self) -> None:
        super().shutdown()
        self._unwatch()

    def _watch(self) -> None:
        """Give the headers that are not there yet their time, once."""
        if not self._is_waiting():
            self._unwatch()
        elif self.timer is None:
            self.shared.waiting.setdefault(self)
            self.timer = self.loop.call_later(self.shared.limits.headers_s, self.transport.abort)

    def _is_waiting(self) -> bool:
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def _unwatch(self) -> None:
        self.shared.waiting.pop(self, None)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
