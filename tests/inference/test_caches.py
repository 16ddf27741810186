from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tellapart.inference import caches
from tellapart.inference.caches import FeatureCache

SPACE = {"network": "a", "fit": {"side_px": 8}}
WRITER = """
import sys
import numpy as np
from pathlib import Path
from tellapart.inference import caches
caches.SHARD_ROWS = 8
cache = caches.FeatureCache({"network": "a", "fit": {"side_px": 8}}, folder=Path(sys.argv[1]))
first, n = int(sys.argv[2]), int(sys.argv[3])
for number in range(first, first + n):
    cache.add(f"{number:064x}", np.full(4, number % 1000, np.float16))
    if number == first + 20:
        print("begun", flush=True)
cache.flush()
"""


def digest(number: int) -> str:
    return f"{number:064x}"


def filled(folder: Path, numbers: range) -> FeatureCache:
    cache = FeatureCache(SPACE, folder=folder)
    for number in numbers:
        cache.add(digest(number), np.full(4, number, np.float16))
    cache.flush()
    return cache


def kept(folder: Path) -> dict[str, float]:
    return {name: float(row[0]) for name, row in FeatureCache(SPACE, folder=folder).rows()}


def test_what_was_added_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5, 4)).astype(np.float16)
    cache = FeatureCache(SPACE, folder=tmp_path)
    assert list(cache.rows()) == []
    for number, row in enumerate(rows):
        cache.add(digest(number), row)
    assert list(cache.rows()) == []  # not on disk yet
    cache.flush()
    found = list(FeatureCache(SPACE, folder=tmp_path).rows())
    assert [name for name, _ in found] == [digest(number) for number in range(5)]
    assert np.array_equal(np.stack([row for _, row in found]), rows)
    assert cache.lost == ""


def test_full_shards_are_written_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "SHARD_ROWS", 3)
    cache = FeatureCache(SPACE, folder=tmp_path)
    for number in range(7):
        cache.add(digest(number), np.zeros(2, np.float16))
    assert len(kept(tmp_path)) == 6
    cache.flush()
    assert len(kept(tmp_path)) == 7
    assert len(list(cache.folder.iterdir())) == 3


def test_an_empty_flush_writes_nothing(tmp_path: Path) -> None:
    FeatureCache(SPACE, folder=tmp_path).flush()
    assert list(tmp_path.iterdir()) == []


def test_another_space_sees_nothing(tmp_path: Path) -> None:
    filled(tmp_path, range(3))
    assert list(FeatureCache({**SPACE, "network": "b"}, folder=tmp_path).rows()) == []
    assert len(list(FeatureCache(dict(reversed(SPACE.items())), folder=tmp_path).rows())) == 3  # order says nothing


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip_a_feature(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def flip_a_digest(path: Path) -> None:
    """In whichever order the tensors lie: the bytes of digest 2 occur once."""
    content = path.read_bytes()
    place = content.index(bytes.fromhex(digest(2)))
    path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_foreign(path: Path) -> None:
    path.unlink()
    save_file({"weights": np.zeros(3, np.float32)}, path)


def make_newer(path: Path) -> None:
    with safe_open(path, "numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    path.unlink()
    save_file(tensors, path, {**metadata, "format": "2"})


@pytest.mark.parametrize("damage", [truncate, flip_a_feature, flip_a_digest, empty, make_foreign, make_newer])
def test_a_damaged_shard_is_thrown_away_and_the_others_stay(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    cache = filled(tmp_path, range(3))
    (shard,) = cache.folder.iterdir()
    filled(tmp_path, range(10, 12))
    damage(shard)
    assert kept(tmp_path) == {digest(10): 10.0, digest(11): 11.0}
    assert not shard.exists()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    cache = filled(tmp_path, range(3))
    (cache.folder / "notes.txt").write_text("mine")
    (cache.folder / ".1-abc.safetensors.7.part").write_bytes(b"half")
    assert len(kept(tmp_path)) == 3
    assert (cache.folder / "notes.txt").read_text() == "mine"


def test_a_shard_that_cannot_be_removed_is_passed_over(tmp_path: Path) -> None:
    cache = filled(tmp_path, range(3))
    (cache.folder / "folder.safetensors").mkdir()
    assert len(kept(tmp_path)) == 3


def test_a_place_that_cannot_be_written_costs_the_rows_not_the_work(tmp_path: Path) -> None:
    (tmp_path / "features").touch()
    cache = filled(tmp_path, range(3))
    assert cache.lost.startswith("the computed features could not be kept: cannot write ")
    assert list(cache.rows()) == []


def start_writer(folder: Path, first: int, n: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(first), str(n)], stdout=subprocess.PIPE, text=True)


def test_two_processes_may_share_a_cache(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, first, 60) for first in (0, 40)]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(kept(tmp_path)) == [digest(number) for number in range(100)]


def test_a_kill_while_adding_leaves_a_valid_cache(tmp_path: Path) -> None:
    with start_writer(tmp_path, 0, 10**9) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"  # 16 rows are on disk by now, more come
        os.kill(writer.pid, signal.SIGKILL)
    shards = list(FeatureCache(SPACE, folder=tmp_path).folder.glob("*.safetensors"))
    found = kept(tmp_path)
    assert len(found) == 8 * len(shards) >= 16
    assert all(value == int(name, 16) % 1000 for name, value in found.items())
    assert all(shard.exists() for shard in shards)  # none was thrown away as damaged
