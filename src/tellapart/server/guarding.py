"""What happens to every request before and after its route: its id, who asks and how often, headers of safety, log and count."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from math import ceil

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tellapart.server.limits import Refusal
from tellapart.server.logs import log
from tellapart.server.services import Service

REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
# Open without a key: what tells nothing of the models.
OPEN_PATHS = ("/", "/health", "/ready", "/openapi.json", "/page.css", "/page.js")
PREDICT = "/v1/predict"
ROUTES = (*OPEN_PATHS, PREDICT, "/v1/models", "/metrics")
LINGER_S = 1.0  # to a client that still sends when it is refused: closed at once, it might not see the answer
FAULT = Refusal(500, "fault", "a fault of the server's own; its log says more under the request's id")
SECURITY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
SECURITY_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY.items()]


class Guard:
    """An ASGI app around another, below `root_path` where a proxy puts it there: /coins."""

    def __init__(self, app: ASGIApp, service: Service, *, root_path: str) -> None:
        self._app = app
        self._service = service
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["root_path"] = self._root_path  # whether the proxy has taken it off the path or not, the routes are found
        exchange = _Exchange(self._service, scope, receive, send)
        state = scope.setdefault("state", {})
        state |= {"request_id": exchange.id, "since": exchange.since, "facts": exchange.facts}
        try:
            self._let_in(scope, exchange)
            await self._app(scope, exchange.receive, exchange.send)
        except Refusal as refusal:
            await refused(refusal, exchange.id, exchange.facts)(scope, exchange.receive, exchange.send)
        except Exception as error:
            log("error", id=exchange.id, error=repr(error), where=traceback.format_tb(error.__traceback__)[-1])
            if exchange.status is not None:  # too late for another answer
                raise
            await refused(FAULT, exchange.id, exchange.facts)(scope, exchange.receive, exchange.send)
        finally:
            self._note(scope, exchange)

    def _let_in(self, scope: Scope, exchange: _Exchange) -> None:
        """Raise Refusal for who may not ask, or not so often, or from another site's page."""
        headers, path = Headers(scope=scope), route_path(scope)
        if path in OPEN_PATHS:
            return
        if headers.get("sec-fetch-site") == "cross-site":  # a form of another page would be sent without asking us
            raise Refusal(403, "cross_site", "pages of other sites may not ask this server")
        caller = scope["client"][0] if scope.get("client") else ""
        if self._service.keys is not None:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            given = key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
            name = self._service.keys.name_of(given.encode("utf-8", "replace"))
            if name is None:
                raise Refusal(401, "key", "a key is needed that this server knows: Authorization: Bearer KEY")
            caller = exchange.facts["key"] = name
        if path == PREDICT and (wait_s := self._service.rates.wait_s(caller)):
            raise Refusal(429, "rate", "this caller asks more often than is allowed", retry_after_s=ceil(wait_s))

    def _note(self, scope: Scope, exchange: _Exchange) -> None:
        path, seconds = route_path(scope), (exchange.answered_at or time.monotonic()) - exchange.since
        route = path if path in ROUTES else "other"  # a stranger must not fill the metrics
        status = exchange.status or 499  # the client left before there was an answer
        metrics = self._service.metrics
        metrics.requests.add(route=route, status=str(status))
        if "pictures" in exchange.facts:
            metrics.request_seconds.observe(seconds)
        if kind := exchange.facts.get("refusal"):
            metrics.refusals.add(kind=str(kind))
        client = scope["client"][0] if scope.get("client") else None
        facts = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1), "client": client}
        log("request", id=exchange.id, **facts, **exchange.facts)


class _Exchange:
    """A request and its answer as they go by."""

    def __init__(self, service: Service, scope: Scope, receive: Receive, send: Send) -> None:
        self._service = service
        self._receive = receive
        self._send = send
        self._has_unread_body = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        self.since = time.monotonic()
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if REQUEST_ID.fullmatch(given) else new_id()
        self.facts: dict[str, object] = {}  # for the log
        self.status: int | None = None
        self.answered_at: float | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self._has_unread_body = self._has_unread_body and message["type"] == "http.request" and bool(message.get("more_body"))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.answered_at = message["status"], time.monotonic()
            headers = [*message["headers"], (b"x-request-id", self.id.encode()), *SECURITY_HEADERS]
            if self._has_unread_body or self._service.draining:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif self._has_unread_body and not message.get("more_body"):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _linger(self) -> None:
        """Pass over what the client still sends, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while self._has_unread_body:
                    await self.receive()


def refused(refusal: Refusal, request_id: str, facts: dict[str, object]) -> Response:
    """The answer to a request that is refused; its kind is noted among the facts."""
    facts["refusal"] = refusal.kind
    headers: Mapping[str, str] = {} if refusal.retry_after_s is None else {"retry-after": str(refusal.retry_after_s)}
    if refusal.status == 401:
        headers = {"www-authenticate": "Bearer"}
    return Response(refusal_body(refusal, request_id), refusal.status, headers, "application/json")


def refusal_body(refusal: Refusal, request_id: str) -> bytes:
    """What is said of a refusal, as JSON."""
    return json.dumps({"error": {"kind": refusal.kind, "text": str(refusal)}, "request_id": request_id}).encode()


def new_id() -> str:
    """A request's, which need not be secret: the system's random numbers would be a call to the kernel each."""
    return f"{random.getrandbits(64):016x}"


def route_path(scope: Scope) -> str:
    """The path below the prefix that a proxy may have put before it."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path.startswith(root + "/") else path
