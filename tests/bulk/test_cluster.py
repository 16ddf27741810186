"""A real Ray on this machine: the same bytes as one process, also when its workers are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tellapart.bulk.cluster import BLOCK_ROWS
from tellapart.bulk.output import PIECE_ROWS

NEEDS_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra `cluster`)")
N_PICTURES = 4 * BLOCK_ROWS + 50
PATIENCE_S = 240


def test_a_block_is_a_piece() -> None:
    """So that what a resumed call leaves out are whole blocks."""
    assert BLOCK_ROWS == PIECE_ROWS


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    done = tellapart("predict", run_folder, pictures[0], "--cluster", "local", "--out", tmp_path / "x.csv")
    assert (done.returncode, done.stderr) == (1, "tellapart: --cluster needs: pip install 'tellapart[cluster]'\n")
    assert list(tmp_path.iterdir()) == []


@NEEDS_RAY
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"])
def test_a_cluster_that_is_not_there_is_said(tellapart, run_folder: Path, pictures: list[str], address: str) -> None:
    done = tellapart("predict", run_folder, pictures[0], "--cluster", address)
    assert done.returncode == 1
    assert f"the cluster '{address}' cannot be reached: " in done.stderr.splitlines()[-1]


def loaded_workers() -> list[int]:
    """The processes of this test's Ray that hold a model."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"ray::"):
                is_ours = f"DRIVER={os.getpid()}".encode() in (entry / "environ").read_bytes()
                if is_ours and "openvino_intel_cpu" in (entry / "maps").read_text():
                    found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


@NEEDS_RAY
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the workers in /proc")
def test_workers_that_are_killed_change_nothing(
    tellapart, command: list[str], run_folder: Path, pictures: list[str], tmp_path: Path
) -> None:
    (tmp_path / "many").mkdir()
    for number in range(N_PICTURES):
        (tmp_path / "many" / f"{number:05d}.jpg").symlink_to(pictures[number % len(pictures)])
    shutil.copy(__file__, tmp_path / "many" / os.fsdecode(b"new\n\xff.jpg"))
    words = ["predict", str(run_folder), str(tmp_path / "many"), "--out"]
    assert tellapart(*words, tmp_path / "whole.csv").returncode == 0
    line = [*command, *words, str(tmp_path / "killed.csv"), "--cluster", "local"]
    n_killed, until = 0, time.monotonic() + PATIENCE_S
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env={**os.environ, "DRIVER": str(os.getpid())}) as driver:
        while driver.poll() is None and time.monotonic() < until:
            for worker in loaded_workers()[: n_killed < 2]:
                assert "libtorch" not in Path(f"/proc/{worker}/maps").read_text()
                os.kill(worker, signal.SIGKILL)
                n_killed += 1
            time.sleep(0.2)
        if driver.poll() is None:
            driver.kill()
        _, errors = driver.communicate()
    assert driver.returncode == 0, errors
    assert n_killed == 2
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@NEEDS_RAY
@pytest.mark.slow
def test_a_worker_of_another_kind_is_said(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    """What the driver holds and what the workers hold must answer alike to the last digit."""
    is_worker = "any('default_worker.py' in word for word in sys.orig_argv)"
    odd = f"import os, sys\nif {is_worker}: os.environ['TELLAPART_RUNTIME'] = 'onnxruntime'\n"
    (tmp_path / "sitecustomize.py").write_text(odd)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = tellapart("predict", run_folder, *pictures[:3], "--cluster", "local", env={"PYTHONPATH": path})
    assert done.returncode == 1
    assert "a worker would predict with ONNX Runtime" in done.stderr.splitlines()[-1]
