"""Whole runs against a real server: every way to fail, the account, resuming, copies."""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tellapart.downloads.collecting import collect
from tellapart.downloads.fetching import Limits
from tellapart.downloads.lists import Entry, read_lists
from tellapart.downloads.storing import work_folder
from tellapart.errors import CallError, DataError, MissingExtraError, StorageError
from tellapart.sources import read

from .conftest import LOCAL, QUICK, Request, Server, jpeg, write_list


def entries_of(links: list[str], label: str = "cat", source: str = "cat.txt") -> list[Entry]:
    return [Entry(source, row, link, label) for row, link in enumerate(links, start=1)]


def run(links: list[str] | list[Entry], out: Path, *, limits: Limits = QUICK, **more):
    entries = links if links and isinstance(links[0], Entry) else entries_of(links)
    return collect(entries, out, limits=limits, guard=more.pop("guard", LOCAL), **more)


def table_of(out: Path) -> list[dict[str, str]]:
    with (out / "provenance.csv").open(newline="") as file:
        return list(csv.DictReader(file))


async def server_error(request: Request) -> None:
    await request.answer(b"", status="500 Internal Server Error")


async def silence(request: Request) -> None:
    await asyncio.sleep(60)


async def reset(request: Request) -> None:
    request.reset()


async def cut(request: Request) -> None:
    body = jpeg(1, side_px=200)
    await request.answer(body[: len(body) // 2], length=len(body))
    request.writer.close()


async def web_page(request: Request) -> None:
    await request.answer(b"<!doctype html><html>Please log in</html>", Content_Type="image/jpeg")


async def circle(request: Request) -> None:
    await request.answer(b"", status="302 Found", Location="/circle2" if request.path == "/circle" else "/circle")


async def oversize(request: Request) -> None:
    await request.answer(jpeg(2) + b"\0" * 300_000)


async def oversize_unsaid(request: Request) -> None:
    request.writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + jpeg(2))
    for _ in range(30):
        request.writer.write(b"\0" * 10_000)
        await request.writer.drain()
    request.writer.close()


async def wrong_length(request: Request) -> None:
    body = jpeg(3, side_px=200)
    await request.answer(body, length=len(body) // 2)  # what is left over is taken for the next reply, which is none
    request.writer.close()


async def drip(request: Request) -> None:
    body = jpeg(4)
    await request.answer(body[:10], length=len(body))
    for place in range(10, len(body)):
        request.writer.write(body[place : place + 1])
        await request.writer.drain()
        await asyncio.sleep(0.05)


# path, what answers, the status that the table must tell, and what its sentence must say
FAILURES = (
    ("/gone", None, "http_404", "the server answers 404 (not found)"),
    ("/error", server_error, "http_500", "the server answers 500 (internal server error) (tried 2 times)"),
    ("/silence", silence, "timeout", "not done after 0.5 s; 0 bytes had come (tried 2 times)"),
    ("/reset", reset, "reset", "the connection was cut before a reply (tried 2 times)"),
    ("/cut", cut, "truncated", "the connection ended after"),
    ("/page", web_page, "not_a_picture", "not a picture (a web page or SVG)"),
    ("/circle", circle, "redirect_loop", "redirected in a circle: "),
    ("/oversize", oversize, "too_large", "more than 0.190735 MiB; allow more with --max-bytes"),
    ("/unsaid", oversize_unsaid, "too_large", "more than 0.190735 MiB"),
    ("/length", wrong_length, "bad_reply", "the reply is no proper HTTP: "),
    ("/drip", drip, "slow", "not done after 0.5 s; "),
)


def test_every_link_has_one_outcome_whatever_happens(server: Server, tmp_path: Path) -> None:
    links = [server.on(f"/{seed}.jpg", jpeg(seed)) for seed in range(40)]
    links += [server.on(path, handler) if handler else server.url + path for path, handler, *_ in FAILURES]
    server.on("/circle2", circle)
    made = run(links, tmp_path / "data")
    rows = table_of(tmp_path / "data")
    assert [row["link"] for row in rows] == links
    assert made.counts == Counter(
        {"kept": 40, "http_404": 1, "http_500": 1, "timeout": 1, "reset": 1, "truncated": 1, "not_a_picture": 1}
        | {"bad_reply": 1, "redirect_loop": 1, "too_large": 2, "slow": 1}
    )
    for row, (path, _, status, text) in zip(rows[40:], FAILURES, strict=True):
        assert (row["status"], row["path"], row["sha256"]) == (status, "", ""), path
        assert row["error"].startswith(text), path
    for row in rows[:40]:
        content = (tmp_path / "data" / row["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert row["path"] == f"cat/{row['sha256'][:20]}.jpg"
        assert int(row["bytes"]) == len(content)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["cat", "provenance.csv"]
    assert made.account().startswith("51 links = 40 kept + 2 too large + ")
    assert " + 1 not found (404)" in made.account()


def test_account_is_the_same_for_every_order_of_arrival(server: Server, tmp_path: Path) -> None:
    """Which of two copies is "kept" is decided by their order in the list."""
    links = [server.on(f"/{name}", jpeg(7)) for name in "abcdef"]
    made = run(links, tmp_path / "data")
    assert [outcome.status for _, outcome in made.rows] == ["kept"] + ["copy"] * 5
    assert made.rows[3][1].error == "the same picture as cat.txt, row 1"
    assert made.account() == "6 links = 1 kept + 5 copies"
    assert len(list((tmp_path / "data" / "cat").iterdir())) == 1


def test_the_same_picture_in_two_classes_is_kept_in_both(server: Server, tmp_path: Path) -> None:
    link = server.on("/a.jpg", jpeg(7))
    made = run([*entries_of([link]), *entries_of([link], "dog", "dog.txt")], tmp_path / "data")
    assert made.account() == "2 links = 2 kept"
    assert read(tmp_path / "data").counts == {"cat": 1, "dog": 1}


def test_the_suffix_is_that_of_the_content(server: Server, tmp_path: Path) -> None:
    for name, format_name in (("a.jpg", "PNG"), ("b", "GIF"), ("c.txt", "WEBP")):
        file = tmp_path / name
        Image.new("RGB", (20, 20), "red").save(file, format_name)
        server.on(f"/{name}", file.read_bytes())
    made = run([f"{server.url}/{name}" for name in ("a.jpg", "b", "c.txt")], tmp_path / "data")
    assert [Path(outcome.path).suffix for _, outcome in made.rows] == [".png", ".gif", ".webp"]


def test_large_pictures_go_by_way_of_the_disk(server: Server, tmp_path: Path) -> None:
    large = jpeg(5, side_px=300) + b"\0" * 1_000_000  # decoders stop at the end-of-image marker
    made = run([server.on("/a", large)], tmp_path / "data", limits=replace(QUICK, max_bytes=2_000_000))
    assert (tmp_path / "data" / made.rows[0][1].path).read_bytes() == large


def test_lines_that_are_no_links_have_outcomes_and_contact_nobody(canary: Server, tmp_path: Path) -> None:
    lists = tmp_path / "cats.txt"
    lists.write_text(
        "# pictures of cats\n\nfile:///etc/passwd\njavascript:alert(1)\ndata:image/png;base64,AAAA\nftp://a/b.jpg\n"
        f"cat.jpg\nhttp://user:secret@{canary.url[7:]}/a.jpg\nhttp:///a.jpg\nhttp://a\\b/\nhttp://a:99999/\n" + "h" * 9000
    )
    entries, notes = read_lists([lists])
    made = run(entries, tmp_path / "data")
    assert notes == ("cats.txt: 1 blank line and 1 comment passed over",)
    assert made.account() == "10 links = 0 kept + 9 not http(s) links + 1 refused"
    assert made.rows[0][1].error == "a file: link; only http:// and https:// are collected"
    assert made.rows[5][1].error == "a link with a user name or password in it; take them out"
    assert canary.n_contacts == 0


def test_duplicates_are_asked_once(server: Server, tmp_path: Path) -> None:
    link = server.on("/a.jpg", jpeg(1))
    made = run([link, link, link], tmp_path / "data")
    assert made.account() == "3 links = 1 kept + 2 asked for twice"
    assert made.rows[2][1].error == "the same link as cat.txt, row 1"
    assert server.asked["/a.jpg"] == 1


def test_what_is_done_is_not_asked_again_and_failures_are(server: Server, tmp_path: Path) -> None:
    links = [server.on(f"/{seed}.jpg", jpeg(seed)) for seed in range(5)] + [server.url + "/later.jpg"]
    assert run(links, tmp_path / "data").counts == {"kept": 5, "http_404": 1}
    server.on("/later.jpg", jpeg(99))
    (tmp_path / "data" / table_of(tmp_path / "data")[0]["path"]).unlink()  # a picture that is gone is asked for again
    made = run(links, tmp_path / "data")
    assert (made.counts, made.n_earlier) == ({"kept": 6}, 4)
    assert server.asked == {"/0.jpg": 2, "/1.jpg": 1, "/2.jpg": 1, "/3.jpg": 1, "/4.jpg": 1, "/later.jpg": 2}


def test_other_lists_add_to_the_same_folder(server: Server, tmp_path: Path) -> None:
    cat, dog = server.on("/cat.jpg", jpeg(1)), server.on("/dog.jpg", jpeg(2))
    run([cat], tmp_path / "data")
    made = run(
        [*entries_of([dog], "dog", "dog.txt"), *entries_of([server.on("/c.jpg", jpeg(1))], source="more.txt")], tmp_path / "data"
    )
    assert [row["link"] for row in table_of(tmp_path / "data")] == [cat, dog, f"{server.url}/c.jpg"]
    assert made.account() == "2 links = 1 kept + 1 copies"
    assert made.rows[1][1].error == "the same picture as cat.txt, row 1"


def test_hosts_that_cannot_be_reached_say_how(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        links = [f"http://127.0.0.1:{closed.getsockname()[1]}/", "http://no.invalid/"]
        made = run(links, tmp_path / "data", guard=replace(LOCAL, resolve=unknown), limits=replace(QUICK, retries=0))
    assert [outcome.status for _, outcome in made.rows] == ["unreachable", "unresolved"]
    assert made.rows[0][1].error == "cannot connect: Connection refused"
    assert made.rows[1][1].error.startswith("its host is not known: ")


async def unknown(host: str) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_redirects_are_followed_and_the_final_link_is_told(server: Server, tmp_path: Path) -> None:
    async def there(request: Request) -> None:
        await request.answer(b"", status="301 Moved", Location="b.jpg?size=1")

    server.on("/a.jpg", there)
    server.on("/b.jpg?size=1", jpeg(1))
    made = run([server.url + "/a.jpg"], tmp_path / "data")
    assert made.rows[0][1].final_link == server.url + "/b.jpg?size=1"
    endless = {f"/{n}": f"/{n + 1}" for n in range(9)}

    async def on_and_on(request: Request) -> None:
        await request.answer(b"", status="308 Permanent Redirect", Location=endless[request.path])

    for path in endless:
        server.on(path, on_and_on)
    ((_, outcome),) = run([server.url + "/0"], tmp_path / "data").rows
    assert outcome.status == "too_many_redirects"
    assert outcome.error.startswith("redirected more than 5 times, at last to http://127.0.0.1:")


def test_a_passing_failure_is_tried_again(server: Server, tmp_path: Path) -> None:
    async def second_time(request: Request) -> None:
        if server.asked["/a.jpg"] == 1:
            await request.answer(b"", status="503 Service Unavailable", Retry_After="0")
        else:
            await request.answer(jpeg(1))

    assert run([server.on("/a.jpg", second_time)], tmp_path / "data").account() == "1 link = 1 kept"
    assert server.asked["/a.jpg"] == 2


def test_a_server_that_asks_for_a_long_pause_is_left_alone(server: Server, tmp_path: Path) -> None:
    async def busy(request: Request) -> None:
        await request.answer(b"", status="429 Too Many Requests", Retry_After="3600")

    ((_, outcome),) = run([server.on("/a.jpg", busy)], tmp_path / "data").rows
    assert outcome.error == "the server answers 429 (too many requests) and asks to wait 3600 s"
    assert server.asked["/a.jpg"] == 1


@pytest.mark.parametrize("asked", ["9" * 400, "86401", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_pause_without_measure_is_told_in_words(asked: str, server: Server, tmp_path: Path) -> None:
    async def busy(request: Request) -> None:
        await request.answer(b"", status="503 Service Unavailable", Retry_After=asked)

    ((_, outcome),) = run([server.on("/a.jpg", busy)], tmp_path / "data").rows
    assert outcome.error == "the server answers 503 (service unavailable) and asks to wait more than a day"
    assert server.asked["/a.jpg"] == 1


def test_a_host_is_asked_only_so_often_at_once(server: Server, tmp_path: Path) -> None:
    async def slowly(request: Request) -> None:
        await asyncio.sleep(0.01)
        await request.answer(jpeg(int(request.path[1:])))

    links = [server.on(f"/{n}", slowly) for n in range(30)]
    made = run(links, tmp_path / "data", limits=replace(QUICK, per_host=3, timeout_s=5))
    assert made.counts == {"kept": 30}
    assert server.most_at_once == 3


def test_a_reply_that_is_compressed_unasked_is_refused_folded(server: Server, tmp_path: Path) -> None:
    def sent(body: bytes, **headers: str):
        async def send(request: Request) -> None:
            await request.answer(body, **headers)

        return send

    bomb = gzip.compress(b"\0" * 10**7)
    links = [server.on("/bomb", sent(bomb, Content_Encoding="gzip")), server.on("/br", sent(b"", Content_Encoding="br"))]
    links += [server.on("/twice", sent(bomb, Content_Encoding="identity", content_encoding="GZIP"))]
    links += [server.on("/plain", sent(jpeg(1), Content_Encoding="Identity"))]
    made = run(links, tmp_path / "data")
    assert [outcome.status for _, outcome in made.rows] == ["encoded", "encoded", "encoded", "kept"]
    assert made.rows[0][1].error == "the reply is compressed ('gzip') although it was asked for as it is"
    assert server.asked["/bomb"] == 1


def test_requests_ask_for_no_compression_and_send_no_cookies(server: Server, tmp_path: Path) -> None:
    heads = []

    async def watch(request: Request) -> None:
        heads.append(request.head.decode().lower())
        await request.answer(jpeg(len(heads)), Set_Cookie="a=b")

    run([server.on(f"/{n}", watch) for n in range(3)], tmp_path / "data", limits=replace(QUICK, per_host=1))
    assert all("accept-encoding: identity\r\n" in head for head in heads)
    assert not [head for head in heads if "cookie" in head]


def test_proxies_of_the_environment_are_not_used(server: Server, canary: Server, tmp_path: Path, monkeypatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, canary.url)
    assert run([server.on("/a", jpeg(1))], tmp_path / "data").counts == {"kept": 1}
    assert canary.n_contacts == 0


def test_hostile_class_names_stay_inside(server: Server, tmp_path: Path) -> None:
    labels = ["../x", "CON", "a/b", "a_b", "nul\0", "", ".hidden", "Cat", "cat", "x" * 300, "con.txt", "..", "daisy "]
    entries = [Entry("l.csv", n, server.on(f"/{n}", jpeg(n)), label) for n, label in enumerate(labels)]
    made = run(entries, tmp_path / "data" / "in")
    assert made.counts == {"kept": len(labels)}
    folders = sorted(path.name for path in (tmp_path / "data" / "in").iterdir() if path.is_dir())
    assert len(folders) == len(labels)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["in"]
    assert len(read(tmp_path / "data" / "in")) == len(labels)
    assert "class 'CON' lies in the folder 'CON_'" in made.notes
    assert [row["label"] for row in table_of(tmp_path / "data" / "in")] == labels


def test_a_file_or_a_folder_in_use_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CallError, match="is a file; give a folder: --out DATA"):
        run([server.url], tmp_path / "file")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "provenance.csv").write_text("who,when\n")
    with pytest.raises(DataError, match="is no table of collected links; nothing is overwritten"):
        run([server.url], tmp_path / "data")


def test_two_runs_at_once_do_not_share_a_folder(server: Server, tmp_path: Path) -> None:
    with (
        work_folder(tmp_path / "data"),
        pytest.raises(CallError, match=r"another `tellapart collect` is at work in .*; wait for it, or choose another --out"),
    ):
        run([server.url], tmp_path / "data")


def test_what_cannot_be_written_ends_the_run_and_the_rest_is_kept(server: Server, tmp_path: Path) -> None:
    links = [server.on("/a", jpeg(1)), server.on("/b", jpeg(2))]
    blocked = tmp_path / "data" / "cat" / f"{hashlib.sha256(jpeg(2)).hexdigest()[:20]}.jpg"
    blocked.mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot write .*\.jpg: .*directory.*\. Choose another place\."):
        run(links, tmp_path / "data", limits=replace(QUICK, connections=1))
    assert [row["status"] for row in table_of(tmp_path / "data")] == ["kept", "interrupted"]
    blocked.rmdir()
    assert run(links, tmp_path / "data").account() == "2 links = 2 kept"
    assert server.asked == {"/a": 1, "/b": 2}


def test_without_aiohttp_it_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(MissingExtraError, match=r"collecting pictures from links needs: pip install 'tellapart\[collect\]'"):
        run(["http://example.com/"], tmp_path / "data")


def test_progress_tells_failures_by_reason(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    run(
        [server.on("/a", jpeg(1)), server.url + "/b", server.url + "/c"], tmp_path / "d", progress=lambda *step: told.append(step)
    )
    assert told[0] == ("collecting", 0, 3)
    assert told[-1] == ("collecting: 2 not found (404)", 3, 3)


@pytest.mark.parametrize("interruption", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_an_interrupted_run_goes_on_where_it_stopped(server: Server, tmp_path: Path, command, tellapart, interruption) -> None:
    n_links, gate = 60, 25

    async def send(request: Request) -> None:
        if not opened and sum(server.asked.values()) > gate:
            await asyncio.sleep(60)
        await request.answer(jpeg(int(request.path[1:])))

    opened: list[bool] = []
    lists = write_list(tmp_path, "cat.txt", [server.on(f"/{n}", send) for n in range(n_links)])
    words = ["collect", str(lists), "--out", str(tmp_path / "data"), "--allow-private", "--json"]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "data" / ".collect" / "journal.jsonl"
    deadline = time.monotonic() + 30
    while not journal.exists() or journal.read_bytes().count(b'"kept"') < gate:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(interruption)
    _, stderr = process.communicate(timeout=30)
    assert "Traceback" not in stderr
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "data" / "cat").iterdir()}
    assert len(before) == gate
    if interruption == signal.SIGKILL:
        with journal.open("ab") as file:
            file.write(b'["cat.txt", 3, "http://cut')
    else:
        assert process.returncode == 130
        assert Counter(row["status"] for row in table_of(tmp_path / "data")) == {"kept": gate, "interrupted": n_links - gate}
    opened.append(True)
    server.asked.clear()
    done = tellapart(*words)
    facts = json.loads(done.stdout)
    assert (facts["counts"], facts["n_earlier"], facts["account"]) == ({"kept": n_links}, gate, "60 links = 60 kept")
    assert sum(server.asked.values()) == n_links - gate
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "data" / "cat").iterdir()}
    assert len(after) == n_links
    assert before.items() <= after.items()
    assert not (tmp_path / "data" / ".collect").exists()
