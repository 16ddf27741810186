"""A link's picture in memory, its redirects followed: for who wants one now rather than a folder of many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tellapart.downloads.fetching import Limits, Redirect, fetch
from tellapart.downloads.guards import Guard
from tellapart.errors import LinkError

if TYPE_CHECKING:
    import aiohttp


async def fetch_followed(session: aiohttp.ClientSession, link: str, *, guard: Guard, limits: Limits) -> bytes:
    """What the link answers, at last, within `limits.timeout_s` in all; nothing is written to disk and nothing tried again.

    Raises LinkError.
    """
    seen: list[str] = []
    checked = guard.check(link)
    try:
        async with asyncio.timeout(limits.timeout_s):
            while isinstance(reply := await fetch(session, checked, limits=limits, part=None), Redirect):
                seen.append(checked)
                checked = followed(reply.link, seen, guard=guard, limits=limits)
    except TimeoutError as error:
        raise LinkError("timeout", f"not done after {limits.timeout_s:g} s") from error
    assert isinstance(reply.content, bytes)  # no part of it was written
    return reply.content


def followed(link: str, seen: Sequence[str], *, guard: Guard, limits: Limits) -> str:
    """Where a redirect leads after the links `seen`, checked. Raises LinkError: a circle, a long way, what a guard refuses."""
    checked = guard.check(link)
    if checked in seen:
        raise LinkError("redirect_loop", f"redirected in a circle: {checked} comes again")
    if len(seen) > limits.redirects:
        raise LinkError("too_many_redirects", f"redirected more than {limits.redirects} times, at last to {checked}")
    return checked
