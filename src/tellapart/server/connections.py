"""HTTP connections that wait for no one for ever, and hold little.

uvicorn has no limit on the time for a request's headers to come, nor on that for an answer to be read, nor on the length of
headers, nor on the requests that may be sent before the first is answered.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tellapart.server.limits import Limits

UPGRADE = re.compile(rb"(\r\n)upgrade(?=[ \t]*:)", re.IGNORECASE)
TurnAway = Callable[[bytes], tuple[bytes, int] | None]


@dataclass(frozen=True)
class _Shared:
    """What all connections of a server share."""

    limits: Limits
    turn_away: TurnAway
    waiting: dict[_Guarded, None] = field(default_factory=dict)  # those without a request, the longest waiting first


def guarded_protocol(limits: Limits, turn_away: TurnAway) -> type[HttpToolsProtocol]:
    """The protocol of a server whose connections are closed where a client dawdles with a request's headers or with reading an
    answer, where it sends too much at once, and the longest waiting of them first where there are too many.

    A request for which `turn_away` has an answer gets that, and its body is passed over.
    """
    return type("Guarded", (_Guarded,), {"shared": _Shared(limits, turn_away)})  # uvicorn makes the connections itself


class _Guarded(HttpToolsProtocol):
    shared: ClassVar[_Shared]
    timer: asyncio.TimerHandle | None = None  # for the headers
    write_timer: asyncio.TimerHandle | None = None
    running: RequestResponseCycle | None = None  # the request that is answered, before those in the pipeline
    n_answers = 0
    n_passed_over = 0  # bytes that are still to come of a request that was turned away
    is_between = True  # requests: the last one is here in full, and nothing of the next
    n_head_bytes = 0  # read since the request's beginning, or the last of its body: headers, trailers, sizes of chunks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.shared.limits.connections:
            longest = next(iter(self.shared.waiting))
            longest._unwatch()  # another one comes before the abort takes effect
            longest.transport.abort()

    def data_received(self, data: bytes) -> None:
        while data and not self.transport.is_closing():
            if self.n_passed_over:
                data = self._rest(data)
            elif self.is_between and self._is_waiting() and (turned_away := self.shared.turn_away(data)):
                answer, self.n_passed_over = turned_away
                self._unset_keepalive_if_required()
                self.transport.write(answer)
                if self.flow.write_paused:  # it asks and asks, and reads nothing
                    self.transport.abort()
                elif self.n_passed_over > len(data):
                    self._watch()  # the body has as long as headers have
            else:
                self._read(data)
                return

    def _read(self, data: bytes) -> None:
        self.n_head_bytes += len(data)
        if self.is_between:
            data = _without_upgrade(data)
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
            self.cycle.keep_alive = False  # the parser reads no other request after this one
        if not self.pipeline:
            self.running = self.cycle
        elif len(self.pipeline) > self.shared.limits.pipelined:
            raise ValueError("too many requests at a time")  # the parser stops, and the connection ends
        else:
            self.flow.resume_reading()  # else it would not be seen that the client leaves

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

    def send_400_response(self, msg: str) -> None:
        if self._is_waiting():
            super().send_400_response(msg)
        else:  # it would stand in the middle of an answer, or before the one that is due
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def _watch_writing(self) -> None:
        """Give the client its time to read some of what is yet to be sent, over and over."""
        if self.write_timer is None and (n_bytes := self.transport.get_write_buffer_size()):
            self.write_timer = self.loop.call_later(self.shared.limits.read_s, self._look_at_writing, n_bytes, self.n_answers)

    def _look_at_writing(self, n_bytes_before: int, n_answers_before: int) -> None:
        self.write_timer = None
        if self.transport.get_write_buffer_size() >= n_bytes_before and self.n_answers == n_answers_before:
            self.transport.abort()
        else:
            self._watch_writing()

    def on_response_complete(self) -> None:
        self.n_answers += 1
        self._watch_writing()  # it may be the last, and the connection open until it is read
        if self.pipeline:
            self.running = self.pipeline[-1][0]
        super().on_response_complete()
        if self._is_waiting():
            self.shared.waiting.setdefault(self)  # idle: uvicorn's own timer closes it

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for cycle in (self.running, *(cycle for cycle, _ in self.pipeline)):  # uvicorn tells the last alone
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        if self.write_timer is not None:
            self.write_timer.cancel()
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


def _without_upgrade(data: bytes) -> bytes:
    """The beginning of a request, an offer to speak another protocol made one that no one knows.

    We take none up; the parser, offered one, reads no body. Java's clients offer HTTP/2 with whatever they send.
    """
    end = data.find(b"\r\n\r\n")
    if UPGRADE.search(data, 0, max(end, 0)) is None:
        return data
    return UPGRADE.sub(rb"\1x-grade", data[:end]) + data[end:]
