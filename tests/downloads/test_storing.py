"""What is kept is a whole picture, and what is not is refused, at the reduced size at which it is looked at."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.downloads.storing import WORK, keep, work_folder
from tellapart.errors import PictureError

from .conftest import jpeg


def encoded(format_name: str, **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((640, 480)).save(file, format_name, **options)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")
    packed = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("left_out", [0.5, 0.1, 0.02])
@pytest.mark.parametrize(
    ("format_name", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("GIF", {}), ("BMP", {})],
)
def test_a_picture_whose_end_is_missing_is_refused(tmp_path: Path, format_name: str, options: dict, left_out: float) -> None:
    content = encoded(format_name, **options)
    with pytest.raises(PictureError) as error:
        keep(content[: int(len(content) * (1 - left_out))], tmp_path / "a", tmp_path / "part")
    assert error.value.kind in ("truncated", "undecodable")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("by_file", [False, True])
def test_a_picture_lies_under_the_name_of_its_content(tmp_path: Path, by_file: bool) -> None:
    content, part = jpeg(1), tmp_path / "part"
    part.write_bytes(content)
    for _ in range(2):
        kept = keep(part if by_file else content, tmp_path / "a", part)
        part.write_bytes(content)
    assert kept.sha256 == hashlib.sha256(content).hexdigest()
    assert [path.name for path in (tmp_path / "a").iterdir()] == [kept.name] == [f"{kept.sha256[:20]}.jpg"]


def test_too_many_pixels_are_refused_by_the_header(tmp_path: Path) -> None:
    with pytest.raises(PictureError) as error:
        keep(png_that_claims(30_000, 30_000), tmp_path / "a", tmp_path / "part")
    assert error.value.kind == "too_large"


def test_what_a_killed_run_left_behind_is_removed(tmp_path: Path) -> None:
    left = tmp_path / WORK / "parts" / "7"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    with work_folder(tmp_path) as work:
        assert not list((work / "parts").iterdir())
    assert not list(tmp_path.iterdir())
