"""Calls that are killed again and again, and go on to the very bytes of a call that was not. And many pictures."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

PIECES = 4
RSS = """
import atexit, resource, sys
from tellapart.__main__ import main
atexit.register(lambda: print("KIB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
main()
"""


def link_many(folder: Path, pictures: list[str], n: int) -> Path:
    """A folder of so many names of the same few pictures, every 50th unreadable."""
    folder.mkdir()
    broken = folder.parent / "broken"
    broken.write_bytes(b"no picture")
    for number in range(n):
        source = broken if number % 50 == 7 else pictures[number % len(pictures)]
        os.link(source, folder / f"{number:06d}-{'x' * 80}.jpg")
    return folder


@pytest.fixture
def whole(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> list[str]:
    """The words of a call whose pictures fill a few pieces, already done once: its output is tmp_path/whole.csv."""
    folder = link_many(tmp_path / "many", pictures, 512 * PIECES + 100)
    words = ["predict", str(run_folder), str(folder), "--failures", str(tmp_path / "failures.csv"), "--out"]
    done = tellapart(*words, tmp_path / "whole.csv")
    assert done.returncode == 0, done.stderr
    (tmp_path / "failures.csv").rename(tmp_path / "whole-failures.csv")
    return words


def kill_and_resume(command: list[str], words: list[str], folder: Path, chance: random.Random, n_kills: int) -> None:
    out = folder / "killed.csv"
    line = [*command, *words, str(out), "--resume"]
    for n in range(n_kills + 1):
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
            try:
                _, errors = process.communicate(timeout=None if n == n_kills else chance.uniform(0.5, 4))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                continue
            assert process.returncode == 0, errors
            break
    assert out.read_bytes() == (folder / "whole.csv").read_bytes()
    assert (folder / "failures.csv").read_bytes() == (folder / "whole-failures.csv").read_bytes()
    assert sorted(os.listdir(folder / ".killed.csv.pieces")) == ["begun.json", "finished.json"]


@pytest.mark.slow
def test_a_call_killed_at_random_moments_goes_on(command: list[str], whole: list[str], tmp_path: Path) -> None:
    kill_and_resume(command, whole, tmp_path, random.Random(5), n_kills=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_fifty_kills(command: list[str], whole: list[str], tmp_path: Path, seed: int) -> None:
    kill_and_resume(command, whole, tmp_path, random.Random(seed), n_kills=5)


@pytest.mark.slow
def test_shards_that_run_side_by_side_are_the_whole(command: list[str], whole: list[str], tmp_path: Path) -> None:
    lines = [[*command, *whole, str(tmp_path / "part.csv"), "--shard", f"{number}/3"] for number in (1, 2, 3)]
    running = [subprocess.Popen(line, stderr=subprocess.PIPE) for line in lines]
    assert [(process.communicate(), process.returncode)[1] for process in running] == [0, 0, 0]
    for name in ("part", "failures"):
        shards = sorted(tmp_path.glob(f"{name}-*-of-3.csv"))
        rows = sorted(line for shard in shards for line in shard.read_text().splitlines()[1:])
        of_all = (tmp_path / ("whole.csv" if name == "part" else "whole-failures.csv")).read_text().splitlines()[1:]
        assert [row.partition(",")[0] for row in rows] == [row.partition(",")[0] for row in sorted(of_all)]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    n_kib = []
    for n in (500, 20_000):
        folder = link_many(tmp_path / f"many-{n}", pictures[:1], n)
        words = ["predict", str(run_folder), str(folder), "--out", str(tmp_path / f"{n}.csv")]
        done = subprocess.run([sys.executable, "-c", RSS, *words], capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        n_kib.append(int(done.stderr.rpartition("KIB ")[2]))
        with (tmp_path / f"{n}.csv").open(newline="") as file:
            assert sum(1 for _ in csv.DictReader(file)) == n
    assert n_kib[1] - n_kib[0] < 15 * 1024  # 3 MiB were measured; a kilobyte kept of each would be 20
