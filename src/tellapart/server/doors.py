"""Where requests are turned away for which there is no room, before they cost nearly as much as those that are answered.

A refusal that went all the way through parser and ASGI would cost the event loop a good part of what an answer does: of ten times
too many requests those would suffer that there is room for.
"""

from __future__ import annotations

import asyncio
import re
import secrets

from tellapart.server.guarding import PREDICT, REQUEST_ID, SECURITY, refusal_body
from tellapart.server.limits import overloaded
from tellapart.server.logs import log
from tellapart.server.services import Service

HEAD_BYTES = 8192
REQUEST_LINE = re.compile(rb"POST ([^ ?]+)(?:\?[^ ]*)? HTTP/1\.1")
LENGTH = re.compile(rb"[ \t]*(\d{1,9})[ \t]*")  # the parser reads longer numbers
# A request with one of these is no plain one; nor is one of which a header goes over two lines, or a line ends without \r.
ODD_FIELDS = (b"transfer-encoding", b"expect", b"upgrade", b"content-length", b"x-request-id", b"connection")
LOG_EVERY_S = 1.0  # a flood of refusals must not become one of lines


class Door:
    """Answers, in one event loop, plain requests that come while the room is full; all others are for the parser to read."""

    def __init__(self, service: Service, *, root_path: str) -> None:
        self._service = service
        self._paths = (PREDICT.encode(), (root_path + PREDICT).encode())
        self._n_coming = 0  # requests of this turn of the event loop that are here in full, and take of the room in the next
        self._n_refused = 0  # of which the log does not tell yet
        self._refusal = overloaded()
        fields = {"content-type": "application/json", "retry-after": str(self._refusal.retry_after_s), **SECURITY}
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items())

    def turn_away(self, data: bytes) -> tuple[bytes, int] | None:
        """What to answer at once to the request that `data` begins with, and how long that is with its body; None lets it in."""
        if self._service.draining or not data.startswith(b"POST "):
            return None
        found = plain_request(data)
        if found is None or found[0] not in self._paths or found[1] > self._service.limits.body_bytes:
            return None
        _, n_bytes, request_id = found
        if not self._service.room.is_full(n_coming=self._n_coming):
            if n_bytes <= len(data):
                self._expect_one()
            return None
        self._count()
        request_id = request_id or secrets.token_hex(8)
        body = refusal_body(self._refusal, request_id)
        head = (
            f"HTTP/1.1 429 Too Many Requests\r\n{self._fields}x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body, n_bytes

    def _expect_one(self) -> None:
        if not self._n_coming:
            asyncio.get_running_loop().call_soon(self._expect_none)
        self._n_coming += 1

    def _expect_none(self) -> None:
        self._n_coming = 0

    def _count(self) -> None:
        metrics = self._service.metrics
        metrics.requests.add(route=PREDICT, status=str(self._refusal.status))
        metrics.refusals.add(kind=self._refusal.kind)
        if not self._n_refused:
            asyncio.get_running_loop().call_later(LOG_EVERY_S, self._tell)
        self._n_refused += 1

    def _tell(self) -> None:
        log("overloaded", route=PREDICT, status=self._refusal.status, requests=self._n_refused)
        self._n_refused = 0


def plain_request(data: bytes) -> tuple[bytes, int, str] | None:
    """A request's path, its length with its body in bytes, and the id that it gives or ""; None for all but the plainest.

    Two programs that read a request differently can be led to take a part of it for another, so nothing unusual is read here.
    """
    end = data.find(b"\r\n\r\n", 0, HEAD_BYTES)
    lines = data[: max(end, 0)].split(b"\r\n")
    request = REQUEST_LINE.fullmatch(lines[0])
    if request is None or any(b"\n" in line or b"\r" in line or line[:1] in b" \t" for line in lines):
        return None
    odd: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower().startswith(ODD_FIELDS):
            if name.lower() in odd:
                return None
            odd[name.lower()] = value
    length = LENGTH.fullmatch(odd.pop(b"content-length", b""))
    given_id = odd.pop(b"x-request-id", b"").strip().decode("latin-1")
    keeps = odd.pop(b"connection", b"keep-alive").strip().lower() == b"keep-alive"
    if odd or length is None or not keeps:
        return None
    return request[1], end + 4 + int(length[1]), given_id if REQUEST_ID.fullmatch(given_id) else ""
