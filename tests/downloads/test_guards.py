"""Nothing that must not be contacted is: by its text, by its resolved address, by its socket."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.downloads.collecting import collect
from tellapart.downloads.fetching import Limits
from tellapart.downloads.guards import Guard, PinnedNames, is_public, may_be_own
from tellapart.downloads.lists import Entry
from tellapart.errors import LinkError

from .conftest import QUICK, Request, Server, is_loopback, jpeg

NOT_PUBLIC = """
192.0.0.9 192.0.0.192
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1
172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255
240.0.0.1 255.255.255.255 168.63.129.16 :: ::1 ::2 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1 2001:db8::1
2002:7f00:1:: 2002:a00:1:: 2002:808:808:: 3fff::1 4000::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 fec0::1 ff02::1
""".split()
PUBLIC = """
1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.32.0.1 93.184.216.34 2606:4700::1111 2a00:1450:4001::1 64:ff9b::808:808
""".split()


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_other_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


OWN = "127.0.0.1 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 ::1 fd12:3456::1 ::ffff:10.0.0.1 64:ff9b::a00:1".split()
NEVER = """
169.254.169.254 169.254.0.1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe:: fe80::1 168.63.129.16 192.0.0.192
100.100.100.200 fd00:ec2::254 fd20:ce::254 0.0.0.0 :: 224.0.0.1 ff02::1 255.255.255.255 240.0.0.1 192.0.2.1
""".split()


@pytest.mark.parametrize("address", OWN)
def test_a_server_of_ones_own_lies_at_a_private_address(address: str) -> None:
    assert may_be_own(ip_address(address))


def shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", NEVER)
def test_link_local_addresses_and_services_of_clouds_are_never_asked(address: str) -> None:
    """Not even where a list names them and private addresses are allowed: not as text, not as a name's, not as a socket's."""
    guard = Guard(allow_private=True, resolve=resolver([address])).naming([f"http://{shown(address)}/", "http://evil.test/"])
    reason = "not a public address, nor one that --allow-private opens"
    with pytest.raises(LinkError) as as_text:
        guard.check(f"http://{shown(address)}/")
    assert str(as_text.value).endswith(reason)

    async def ask() -> str:
        names = PinnedNames(guard)
        with pytest.raises(LinkError) as as_name:
            await names.addresses("evil.test", 80)
        assert str(as_name.value).endswith(reason)
        return names.why_not(address, 80)

    assert asyncio.run(ask()).endswith(reason)


def test_private_addresses_are_opened_for_the_named_hosts_and_ports_alone() -> None:
    links = ["http://NAS.local:8080/a", "http://[0:0::1]/", "https://10.0.0.1/", "no link"]
    guard = Guard(allow_private=True, resolve=resolver(["10.0.0.7"])).naming(links)
    for link in ("http://[::1]:80/b", "https://10.0.0.1:443/"):
        assert guard.check(link)
    reason = "not a public address; --allow-private opens only hosts and ports that your lists name"
    for link in ("http://10.0.0.1/", "http://[::1]:6379/", "http://10.0.0.7:8080/"):
        with pytest.raises(LinkError) as error:
            guard.check(link)
        assert str(error.value).endswith(reason)

    async def ask() -> None:
        names = PinnedNames(guard)
        assert names.why_not("10.0.0.7", 8080) == f"10.0.0.7 is {reason}"
        assert await names.addresses("nas.local", 8080) == ["10.0.0.7"]
        assert names.why_not("10.0.0.7", 8080) == ""
        assert names.why_not("10.0.0.7", 22) == f"10.0.0.7 is {reason}"
        for host, port in (("nas.local", 22), ("other.local", 8080)):
            with pytest.raises(LinkError, match=r"resolves to 10\.0\.0\.7, not a public address; --allow-private opens only"):
                await names.addresses(host, port)

    asyncio.run(ask())
    assert Guard().naming(links) == Guard()


@pytest.mark.parametrize(
    ("link", "sent"),
    [
        ("http://example.com", "http://example.com/"),
        ("  HTTPS://Example.COM:443/a b.jpg?q=ü#part ", "https://example.com/a%20b.jpg?q=%C3%BC"),
        ("http://bücher.example/a%2Fb%20c.jpg?sig=a%2Bb%3D", "http://xn--bcher-kva.example/a%2Fb%20c.jpg?sig=a%2Bb%3D"),
        ("http://example.com.:8080/", "http://example.com:8080/"),
        ("http://[2606:4700::1111]:81/x", "http://[2606:4700::1111]:81/x"),
        ("http://a_b.example/~x/(1).jpg", "http://a_b.example/~x/(1).jpg"),
    ],
)
def test_links_are_sent_in_one_form(link: str, sent: str) -> None:
    assert Guard().check(link) == sent


@pytest.mark.parametrize(
    ("link", "text"),
    [
        ("", "no link; only http:// and https:// are collected"),
        ("nan", "no link; only http:// and https:// are collected"),
        ("file:///etc/passwd", "a file: link; only http:// and https:// are collected"),
        ("http://a/\r\nHost: b", "a link with control characters or backslashes"),
        ("http://", "not a host: ''"),
        ("http://[::1", "not a link: Invalid IPv6 URL"),
        ("http://a:b/", "not a link: Port could not be cast to integer value as 'b'"),
        ("http://" + "a" * 64 + ".example/", "not a host: "),
        ("http://[fe80::1%25eth0]/", "not a host: "),
        ("http://a\udc80/", "not a link: "),
        ("http://2130706433/", "'2130706433' is an IPv4 address in a disguise; write it as four decimal numbers"),
        ("http://127.0.0.1/", "127.0.0.1 is not a public address; for a server of your own: --allow-private"),
        ("http://x@example.com/", "a link with a user name or password in it; take them out"),
    ],
)
def test_links_that_are_not_asked_say_why(link: str, text: str) -> None:
    with pytest.raises(LinkError) as error:
        Guard().check(link)
    assert str(error.value).startswith(text)


@given(st.text(max_size=60) | st.from_regex(r"https?://[^\s]{0,40}", fullmatch=True))
def test_any_text_is_a_sendable_link_or_refused(text: str) -> None:
    try:
        sent = Guard().check(text)
    except LinkError:
        return
    assert sent.isascii()
    assert sent.startswith(("http://", "https://"))
    assert not any(char <= " " or char == "\x7f" for char in sent)
    assert Guard().check(sent) == sent


def resolver(*answers: list[str]):
    """A name server that says something else each time, the last for ever."""
    left = list(answers)

    async def resolve(host: str) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def test_names_are_resolved_once() -> None:
    async def ask() -> list[list[str]]:
        names = PinnedNames(Guard(resolve=resolver(["93.184.216.34", "10.0.0.1"], ["127.0.0.1"])))
        return [await names.addresses("example.com", 80) for _ in range(3)]

    assert asyncio.run(ask()) == [["93.184.216.34"]] * 3


def test_a_name_server_that_fails_is_asked_again() -> None:
    calls = []

    async def resolve(host: str) -> list[str]:
        calls.append(host)
        if len(calls) == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return ["93.184.216.34"]

    async def ask() -> list[str]:
        names = PinnedNames(Guard(resolve=resolve))
        with pytest.raises(OSError, match="try again"):
            await names.addresses("example.com", 80)
        return await names.addresses("example.com", 80)

    assert asyncio.run(ask()) == ["93.184.216.34"]


def hosts_of_loopback() -> list[str]:
    """127.0.0.1 and its neighbours in the forms that have fooled filters."""
    forms = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0x0.0.1",
    ]
    forms += [
        "0",
        "0.0.0.0",
        "00",
        "0x0",
        "127.127.127.127",
        "127.0.0.1.",
        "127。0。0。1",
        "①②⑦.⓪.⓪.①",
        "１２７.0.0.1",
        "127%2e0%2e0%2e1",
    ]
    forms += ["localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "ip6-localhost", "loc%61lhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ"]
    forms += [
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
    ]
    forms += ["[2002:7f00:1::]", "[2001:0:7f00:1::]", "[::1%25lo]", "[::ffff:0:127.0.0.1]", "[fe80::1%25lo]"]
    forms += [
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "224.0.0.1",
    ]
    forms += ["rebind.test", "private.test", "mixed.test", "mapped.test"]
    return forms


def hostile_links(port: int) -> list[str]:
    """The hosts in every form of link, and redirects that lead to them."""
    links = []
    for host in hosts_of_loopback():
        links += [f"http://{host}:{port}/a.jpg", f"HTTP://{host}:{port}/", f"http://{host}:{port}?x", f"https://{host}:{port}/a"]
        links += [f"http://example.test@{host}:{port}/", f"http://{host}:{port}#@example.test/"]
    links += [
        f"http://example.test:{port}\\@127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}\\@example.test/",
        f"http:\\\\127.0.0.1:{port}/",
    ]
    links += [
        f"gopher://127.0.0.1:{port}/_GET",
        f"ftp://127.0.0.1:{port}/",
        f"dict://127.0.0.1:{port}/",
        f"http:127.0.0.1:{port}",
    ]
    links += [
        f"http:///127.0.0.1:{port}/",
        f"http://\t127.0.0.1:{port}/",
        f"//127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}\r\n/",
        "http://[",
    ]
    return links


async def names(host: str) -> list[str]:
    """A hostile name server; `open.test` alone is a server that may be asked (127.0.0.2 stands for the public internet)."""
    answers = {"open.test": ["127.0.0.2"], "private.test": ["127.0.0.1"], "mixed.test": ["127.0.0.1", "10.0.0.1"]}
    answers |= {"mapped.test": ["::ffff:127.0.0.1"], "localhost": ["127.0.0.1", "::1"], "rebind.test": ["127.0.0.1"]}
    if host in answers:
        return answers[host]
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


@pytest.fixture
def outside():
    """A server at 127.0.0.2, which these tests' guard takes for public."""
    started = Server("127.0.0.2")
    yield started
    started.close()


