"""Folders for classes that any file system takes and that stay where they are put."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.downloads.naming import class_folders


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("daisy", "daisy"),
        ("red panda", "red panda"),
        ("गुलाब", "गुलाब"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("../x", "_._x"),
        ("..", "unlabelled"),
        ("", "unlabelled"),
        ("a/b\\c:d", "a_b_c_d"),
        ("CON", "CON_"),
        ("nul.txt", "nul.txt_"),
        ("a\0b\nc", "a_b_c"),
        ("\u202eevil", "_evil"),
        (".git", "_git"),
        ("trailing. ", "trailing"),
        ("__MACOSX", "__MACOSX_"),
        ("a#b", "a_b"),
        ("e\u0301", "é"),
    ],
)
def test_names(label: str, folder: str) -> None:
    assert class_folders([label]) == {label: folder}


def test_labels_that_would_share_a_folder_get_two() -> None:
    folders = class_folders(["Cat", "cat", "a/b", "a_b", "cat"])
    assert list(folders) == ["Cat", "cat", "a/b", "a_b"]
    assert (folders["Cat"], folders["a/b"]) == ("Cat", "a_b")
    assert folders["cat"].startswith("cat-")
    assert folders["a_b"].startswith("a_b-")


@given(st.lists(st.text(max_size=200), max_size=10))
def test_any_labels_have_folders_of_their_own_that_stay_inside(labels: list[str]) -> None:
    folders = class_folders(labels)
    assert set(folders) == set(labels)
    assert len({name.casefold() for name in folders.values()}) == len(folders)
    for name in folders.values():
        assert Path(name).name == name
        assert name.strip(". ")
        assert not name.startswith(".")
        assert len(name.encode()) <= 120
