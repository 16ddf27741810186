"""Public sets from a stand-in of their server, pinned by hashes of their own."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from tellapart.downloads.public import (
    PUBLIC_SETS,
    PinnedFile,
    PublicSet,
    collect_public,
    is_pinned,
    place_file,
    place_folders,
    public_set,
)
from tellapart.errors import CallError, DataError

from .conftest import LOCAL, Request, Server, jpeg

DATA = Path(os.environ.get("TELLAPART_DATA") or Path(__file__).parents[3] / "shared" / "data")
IDX = b"\0\0\x08\x01\0\0\0\x02\x00\x01"
ZIPPED = gzip.compress(IDX, mtime=1)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def small_set(address: str, *, content: bytes = ZIPPED) -> PublicSet:
    file = PinnedFile("labels.gz", len(content), sha256(content), sha256(IDX), len(IDX))
    return PublicSet("small", "2 labels", "CC0", (address,), (file,), place_file)


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packing:
        for seed, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = len(jpeg(seed))
            packing.addfile(member, io.BytesIO(jpeg(seed)))
    return file.getvalue()


def photo_set(address: str, content: bytes) -> PublicSet:
    file = PinnedFile("photos.tgz", len(content), sha256(content), makes=("a", "b"))
    return PublicSet("photos", "2 photographs", "CC0", (address,), (file,), place_folders)


def test_files_come_from_their_address_once(server: Server, tmp_path: Path) -> None:
    async def moved(request: Request) -> None:
        await request.answer(b"", status="302 Found", Location="/there/labels.gz")

    server.on("/labels.gz", moved)
    server.on("/there/labels.gz", ZIPPED)
    made = collect_public(small_set(server.url), tmp_path / "data", guard=LOCAL)
    assert made.sources == (("labels.gz", server.url),)
    assert made.text() == f"2 labels, in {tmp_path}/data: labels.gz from {server.url}, each as pinned; licence: CC0"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["labels.gz"]
    again = collect_public(small_set(server.url), tmp_path / "data", guard=LOCAL)
    assert again.sources == (("labels.gz", "an earlier call"),)
    assert server.asked["/there/labels.gz"] == 1


@pytest.mark.parametrize("content", [b"", ZIPPED[:-9], gzip.compress(IDX + b"\0"), b"x" * len(ZIPPED)])
def test_another_file_never_gets_there(server: Server, tmp_path: Path, content: bytes) -> None:
    server.on("/labels.gz", content)
    with pytest.raises(DataError, match=r"labels\.gz cannot be had\. http.*From a copy of yours: --from FOLDER"):
        collect_public(small_set(server.url), tmp_path / "data", guard=LOCAL)
    assert not list((tmp_path / "data").iterdir())


def test_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    server.on("/good/labels.gz", ZIPPED)
    wanted = small_set(server.url)
    wanted = PublicSet(wanted.name, "", "", (f"{server.url}/bad/", f"{server.url}/good/"), wanted.files, place_file)
    assert collect_public(wanted, tmp_path / "data", guard=LOCAL).sources == (("labels.gz", f"{server.url}/good/"),)


def test_a_mirror_or_a_folder_may_be_named(server: Server, tmp_path: Path) -> None:
    server.on("/mirror/labels.gz", ZIPPED)
    nowhere = small_set("http://127.0.0.1:1")
    collect_public(nowhere, tmp_path / "a", guard=LOCAL, source=f"{server.url}/mirror")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "labels.gz").write_bytes(gzip.compress(IDX, mtime=99))  # compressed anew: the content is what counts
    collect_public(nowhere, tmp_path / "b", source=str(tmp_path / "copy"))
    assert gzip.decompress((tmp_path / "b" / "labels.gz").read_bytes()) == IDX
    (tmp_path / "copy" / "labels.gz").write_bytes(b"other")
    with pytest.raises(DataError, match="is not the published file"):
        collect_public(nowhere, tmp_path / "c", source=str(tmp_path / "copy"))
    with pytest.raises(CallError, match=r"does not hold labels\.gz"):
        collect_public(nowhere, tmp_path / "c", source=str(tmp_path))


def test_a_private_mirror_must_be_allowed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"127\.0\.0\.1 is not a public address; for a server of your own: --allow-private"):
        collect_public(small_set(server.url), tmp_path / "data")
    assert server.n_contacts == 0


def test_a_bomb_is_not_unfolded(tmp_path: Path) -> None:
    (tmp_path / "labels.gz").write_bytes(gzip.compress(b"\0" * 10**7))
    assert not is_pinned(tmp_path / "labels.gz", small_set("").files[0])


def test_archives_become_class_folders(server: Server, tmp_path: Path) -> None:
    content = archive("top/a/1.jpg", "top/b/2.jpg", "top/LICENSE.txt")
    server.on("/photos.tgz", content)
    collect_public(photo_set(server.url, content), tmp_path / "data", guard=LOCAL)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["LICENSE.txt", "a", "b"]
    assert (tmp_path / "data" / "b" / "2.jpg").read_bytes() == jpeg(1)
    with pytest.raises(CallError, match="is there already; nothing is overwritten"):
        collect_public(photo_set(server.url, content), tmp_path / "data", guard=LOCAL)
    assert server.asked["/photos.tgz"] == 1


def test_an_archive_that_leads_outside_is_refused(server: Server, tmp_path: Path) -> None:
    content = archive("top/../../../evil.jpg")
    server.on("/photos.tgz", content)
    with pytest.raises(DataError, match=r"photos\.tgz cannot be unpacked: "):
        collect_public(photo_set(server.url, content), tmp_path / "data", guard=LOCAL)
    assert not list(tmp_path.rglob("evil.jpg"))


def test_unknown_sets_suggest_known_ones() -> None:
    with pytest.raises(CallError, match="unknown public set 'flower'; did you mean 'flowers'"):
        public_set("flower")


def test_pins_are_whole() -> None:
    for one in PUBLIC_SETS:
        for file in one.files:
            assert len(bytes.fromhex(file.sha256)) == 32
            assert all(address.startswith(("https://", "http://")) and address.endswith("/") for address in one.addresses)


def test_fashion_mnist_from_a_folder(tmp_path: Path) -> None:
    folder = DATA / "fashion-mnist"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}; set TELLAPART_DATA")
    collect_public(public_set("fashion-mnist"), tmp_path / "data", source=str(folder))
    assert sum(path.stat().st_size for path in (tmp_path / "data").iterdir()) > 30_000_000
