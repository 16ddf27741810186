"""`predict` as a call for many pictures: what it goes on with, what it refuses, what it says."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tellapart.errors import CallError
from tellapart.predictions import Job, refuse_overwriting

Cli = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, pictures: list[str]) -> Path:
    """Six files of which two cannot be read, with names that tables and terminals stumble over, and one that is no picture."""
    root = tmp_path / "new"
    root.mkdir()
    for name in (b"a.jpg", b'new\nline,".jpg', b"not utf-8 \xff.jpg", b"=1+1.jpg"):
        shutil.copy(pictures[0], root / os.fsdecode(name))
    (root / "empty.jpg").touch()
    (root / "text.png").write_text("no picture")
    (root / "notes.txt").touch()
    return root


def job(run_folder: Path, *patterns: str | Path, **options: Any) -> Job:
    return Job.of(run_folder, [str(one) for one in patterns], **options)


def test_counts_reconcile_and_failures_are_named(tellapart: Cli, run_folder: Path, folder: Path, tmp_path: Path) -> None:
    out, failures = tmp_path / "preds.csv", tmp_path / "failures.csv"
    done = tellapart("predict", run_folder, folder, "--out", out, "--failures", failures, "--resume")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"passed over 1 other file, such as {folder / 'notes.txt'}: not a picture by its name",
        f"6 files = 4 predicted + 2 unreadable, in {out}",
    ]
    assert failures.read_text().splitlines() == [
        "path,error",
        f"{folder / 'empty.jpg'},the file is empty (0 bytes)",
        f"{folder / 'text.png'},not a picture (text)",
    ]
    assert r"not utf-8 \udcff.jpg" in out.read_text()
    again = tellapart("predict", run_folder, folder, "--out", out, "--resume")
    assert again.stderr.splitlines()[-1] == f"6 files = 4 predicted + 2 unreadable, in {out}; 6 of them by an earlier call"


def test_json_lines_are_written_as_they_are_printed(tellapart: Cli, run_folder: Path, folder: Path, tmp_path: Path) -> None:
    done = tellapart("predict", run_folder, folder, "--out", tmp_path / "preds.jsonl", "--json")
    assert done.stdout == (tmp_path / "preds.jsonl").read_text()
    assert [json.loads(line)["error"] is None for line in done.stdout.splitlines()].count(True) == 4


def test_a_shard_without_pictures_is_a_table_all_the_same(tellapart: Cli, run_folder: Path, folder: Path, tmp_path: Path) -> None:
    codes = [
        tellapart("predict", run_folder, folder / "a.jpg", "--out", tmp_path / "preds.csv", "--shard", f"{number}/3").returncode
        for number in (1, 2, 3)
    ]
    assert codes == [0, 0, 0]
    lines = [len((tmp_path / f"preds-{number}-of-3.csv").read_text().splitlines()) for number in (1, 2, 3)]
    assert sorted(lines) == [1, 1, 2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resume": True}, "--resume needs a file to write to: --out predictions.csv"),
        ({"failures": "f.csv"}, "--failures needs a file to write to"),
        ({"out": "x.csv", "failures": "x.csv"}, "--out and --failures are both x.csv; give two files"),
        ({"out": ""}, "'' is a folder; give a file in it: predictions.csv"),
        ({"out": "x.csv", "shard": "17/16"}, "there is no shard 17; they are numbered from 1 to 16"),
    ],
)
def test_a_wrong_call_is_said_before_anything_is_done(
    run_folder: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CallError, match=said):
        job(run_folder, folder, **options)
    assert os.listdir(tmp_path) == ["new"]


def test_no_picture_is_written_over(tmp_path: Path, pictures: list[str]) -> None:
    shutil.copy(pictures[0], tmp_path / "other.jpg")
    (tmp_path / "list.csv").write_text(f"file\n{pictures[0]}\n")
    (tmp_path / "older.csv").write_text("path,label\nx.jpg,owl\n")
    for name in ("other.jpg", "list.csv"):
        with pytest.raises(CallError, match="is one of the pictures to predict, or holds some; nothing is overwritten"):
            refuse_overwriting(str(tmp_path / name), [str(tmp_path / "list.csv")])
    for folder in (str(tmp_path), f"{tmp_path}/absent/", "", "..", "s3://bucket/"):
        with pytest.raises(CallError, match="is a folder; give a file"):
            refuse_overwriting(folder, [str(tmp_path / "list.csv")])
    for device in ("/dev/null", "/dev/stdout"):
        with pytest.raises(CallError, match=f"{device} is no regular file; nothing is put in its place"):
            refuse_overwriting(device, [])
    refuse_overwriting(str(tmp_path / "older.csv"), [str(tmp_path / "list.csv")])


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody may write to."""
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed").chmod(stat.S_IRUSR | stat.S_IXUSR)
    yield tmp_path / "sealed"
    (tmp_path / "sealed").chmod(stat.S_IRWXU)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_sealed_folder_is_said_at_once(tellapart: Cli, run_folder: Path, folder: Path, sealed: Path) -> None:
    done = tellapart("predict", run_folder, folder, "--out", sealed / "preds.csv")
    assert done.returncode == 1
    assert f"cannot write {sealed / 'preds.csv'}: Permission denied. Allow writing there or choose another --out." in done.stderr


def test_another_model_is_refused_by_name(tellapart: Cli, bundle: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "preds.csv"
    assert tellapart("predict", bundle, folder, "--out", out, "--resume").returncode == 0
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "unknown_below": 0.5}))
    done = tellapart("predict", bundle, folder, "--out", out, "--resume")
    assert done.returncode == 2
    assert f"{out} was begun with another model: " in done.stderr
    done = tellapart("predict", bundle, folder, "--out", out, "--resume", "--tta")
    assert done.returncode == 2
