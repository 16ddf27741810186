"""Plain JPEG files: the same pixels as Pillow's own way of opening them, and everything else is left to that."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from tellapart.errors import PictureError
from tellapart.images.decoding import open_described, open_grey
from tellapart.images.jpegs import Frame, decode, plain_frame


def drawn(mode: str = "RGB", width: int = 203, height: int = 131) -> Image.Image:
    blots = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    return Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


OPTIONS = {
    "plain": {},
    "progressive": {"progressive": True},
    "colours in full": {"subsampling": 0},
    "colours in part": {"subsampling": 2, "quality": 20},
    "restarts": {"restart_marker_blocks": 3},
    "a profile and a comment": {"icc_profile": bytes(70_000), "comment": b"Exif"[::-1]},
    "stored as RGB": {"keep_rgb": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("stored", ["RGB", "L"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("min_side_px", [None, 500, 60, 32, 8])
def test_the_pixels_are_pillows(stored: str, mode: str, options: dict[str, object], min_side_px: int | None) -> None:
    content = encoded(drawn(stored), **options)
    frame = plain_frame(content)
    assert frame == Frame(203, 131, stored)
    with Image.open(BytesIO(content)) as expected:
        if min_side_px or mode == "L":
            expected.draft(mode, min_side_px and (min_side_px, min_side_px))
        image = decode(content, frame, mode, min_side_px=min_side_px)
        assert image is not None
        assert image.mode == mode
        assert np.array_equal(np.asarray(image), np.asarray(expected.convert(mode)))


def turned() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return encoded(drawn(), exif=exif)


OTHERS = {
    "turned by EXIF": turned(),
    "turned by XMP": encoded(drawn(), xmp=b'<x tiff:Orientation="6"/>'),
    "CMYK": encoded(drawn("CMYK")),
    "several pictures": encoded(drawn(), "MPO", save_all=True, append_images=[drawn()]),
    "PNG": encoded(drawn(), "PNG"),
    "no content": b"",
    "a start alone": b"\xff\xd8\xff",
    "no frame": encoded(drawn())[:160],
    "a frame that is cut": encoded(drawn()).partition(b"\xff\xc0")[0] + b"\xff\xc0\x00\x03" + bytes(20),
    "a second start": b"\xff\xd8" + encoded(drawn()),
    "padded": b"\xff\xd8\xff" + encoded(drawn())[2:],
    "a marker without a length": b"\xff\xd8\xff\x01" + encoded(drawn())[2:],
    "a length of less than itself": b"\xff\xd8\xff\xe5\x00\x01" + encoded(drawn())[2:],
    "a bomb": encoded(drawn()).replace(b"\x08\x00\x83\x00\xcb", b"\x08\xff\xff\xff\xff"),
    "no width": encoded(drawn()).replace(b"\x08\x00\x83\x00\xcb", b"\x08\x00\x83\x00\x00"),
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_all_else_is_not_plain(content: bytes) -> None:
    assert plain_frame(content) is None


@pytest.mark.parametrize("name", ["turned by EXIF", "turned by XMP"])
def test_a_turned_one_is_upright_in_grey_too(name: str) -> None:
    opened = open_grey(OTHERS[name], min_side_px=32)
    assert opened.size == (131, 203)
    assert opened.image.mode == "L"
    assert opened.image.width < opened.image.height


def test_a_damaged_one_is_told_as_before() -> None:
    content = encoded(drawn())
    assert plain_frame(content[:-300])
    for open_one in (open_described, open_grey):
        with pytest.raises(PictureError, match="cannot be decoded: image file is truncated"):
            open_one(content[:-300])


@given(st.binary(max_size=60), st.integers(0, 900))
def test_hostile_headers_raise_nothing(noise: bytes, place: int) -> None:
    content = encoded(drawn())
    content = content[:place] + noise + content[place + len(noise) :]
    frame = plain_frame(content)
    assert frame is None or frame.width * frame.height > 0
    if frame and frame.width * frame.height < 10**7:
        image = decode(content, frame, "L", min_side_px=32)
        assert image is None or image.mode == "L"
