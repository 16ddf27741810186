"""Pictures of other channels than grey and RGB: from arrays and from the pages of a TIFF, through the one decoder and resize."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.errors import CallError, PictureError
from tellapart.images import Fit, open_picture
from tellapart.images.decoding import open_described, open_grey, shown_channels
from tellapart.images.glances import glance
from tellapart.images.limits import MAX_CHANNELS

MODES = ("crop", "pad", "squish")


def soft(n_channels: int, width: int = 48, height: int = 36) -> np.ndarray:
    """(height, width, n_channels) uint8, soft as pictures are, no two channels alike."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (5 + number)) * 60 + np.cos(y / (4 + number)) * 60 + 128 for number in range(n_channels)]
    return np.stack(waves, 2).astype(np.uint8)


def tiff(pages: list[Image.Image]) -> bytes:
    file = BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    return file.getvalue()


@pytest.mark.parametrize("n_channels", [2, 5, 8, MAX_CHANNELS])
def test_an_array_keeps_all_its_channels_and_shows_some(n_channels: int) -> None:
    pixels = soft(n_channels, 12, 9)
    opened = open_described(pixels)
    assert (opened.n_channels, opened.size, opened.image.mode) == (n_channels, (12, 9), "RGB")
    shown = [0, 0, 0] if n_channels == 2 else [0, 1, 2]
    assert (np.asarray(opened.image) == pixels[..., shown]).all()
    assert open_grey(pixels).image.mode == "L"


@pytest.mark.parametrize("n_channels", [3, 4])
def test_three_and_four_channels_of_an_array_are_rgb_and_rgba(n_channels: int) -> None:
    opened = open_described(soft(n_channels))
    assert (opened.n_channels, opened.bands) == (3, ())


@pytest.mark.parametrize("mode", MODES)
def test_each_channel_is_fitted_as_those_of_an_rgb_picture_are(mode: str) -> None:
    pixels = soft(6)
    fitted = Fit(16, mode, n_channels=6).read(pixels)
    assert (fitted.shape, fitted.dtype) == ((16, 16, 6), np.uint8)
    for first in (0, 3):
        assert (fitted[..., first : first + 3] == Fit(16, mode).read(pixels[..., first : first + 3])).all()


@pytest.mark.parametrize(
    ("found", "wanted", "text"),
    [
        (5, 3, "has 5 channels, where 3 (red, green and blue) are wanted"),
        (5, 8, "has 5 channels, where 8 are wanted"),
        (3, 5, "has 3 channels, where 5 are wanted"),
    ],
)
def test_another_number_of_channels_is_that_pictures_error(found: int, wanted: int, text: str) -> None:
    with pytest.raises(PictureError) as caught:
        Fit(16, n_channels=wanted).read(soft(found))
    assert (str(caught.value), caught.value.kind) == (text, "channels")


@pytest.mark.parametrize("n_channels", [0, 1, MAX_CHANNELS + 1, 2.5])
def test_impossible_channels_are_a_wrong_call(n_channels: int) -> None:
    with pytest.raises(CallError, match=rf"n_channels is {n_channels}; it is 3 for grey and coloured pictures, else 2 to"):
        Fit(16, n_channels=n_channels)


def test_a_glance_sees_what_is_shown() -> None:
    seen = glance(open_described(soft(5)))
    assert (seen["thumbnail"] == glance(open_described(soft(5)[..., :3]))["thumbnail"]).all()
    assert (seen["mode"], seen["width"], seen["height"]) == (b"5 bands", 48, 36)


def test_what_is_shown_is_said() -> None:
    assert shown_channels(3) == ""
    assert shown_channels(2) == "the first, as grey, of 2 channels"
    assert shown_channels(8) == "the first three, as red, green and blue, of 8 channels"


# TIFF ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_pages", [2, 4, 5])
def test_grey_pages_of_a_tiff_are_channels(n_pages: int, tmp_path: Path) -> None:
    pixels = soft(n_pages)
    (tmp_path / "stack.tif").write_bytes(tiff([Image.fromarray(pixels[..., page].copy()) for page in range(n_pages)]))
    opened = open_described(tmp_path / "stack.tif")
    assert (np.stack([np.asarray(band) for band in opened.bands], 2) == pixels).all()


def test_three_grey_pages_are_red_green_and_blue() -> None:
    pixels = soft(3)
    opened = open_described(tiff([Image.fromarray(pixels[..., page].copy()) for page in range(3)]))
    assert opened.n_channels == 3
    assert (np.asarray(opened.image) == pixels).all()


def test_pages_of_16_bits_have_one_scale() -> None:
    pixels = soft(2)
    pages = [Image.fromarray((pixels[..., page] * np.uint16(257)) // (1 + 255 * page)) for page in range(2)]
    first, second = open_described(tiff(pages)).bands
    assert (np.asarray(first) == pixels[..., 0]).all()
    assert np.asarray(second).max() <= 1, "a dark page stays dark beside a light one"


@pytest.mark.parametrize(
    "pages",
    [
        [Image.new("L", (6, 5), 7), Image.new("L", (5, 6), 9)],
        [Image.new("L", (6, 5), 7), Image.new("RGB", (6, 5), "red")],
        [Image.new("1", (6, 5), 0), Image.new("1", (6, 5), 1)],
    ],
    ids=["two sizes", "grey and coloured", "a document"],
)
def test_of_other_pages_the_first_is_the_picture(pages: list[Image.Image]) -> None:
    opened = open_described(tiff(pages))
    assert (opened.n_channels, opened.size) == (3, pages[0].size)
    assert (np.asarray(opened.image) == np.asarray(pages[0].convert("RGB"))).all()


def test_too_many_pages_are_refused() -> None:
    with pytest.raises(PictureError, match="a TIFF of more than 256 grey pages, which are too many channels"):
        open_picture(tiff([Image.new("L", (2, 2))] * (MAX_CHANNELS + 1)))


@pytest.mark.parametrize("n_samples", [5, 6, 8])
def test_several_channels_within_a_page_are_refused_with_the_remedy(n_samples: int) -> None:
    with pytest.raises(PictureError, match=r"a TIFF .*4 channels a page\. Save each channel as a grey page, or all as an array"):
        open_picture(interleaved_tiff(n_samples))


def interleaved_tiff(n_samples: int) -> bytes:
    """One page of 4 x 4 pixels, each of so many bytes: red, green, blue and others."""
    n_bytes, n_others = 16 * n_samples, n_samples - 3
    data_at = 8 + 2 + 12 * 10 + 4
    bits_at, others_at = data_at + n_bytes, data_at + n_bytes + 2 * n_samples
    entries = (
        (256, 3, 1, 4), (257, 3, 1, 4), (258, 3, n_samples, bits_at), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, data_at),
        (277, 3, 1, n_samples), (278, 3, 1, 4), (279, 4, 1, n_bytes), (338, 3, n_others, others_at if n_others > 2 else 0),
    )  # fmt: skip
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return head + bytes(4) + bytes(range(n_bytes)) + struct.pack("<H", 8) * n_samples + bytes(2 * n_others)