OUTSIDE_ONLY = Guard(is_allowed=lambda address: address == ip_address("127.0.0.2"), resolve=names)


def test_hostile_links_and_redirects_reach_nothing(canary: Server, outside: Server, tmp_path: Path) -> None:
    hostile = hostile_links(canary.port)
    assert len(hostile) >= 300

    async def away(request: Request) -> None:
        target = hostile[int(request.path[1:])].replace("\r\n", "")
        await request.answer(b"", status="302 Found", Location=target.encode("ascii", "ignore").decode())

    redirects = [outside.on(f"/{number}", away).replace("127.0.0.2", "open.test") for number in range(len(hostile))]
    links = [*hostile, *redirects]
    # The public guard first, as users have it; then one that must tell two loopback addresses apart.
    for guard in (Guard(resolve=names), OUTSIDE_ONLY):
        out = tmp_path / str(guard is OUTSIDE_ONLY)
        made = collect([Entry("l", n, link, "x") for n, link in enumerate(links)], out, limits=QUICK, guard=guard)
        assert made.counts["kept"] == 0
        assert len(made.rows) == made.counts.total() == len(links)
    assert canary.n_contacts == 0
    assert outside.n_contacts > 0


def test_a_name_that_turns_to_loopback_is_not_followed_there(canary: Server, outside: Server, tmp_path: Path) -> None:
    """DNS rebinding: the first answer is public, all later ones are this machine. Two servers share a port number."""
    guard = Guard(is_allowed=OUTSIDE_ONLY.is_allowed, resolve=resolver(["127.0.0.2"], ["127.0.0.1"]))
    links = [f"http://rebind.test:{outside.port}/{n}" for n in range(10)]
    links += [f"http://rebind.test:{canary.port}/{n}" for n in range(10)]  # the pinned address, where nobody listens at this port
    for n in range(10):
        outside.on(f"/{n}", jpeg(n))
    made = collect([Entry("l", n, link, "x") for n, link in enumerate(links)], tmp_path / "d", limits=QUICK, guard=guard)
    assert made.counts == {"kept": 10, "unreachable": 10}
    assert canary.n_contacts == 0


