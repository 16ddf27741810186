"""Which links and addresses may be asked. Nothing here opens a connection; every connection asks here first.

A link is judged as text, the addresses of its host when they are resolved, and each socket once more before it connects: what a
name server says the second time, and where a redirect leads, changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from tellapart.errors import LinkError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[list[str]]]
"""The addresses of a host's name, as text; raises OSError where it has none."""

MAX_LINK = 8_000  # characters; servers commonly refuse request lines of more than 8 KiB
DEFAULT_PORTS = {"http": 80, "https": 443}
KEPT_IN_LINKS = "!#$%&'()*+,/:;=?@[]~-._"  # RFC 3986's reserved and unreserved marks, and what is quoted already

# Beyond what `ipaddress` calls private, which differs between versions of Python.
NOT_PUBLIC_V4 = tuple(
    IPv4Network(net)
    for net in (
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "192.0.0.0/24",  # IETF protocols, RFC 6890; a cloud's metadata at 192.0.0.192
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

# What --allow-private can open: where people run servers. Link-local addresses, where clouds keep secrets, are not among them.
PRIVATE = tuple(
    map(
        ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "fc00::/7", "::1/128"),
    )
)
# Services of clouds for their own machines, amid private addresses: whoever asks may be told passwords.
CLOUD_SERVICES = frozenset(
    map(
        ip_address,
        (
            "100.100.100.200",  # Alibaba
            "fd00:ec2::254",  # Amazon: metadata
            "fd00:ec2::253",  # Amazon: name server
            "fd00:ec2::123",  # Amazon: time
            "fd00:ec2::23",  # Amazon: identities of pods
            "fd20:ce::254",  # Google
            "fd00:42::42",  # Scaleway
            "fd00:c1::a9fe:a9fe",  # Oracle
        ),
    )
)


def is_public(address: Address) -> bool:
    """Whether an address lies on the public internet; IPv4 inside IPv6 (mapped, NAT64) is judged as IPv4."""
    address = _unwrapped(address)
    if isinstance(address, IPv4Address):
        special = address.is_private or address.is_multicast or address.is_reserved or address.is_unspecified
        return not special and not any(address in net for net in NOT_PUBLIC_V4)
    return address in GLOBAL_V6 and not any(address in net for net in NOT_PUBLIC_V6)


def may_be_own(address: Address) -> bool:
    """Whether an address may be a server of the user's own: private or loopback, and no service of a cloud."""
    address = _unwrapped(address)
    return any(address in net for net in PRIVATE) and address not in CLOUD_SERVICES


def _unwrapped(address: Address) -> Address:
    """IPv4 inside IPv6 as IPv4."""
    if isinstance(address, IPv6Address) and address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return getattr(address, "ipv4_mapped", None) or address


async def resolve_by_system(host: str) -> list[str]:
    """What this machine's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class Guard:
    """Which addresses are allowed, and who is asked for those of a name."""

    is_allowed: Callable[[Address], bool] = is_public
    resolve: Resolve = resolve_by_system
    allow_private: bool = False  # for the hosts that the user names, and for no other
    named: frozenset[tuple[str, int]] = frozenset()  # those hosts and their ports, see `naming`

    def naming(self, links: Iterable[str]) -> Guard:
        """The guard for a run over these links, which the user names: with `allow_private`, their hosts may be private.

        A redirect to a private address is followed only where its host and port are among them.
        """
        if not self.allow_private:
            return self
        named = set()
        for link in links:
            try:
                parts = _split(link)
                named.add(_origin(parts, *_host(parts.hostname or "")))
            except LinkError:  # `check` will say so
                continue
        return replace(self, named=self.named | named)

    def check(self, link: str) -> str:
        """The link as it is sent: ASCII, spaces and other characters quoted. Raises LinkError where it must not be asked."""
        parts = _split(link)
        host, address = _host(parts.hostname or "")
        if address is not None:
            self.refuse_unless_allowed([address], *_origin(parts, host, address))
        shown = f"[{host}]" if ":" in host else host
        port = parts.port  # any may be asked: picture servers on odd ports are common
        netloc = shown if port in (None, DEFAULT_PORTS[parts.scheme]) else f"{shown}:{port}"
        path, query = quote(parts.path or "/", safe=KEPT_IN_LINKS), quote(parts.query, safe=KEPT_IN_LINKS)
        return urlunsplit((parts.scheme, netloc, path, query, ""))

    def allows(self, address: Address, host: str, port: int) -> bool:
        """Whether this address may be asked for this host and port."""
        return self.is_allowed(address) or ((host, port) in self.named and may_be_own(address))

    def refuse_unless_allowed(self, addresses: list[Address], host: str, port: int) -> None:
        """Raise LinkError where one of the host's addresses is not allowed."""
        refused = [address for address in addresses if not self.allows(address, host, port)]
        if refused:
            what = "is" if str(refused[0]) == host else f"resolves to {refused[0]},"
            raise LinkError("refused", f"{host} {what} {self.why_not(refused[0])}")

    def why_not(self, address: Address) -> str:
        """What is said of a refused address: the end of a sentence."""
        if not may_be_own(address):
            return "not a public address, nor one that --allow-private opens"
        if not self.allow_private:
            return "not a public address; for a server of your own: --allow-private"
        return "not a public address; --allow-private opens only hosts and ports that your lists name"


class PinnedNames:
    """The addresses of hosts, asked for once and kept: what a name server says later is not heard."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._pinned: dict[str, asyncio.Task[list[str]]] = {}
        self._own: set[tuple[Address, int]] = set()  # private, of hosts that the user names

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that are allowed at this port.

        Raises LinkError where it has none, and OSError where it is not known.
        """
        if host not in self._pinned:
            self._pinned[host] = asyncio.create_task(self._ask(host))
        asked = self._pinned[host]
        try:
            found = await asyncio.shield(asked)  # one waiter's time-out must not end it for the others
        except OSError:
            self._pinned.pop(host, None)  # a name server that does not answer may do so on the next try
            raise
        parsed = {text: address for text in found if (address := _literal(text))}
        allowed = {text: address for text, address in parsed.items() if self._guard.allows(address, host, port)}
        if not allowed:
            self._guard.refuse_unless_allowed(list(parsed.values()), host, port)
            raise LinkError("unresolved", f"{host} has no address")
        self._own |= {(address, port) for address in allowed.values() if not self._guard.is_allowed(address)}
        return list(allowed)

    def why_not(self, text: str, port: int) -> str:
        """Why a socket may not connect there, the last word before it does; "" where it may."""
        address = _literal(text)
        if address is None:
            return f"{text} is no address"
        if (address, port) in self._own or self._guard.allows(address, str(address), port):
            return ""
        return f"{text} is {self._guard.why_not(address)}"

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


def _origin(parts: SplitResult, host: str, address: Address | None) -> tuple[str, int]:
    """The host and port that a link asks; an address in its one form."""
    port = parts.port
    return str(address) if address else host, DEFAULT_PORTS[parts.scheme] if port is None else port


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
