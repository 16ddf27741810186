"""HTTP connections that wait for no one for ever: uvicorn has no limit on the time that a request's headers may take."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from tellapart.server.limits import Limits


def guarded_protocol(limits: Limits) -> type[H11Protocol]:
    """The protocol of a server whose connections are closed where the headers of a request take too long, and the longest
    waiting of them first where there are too many.
    """
    waiting: dict[Guarded, None] = {}  # connections without a request, the longest waiting first

    class Guarded(H11Protocol):
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()
            if len(self.connections) > limits.connections:
                next(iter(waiting)).transport.abort()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._is_waiting():
                waiting.setdefault(self)  # idle: uvicorn's own timer closes it

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
                waiting.setdefault(self)
                self.timer = self.loop.call_later(limits.headers_s, self.transport.abort)

        def _is_waiting(self) -> bool:
            return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

        def _unwatch(self) -> None:
            waiting.pop(self, None)
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

    return Guarded
