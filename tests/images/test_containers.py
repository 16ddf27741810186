"""Pictures within files: named, opened and hashed as if they lay on disk, whatever else the file holds."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tellapart.errors import DataError, PictureError
from tellapart.images import containers, open_picture
from tellapart.images.containers import (
    arrays,
    container_of,
    digest_of_member,
    exists,
    locate,
    members,
    read_member,
    tar_index,
)
from tellapart.images.decoding import open_described
from tellapart.images.limits import MAX_BYTES


def png(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (5, 4), (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    return path


def add(path: Path, name: str, kind: bytes, *, link: str = "", size: int = 0) -> None:
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, size
        tar.addfile(info, BytesIO(bytes(size)) if size else None)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return make_tar(tmp_path / "shard-0.tar", {"a/1.png": png(1), "2.png": png(2), "2.cls": b"7"})


# Names ---------------------------------------------------------------------------------------------------------------


def test_a_name_is_a_container_and_a_member(shard: Path) -> None:
    assert locate(f"{shard}#a/1.png") == (str(shard), "a/1.png")
    assert locate(Path(f"{shard}#a#1.png")) == (str(shard), "a#1.png")
    assert locate(shard) is None
    assert locate(f"{shard.parent}/gone.tar#1.png") is None
    assert locate("a\0b#1") is None
    assert container_of(f"{shard}#2.png") == str(shard)
    assert container_of("plain.jpg") == "plain.jpg"


def test_a_file_whose_name_holds_the_mark_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    (tmp_path / "a.tar#1.png").write_bytes(png(1))
    (tmp_path / "holiday #1").mkdir()
    inner = make_tar(tmp_path / "holiday #1" / "b#2.tar", {"x#3.png": png(3)})
    assert locate(tmp_path / "a.tar#1.png") is None
    assert open_picture(tmp_path / "a.tar#1.png").size == (5, 4)
    assert locate(f"{inner}#x#3.png") == (str(inner), "x#3.png")
    assert open_picture(f"{inner}#x#3.png").getpixel((0, 0)) == (3, 0, 0)


def test_what_is_there(shard: Path) -> None:
    assert exists(shard)
    assert exists(f"{shard}#2.png")
    assert not any(map(exists, (f"{shard}#3.png", f"{shard}x#2.png", shard.parent, f"{shard.parent}#2.png", "")))


def test_members_are_the_pictures(shard: Path, tmp_path: Path) -> None:
    assert members(shard) == [f"{shard}#a/1.png", f"{shard}#2.png"]
    (tmp_path / "notes.csv").write_text("file,label\n")
    (tmp_path / "1.png").write_bytes(png(1))
    assert members(tmp_path / "notes.csv") is members(tmp_path / "1.png") is None


# Tars ----------------------------------------------------------------------------------------------------------------


def test_a_member_of_a_tar_is_the_file_that_it_was(shard: Path) -> None:
    assert read_member(str(shard), "2.png") == png(2)
    assert digest_of_member(str(shard), "2.png") == hashlib.sha256(png(2)).hexdigest()
    opened = open_described(f"{shard}#2.png")
    assert (opened.size, opened.format, opened.mode, opened.n_bytes) == ((5, 4), "PNG", "RGB", len(png(2)))


def test_absolute_paths_of_members_stay_the_same(tmp_path: Path) -> None:
    shard = make_tar(tmp_path / "s.tar", {"./1.png": png(1), "a//2.png": png(2)})
    assert members(shard) == [f"{shard}#1.png", f"{shard}#a/2.png"]
    for path in (f"{shard}#./1.png", f"{shard}#a//2.png", *(members(shard) or ())):
        assert open_picture(os.path.abspath(path)).size == (5, 4)


def test_what_a_hostile_tar_holds_is_named_and_never_read(tmp_path: Path) -> None:
    shard = make_tar(tmp_path / "s.tar", {"1.png": png(1), "../up.png": png(2), "/etc/abs.png": png(3)})
    (tmp_path / "secret.png").write_bytes(png(9))
    add(shard, "link.png", tarfile.SYMTYPE, link=str(tmp_path / "secret.png"))
    add(shard, "hard.png", tarfile.LNKTYPE, link="1.png")
    add(shard, "pipe.png", tarfile.FIFOTYPE)
    add(shard, "device.png", tarfile.CHRTYPE)
    add(shard, "folder.png", tarfile.DIRTYPE)
    index = tar_index(shard)
    assert list(index.places) == ["1.png"]
    out, other = "a member whose name leads out of its tar", "a link, device or sparse file in a tar"
    assert dict(index.problems) == {
        "../up.png": out,
        "/etc/abs.png": out,
        **dict.fromkeys(("link.png", "hard.png", "pipe.png", "device.png"), other),
    }
    with pytest.raises(PictureError, match=r"has no member 'link\.png'"):
        open_picture(f"{shard}#link.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.tar", "secret.png"]


def test_of_members_of_one_name_the_last_counts_and_the_others_are_named(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(10):
            info = tarfile.TarInfo(f"{'./' * (number // 5)}{number % 5}.png")
            info.size = len(png(number))
            tar.addfile(info, BytesIO(png(number)))
    index = tar_index(path)
    assert len(index.places) == 5
    assert index.problems == tuple((f"{n}.png", "a later member of this tar has the same name") for n in range(5))
    assert open_picture(f"{path}#0.png").getpixel((0, 0)) == (5, 0, 0)


def test_sizes_that_lie(tmp_path: Path) -> None:
    shard = make_tar(tmp_path / "s.tar", {"1.png": png(1), "2.png": png(2)})
    content = bytearray(shard.read_bytes())
    header = tarfile.TarInfo("2.png")
    header.size = 2**40
    place = content.index(b"2.png")
    content[place : place + 512] = header.tobuf(tarfile.GNU_FORMAT)
    shard.write_bytes(content)
    index = tar_index(shard)
    assert list(index.places) == ["1.png"]
    assert index.problems[0] == ("2.png", "cut short: the tar ends before it")
    assert open_picture(f"{shard}#1.png").size == (5, 4)


def test_a_negative_size_ends(tmp_path: Path) -> None:
    """Headers whose sizes lead back made Python's tarfile loop for ever (CVE-2025-8194)."""
    shard = make_tar(tmp_path / "s.tar", {"1.png": png(1), "2.png": png(2)})
    content = bytearray(shard.read_bytes())
    place = content.index(b"2.png")
    header = bytearray(content[place : place + 512])
    header[124:136] = (2 ** (8 * 12) - 1024).to_bytes(12, "big")  # -1024 in base 256
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    content[place : place + 512] = header
    shard.write_bytes(content)
    index = tar_index(shard)
    assert list(index.places) == ["1.png"]
    assert index.problems


