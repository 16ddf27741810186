"""A real server: its own process, a real port."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("python_multipart", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")


@dataclass
class Reply:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A running server; `logs` is the file of its lines."""

    process: subprocess.Popen[str]
    url: str
    models: list[str]
    log_file: Path
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = urllib.parse.urlsplit(self.url).port or 0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request on a connection of its own; `content_type` stands for Content-Type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def predict(self, content: bytes, query: str = "", **headers: str) -> Reply:
        return self.ask("POST", f"/v1/predict{query}", content, **{"content_type": "image/png"} | headers)

    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)


def multipart(files: list[tuple[str, bytes]], fields: dict[str, str] | None = None) -> tuple[bytes, str]:
    """A form with these files, and its content type."""
    lines = []
    for name, value in (fields or {}).items():
        lines += [b"--frontier", f'Content-Disposition: form-data; name="{name}"'.encode(), b"", value.encode()]
    for name, content in files:
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"'.encode()
        lines += [b"--frontier", head, b"Content-Type: application/octet-stream", b"", content]
    return b"\r\n".join([*lines, b"--frontier--", b""]), "multipart/form-data; boundary=frontier"


@contextmanager
def serving(command: list[str], folder: Path, *words: str | Path) -> Iterator[Server]:
    """A server that is ready; afterwards it is stopped, and must have ended well."""
    with (folder / "log").open("a") as log_file:
        process = subprocess.Popen(
            [*command, "serve", *map(str, words), "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
        )
        with process:
            assert process.stdout
            told = process.stdout.readline()
            assert told, (folder / "log").read_text()
            server = Server(process, log_file=folder / "log", **json.loads(told))
            try:
                yield server
            finally:
                code = server.stop()
    assert code == 0
    assert "Traceback" not in (folder / "log").read_text()
    assert not [line for line in server.logs() if line["event"] == "library"]


Start = Callable[..., Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Runs coroutines on an event loop of either kind that the server may have."""
    with asyncio.Runner(loop_factory=pytest.importorskip(request.param).new_event_loop) as runner:
        yield runner


@pytest.fixture
def start(command: list[str], tmp_path: Path) -> Start:
    """start(RUN, "--option", ...) as a context: a server of the test's own."""
    return lambda *words: serving(command, tmp_path, *words)


@pytest.fixture(scope="module")
def server(command: list[str], run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the trained run that a module's tests share."""
    with serving(command, tmp_path_factory.mktemp("server"), f"shapes={run_folder}", "--max-body", "4") as started:
        yield started


@pytest.fixture(scope="session")
def contents(pictures: list[str]) -> list[bytes]:
    """The pictures' files."""
    return [Path(path).read_bytes() for path in pictures]
