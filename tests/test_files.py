"""Files that are whole or not there, whatever comes between."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.errors import BundleError, StorageError
from tellapart.files import cache_dir, growing_file, read_json, sha256_of, write_atomically, write_error, write_json

NOT_ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Writing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"bytes", b"\0" * 100_000])
def test_bytes_are_written_as_they_are(content: bytes, tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == content
    assert listing(tmp_path) == ["file"]


def test_text_is_written_as_utf_8_with_its_line_ends(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", "zwölf\r\n🦉\n")
    assert (tmp_path / "file").read_bytes() == "zwölf\r\n🦉\n".encode()


def test_the_folders_above_are_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a/b/c.txt", "text")
    assert (tmp_path / "a/b/c.txt").read_text() == "text"


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a longer text than the new one")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert listing(tmp_path) == ["file"]


def test_whoever_has_the_old_file_open_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with path.open() as reader:
        write_atomically(path, "new")
        assert reader.read() == "old"


def test_a_file_in_place_of_a_folder_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep")
    with pytest.raises(StorageError) as caught:
        write_atomically(tmp_path / "file" / "below.txt", "text")
    # mkdir finds a file where the folder should be
    assert str(caught.value) == f"cannot write {tmp_path}/file/below.txt: File exists. Choose another place."
    assert (tmp_path / "file").read_text() == "keep"
    assert listing(tmp_path) == ["file"]


def test_a_folder_in_place_of_the_file_leaves_no_part_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*/taken: Is a directory"):
        write_atomically(tmp_path / "taken", "text")
    assert listing(tmp_path) == ["taken"]


def test_a_name_that_is_too_long_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="File name too long"):
        write_atomically(tmp_path / ("n" * 300), "text")
    assert listing(tmp_path) == []


def test_a_nul_in_the_name_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_atomically(tmp_path / "a\0b", "text")


@NOT_ROOT
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        write_atomically(tmp_path / "file", "text")
    tmp_path.chmod(0o700)
    assert listing(tmp_path) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from tellapart.errors import StorageError
from tellapart.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), bytes(5000))
except StorageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on a file's size here")
def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new_one(tmp_path: Path) -> None:
    """A limit on the size of a file breaks the write off as a full disk does."""
    path = tmp_path / "file"
    path.write_text("old")
    run = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == (f"cannot write {path}: File too large. Free space or choose another place.\n", "")
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_an_interruption_leaves_the_old_file_and_no_part_of_the_new_one(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[moment], interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["file"]


# JSON ----------------------------------------------------------------------------------------------------------------


def test_json_is_legible(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"class": "Käfer", "n": [1]})
    assert (tmp_path / "file.json").read_text() == '{\n "class": "Käfer",\n "n": [\n  1\n ]\n}\n'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
@settings(max_examples=60, deadline=None)
def test_an_object_survives_its_file(value: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "file.json", value)
        assert read_json(Path(folder) / "file.json") == value


def test_a_name_that_is_no_unicode_survives_its_file(tmp_path: Path) -> None:
    value = {"path": os.fsdecode(b"caf\xe9\xff.jpg")}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value
    (tmp_path / "file.json").read_text(encoding="utf-8")  # legible to others as well


DAMAGED = {
    "empty": b"",
    "text": b"no json",
    "cut off": b'{"a": [1, 2',
    "two objects": b"{} {}",
    "not unicode": b'{"a": "\xff\xfe"}',
    "zeros": bytes(100),
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "an endless number": b'{"a": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_not_json_is_named_as_damaged(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(DAMAGED[kind])
    with pytest.raises(BundleError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path} is damaged (not JSON: ")
    assert str(caught.value).endswith("). Write it again: train or export once more.")
    assert len(str(caught.value)) < len(str(path)) + 300


@pytest.mark.parametrize(
    ("content", "found"), [("[]", "list"), ("1", "int"), ('"a"', "str"), ("null", "NoneType"), ("true", "bool")]
)
def test_json_that_is_no_object_is_named_as_damaged(content: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(BundleError) as caught:
        read_json(path)
    assert str(caught.value) == f"{path} is damaged: it holds a {found}, not an object."


def test_a_missing_file_and_a_folder_are_bundle_errors(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        read_json(tmp_path / "missing.json")
    assert str(caught.value) == f"cannot read {tmp_path}/missing.json: No such file or directory"
    with pytest.raises(BundleError, match="Is a directory"):
        read_json(tmp_path)


@given(st.binary(max_size=100) | st.text('{}[]",:0e-.tfn \\u', max_size=60).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_object_or_a_bundle_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.json"
        path.write_bytes(content)
        try:
            value = read_json(path)
        except BundleError:
            return
        assert value == json.loads(content)


# Digests and places --------------------------------------------------------------------------------------------------


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "file") == sha256_of(str(tmp_path / "file")) == expected


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("TELLAPART_CACHE")
    assert cache_dir() == tmp_path / "xdg" / "tellapart"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_dir() == Path.home() / ".cache" / "tellapart"
    assert not (tmp_path / "mine").exists()


# Growing -------------------------------------------------------------------------------------------------------------


def test_a_growing_file_keeps_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log"
    for number in range(3):
        with growing_file(path) as file:
            assert file.content == b"a" * number
            file.append(b"a")
    assert path.read_bytes() == b"aaa"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free space or choose another place."),
        (errno.EDQUOT, "Free space or choose another place."),
        (errno.EACCES, "Allow writing there or choose another place."),
        (errno.EROFS, "Allow writing there or choose another place."),
        (errno.ENOTDIR, "Choose another place."),
    ],
)
def test_the_remedy_fits_what_went_wrong(number: int, remedy: str) -> None:
    error = write_error("x.csv", OSError(number, os.strerror(number)))
    assert str(error) == f"cannot write x.csv: {os.strerror(number)}. {remedy}"


def test_what_else_to_do_follows_the_remedy() -> None:
    error = write_error("x.csv", PermissionError(errno.EACCES, "Permission denied"), then="and run the same command again")
    assert str(error) == "cannot write x.csv: Permission denied. Allow writing there and run the same command again."
    assert str(write_error("x", ValueError("embedded null byte"))) == "cannot write x: embedded null byte. Choose another place."


@NOT_ROOT
def test_a_growing_file_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    (tmp_path / "log").chmod(0o400)
    with (
        pytest.raises(StorageError, match=r"log: Permission denied\. Allow writing there or choose another place"),
        growing_file(tmp_path / "log"),
    ):
        pass