def test_a_tar_that_is_cut_or_damaged_says_what_is_lost(tmp_path: Path) -> None:
    shard = make_tar(tmp_path / "s.tar", {f"{number}.png": png(number) for number in range(4)})
    content = shard.read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(content[: content.index(b"2.png") + 520])
    assert list(tar_index(cut).places) == ["0.png", "1.png"]
    assert tar_index(cut).problems[0] == ("2.png", "cut short: the tar ends before it")
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(content.replace(b"2.png", b"?????"))
    assert tar_index(damaged).problems == (("", "the tar is damaged after its first 2 members: what follows is no header"),)


@pytest.mark.parametrize("content", [b"", b"not a tar", b"x" * 2000, gzip.compress(bytes(20_000))])
def test_what_is_no_tar(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.tar is no uncompressed tar: .* Unpack a \.tar\.gz with gunzip first\."):
        members(tmp_path / "x.tar")
    with pytest.raises(PictureError, match="cannot be read: "):
        open_picture(f"{tmp_path}/x.tar#1.png")


def test_a_member_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    info = tarfile.TarInfo("big.png")
    info.size = MAX_BYTES + 1
    with path.open("wb") as file:  # a sparse file on disk: nothing of that size is written
        file.write(info.tobuf())
        file.truncate(512 + (info.size + 511) // 512 * 512 + 1024)
    with pytest.raises(PictureError, match="512 MiB; at most 512 are read"):
        open_picture(f"{path}#big.png")


def test_a_container_that_changes_is_read_anew(tmp_path: Path) -> None:
    shard = make_tar(tmp_path / "s.tar", {"1.png": png(1)})
    assert members(shard) == [f"{shard}#1.png"]
    make_tar(shard, {"1.png": png(1), "2.png": png(2)})
    os.utime(shard, ns=(1, 1))
    assert members(shard) == [f"{shard}#1.png", f"{shard}#2.png"]


# Arrays --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "mode"), [((4, 5), "L"), ((4, 5, 3), "RGB"), ((4, 5, 4), "RGBA")])
def test_a_member_of_an_array(shape: tuple[int, ...], mode: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    np.save(tmp_path / "x.npy", values)
    opened = open_described(f"{tmp_path}/x.npy#2")
    assert (opened.size, opened.format, opened.mode, opened.image.mode) == ((5, 4), "ARRAY", mode, "RGB")
    assert opened.n_bytes == values[0].nbytes
    expected = hashlib.sha256(repr(shape).encode() + values[2].tobytes()).hexdigest()
    assert digest_of_member(f"{tmp_path}/x.npy", "2") == expected
    for member in ("3", "-1", "1.0", "", "x/1", "١", "9" * 40):
        with pytest.raises(PictureError, match="has no picture"):
            open_picture(f"{tmp_path}/x.npy#{member}")


def test_shape_is_part_of_the_identity(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((1, 2, 8), np.uint8))
    np.save(tmp_path / "tall.npy", np.zeros((1, 8, 2), np.uint8))
    assert digest_of_member(f"{tmp_path}/wide.npy", "0") != digest_of_member(f"{tmp_path}/tall.npy", "0")


def test_a_file_that_holds_no_pictures_has_no_members(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(png(1))
    with pytest.raises(PictureError, match="holds no pictures, so '17' is none"):
        open_picture(f"{tmp_path}/a.jpg#17")


def test_files_of_arrays_are_held_up_to_a_bound_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "KEPT_BYTES", 2500)
    monkeypatch.setattr(containers, "_KEPT", {})
    for name, side in (("a", 10), ("b", 10), ("c", 10), ("large", 100)):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((10, side, side), np.uint8))

    def held() -> list[str]:
        return [Path(path).stem for path, _ in containers._KEPT]

    first = arrays(tmp_path / "a.npz")
    arrays(tmp_path / "b.npz")
    assert arrays(tmp_path / "a.npz") is first
    assert held() == ["b", "a"]
    arrays(tmp_path / "c.npz")
    assert held() == ["a", "c"]
    assert arrays(tmp_path / "large.npz")["x"].values.nbytes == 100_000
    assert held() == ["large"]


def test_threads_share_one_container(tmp_path: Path) -> None:
    rows = [",".join(map(str, np.full(64, number % 256))) for number in range(400)]
    (tmp_path / "x.csv").write_text("\n".join(rows))
    paths = members(tmp_path / "x.csv") or []
    shard = make_tar(tmp_path / "s.tar", {f"{number}.png": png(number) for number in range(200)})
    with ThreadPoolExecutor(8) as pool:
        greys = list(pool.map(lambda path: open_picture(path).getpixel((0, 0)), paths))
        reds = list(pool.map(lambda path: open_picture(path).getpixel((0, 0)), members(shard) or []))
    assert greys == [(number % 256,) * 3 for number in range(400)]
    assert reds == [(number, 0, 0) for number in range(200)]


# Anything ------------------------------------------------------------------------------------------------------------


def small_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("1.png", "n" * 120 + ".png", "é.png"):
            info = tarfile.TarInfo(name)
            info.size = len(png(1))
            tar.addfile(info, BytesIO(png(1)))
    return file.getvalue()


SMALL_TAR = small_tar()
CHANGES = st.lists(st.tuples(st.integers(0, len(SMALL_TAR) - 1), st.binary(min_size=1, max_size=12)), max_size=5)


@given(CHANGES, st.integers(0, len(SMALL_TAR)))
@settings(max_examples=100, deadline=None)
def test_any_damage_to_a_tar_is_an_error_or_its_members(changes: list[tuple[int, bytes]], length: int) -> None:
    content = bytearray(SMALL_TAR)
    for place, patch in changes:
        content[place : place + len(patch)] = patch
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tar"
        path.write_bytes(content[:length])
        opened_or_refused(path)


@given(st.sampled_from(["x.npy", "x.npz", "x.csv", "x-images-idx3-ubyte", "x.tar"]), st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_an_error_or_members(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        opened_or_refused(path)


def opened_or_refused(path: Path) -> None:
    try:
        found = members(path) or []
    except DataError:
        return
    for member in found:
        try:
            open_picture(member)
        except PictureError:
            continue


def test_a_header_alone_claims_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">2xBB3I", 8, 3, 2**20, 2**10, 2)))
    with pytest.raises(
        DataError, match="says that it holds 1048576 x 1024 x 2 values, 2147483648 bytes, and is cut short: only 0"
    ):
        members(path)