def test_a_redirect_leads_to_no_private_server_that_no_list_names(
    canary: Server, outside: Server, server: Server, tmp_path: Path
) -> None:
    """With --allow-private, as at a desk: one's own server is asked, and what it or another redirects to is not."""
    targets = ["http://127.0.0.1", "http://private.test", "http://mapped.test", "http://[::ffff:127.0.0.1]", "http://localhost"]

    async def away(request: Request) -> None:
        await request.answer(b"", status="302 Found", Location=f"{targets[int(request.path[1:])]}:{canary.port}/secret")

    listed = [server.on("/own.jpg", jpeg(1)), server.on("/0", away)]
    listed += [outside.on(f"/{n}", away).replace("127.0.0.2", "open.test") for n in range(len(targets))]
    guard = Guard(is_allowed=OUTSIDE_ONLY.is_allowed, resolve=names, allow_private=True)
    made = collect([Entry("l", n, link, "x") for n, link in enumerate(listed)], tmp_path / "d", limits=QUICK, guard=guard)
    assert made.counts == {"kept": 1, "refused": 1 + len(targets)}
    assert all("opens only hosts and ports that your lists name" in outcome.error for _, outcome in made.rows[1:])
    assert canary.n_contacts == 0


def test_the_socket_is_the_last_gate(canary: Server, tmp_path: Path) -> None:
    """Were a link or a name let through by mistake, the connection itself would still be refused."""

    class Careless(Guard):
        def check(self, link: str) -> str:
            return link

    guard = Careless(is_allowed=lambda address: not is_loopback(address))
    made = collect([Entry("l", 1, f"{canary.url}/a", "x")], tmp_path / "d", limits=Limits(timeout_s=2, retries=0), guard=guard)
    assert made.rows[0][1].status == "refused"
    assert made.rows[0][1].error == "127.0.0.1 is not a public address; for a server of your own: --allow-private"
    assert canary.n_contacts == 0
