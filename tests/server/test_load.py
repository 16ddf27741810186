"""More than can be answered, clients that leave or dawdle, models replaced and servers stopped while requests come in."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.files import sha256_of

from .conftest import Server, Start, multipart


def large_png() -> bytes:
    """A picture that takes some tenths of a second to decode."""
    file = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    Image.fromarray(np.tile(noise, (3, 4, 1))).save(file, "PNG", compress_level=1)
    return file.getvalue()


def until(holds: Callable[[], bool], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def metric(server: Server, name: str) -> float:
    lines = server.ask("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_overload_is_refused_at_once(start: Start, run_folder: Path) -> None:
    picture = large_png()
    with start(run_folder, "--queue", "4", "--max-pictures", "4") as server:
        with ThreadPoolExecutor(24) as pool:
            replies = list(pool.map(lambda _: server.predict(picture), range(48)))
        statuses = {reply.status for reply in replies}
        assert statuses == {200, 429}
        refused = [reply for reply in replies if reply.status == 429]
        assert {(reply.headers["retry-after"], reply.json["error"]["kind"]) for reply in refused} == {("1", "overloaded")}
        assert metric(server, "tellapart_queue_") == 0
        assert server.predict(picture).status == 200


@pytest.mark.slow
def test_what_no_one_waits_for_is_dropped(start: Start, run_folder: Path) -> None:
    body, kind = multipart([("a.png", large_png())] * 3)
    with start(run_folder) as server:
        connections = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(8)]
        for connection in connections:
            connection.request("POST", "/v1/predict", body, {"Content-Type": kind})
        until(lambda: metric(server, "tellapart_queue_pictures") > 6)
        for connection in connections:
            connection.close()
        until(lambda: metric(server, "tellapart_queue_") == 0)
        until(lambda: metric(server, 'tellapart_pictures_total{outcome="dropped"}') > 6)
        assert metric(server, 'tellapart_requests_total{route="/v1/predict",status="499"}') > 2


@contextmanager
def asking(server: Server, content: bytes, *, n_threads: int = 6) -> Iterator[list[tuple[int, str]]]:
    """Clients that ask as fast as they can, half of them on connections that they keep: status and version of each answer.

    A connection that is refused ends a client; whatever else goes wrong is an answer with the status 0.
    """
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask(keeps: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        while not stop.is_set():
            try:
                if connection.sock is None:
                    connection.connect()
            except ConnectionRefusedError:
                return
            try:
                connection.request("POST", "/v1/predict", content, {"Content-Type": "image/png"})
                reply = connection.getresponse()
                answers.append((reply.status, json.loads(reply.read()).get("version", "")))
            except (OSError, http.client.HTTPException) as error:
                answers.append((0, repr(error)))
                connection.close()
            if not keeps:
                connection.close()
        connection.close()

    threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_answers_what_it_took(
    start: Start, run_folder: Path, contents: list[bytes], number: int
) -> None:
    with start(run_folder) as server, asking(server, contents[0]) as answers:
        until(lambda: len(answers) > 30)
        assert server.stop(number) == 0
        until(lambda: len(answers) > 31)
    assert {status for status, _ in answers} == {200}
    assert [line["event"] for line in server.logs() if line["event"] != "request"] == ["draining", "stopped"]
    answered = [line for line in server.logs() if line["event"] == "request" and line["route"] == "/v1/predict"]
    assert len(answered) == len(answers)


def test_ready_says_that_it_is_leaving(start: Start, run_folder: Path) -> None:
    with start(run_folder) as server:
        connections = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(2)]
        for connection in connections:
            connection.connect()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: any(line["event"] == "draining" for line in server.logs()))
        connections[0].request("GET", "/ready")
        reply = connections[0].getresponse()
        assert (reply.status, json.loads(reply.read()), reply.headers["connection"]) == (503, {"state": "draining"}, "close")
        for connection in connections:
            connection.close()


def another(bundle: Path, place: Path, text: str) -> Path:
    """A copy of a bundle whose network has another hash, and the same answers."""
    import onnx

    shutil.copytree(bundle, place)
    model = onnx.load(place / "model.onnx")
    model.doc_string = text
    onnx.save(model, place / "model.onnx")
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = sha256_of(place / "model.onnx")
    (place / "manifest.json").write_text(json.dumps(manifest))
    return place


def point(link: Path, place: Path) -> None:
    """Let a link lead elsewhere, at once."""
    beside = link.with_name("beside")
    beside.symlink_to(place)
    beside.replace(link)


@pytest.fixture
def models(run_folder: Path, tmp_path: Path) -> Path:
    """A folder with two bundles, one that is damaged, and a link to the first."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("first", "second", "damaged"):
        another(run_folder / "bundle", folder / name, name)
    (folder / "damaged" / "head.safetensors").write_bytes(b"nothing")
    (folder / "current").symlink_to("first")
    return folder


@pytest.mark.slow
def test_models_are_replaced_under_load(start: Start, models: Path, contents: list[bytes]) -> None:
    versions = [sha256_of(models / name / "model.onnx")[:12] for name in ("first", "second")]
    with start(models) as server, asking(server, contents[0]) as answers:
        assert server.models == ["models"]
        for number in range(1, 5):
            until(lambda: len(answers) > 10 and answers[-1][1] == versions[(number - 1) % 2])  # noqa: B023
            point(models / "current", models / ("first", "second")[number % 2])
            server.process.send_signal(signal.SIGHUP)
            until(lambda: answers[-1][1] == versions[number % 2])  # noqa: B023
        point(models / "current", models / "damaged")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: any(line["event"] == "model_kept" for line in server.logs()))
        n_answers = len(answers)
        until(lambda: len(answers) > n_answers + 10)
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == set(versions)
    kept = [line for line in server.logs() if line["event"] == "model_kept"]
    assert "head.safetensors is damaged: its SHA-256 is not the manifest's" in kept[0]["error"]
    assert len(kept) == 1  # the link is not tried again and again


@pytest.mark.slow
def test_a_link_that_leads_elsewhere_is_followed_unasked(start: Start, models: Path, contents: list[bytes]) -> None:
    second = sha256_of(models / "second" / "model.onnx")[:12]
    with start(f"shapes={models / 'current'}") as server:
        assert server.predict(contents[0]).json["version"] != second
        point(models / "current", models / "second")
        until(lambda: server.predict(contents[0]).json["version"] == second)
        assert metric(server, f'tellapart_model_info{{model="shapes",version="{second}"}}') == 1
