from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFilter

from tellapart.images.decoding import open_described
from tellapart.images.glances import GLANCE, THUMBNAIL_PX, glance, sharpness


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def test_a_glance_says_what_the_file_says() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Box Brownie"
    content = encoded(noise(40, 30), exif=exif)
    seen = glance(open_described(content))
    assert (seen["width"], seen["height"], seen["n_bytes"]) == (40, 30, len(content))
    assert (seen["format"], seen["mode"], seen["camera"]) == (b"JPEG", b"RGB", b"Box Brownie")
    assert seen.dtype == GLANCE
    assert seen["thumbnail"].shape == (THUMBNAIL_PX, THUMBNAIL_PX, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_width_and_height_are_of_the_upright_picture(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    opened = open_described(encoded(noise(40, 30), exif=exif))
    assert opened.size == opened.image.size == ((30, 40) if orientation >= 5 else (40, 30))


def test_a_large_jpeg_has_its_full_size_though_decoded_smaller() -> None:
    opened = open_described(encoded(noise(800, 600)), min_side_px=100)
    assert opened.image.size == (200, 150)
    assert opened.size == (800, 600)


def test_the_mode_is_the_stored_one() -> None:
    assert open_described(encoded(noise(9, 9).convert("L"), "PNG")).mode == "L"
    assert open_described(encoded(noise(9, 9).convert("P"), "PNG")).mode == "P"


def test_a_blurred_picture_is_less_sharp_whatever_its_size() -> None:
    sharp = noise(300, 200)
    blurred = sharp.filter(ImageFilter.GaussianBlur(3))
    assert sharpness(sharp) > 20 * sharpness(blurred)
    assert sharpness(blurred) == pytest.approx(sharpness(blurred.resize((600, 400), Image.Resampling.LANCZOS)), rel=0.5)
    assert sharpness(Image.new("RGB", (50, 50), "red")) == 0
    assert sharpness(Image.new("RGB", (2, 50))) == 0


def test_a_camera_name_that_is_too_long_is_cut() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "x" * 100
    assert glance(open_described(encoded(noise(9, 9), exif=exif)))["camera"] == b"x" * 32
