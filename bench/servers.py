"""Servers that the benchmark starts, asks and stops: ours and LitServe's."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_WITHIN_S = 180.0  # importing PyTorch and timm on a busy machine
STOPS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Running:
    """A server that answers; `ready_s` from before the start of its process until it said so."""

    process: subprocess.Popen[str]  # the leader of its group
    port: int
    ready_s: float
    log: Path

    def url(self, path: str = "/v1/predict") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self) -> int:
        """Tell it to end, and wait; its exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGCONT)  # it may be on hold
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOPS_WITHIN_S)

    def hold(self) -> None:
        """Stop all its processes where they are: even an idle server may poll."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """A server on hold goes on meanwhile."""
        os.killpg(self.process.pid, signal.SIGCONT)
        try:
            yield
        finally:
            self.hold()

    def resident_mb(self, what: str = "VmRSS") -> float:
        """What the process holds, 10^6 bytes; "VmHWM": the most it has held since `forget_peak`. Linux only."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{what}:")[2].split()[0]) * 1024 / 1e6

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def events(self) -> list[dict[str, Any]]:
        """The lines of our server's log but those of requests."""
        whole = self.log.read_text().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) if line.startswith("{") else {"event": "text", "text": line} for line in whole]
        return [line for line in lines if line["event"] != "request"]


@contextmanager
def tellapart_serve(*words: str | Path) -> Iterator[Running]:
    """`tellapart serve WORDS` on a free port."""
    command = [sys.executable, "-m", "tellapart", "serve", *map(str, words), "--port", "0", "--json"]
    with _log() as log, log.open("a") as file:
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True, start_new_session=True) as process:
            told = process.stdout.readline() if process.stdout else ""
            ready_s = time.perf_counter() - start
            if not told:
                raise RuntimeError(f"{' '.join(command)} did not start: {log.read_text()[-2000:]}")
            running = Running(process, int(json.loads(told)["url"].rpartition(":")[2]), ready_s, log)
            try:
                yield running
            finally:
                running.stop()


@contextmanager
def litserve(python: Path, script: Path, bundle: Path, *settings: int) -> Iterator[Running]:
    """One of LitServe's servers with its worker processes, which are a group of their own."""
    port = free_port()
    command = [str(python), str(script), str(bundle), str(port), *map(str, settings)]
    with _log() as log, log.open("a") as file:
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=file, stderr=file, text=True, start_new_session=True) as process:
            try:
                _wait_until_healthy(process, port, start, log)
                yield Running(process, port, time.perf_counter() - start, log)
            finally:
                _end_group(process)


@contextmanager
def _log() -> Iterator[Path]:
    """A file to append to; read while it is written, so that the two must not share a place in it."""
    with tempfile.TemporaryDirectory(prefix="tellapart-bench-") as folder:
        yield Path(folder) / "log"


def _wait_until_healthy(process: subprocess.Popen[str], port: int, start: float, log: Path) -> None:
    while status(port, "/health") != 200:
        if process.poll() is not None or time.perf_counter() - start > READY_WITHIN_S:
            raise RuntimeError(f"{process.args!r} did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)


def _end_group(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            os.killpg(process.pid, signal.SIGCONT)  # it may be on hold
            process.wait(timeout=10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def status(port: int, path: str) -> int:
    """HTTP's number for a GET; 0 where no one listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def post(port: int, path: str, content_type: str, body: bytes, *, timeout_s: float = 60.0) -> tuple[int, bytes]:
    """Status and body of the answer, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("POST", path, body, {"Content-Type": content_type})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def predict_labels(port: int, path: str, content_type: str, bodies: Sequence[bytes]) -> list[str]:
    """The label of each picture, asked one after the other."""
    labels = []
    for body in bodies:
        code, answer = post(port, path, content_type, body)
        found = json.loads(answer)
        if code != 200:
            raise RuntimeError(f"status {code}: {answer[:500]!r}")
        labels.append(found["results"][0]["label"] if "results" in found else found["label"])
    return labels
