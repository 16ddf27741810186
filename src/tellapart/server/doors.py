"""Where requests are turned away for which there is no room, before they cost nearly as much as those that are answered.

A refusal that went all the way through parser and ASGI would cost the event loop a good part of what an answer does: of ten times
too many requests those would suffer that there is room for.
"""

from __future__ import annotations

import asyncio
import re

from tellapart.server.guarding import PREDICT, REQUEST_ID, SECURITY, new_id, refusal_body
from tellapart.server.limits import overloaded
from tellapart.server.logs import log
from tellapart.server.services import Service

HEAD_BYTES = 8192
# Plain is no request of which a header goes over two lines, or a line ends without \r.
HEAD = re.compile(rb"POST ([^ ?\r\n]+)(?:\?[^ \r\n]*)? HTTP/1\.1((?:\r\n[^ \t\r\n][^\r\n]*)*)")
# Headers that matter here, and what is like one of them: their names and values.
FIELDS = re.compile(
    rb"\r\n([ \t\v\f]*(?:transfer-encoding|expect|upgrade|content-length|x-request-id|connection)[^:\r\n]*):?([^\r\n]*)",
    re.IGNORECASE,
)
LENGTH = re.compile(rb"[ \t]*(\d{1,9})[ \t]*")  # the parser reads longer numbers
PLACE = "{}"  # of the request's id, in what is said
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
        self._head = "HTTP/1.1 429 Too Many Requests\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._body = refusal_body(self._refusal, PLACE).decode()

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
        request_id = request_id or new_id()
        body = self._body.replace(PLACE, request_id)
        return f"{self._head}x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode(), n_bytes

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
    head = HEAD.fullmatch(data, 0, max(end, 0))
    if head is None:
        return None
    found = FIELDS.findall(head[2])
    fields = {name.lower(): value for name, value in found}
    is_once = len(fields) == len(found)
    length = LENGTH.fullmatch(fields.pop(b"content-length", b""))
    given_id = fields.pop(b"x-request-id", b"").strip().decode("latin-1")
    keeps = fields.pop(b"connection", b"keep-alive").strip().lower() == b"keep-alive"
    if fields or not is_once or length is None or not keeps:
        return None
    return head[1], end + 4 + int(length[1]), given_id if REQUEST_ID.fullmatch(given_id) else ""
