"""Pictures by link: off unless turned on, and then through the guards of `collect`, without its words for its own user."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

pytest.importorskip("aiohttp", reason="the extra `collect` is not installed")

from tellapart.downloads.guards import Guard
from tellapart.server.app import make_app
from tellapart.server.guarding import Guard as AroundAll
from tellapart.server.limits import Limits
from tellapart.server.links import REFUSED, Links
from tellapart.server.metrics import Metrics
from tellapart.server.models import Models
from tellapart.server.predicting import Predictor
from tellapart.server.services import Service

from ..downloads.conftest import Request
from ..downloads.conftest import Server as Pictures
from .conftest import Server, Start

LIMITS = Limits(link_bytes=300_000, link_s=1.0, links=12)
PRIVATE = """
http://169.254.169.254/latest/meta-data/ http://[::1]:8000/ http://0x7f000001/ http://2130706433/ http://0177.0.0.1/ http://127.1/
http://localhost/ http://127.0.0.1:22/ http://10.0.0.1/ http://[::ffff:169.254.169.254]/ http://[fd00:ec2::254]/ http://me:pw@a.test/
""".split()
NO_LINKS = "file:///etc/passwd gopher://127.0.0.1/ ftp://a.test/ //a.test/ http:// /etc/passwd".split()


def body(*links: str, **options: Any) -> str:
    return json.dumps({"images": [{"url": link} for link in links], **options})


def asked(server: Server, *links: str, **options: Any) -> Any:
    return server.ask("POST", "/v1/predict", body(*links, **options), content_type="application/json")


@pytest.fixture
def outside() -> Iterator[Pictures]:
    """A server of pictures at 127.0.0.2, which stands for the public internet."""
    started = Pictures("127.0.0.2")
    yield started
    started.close()


@pytest.fixture
def inside() -> Iterator[Pictures]:
    """A server that nothing may ever contact."""
    started = Pictures()
    yield started
    started.close()


def names(*answers: list[str]) -> Callable[[str], Any]:
    """A name server that gives each answer once, the last for ever."""
    left = list(answers)

    async def resolve(_host: str) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@contextmanager
def fetching(run_folder: Path, *addresses: list[str], limits: Limits = LIMITS, kind: type[Links] = Links) -> Iterator[Server]:
    """A server that may fetch from 127.0.0.2 alone; every name has these addresses, one answer after the other."""
    guard = Guard(is_allowed=lambda address: address == ip_address("127.0.0.2"), resolve=names(*addresses or (["127.0.0.2"],)))
    metrics = Metrics()
    service = Service(Models({"shapes": run_folder}, metrics), metrics, limits, links=kind(limits, guard=guard))
    routes = make_app(keyed=False, fetches=True)
    routes.state.service = service
    app = AroundAll(Predictor(routes, service), service, root_path="")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_config=None))
        thread = threading.Thread(target=lambda: asyncio.run(running._serve([listener])))
        thread.start()
        try:
            yield Server(None, f"http://127.0.0.1:{listener.getsockname()[1]}", ["shapes"], Path())  # type: ignore[arg-type]
        finally:
            running.should_exit = True
            thread.join(60)
            service.close()


def test_a_fault_of_our_own_is_told_as_one(run_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Faulty(Links):
        async def fetch(self, *_: Any) -> Any:
            raise RuntimeError("a fault")

    with fetching(run_folder, kind=Faulty) as server:
        reply = asked(server, "https://pictures.example/a.jpg")
        assert (reply.status, reply.json["error"]["kind"]) == (500, "fault")
        assert reply.headers["x-request-id"] == reply.json["request_id"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        counted = server.ask("GET", "/metrics").body.decode()
    assert 'tellapart_requests_total{route="/v1/predict",status="500"} 1' in counted
    [told] = [line for line in capfd.readouterr().err.splitlines() if '"event": "error"' in line]
    assert json.loads(told)["id"] == reply.json["request_id"]
    assert json.loads(told)["error"] == "RuntimeError('a fault')"


def test_off_it_says_what_turns_it_on(server: Server) -> None:
    reply = asked(server, "https://pictures.example/a.jpg")
    assert (reply.status, reply.json["error"]["kind"]) == (403, "links")
    assert reply.json["error"]["text"] == (
        "this server fetches no links (--allow-urls turns it on); send the picture itself as 'data'"
    )
    document = server.ask("GET", "/openapi.json").json
    assert '"url"' not in json.dumps(document["paths"])


@pytest.mark.parametrize(
    "image", [{"url": "http://a.test/", "data": "AAAA"}, {"url": 3}, {"url": ""}, {"url": "http://a.test/", "link": "x"}]
)
def test_an_image_is_data_or_a_link(server: Server, image: dict[str, Any]) -> None:
    reply = server.ask("POST", "/v1/predict", json.dumps({"images": [image]}), content_type="application/json")
    assert (reply.status, reply.json["error"]["kind"]) == (400, "json")


def test_what_is_not_public_is_refused(start: Start, run_folder: Path, inside: Pictures) -> None:
    """By the guard that users have; nothing tells where a name leads."""
    with start(run_folder, "--allow-urls") as server:
        links = [*PRIVATE, f"{inside.url}/a.jpg"]
        reply = asked(server, *links)
        assert reply.status == 422
        assert {(row["name"], row["error"]) for row in reply.json["results"]} == {
            (link, f"cannot be fetched: {REFUSED}") for link in links
        }
        reply = asked(server, *NO_LINKS)
        assert all(row["error"].startswith("cannot be fetched: ") for row in reply.json["results"])
        document = server.ask("GET", "/openapi.json").json
        json_body = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]
        assert json_body["examples"]["link"]["value"] == {"images": [{"url": "https://pictures.example/a.jpg"}]}
        assert "pictures.example" not in server.log_file.read_text()
    assert inside.n_contacts == 0


def test_a_link_is_answered_as_its_picture_is(run_folder: Path, outside: Pictures, contents: list[bytes]) -> None:
    links = [outside.on(f"/{number}.png", content) for number, content in enumerate(contents[:6])]
    with fetching(run_folder) as server:
        reply = asked(server, *links, top_k=3)
        assert reply.status == 200, reply.body
        for link, content, row in zip(links, contents, reply.json["results"], strict=False):
            alone = server.predict(content).json["results"][0]
            assert row == alone | {"name": link, "probabilities": row["probabilities"]}
            assert np.abs(row["probability"] - alone["probability"]) <= 1e-6
        named = {"images": [{"url": links[0], "name": "mine"}, {"url": "http://a.test/gone"}], "explain": True}
        first, gone = server.ask("POST", "/v1/predict", json.dumps(named), content_type="application/json").json["results"]
        assert (first["name"], first["explanation"]["label"]) == ("mine", first["label"])
        assert gone["error"] == "cannot be fetched: cannot connect: Connection refused"


def test_redirects_are_checked_and_few(run_folder: Path, outside: Pictures, inside: Pictures, contents: list[bytes]) -> None:
    def to(link: str) -> Callable[[Request], Any]:
        async def redirect(request: Request) -> None:
            await request.answer(b"", status="302 Found", Location=link)

        return redirect

    good = outside.on("/good", to(outside.on("/a.png", contents[0])))
    secret = [
        outside.on(f"/{number}", to(link)) for number, link in enumerate([f"{inside.url}/x", "http://[::1]/", *PRIVATE[:3]])
    ]
    circle = outside.on("/circle", to(f"{outside.url}/circle"))
    long = [outside.on(f"/long{number}", to(f"{outside.url}/long{number + 1}")) for number in range(6)]
    with fetching(run_folder) as server:
        rows = asked(server, good, *secret, circle, long[0]).json["results"]
    assert rows[0]["error"] is None
    assert [row["error"] for row in rows[1:-2]] == [f"cannot be fetched: {REFUSED}"] * len(secret)
    assert "redirected in a circle" in rows[-2]["error"]
    assert "redirected more than 3 times" in rows[-1]["error"]
    assert inside.n_contacts == 0


def test_a_name_that_turns_to_loopback_is_not_followed_there(
    run_folder: Path, outside: Pictures, inside: Pictures, contents: list[bytes]
) -> None:
    """DNS rebinding: within a request the first answer holds; a later request judges the name anew."""
    outside.on("/a.png", contents[0])
    links = [f"http://rebind.test:{outside.port}/a.png", f"http://rebind.test:{inside.port}/a.png"]
    with fetching(run_folder, ["127.0.0.2"], ["127.0.0.1"]) as server:
        first, second = asked(server, *links).json["results"]
        assert (first["error"], second["error"]) == (None, "cannot be fetched: cannot connect: Connection refused")
        rows = asked(server, *links).json["results"]
        assert [row["error"] for row in rows] == [f"cannot be fetched: {REFUSED}"] * 2
    assert inside.n_contacts == 0


def test_what_a_hostile_server_does_is_that_links_error(run_folder: Path, outside: Pictures, contents: list[bytes]) -> None:
    async def endless(request: Request) -> None:
        await request.answer(b"x" * 400_000, length=10**9)

    async def silent(request: Request) -> None:
        await asyncio.sleep(5)

    async def slow(request: Request) -> None:
        await request.answer(b"x", length=1000)
        await asyncio.sleep(5)

    async def declared(request: Request) -> None:
        await request.answer(b"", length=10**12)

    async def folded(request: Request) -> None:
        await request.answer(b"x", Content_Encoding="gzip")

    answers = (endless, silent, slow, declared, folded)
    links = [outside.on(f"/{number}", answer) for number, answer in enumerate(answers)]
    links += [f"{outside.url}/absent", outside.on("/page", b"<!doctype html><p>"), outside.on("/a.png", contents[0])]
    with fetching(run_folder) as server:
        rows = asked(server, *links).json["results"]
        assert [row["error"] for row in rows] == [
            "cannot be fetched: more than 0.286 MiB",
            "cannot be fetched: not done after 1 s",
            "cannot be fetched: not done after 1 s",
            "cannot be fetched: more than 0.286 MiB",
            "cannot be fetched: the reply is compressed ('gzip') although it was asked for as it is",
            "cannot be fetched: the server answers 404 (not found)",
            "not a picture (a web page or SVG)",
            None,
        ]
        reply = asked(server, *[links[-1]] * 13)
        assert (reply.status, reply.json["error"]["text"]) == (413, "more than 12 links in one request; send them in several")
        assert b"tellapart_queue_bytes 0" in server.ask("GET", "/metrics").body


def test_slow_links_keep_no_one_else_waiting(run_folder: Path, outside: Pictures, contents: list[bytes]) -> None:
    """More of them than can be asked soon are refused at once; pictures are answered meanwhile."""
    at_work, go_on = threading.Semaphore(0), threading.Event()

    async def slow(request: Request) -> None:
        at_work.release()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        await request.answer(contents[0])

    link = outside.on("/slow", slow)
    limits = replace(LIMITS, link_s=30.0, links=8, links_queue=16, links_at_once=4, queue_pictures=10, pictures=10)
    with fetching(run_folder, limits=limits) as server, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(asked, server, *[link] * 8) for _ in range(2)]
        for _ in range(4):
            assert at_work.acquire(timeout=30)
        while (reply := asked(server, link)).status != 429:  # until both requests have come
            pass
        assert (reply.json["error"]["kind"], reply.headers["retry-after"]) == ("overloaded", "1")
        assert server.predict(contents[1]).status == 200
        go_on.set()
        assert {future.result().status for future in waiting} <= {200, 429}  # 16 pictures, of which 10 have room
        assert outside.most_at_once <= 4
        assert asked(server, link).status == 200


def test_without_its_extra_it_names_it(tellapart, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ImportError\n")
    done = tellapart("serve", run_folder, "--allow-urls", env={"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])})
    assert done.returncode == 1
    assert "fetching by link needs: pip install 'tellapart[collect]'" in done.stderr
