"""Folders larger than what is held in memory are walked in the same order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tellapart import spilling
from tellapart.data import Skipped
from tellapart.sources.walking import entries, pictures_below

MakeFiles = Callable[[Path, Iterable[str]], None]


def test_a_large_folder_is_walked_as_a_small_one(tmp_path: Path, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(tmp_path, ["b.png", "a.png", "a/2.png", "a/1.png", "a.b/x.png", ".hidden/x.png", "__MACOSX/x.png"])
    (tmp_path / "notes.txt").touch()
    (tmp_path / os.fsdecode(b"new\n\xff.png")).touch()
    skipped = list[Skipped]()
    small = list(pictures_below(tmp_path, skipped.append))
    monkeypatch.setattr(spilling, "HELD", 2)
    assert list(pictures_below(tmp_path, skipped.append)) == small
    names = ["a/1.png", "a/2.png", "a.b/x.png", "a.png", "b.png", os.fsdecode(b"new\n\xff.png")]
    assert [os.path.relpath(path, tmp_path) for path in small] == names
    assert [(os.path.basename(one.path), one.reason) for one in skipped] == [("notes.txt", "not a picture by its name")] * 2


def test_a_link_to_itself_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert [one.is_folder for one in entries(tmp_path, lambda _: None)] == [False]


def test_a_folder_that_is_not_there_is_skipped(tmp_path: Path) -> None:
    skipped = list[Skipped]()
    assert list(entries(tmp_path / "absent", skipped.append)) == []
    assert [one.reason for one in skipped] == ["cannot be listed: No such file or directory"]
