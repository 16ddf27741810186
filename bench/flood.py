"""Requests at random moments, whether others are answered or not, from one thread that costs little.

All that is due is sent, and all that came is read, once a millisecond. To wake up for every request costs the two more
than the request does: on two cores, at ten times what a server can answer, some 4 % of its answers.
"""

from __future__ import annotations

import random
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import cycle

from answers import Answer, Tally, answer_in

TICK_S = 0.001
MAX_OPEN = 2000  # connections; a request that finds none free waits, and its latency shows it
KEPT_S = 4.0  # for which a connection is kept without a request; servers close theirs after five
CONNECT_S = 5.0
LATE_S = 30.0  # what is not answered so long after the last request counts as broken
SEND_BYTES = 2**20  # so that a request goes in one piece
READ_BYTES = 2**16


class _Connection:
    """A request at a time, which nothing waits for."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=CONNECT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self.socket.setblocking(False)
        self.since = 0.0  # when its request was meant to be sent, or its last one was answered
        self.is_asked = False
        self.unsent = memoryview(b"")
        self._received = b""

    def ask(self, request: bytes, moment: float) -> None:
        """Send what there is room for. May raise OSError, as the others do."""
        self.since, self.is_asked, self.unsent = moment, True, memoryview(request)
        self.send()

    def send(self) -> None:
        with suppress(BlockingIOError):
            self.unsent = self.unsent[self.socket.send(self.unsent) :]

    def receive(self) -> Answer | None:
        """The answer, once it is here in full."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("closed without an answer")
        self._received += data
        if answer := answer_in(self._received):
            self.is_asked, self._received = False, b""
        return answer


class Flood:
    """Sends requests to an address, by turns."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes]) -> None:
        self.tally = Tally()
        self._address = address
        self._turn = cycle(requests)
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Connection] = []  # the last one used last
        self._waiting = deque[float]()  # moments of requests that no connection is free for
        self._n_open = 0
        self._n_asked = 0

    def run(self, *, rate: float, seconds: float, seed: int = 0) -> Tally:
        """Send at the moments of a Poisson process."""
        for moment in _moments(rate, seconds, seed):
            while time.perf_counter() < moment:
                self._tick()
            self._send(moment)
        end = time.perf_counter() + LATE_S
        while self._n_asked + len(self._waiting) and time.perf_counter() < end:
            self._tick()
        if n_late := self._n_asked + len(self._waiting):
            self.tally.broken["late"] += n_late
        for key in list(self._selector.get_map().values()):
            self._drop(key.data)
        return self.tally

    def _tick(self) -> None:
        time.sleep(TICK_S)
        for key, events in self._selector.select(0):
            connection: _Connection = key.data
            try:
                if events & selectors.EVENT_WRITE:
                    connection.send()
                    self._watch(connection)
                if events & selectors.EVENT_READ and (answer := connection.receive()):
                    self._take(connection, answer)
            except OSError as error:
                self._lose(connection, error)
        while self._waiting and (self._idle or self._n_open < MAX_OPEN):
            self._send(self._waiting.popleft())

    def _send(self, moment: float) -> None:
        connection = self._free()
        if connection is None and self._n_open == MAX_OPEN:
            self._waiting.append(moment)
            return
        try:
            connection = connection or self._connect()
        except OSError as error:
            self.tally.add(moment, error)
            return
        self._n_asked += 1
        try:
            connection.ask(next(self._turn), moment)
        except OSError as error:
            self._lose(connection, error)
        else:
            self._watch(connection)

    def _take(self, connection: _Connection, answer: Answer) -> None:
        self._n_asked -= 1
        self.tally.add(connection.since, answer)
        if answer.keeps and not connection.unsent:
            connection.since = time.perf_counter()
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _lose(self, connection: _Connection, error: OSError) -> None:
        self._drop(connection)
        if connection.is_asked:
            self._n_asked -= 1
            self.tally.add(connection.since, error)

    def _free(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.socket.fileno() >= 0 and time.perf_counter() - connection.since < KEPT_S:
                return connection
            self._drop(connection)
        return None

    def _connect(self) -> _Connection:
        connection = _Connection(self._address)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        self._n_open += 1
        return connection

    def _watch(self, connection: _Connection) -> None:
        """Look out for room to send in only while something is to be sent."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        if self._selector.get_key(connection.socket).events != events:
            self._selector.modify(connection.socket, events, connection)

    def _drop(self, connection: _Connection) -> None:
        if connection.socket.fileno() >= 0:
            self._selector.unregister(connection.socket)
            connection.socket.close()
            self._n_open -= 1


def _moments(rate: float, seconds: float, seed: int) -> Iterator[float]:
    chance, moment = random.Random(seed), time.perf_counter()
    end = moment + seconds
    while (moment := moment + chance.expovariate(rate)) < end:
        yield moment
