"""Bodies of requests, read within limits of size, time and the room that is left."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import ClientDisconnect, Request

from tellapart.server.limits import Held, Limits, Refusal

LENGTH_DIGITS = 18  # of a declared length that are read: far more than is taken, and Python reads at most 4,300


async def read_body(request: Request, limits: Limits, held: Held) -> bytes:
    """The whole body; each part of it is taken of the room as it comes.

    Raises Refusal: 413 for a body too large, from its declared length where it has one, 408 for one that comes too slowly, 429
    where the room is full. Raises ClientDisconnect.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        _refuse_large(int(declared.lstrip("0")[:LENGTH_DIGITS] or 0), limits)
    body, since = bytearray(), time.monotonic()
    while True:
        part = await _next_part(request, limits, len(body), since)
        held.take(n_bytes=len(part["body"]))
        body += part["body"]
        _refuse_large(len(body), limits)
        if not part["more_body"]:
            return bytes(body)


async def _next_part(request: Request, limits: Limits, n_read: int, since: float) -> dict[str, Any]:
    allowed_s = min(limits.body_s, limits.body_grace_s + n_read / limits.body_bytes_per_s)
    try:
        async with asyncio.timeout(allowed_s - (time.monotonic() - since)):
            message = await request.receive()
    except TimeoutError as error:
        raise Refusal(408, "slow", f"the body came too slowly: {n_read:,} bytes in {allowed_s:.0f} s") from error
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return {"body": message.get("body", b""), "more_body": message.get("more_body", False)}


def _refuse_large(n_bytes: int, limits: Limits) -> None:
    if n_bytes > limits.body_bytes:
        raise Refusal(
            413, "too_large", f"the body has more than {limits.body_bytes / 2**20:.0f} MiB; send the pictures in several"
        )
