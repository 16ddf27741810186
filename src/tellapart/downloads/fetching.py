"""One request: ask a checked link, and take what comes within the limits. Follows nothing and retries nothing by itself."""

from __future__ import annotations

import asyncio
import email.utils
import errno
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tellapart import __version__
from tellapart.downloads.guards import Guard, PinnedNames
from tellapart.errors import LinkError, MissingExtraError, TellapartError
from tellapart.files import write_error

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

REDIRECTS = frozenset({301, 302, 303, 307, 308})
BUSY = frozenset({429, 503})
# Worth another try; what a server says of the link itself (403, 404, 410 ...) is not.
PASSING = frozenset({"http_408", "http_425", "http_429", "http_500", "http_502", "http_503", "http_504"})
PASSING |= {"timeout", "slow", "reset", "truncated", "unreachable", "unresolved"}
MAX_WAIT_S = 60.0  # a server that asks for a longer pause is not waited for; a later run asks it again
# Larger bodies go to the disk as they come. 200 connections then hold 100 MiB of them, and up to as much again while they are
# joined, beside what the client reads ahead; what decoding takes comes on top, for two pictures at a time.
IN_MEMORY_BYTES = 512 * 2**10
MAX_TOLD_S = 86_400  # a longer pause is told as "more than a day": a server may ask for any number
# A host that has more links waiting is asked at once; longer, and a list of many hosts would fill the table of open files.
KEPT_OPEN_S = 1.0
HEADERS = {
    "User-Agent": f"tellapart/{__version__}",
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",  # pictures are compressed already, and a compressed reply could unfold to anything
}


@dataclass(frozen=True)
class Limits:
    """How much is asked at once, how long, how large, how often."""

    connections: int = 200
    per_host: int = 8
    timeout_s: float = 30.0  # for one request from connecting to the last byte; each redirect is one
    max_bytes: int = 32 * 2**20  # of one picture; a guess: few photographs for the web exceed it
    retries: int = 2
    redirects: int = 5
    first_wait_s: float = 1.0  # before the first retry; doubled before each next, and up to half as much again by chance


@dataclass(frozen=True)
class Redirect:
    """The reply was: ask there."""

    link: str


@dataclass(frozen=True)
class Body:
    """What was received: bytes, or a file where there were many."""

    content: bytes | Path
    n_bytes: int


class PauseError(LinkError):
    """The server asks to be left alone for so many seconds."""

    def __init__(self, kind: str, text: str, *, wait_s: float) -> None:
        super().__init__(kind, text)
        self.wait_s = wait_s


@asynccontextmanager
async def open_session(guard: Guard, limits: Limits) -> AsyncIterator[aiohttp.ClientSession]:
    """A client whose every socket is checked by `guard`; proxies, cookies and stored passwords are not used.

    Raises MissingExtraError where aiohttp is not installed.
    """
    try:
        import aiohttp
    except ImportError as error:
        raise MissingExtraError("collecting pictures from links", "collect") from error
    names = PinnedNames(guard)
    connector = aiohttp.TCPConnector(
        limit=limits.connections,
        resolver=_resolver(names),
        use_dns_cache=False,  # the guard pins the addresses itself
        socket_factory=lambda wanted: _guarded_socket(names, wanted),
        keepalive_timeout=KEPT_OPEN_S,
    )
    timeout = aiohttp.ClientTimeout(total=None)  # `fetch` bounds the whole request
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers=HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )
    async with session:
        yield session


def _resolver(names: PinnedNames) -> Any:
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Resolver(AbstractResolver):
        """Answers from the pinned addresses."""

        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
            found = await names.addresses(host, port)
            numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            return [
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                    proto=0,
                    flags=numeric,
                )
                for address in found
            ]

        async def close(self) -> None:
            return

    return Resolver()


def _guarded_socket(names: PinnedNames, wanted: Any) -> socket.socket:
    """The last gate: whatever was parsed or resolved before, no socket for another address is made."""
    family, kind, protocol, _, (address, port, *_) = wanted
    if why_not := names.why_not(str(address), port):
        raise PermissionError(errno.EACCES, why_not)
    return socket.socket(family=family, type=kind, proto=protocol)


async def fetch(session: aiohttp.ClientSession, link: str, *, limits: Limits, part: Path | None) -> Body | Redirect:
    """What `link`, which a guard has checked, answers; a large body is written to `part`, without which it stays in memory.

    Raises LinkError with the kind of failure.
    """
    got = [0]
    try:
        async with asyncio.timeout(limits.timeout_s), session.get(_url(link), allow_redirects=False) as reply:
            if reply.status in REDIRECTS:
                return _redirect(link, reply)
            if reply.status != HTTPStatus.OK:
                raise _refusal(reply.status, reply.headers.get("Retry-After", ""))
            if (said := reply.content_length) is not None and said > limits.max_bytes:
                raise _too_large(limits.max_bytes)
            _refuse_encoded(reply.headers.getall("Content-Encoding", []))
            return await _receive(reply, part, limits.max_bytes, got)
    except TellapartError:
        raise
    except TimeoutError as error:
        kind = "slow" if got[0] else "timeout"
        raise LinkError(kind, f"not done after {limits.timeout_s:g} s; {got[0]:,} bytes had come") from error
    except Exception as error:  # whatever a hostile server makes the client raise, it is this link's outcome
        raise _translated(error, got[0]) from error


