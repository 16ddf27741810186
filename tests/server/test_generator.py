"""The load generator of `bench/`, before a server of which it is known what it answered."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"
LARGE = 4 * 2**20  # bytes, more than a connection takes at once

pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="the source distribution has no bench/")


class Answering(ThreadingTCPServer):
    """Refuses every fourth request, closes the connection after every fifth answer, and on every seventh request without one."""

    daemon_threads = True
    request_queue_size = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answerer)
        self.answered = Counter[str]()
        self.lengths = Counter[int]()
        self.lock = threading.Lock()


class Answerer(StreamRequestHandler):
    server: Answering

    def handle(self) -> None:
        while head := b"".join(iter(self.rfile.readline, b"\r\n")) if self.rfile.peek(1) else b"":
            length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
            with self.server.lock:
                n = self.server.answered.total() + 1
                kind = "" if n % 7 == 0 else "429" if n % 4 == 0 else "200"
                self.server.answered[kind] += 1
                self.server.lengths[len(self.rfile.read(length))] += 1
            if not kind:
                return
            closes = b"Connection: close\r\n" if n % 5 == 0 else b""
            self.wfile.write(b"HTTP/1.1 %s Whatever\r\n%scontent-length: 2\r\n\r\n{}" % (kind.encode(), closes))
            if closes:
                return


@pytest.fixture
def answering() -> Iterator[Answering]:
    with Answering() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def generated(how: str, server: Answering, pictures: Path, *words: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{server.server_address[1]}/v1/predict"
    command = [sys.executable, str(BENCH / "load.py"), how, url, str(pictures), "--seconds", "1", *words]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_all_that_is_sent_is_accounted_for(answering: Answering, tmp_path: Path) -> None:
    (tmp_path / "small.jpg").write_bytes(b"x" * 1000)
    (tmp_path / "large.jpg").write_bytes(b"y" * LARGE)
    found = generated("open", answering, tmp_path, "--rate", "150")
    assert found["statuses"] == {kind: n for kind, n in answering.answered.items() if kind}
    assert sum(found["broken"].values()) == answering.answered[""] > 10
    assert found["n"] == sum(found["statuses"].values()) > 80
    assert answering.lengths.keys() == {1000, LARGE}
    assert sum(found["ok_each_second"]) == found["statuses"]["200"]
    assert found["ms"]["p50"] <= found["ms"]["p99"] <= found["ms"]["max"]


def test_those_that_no_one_takes_are_broken(tmp_path: Path) -> None:
    (tmp_path / "small.jpg").write_bytes(b"x")
    with Answering() as closed:
        pass
    found = generated("open", closed, tmp_path, "--rate", "50")
    assert found["statuses"] == {}
    assert found["broken"].keys() == {"ConnectionRefusedError"}
    assert found["ms"] == {}


def test_clients_ask_again_when_they_are_answered(answering: Answering, tmp_path: Path) -> None:
    (tmp_path / "small.jpg").write_bytes(b"x" * 1000)
    found = generated("closed", answering, tmp_path, "--clients", "3")
    counted = found["statuses"] | {"": sum(found["broken"].values())}
    assert all(0 <= answering.answered[kind] - n <= 3 for kind, n in counted.items())  # the last ones came after the time
    assert len(counted) == 3
