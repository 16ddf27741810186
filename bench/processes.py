"""Run a whole process and say what it cost: wall time, peak memory, output."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True)
class Finished:
    """One process that ended well."""

    command: tuple[str, ...]
    wall_s: float  # from before the start until after the exit: imports and shutdown count
    peak_mb: float  # largest resident set, 10^6 bytes, of the process or of one child that it waited for
    stdout: str


def run_process(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Finished:
    """Run `command` with `env` added to the environment. Raises RuntimeError with the end of stderr when it fails."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(process.pid, 0)  # unlike wait(), tells the resources of this child alone
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{_text(stderr)[-2000:]}")
        return Finished(tuple(command), wall_s, usage.ru_maxrss * MAXRSS_UNIT / 1e6, _text(stdout))


# getrusage(2): kibibytes on Linux, bytes on macOS. A child's peak begins at its parent's size
# when it was started, which is why run.py imports the standard library only.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
