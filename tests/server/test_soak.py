"""The soak tests of `bench/` in miniature. They are only about counts; what takes a quiet machine is measured there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BENCH.exists(), reason="the source distribution has no bench/"),
    pytest.mark.skipif(sys.platform != "linux", reason="they look into /proc"),
]


def soak(name: str, n: int, run_folder: Path, pictures: list[str]) -> dict[str, Any]:
    """What one of them found."""
    command = [
        sys.executable,
        str(BENCH / "serving_soak.py"),
        name,
        str(run_folder),
        str(Path(pictures[0]).parent),
        "--n",
        str(n),
    ]
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_damaged_requests_are_no_ones_5xx(run_folder: Path, pictures: list[str]) -> None:
    found = soak("mutations", 300, run_folder, pictures)
    assert (found["n_5xx_or_broken"], found["logged"]) == (0, []), found["examples"]
    assert sum(found["statuses"].values()) == 300
    assert {"200", "400", "422"} <= found["statuses"].keys()


def test_bombs_are_refused(run_folder: Path, pictures: list[str]) -> None:
    found = soak("bombs", 21, run_folder, pictures)
    assert found["n_kinds"] == 21
    assert [row for row in found["wrong"] if row["status"] != 422 or row["more_mb"] > 100] == []


def test_stops_lose_nothing(run_folder: Path, pictures: list[str]) -> None:
    found = soak("stops", 4, run_folder, pictures)
    assert (found["broken"], found["statuses"].keys(), found["exit_codes"]) == ({}, {"200"}, [0])


def test_swaps_fail_no_request(run_folder: Path, pictures: list[str]) -> None:
    found = soak("swaps", 4, run_folder, pictures)
    assert (found["broken"], found["statuses"].keys(), found["n_loaded"]) == ({}, {"200"}, 4)


def test_dawdlers_stop_no_one(run_folder: Path, pictures: list[str]) -> None:
    found = soak("dawdlers", 1000, run_folder, pictures)
    assert found["passed"], found


def test_ten_times_too_much_is_refused_and_forgotten(run_folder: Path, pictures: list[str]) -> None:
    found = soak("overload", 3, run_folder, pictures)
    assert found["flood"]["statuses"].keys() <= {"200", "429"}
    assert found["flood"]["broken"] == {}
