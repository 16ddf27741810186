"""Pictures in stores: real ones of fsspec that need no network, and ones that fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tellapart.bulk import remote
from tellapart.bulk.listing import PassedOver, find_pictures
from tellapart.bulk.remote import is_url, open_store, predict_any, read
from tellapart.data import Skipped
from tellapart.errors import CallError, MissingExtraError, PictureError, StorageError
from tellapart.inference import Classifier

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def store(pictures: list[str], tmp_path: Path) -> str:
    """A folder in memory: three pictures, one broken, and what is none."""
    memory, root = fsspec.filesystem("memory"), f"{tmp_path}/store"
    names = ["b/2.jpg", "b/1 ü.jpg", "a.jpg"]
    contents = dict(zip(names, (Path(path).read_bytes() for path in pictures), strict=False))
    for name, content in {**contents, "z.png": b"no picture", ".hidden/x.jpg": b"", "notes.txt": b"x"}.items():
        memory.pipe_file(f"{root}/{name}", content)
    return f"memory://{root}"


class Failing(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A store whose answers are what the test says, one after the other."""

    protocol = "failing"
    answers: Iterator[object] = iter(())

    def info(self, path: str, **_: object) -> object:
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        return bytes(self.info(path))  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    fsspec.register_implementation("failing", Failing, clobber=True)
    monkeypatch.setattr(remote, "TRIES_AFTER_S", (0.0, 0.0, 0.0))
    return Failing


@pytest.mark.parametrize("text", ["s3://bucket/x", "memory://x", "GS://b", "file:///x", "new://line\n.jpg"])
def test_what_is_a_url(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize("text", ["x.jpg", "C:/x.jpg", "/a://b", "zip://x::s3://y", "1a://x", "", "s3:/x"])
def test_what_is_none(text: str) -> None:
    assert not is_url(text)


def test_a_folder_that_is_called_so_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "x").mkdir(parents=True)
    assert not is_url("s3://x")


def test_pictures_are_found_by_name_as_in_a_folder(store: str) -> None:
    passed = PassedOver()
    names = ["a.jpg", "b/1 ü.jpg", "b/2.jpg", "z.png"]
    assert list(find_pictures([store], passed)) == [f"{store}/{name}" for name in names]
    assert passed.first == Skipped(f"{store}/notes.txt", "not a picture by its name")
    assert len(list(find_pictures([f"{store}/a.jpg", store + "/"], passed))) == 4  # a.jpg once


def test_what_is_not_there_is_said(store: str) -> None:
    assert list(find_pictures([f"{store}/absent.jpg"], PassedOver())) == [f"{store}/absent.jpg"]
    with pytest.raises(CallError, match="there is nothing at memory://"):
        find_pictures([f"{store}/absent"], PassedOver())


def test_they_are_predicted_as_files_are(store: str, run_folder: Path, pictures: list[str]) -> None:
    classifier = Classifier.load(run_folder)
    urls = [f"{store}/b/2.jpg", f"{store}/absent.jpg", pictures[3], f"{store}/z.png", f"{store}/b/1 ü.jpg"]
    found = list(predict_any(classifier, urls))
    assert [one.path for one in found] == urls
    assert [found[number].error for number in (1, 3)] == ["cannot be read: no such object", "not a picture (text)"]
    wanted = list(classifier.predict_many([pictures[0], "absent", pictures[3], "absent", pictures[1]]))
    assert [one.probabilities for one in found] == [one.probabilities for one in wanted]


def test_a_folder_by_file_url_is_the_folder(pictures: list[str]) -> None:
    folder = Path(pictures[0]).parent
    found = list(find_pictures([f"file://{folder}"], PassedOver()))
    assert [path.removeprefix("file://") for path in found] == list(find_pictures([str(folder)], PassedOver()))
    assert read(found[0]) == Path(pictures[0]).read_bytes()


def test_more_than_are_read_ahead_stay_in_order(store: str, run_folder: Path) -> None:
    urls = [f"{store}/{name}" for name in ("a.jpg", "absent.jpg", "z.png")] * 30
    found = list(predict_any(Classifier.load(run_folder), iter(urls)))
    assert [one.path for one in found] == urls
    assert [one.error is None for one in found] == [True, False, False] * 30


def test_a_store_that_fails_for_a_moment_is_asked_again(answers: type[Failing]) -> None:
    answers.answers = iter([TimeoutError("slow"), {"size": 2, "type": "file"}, OSError("gone"), OSError("gone"), b"ok"])
    assert read("failing://x.jpg") == b"ok"


def test_a_store_that_fails_ends_the_work(answers: type[Failing], run_folder: Path) -> None:
    answers.answers = iter([ConnectionError("no route\nto host")] * 3)
    with pytest.raises(StorageError, match=r"failing://x.jpg cannot be reached: no route.$"):
        list(predict_any(Classifier.load(run_folder), ["failing://x.jpg"]))


def test_one_object_that_may_not_be_read_does_not(answers: type[Failing]) -> None:
    answers.answers = iter([PermissionError("Access Denied")])
    with pytest.raises(PictureError, match="cannot be read: Access Denied"):
        read("failing://x.jpg")
    answers.answers = iter([{"size": 2**40, "type": "file"}])
    with pytest.raises(PictureError, match="1048576 MiB; at most 512 are read"):
        read("failing://x.jpg")


def test_a_bucket_that_may_not_be_listed_is_said(answers: type[Failing]) -> None:
    answers.answers = iter([PermissionError("Access Denied")])
    with pytest.raises(StorageError, match=r"failing://bucket cannot be reached: Access Denied."):
        find_pictures(["failing://bucket"], PassedOver())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.com/x.jpg", "is a link; nothing is fetched by predict. Download first: tellapart collect"),
        ("memorry://x", "unknown kind of store 'memorry'; did you mean 'memory'?"),
        ("oci://bucket/x.jpg", "needs a driver of fsspec that is not installed: .*ocifs"),
    ],
)
def test_a_store_that_cannot_be_opened_is_a_wrong_call(url: str, said: str) -> None:
    with pytest.raises(CallError, match=said):
        open_store(url)


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"s3:// needs: pip install 'tellapart\[cluster\]'"):
        open_store("s3://bucket")


def test_the_command_reads_and_writes_by_url(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    folder = Path(pictures[0]).parent
    done = tellapart("predict", run_folder, f"file://{folder}", "--out", f"file://{tmp_path}/new/a.csv", "--resume")
    assert done.returncode == 0, done.stderr
    plain = tellapart("predict", run_folder, folder, "--out", tmp_path / "b.csv")
    assert plain.returncode == 0
    assert (tmp_path / "new" / "a.csv").read_text().replace("file://", "") == (tmp_path / "b.csv").read_text()
    assert os.listdir(tmp_path / "new" / ".a.csv.pieces")
    wrong = tellapart("predict", run_folder, folder, "--out", "oci://bucket/x.csv")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