def _url(link: str) -> URL:
    from yarl import URL

    return URL(link, encoded=True)  # as the guard quoted it: quoting again would break signed links


async def _receive(reply: aiohttp.ClientResponse, part: Path | None, max_bytes: int, got: list[int]) -> Body:
    """The whole body, in memory while it is small or there is no `part`. `got[0]` counts its bytes as they come."""
    chunks: list[bytes] = []
    with ExitStack() as stack:
        file: BinaryIO | None = None
        while chunk := await reply.content.readany():
            got[0] += len(chunk)
            if got[0] > max_bytes:
                raise _too_large(max_bytes)
            chunks.append(chunk)
            if part is not None and got[0] > IN_MEMORY_BYTES:
                file = file or stack.enter_context(_opened(part))
                _write(file, chunks)
                chunks.clear()
    return Body(b"".join(chunks) if file is None or part is None else part, got[0])


def _opened(part: Path) -> BinaryIO:
    try:
        return part.open("wb", buffering=0)
    except OSError as error:
        raise write_error(part, error, then="and run the same command again") from error


def _write(file: BinaryIO, chunks: list[bytes]) -> None:
    """A full disk is not the link's fault: it ends the run."""
    try:
        file.write(b"".join(chunks))
    except OSError as error:
        raise write_error(file.name, error, then="and run the same command again") from error


def _refuse_encoded(encodings: list[str]) -> None:
    """Pictures are asked for as they are; a compressed reply is not unfolded, since it could unfold to anything."""
    encoding = ", ".join(encodings).strip()
    if encoding.lower() not in ("", "identity"):
        raise LinkError("encoded", f"the reply is compressed ({encoding[:40]!r}) although it was asked for as it is")


def _redirect(link: str, reply: aiohttp.ClientResponse) -> Redirect:
    from yarl import URL

    location = reply.headers.get("Location") or reply.headers.get("URI", "")
    if not location:
        raise LinkError(f"http_{reply.status}", f"the server answers {reply.status} but does not say where to go")
    try:
        return Redirect(str(URL(link, encoded=True).join(URL(location.strip()))))
    except ValueError as error:
        raise LinkError("bad_redirect", f"redirected to what is no link: {location[:100]!r}") from error


def _refusal(status: int, retry_after: str) -> LinkError:
    """The error for a status other than 200, with the pause that a busy server asks for."""
    try:
        phrase = HTTPStatus(status).phrase.lower()
    except ValueError:
        phrase = "an unknown status"
    text = f"the server answers {status} ({phrase})"
    wait_s = _seconds(retry_after)
    if status in BUSY and wait_s is not None:
        told = f"{wait_s:g} s" if wait_s <= MAX_TOLD_S else "more than a day"
        return PauseError(f"http_{status}", f"{text} and asks to wait {told}", wait_s=wait_s)
    return LinkError(f"http_{status}", text)


def _seconds(retry_after: str) -> float | None:
    """RFC 9110: a number of seconds, or a date."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _too_large(max_bytes: int) -> LinkError:
    return LinkError("too_large", f"more than {max_bytes / 2**20:g} MiB; allow more with --max-bytes")


def _translated(error: Exception, n_bytes: int) -> LinkError:
    """A client's exception as the kind and sentence of an outcome."""
    import aiohttp

    text = " ".join(str(getattr(error, "message", "") or error).split())[:200] or type(error).__name__
    os_error = getattr(error, "os_error", error)
    if isinstance(os_error, PermissionError):
        return LinkError("refused", os_error.strerror or text)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return LinkError("unresolved", f"its host is not known: {os_error}")
    if isinstance(error, aiohttp.ClientSSLError):
        certificate = getattr(error, "certificate_error", None)
        return LinkError("tls", f"no safe connection: {getattr(certificate, 'verify_message', '') or text}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return LinkError("unreachable", f"cannot connect: {os.strerror(error.os_error.errno) if error.os_error.errno else text}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return LinkError("truncated", f"the connection ended after {n_bytes:,} bytes, before the end of the picture")
    if isinstance(error, aiohttp.ServerDisconnectedError | OSError):
        return LinkError("reset", f"the connection was cut {f'after {n_bytes:,} bytes' if n_bytes else 'before a reply'}")
    return LinkError("bad_reply", f"the reply is no proper HTTP: {text}")
