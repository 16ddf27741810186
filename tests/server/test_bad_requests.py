"""What no one should send, and some do."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from .conftest import Server, multipart, serving

FORM = "multipart/form-data; boundary=frontier"
JSON = "application/json"


@pytest.mark.parametrize(
    ("content_type", "body", "status", "text"),
    [
        ("image/png", b"", 400, "the body is empty: send pictures as multipart/form-data"),
        ("application/x-www-form-urlencoded", b"x", 415, "is 'application/x-www-form-urlencoded': send pictures"),
        ("text/plain", b"x", 415, "the content type is 'text/plain'"),
        ("", b"x", 415, "there is no content type"),
        ("multipart/form-data", b"x", 400, "comes without its boundary"),
        (f"multipart/form-data; boundary={'x' * 300}", b"x", 400, "Boundary length 300 exceeds maximum"),
        (FORM, b"not a form", 400, "the multipart body is broken"),
        (FORM, b'--frontier\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nabc', 400, "ends before its last"),
        (FORM, multipart([])[0], 400, "there is no picture in the request"),
        (FORM, multipart([], {"top_k": "1" * 2000})[0], 413, "an option has 2,000 bytes"),
        (FORM, multipart([("a.png", b"x")] * 65)[0], 413, "more than 64 pictures in one request"),
        (FORM, multipart([("a.png", b"x")] * 5000)[0], 413, "more than 64 pictures in one request"),
        (FORM, multipart([], {f"option{i}": "1" for i in range(5000)})[0], 413, "more than 64 pictures"),
        (JSON, b"{", 400, "the body is no JSON"),
        (JSON, b"\xff\xfe", 400, "the body is no JSON"),
        (JSON, b"[" * 10_000, 400, "the body is no JSON: it is nested too deep"),
        (JSON, b"[" * 100_000, 413, "the JSON has more than 20,000 braces"),
        (JSON, b'{"a":' * 100_000, 413, "the JSON has more than 20,000 braces"),
        (JSON, b"[]", 400, "write an object with a list of images"),
        (JSON, b'{"images": "x"}', 400, "write an object with a list of images"),
        (JSON, b'{"images": [3]}', 400, "an image is an object with its base64"),
        (JSON, b'{"images": [{"data": "", "url": "http://169.254.169.254/"}]}', 400, "and nothing else"),
        (JSON, b'{"images": [{"data": "AAAA"}], "top_k": []}', 422, "top_k: Input should be a valid integer"),
        (JSON, json.dumps({"images": ["x"] * 65}).encode(), 413, "more than 64 pictures in one request"),
    ],
)  # fmt: skip
def test_a_broken_request_is_named(server: Server, content_type: str, body: bytes, status: int, text: str) -> None:
    reply = server.predict(body, content_type=content_type)
    assert reply.status == status, reply.body
    assert text in reply.json["error"]["text"]


def test_a_bad_picture_is_its_own_error(server: Server, contents: list[bytes]) -> None:
    header_of_a_bomb = (
        b"BM" + bytes(12) + (40).to_bytes(4, "little") + (60_000).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(24)
    )
    files = [
        ("good.jpg", contents[0]), ("../../etc/passwd", b"root:x:0:0"), ("page.jpg", b"<!doctype html><p>"), ("empty", b""),
        ("cut.jpg", contents[1][: len(contents[1]) // 2]), ("bomb.bmp", header_of_a_bomb),
        ("scans.jpg", contents[2] + b"\xff\xda" * 80_000), ("good too.jpg", contents[3]),
    ]  # fmt: skip
    body, kind = multipart(files)
    reply = server.ask("POST", "/v1/predict", body, content_type=kind)
    errors = {row["name"]: row["error"] for row in reply.json["results"]}
    assert reply.status == 200
    assert errors == {
        "good.jpg": None,
        "../../etc/passwd": "not a picture (text)",
        "page.jpg": "not a picture (a web page or SVG)",
        "empty": "the file is empty (0 bytes)",
        "cut.jpg": errors["cut.jpg"],
        "bomb.bmp": errors["bomb.bmp"],
        "scans.jpg": "a JPEG of 80,001 scans; at most 500 are decoded",
        "good too.jpg": None,
    }
    assert "truncated" in errors["cut.jpg"]
    assert "60000 x 60000 pixels" in errors["bomb.bmp"] or "megapixels" in errors["bomb.bmp"]


def test_nothing_readable_is_422_with_the_rows(server: Server) -> None:
    reply = server.predict(b"just text")
    assert (reply.status, reply.json["results"][0]["error"]) == (422, "not a picture (text)")
    reply = server.predict(json.dumps({"images": [{"data": "%%%"}]}).encode(), content_type=JSON)
    assert reply.status == 422
    assert "no base64" in reply.json["results"][0]["error"]


def test_without_its_extra_a_heic_names_it(command: list[str], run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pillow_heif.py").write_text("raise ImportError\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    with serving(["env", f"PYTHONPATH={path}", *command], tmp_path, run_folder) as server:
        reply = server.predict(b"\0\0\0\x18ftypheic" + bytes(40), content_type="image/heic")
    assert reply.status == 422
    assert reply.json["results"][0]["error"] == "a HEIC picture needs: pip install 'tellapart[heif]'"


def raw(server: Server, head: str, body: bytes = b"", *, times: int = 1) -> bytes:
    """What comes back on a connection over which this was written."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        try:
            for _ in range(times):
                connection.sendall(body)
        except OSError:
            pass  # it is closed already; what was answered can still be read
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def test_a_large_upload_is_refused_by_its_length_alone(server: Server) -> None:
    head = "POST /v1/predict HTTP/1.1\nHost: x\nContent-Type: image/png\nContent-Length: 5000000000\nExpect: 100-continue\n\n"
    answer = raw(server, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"more than 4 MiB" in answer


def test_a_body_without_end_is_refused_when_it_is_too_large(server: Server) -> None:
    head = "POST /v1/predict HTTP/1.1\nHost: x\nContent-Type: image/png\nTransfer-Encoding: chunked\n\n"
    answer = raw(server, head, b"10000\r\n" + bytes(65536) + b"\r\n", times=1000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    "head",
    [
        "nonsense\n\n",
        "GET / HTTP/9.9\nConnection: close\n\n",
        "GET /%00 HTTP/1.1\nHost: x\nConnection: close\n\n",
        f"GET / HTTP/1.1\nHost: x\nConnection: close\nA: {'x' * 700_000}\n\n",
        "POST /v1/predict%0A HTTP/1.1\nHost: x\nConnection: close\nContent-Length: 0\n\n",
        f"POST /v1/predict HTTP/1.1\nHost: x\nConnection: close\nContent-Length: {'0' * 5000}1\n\n ",
    ],
    ids=["no HTTP", "version", "NUL", "long", "line feed", "zeros"],
)
def test_a_broken_head_is_no_5xx(server: Server, head: str) -> None:
    assert raw(server, head)[:10] in (b"HTTP/1.1 2", b"HTTP/1.1 4")
    assert server.ask("GET", "/health").status == 200


def test_a_stranger_cannot_fill_the_metrics(server: Server) -> None:
    for number in range(20):
        server.ask("GET", f"/made-up-{number}")
    assert b"made-up" not in server.ask("GET", "/metrics").body


def test_memory_stays_where_it_was(server: Server, contents: list[bytes]) -> None:
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        pytest.skip("only Linux tells what a process holds")

    def held_mib() -> float:
        return int(status.read_text().partition("VmRSS:")[2].split()[0]) / 1024

    body, kind = multipart([("a.png", bytes(60_000))] * 60)
    server.ask("POST", "/v1/predict", body, content_type=kind)
    before = held_mib()
    for _ in range(30):
        server.ask("POST", "/v1/predict", body, content_type=kind)
    assert held_mib() < before + 60
