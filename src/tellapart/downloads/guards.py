"""Which links and addresses may be asked. Nothing here opens a connection; every connection asks here first.

A link is judged as text, the addresses of its host when they are resolved, and each socket once more before it connects: what a
name server says the second time, and where a redirect leads, changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from tellapart.errors import LinkError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[list[str]]]
"""The addresses of a host's name, as text; raises OSError where it has none."""

MAX_LINK = 8_000  # characters; servers commonly refuse request lines of more than 8 KiB
DEFAULT_PORTS = {"http": 80, "https": 443}
KEPT_IN_LINKS = "!#$%&'()*+,/:;=?@[]~-._"  # RFC 3986's reserved and unreserved marks, and what is quoted already

# Beyond what `ipaddress` calls private.
NOT_PUBLIC_V4 = tuple(
    IPv4Network(net)
    for net in (
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "168.63.129.16/32",  # Azure's host agent: public by its number, inside every machine there
    )
)
# Of IPv6 only the part that is handed out is public (IANA); inside it these are not.
GLOBAL_V6 = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(
    IPv6Network(net)
    for net in (
        "2001::/23",  # IETF protocols; Teredo, which hides an IPv4 address, is 2001::/32
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which hides an IPv4 address
        "3fff::/20",  # documentation, RFC 9637
    )
)
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: how machines without IPv4 see every IPv4 address


def is_public(address: Address) -> bool:
    """Whether an address lies on the public internet; IPv4 inside IPv6 (mapped, NAT64) is judged as IPv4."""
    if isinstance(address, IPv4Address):
        special = address.is_private or address.is_multicast or address.is_reserved or address.is_unspecified
        return not special and not any(address in net for net in NOT_PUBLIC_V4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in GLOBAL_V6 and not any(address in net for net in NOT_PUBLIC_V6)


def is_single(address: Address) -> bool:
    """Whether an address means one machine, be it a private one: what --allow-private allows."""
    return not (address.is_multicast or address.is_unspecified or address == IPv4Address("255.255.255.255"))


async def resolve_by_system(host: str) -> list[str]:
    """What this machine's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class Guard:
    """Which addresses are allowed, and who is asked for those of a name."""

    is_allowed: Callable[[Address], bool] = is_public
    resolve: Resolve = resolve_by_system

    def check(self, link: str) -> str:
        """The link as it is sent: ASCII, spaces and other characters quoted. Raises LinkError where it must not be asked."""
        parts = _split(link)
        host, address = _host(parts.hostname or "")
        if address is not None:
            self.refuse_unless_allowed([address], host)
        shown = f"[{host}]" if ":" in host else host
        port = parts.port  # any may be asked: picture servers on odd ports are common
        netloc = shown if port in (None, DEFAULT_PORTS[parts.scheme]) else f"{shown}:{port}"
        path, query = quote(parts.path or "/", safe=KEPT_IN_LINKS), quote(parts.query, safe=KEPT_IN_LINKS)
        return urlunsplit((parts.scheme, netloc, path, query, ""))

    def allows(self, address: str) -> bool:
        """Whether a socket may connect to this address, the last word before it does."""
        found = _literal(address)
        return found is not None and self.is_allowed(found)

    def refuse_unless_allowed(self, addresses: list[Address], host: str) -> None:
        """Raise LinkError where one of the host's addresses is not allowed."""
        refused = [address for address in addresses if not self.is_allowed(address)]
        if refused:
            what = "is" if str(refused[0]) == host else f"resolves to {refused[0]},"
            raise LinkError("refused", f"{host} {what} not a public address; for a server of your own: --allow-private")


class PinnedNames:
    """The addresses of hosts, asked for once and kept: what a name server says later is not heard."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._pinned: dict[str, asyncio.Task[list[str]]] = {}

    async def addresses(self, host: str) -> list[str]:
        """The allowed addresses of a host. Raises LinkError where it has none, and OSError where it is not known."""
        if host not in self._pinned:
            self._pinned[host] = asyncio.create_task(self._ask(host))
        asked = self._pinned[host]
        try:
            found = await asyncio.shield(asked)  # one waiter's time-out must not end it for the others
        except OSError:
            self._pinned.pop(host, None)  # a name server that does not answer may do so on the next try
            raise
        allowed = [text for text in found if self._guard.allows(text)]
        if not allowed:
            self._guard.refuse_unless_allowed([address for text in found if (address := _literal(text))], host)
            raise LinkError("unresolved", f"{host} has no address")
        return allowed

    async def _ask(self, host: str) -> list[str]:
        return await self._guard.resolve(host)


def _split(link: str) -> SplitResult:
    if len(link) > MAX_LINK:
        raise LinkError("bad_link", f"a link of {len(link):,} characters; at most {MAX_LINK:,} are asked")
    if any(char < " " or char == "\x7f" for char in link) or "\\" in link:
        raise LinkError("bad_link", "a link with control characters or backslashes")
    try:
        link.encode()  # raises on halves of characters, which have no bytes to send
        parts = urlsplit(link.strip())
        _ = parts.port  # raises where it is no number from 0 to 65535
    except ValueError as error:
        raise LinkError("bad_link", f"not a link: {error}") from error
    if parts.scheme not in DEFAULT_PORTS:
        found = f"a {parts.scheme}: link" if parts.scheme else "no link"
        raise LinkError("bad_link", f"{found}; only http:// and https:// are collected")
    if "@" in parts.netloc:
        raise LinkError("refused", "a link with a user name or password in it; take them out")
    return parts


@lru_cache(4096)  # hosts; a list of a million links names few, and each takes as long to judge as all the rest of its link
def _host(text: str) -> tuple[str, Address | None]:
    """The host as it stands in DNS (lower case, Punycode, no final dot), and the address that it is written as, if any."""
    host = text.removesuffix(".")
    try:
        name = host if ":" in host else host.encode("idna").decode()
    except UnicodeError as error:
        raise LinkError("bad_link", f"not a host: {host!r}") from error
    address = _literal(name)
    # `encode` folds full-width digits and dots to ASCII; a zone ("fe80::1%eth0") names an interface of this machine.
    if not name or not all(char.isalnum() or char in "-._:" for char in name) or (":" in name and address is None):
        raise LinkError("bad_link", f"not a host: {host!r}")
    if address is None and _is_disguised(name):
        raise LinkError("refused", f"{name!r} is an IPv4 address in a disguise; write it as four decimal numbers")
    return name.lower(), address


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_disguised(host: str) -> bool:
    """Whether the C library takes it for an IPv4 address although it is not written as four decimal numbers."""
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True
