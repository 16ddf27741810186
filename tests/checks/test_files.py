from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tellapart.checks.files import find_broken, find_wrong_extension
from tellapart.data import table_of
from tellapart.data.table import UNREADABLE, Skipped
from tellapart.sources import read


def test_broken_files_are_findings_with_their_reason(make_evidence) -> None:
    skipped = (
        Skipped("rose/1.jpg", "the file is empty (0 bytes)", "ab" * 32, UNREADABLE),
        Skipped("rose/2.jpg", "cannot be read: Permission denied", kind=UNREADABLE),
        Skipped("rose/notes.txt", "not a picture by its name"),
        Skipped("rose/3.jpg", "dropped by an edit: blurred"),
    )
    found = find_broken(make_evidence(["rose"], skipped=skipped))
    assert [finding.text for finding in found] == [
        "rose/1.jpg: the file is empty (0 bytes).",
        "rose/2.jpg: cannot be read: Permission denied.",
    ]
    assert [len(finding.proposals) for finding in found] == [1, 0]  # without content there is nothing to hang an edit on
    assert (found[0].proposals[0].action, found[0].proposals[0].sha256) == ("drop", "ab" * 32)


def test_what_embedding_could_not_read_is_broken(tmp_path: Path, make_evidence) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    table = table_of([str(tmp_path / "cut.jpg")], ["rose"])
    unreadable = table.without({table.sha256[0]: "cannot be decoded: image file is truncated"})
    (finding,) = find_broken(make_evidence([], skipped=unreadable.skipped))
    assert finding.text.endswith("cut.jpg: cannot be decoded: image file is truncated.")
    assert finding.proposals[0].sha256 == table.sha256[0]


def test_damaged_shards_and_unlisted_folders_are_broken(make_evidence) -> None:
    skipped = (
        Skipped("s-0.tar", "the tar is damaged after its first 2 members: what follows is no header", kind=UNREADABLE),
        Skipped("rose/deep", "cannot be listed: Permission denied", kind=UNREADABLE),
        Skipped("s-0.tar#7.jpg", "300 MiB; at most 256 are read", kind=UNREADABLE),
        Skipped("rose/loop", "a symbolic link that leads back to a folder above it"),
    )
    assert [finding.paths[0] for finding in find_broken(make_evidence([], skipped=skipped))] == [
        "s-0.tar",
        "rose/deep",
        "s-0.tar#7.jpg",
    ]


def test_what_a_damaged_shard_lost_is_broken(tmp_path: Path, make_evidence) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as shard:
        for number in range(3):
            for suffix, content in (("jpg", b"x" * 600), ("cls", b"1")):
                info = tarfile.TarInfo(f"{number}.{suffix}")
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))
    content = path.read_bytes()
    path.write_bytes(content[: 512 * 10] + b"damage" * 100 + content[512 * 10 + 600 :])
    (finding,) = find_broken(make_evidence([], skipped=read(path).skipped))
    assert finding.paths == (str(path),)
    assert "the tar is damaged after its first 4 members" in finding.text


@pytest.mark.parametrize(
    ("name", "content", "is_wrong"),
    [
        ("a.jpg", b"JPEG", False), ("a.JPG", b"JPEG", False), ("a.jpe", b"JPEG", False), ("a.jpg", b"MPO", False),
        ("a.jpg", b"PNG", True), ("a.png", b"WEBP", True), ("a.gif", b"GIF", False), ("a", b"PNG", False),
        ("a.xyz", b"PNG", True), ("train.csv#17", b"ARRAY", False), ("shard.tar#7.jpg", b"PNG", False), ("a.jpg", b"NEW", False),
    ],
)  # fmt: skip
def test_wrong_extension(make_evidence, name: str, content: bytes, is_wrong: bool) -> None:
    found = find_wrong_extension(make_evidence(["rose"], paths=[f"rose/{name}"], format=content))
    assert bool(found) == is_wrong


def test_wrong_extension_says_what_to_do(make_evidence) -> None:
    (finding,) = find_wrong_extension(make_evidence(["rose"], paths=["rose/12.jpg"], format=b"PNG"))
    assert finding.text == "rose/12.jpg is named .jpg but is a PNG file."
    assert finding.suggestion == "Rename it to 12.png."


def test_a_file_with_a_hash_in_its_name_is_no_member(tmp_path: Path, make_evidence) -> None:
    path = tmp_path / "a#b.jpg"
    path.write_bytes(b"x")
    assert find_wrong_extension(make_evidence(["rose"], paths=[str(path)], format=b"PNG"))
