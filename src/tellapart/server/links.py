"""Pictures by link, through the guarded fetcher of `collect`; only where the server was told to fetch."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from tellapart.downloads import fetching
from tellapart.downloads.following import fetch_followed
from tellapart.downloads.guards import Guard
from tellapart.errors import LinkError, MissingExtraError
from tellapart.server.limits import Held, Limits, overloaded
from tellapart.server.uploads import Upload

if TYPE_CHECKING:
    import aiohttp

LOOKUPS = 8  # threads of our own that wait for name servers: those that dawdle must not stop who sends pictures
REDIRECTS = 3
# What `collect` tells its user would tell a stranger the addresses of names that only this network knows.
REFUSED = "only http:// and https:// links to hosts with a public address are fetched, and none with a password in it"


class Links:
    """Fetches pictures for requests, a few at a time. Writes nothing to disk."""

    def __init__(self, limits: Limits, *, guard: Guard | None = None) -> None:
        """Raises MissingExtraError without aiohttp."""
        try:
            import aiohttp  # noqa: F401  # now, rather than while the first request waits
        except ImportError as error:
            raise MissingExtraError("fetching by link", "collect") from error
        self._n_most = limits.links_queue
        self._n_open = 0
        self._limits = fetching.Limits(
            connections=limits.links_at_once, timeout_s=limits.link_s, max_bytes=limits.link_bytes, redirects=REDIRECTS
        )
        self._lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="names")
        self._guard = guard or Guard(resolve=self._resolve)
        self._free = asyncio.Semaphore(limits.links_at_once)

    async def fetch(self, uploads: Sequence[Upload], held: Held) -> list[Upload]:
        """The uploads, links replaced by what they lead to, or by why it could not be had.

        The addresses of a name are asked for once a request. Raises Refusal (429) for links that cannot be asked soon, and where
        the pictures do not fit into the room.
        """
        n_links = sum(bool(one.link) for one in uploads)
        if self._n_open + n_links > self._n_most:
            raise overloaded()
        self._n_open += n_links
        try:
            async with fetching.open_session(self._guard, self._limits) as session:
                tasks = [asyncio.create_task(self._fetched(session, one, held)) for one in uploads]
                try:
                    return await asyncio.gather(*tasks)
                finally:  # of a request that is refused or left nothing more is fetched
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._n_open -= n_links

    def close(self) -> None:
        """Let the threads end, but for lookups that are under way."""
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def _fetched(self, session: aiohttp.ClientSession, upload: Upload, held: Held) -> Upload:
        if not upload.link:
            return upload
        try:
            async with self._free:
                content = await fetch_followed(session, upload.link, guard=self._guard, limits=self._limits)
        except LinkError as error:
            return replace(upload, error=f"cannot be fetched: {self._told(error)}")
        held.take(n_bytes=len(content))
        return replace(upload, content=content)

    def _told(self, error: LinkError) -> str:
        late = f"not done after {self._limits.timeout_s:g} s"
        large = f"more than {self._limits.max_bytes / 2**20:.3g} MiB"
        told = {"refused": REFUSED, "unresolved": REFUSED, "too_large": large, "timeout": late, "slow": late}
        return told.get(error.kind, str(error))

    async def _resolve(self, host: str) -> list[str]:
        """The addresses of a host; none where it has none, or no name server says."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._lookups, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            return []
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
