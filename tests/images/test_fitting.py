"""The one resize: the three ways of making a square, at every shape and size."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tellapart.errors import CallError, PictureError
from tellapart.images import Fit
from tellapart.images.fitting import FILTER, FITS, MID_GREY

MODES = tuple(FITS)
RED, GREEN, BLUE = (200, 40, 30), (30, 160, 70), (20, 60, 210)


def thirds(width: int, height: int) -> Image.Image:
    """Red, green and blue bands of equal width along the longer side."""
    picture = Image.new("RGB", (width, height), GREEN)
    if width >= height:
        picture.paste(RED, (0, 0, width // 3, height))
        picture.paste(BLUE, (width - width // 3, 0, width, height))
    else:
        picture.paste(RED, (0, 0, width, height // 3))
        picture.paste(BLUE, (0, height - height // 3, width, height))
    return picture


def photo(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (max(2, height // 12), max(2, width // 12), 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def difference(left: Any, right: Any) -> float:
    """Mean over all levels, of 255."""
    return float(np.abs(np.asarray(left, dtype=float) - np.asarray(right, dtype=float)).mean())


def test_the_modes_are_these() -> None:
    assert MODES == ("crop", "pad", "squish")
    assert Fit() == Fit(side_px=224, mode="crop", crop_frac=0.875)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (2, 1), (7, 7), (31, 33), (300, 200), (200, 300), (1, 5000), (5000, 1), (32, 32)]
)
def test_any_shape_becomes_the_square(mode: str, size: tuple[int, int]) -> None:
    levels = Fit(32, mode).apply(Image.new("RGB", size, RED))
    assert (levels.shape, levels.dtype) == ((32, 32, 3), np.uint8)
    assert levels[15, 15].tolist() == list(RED)


@given(st.integers(1, 80), st.integers(1, 80), st.sampled_from(MODES), st.integers(8, 40), st.floats(0.01, 1))
@settings(max_examples=150, deadline=None)
def test_a_plain_picture_stays_plain(width: int, height: int, mode: str, side_px: int, crop_frac: float) -> None:
    levels = Fit(side_px, mode, crop_frac).apply(Image.new("RGB", (width, height), RED))
    assert levels.shape == (side_px, side_px, 3)
    colours = {tuple(colour) for colour in levels.reshape(-1, 3).tolist()}
    assert RED in colours
    assert colours <= ({RED, MID_GREY} if mode == "pad" else {RED})


# Crop ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(300, 100), (100, 300)])
def test_a_crop_shows_the_middle_alone(size: tuple[int, int]) -> None:
    levels = Fit(32, "crop", 0.9).apply(thirds(*size))
    assert (levels == GREEN).all()


def test_a_whole_crop_of_a_square_is_the_picture() -> None:
    picture = photo(48, 48)
    assert np.array_equal(Fit(48, "crop", 1.0).apply(picture), np.asarray(picture))


@pytest.mark.parametrize("size", [(256, 256), (384, 256), (256, 384), (768, 256)])
def test_a_crop_is_resize_then_crop_within_rounding(size: tuple[int, int]) -> None:
    """The ImageNet convention: the shorter side to 64, then the middle 56."""
    picture = photo(*size)
    scale = 64 / min(size)
    resized = picture.resize([round(length * scale) for length in size], FILTER)
    left, top = (resized.width - 56) // 2, (resized.height - 56) // 2
    expected = resized.crop((left, top, left + 56, top + 56))
    assert difference(Fit(56, "crop", 0.875).apply(picture), expected) < 2


@pytest.mark.parametrize(("crop_frac", "shown_px"), [(1.0, 64), (0.5, 32), (0.25, 16)])
def test_crop_frac_is_the_part_of_the_shorter_side(crop_frac: float, shown_px: int) -> None:
    picture = photo(64, 64)
    margin = (64 - shown_px) // 2
    middle = picture.crop((margin, margin, margin + shown_px, margin + shown_px)).resize((32, 32), FILTER)
    assert difference(Fit(32, "crop", crop_frac).apply(picture), middle) < 1


# Pad -----------------------------------------------------------------------------------------------------------------


def test_a_wide_picture_is_padded_above_and_below() -> None:
    levels = Fit(40, "pad").apply(Image.new("RGB", (80, 40), RED))
    assert (levels[:10] == MID_GREY).all()
    assert (levels[10:30] == RED).all()
    assert (levels[30:] == MID_GREY).all()


def test_a_tall_picture_is_padded_left_and_right() -> None:
    levels = Fit(40, "pad").apply(Image.new("RGB", (20, 80), RED))
    assert (levels[:, :15] == MID_GREY).all()
    assert (levels[:, 15:25] == RED).all()
    assert (levels[:, 25:] == MID_GREY).all()


def test_padding_shows_the_whole_picture() -> None:
    levels = Fit(33, "pad").apply(thirds(300, 100))
    assert levels[16, [1, 16, 31]].tolist() == [list(RED), list(GREEN), list(BLUE)]


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_of_a_hair_one_line_remains(size: tuple[int, int]) -> None:
    levels = Fit(32, "pad").apply(Image.new("RGB", size, RED))
    assert (levels == RED).all(axis=2).sum() == 32
    assert (levels == MID_GREY).all(axis=2).sum() == 32 * 31


# Squish --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "places"), [((300, 100), ([16] * 3, [4, 16, 28])), ((100, 300), ([4, 16, 28], [16] * 3))])
def test_squishing_shows_the_whole_picture(size: tuple[int, int], places: tuple[list[int], list[int]]) -> None:
    levels = Fit(33, "squish").apply(thirds(*size))
    assert levels[places].tolist() == [list(RED), list(GREEN), list(BLUE)]


# Antialiasing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_fine_checkerboard_becomes_mid_grey(mode: str) -> None:
    """Without antialiasing every eighth pixel would be taken, and all of these are of one colour."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    levels = Fit(32, mode, 1.0).apply(Image.fromarray(board.astype(np.uint8)).convert("RGB")).astype(int)
    assert np.abs(levels[1:-1, 1:-1] - 127.5).max() < 2
    assert np.abs(levels - 127.5).max() < 12  # at the border the filter has one half to look at


# Files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_reading_a_large_jpeg_is_fitting_the_whole_one_within_rounding(mode: str) -> None:
    picture, file = photo(1200, 900), BytesIO()
    picture.save(file, "JPEG", quality=95)
    fit = Fit(64, mode)
    assert difference(fit.read(file.getvalue()), fit.apply(picture)) < 2.5


def test_reading_what_is_no_picture_is_a_picture_error() -> None:
    with pytest.raises(PictureError, match=r"not a picture \(text\)"):
        Fit().read(b"text")


def test_the_same_picture_gives_the_same_levels() -> None:
    picture = photo(77, 55)
    assert np.array_equal(Fit(32).apply(picture), Fit(32).apply(picture.copy()))


# Values --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"mode": "cropp"}, "unknown fit 'cropp'; did you mean 'crop'?"),
        ({"mode": "zzz"}, "unknown fit 'zzz'; known: crop, pad, squish"),
        ({"side_px": 7}, "the input side is 7 px; whole numbers between 8 and 4096 are possible"),
        ({"side_px": 4097}, "the input side is 4097 px; whole numbers between 8 and 4096 are possible"),
        ({"side_px": -224}, "the input side is -224 px; whole numbers between 8 and 4096 are possible"),
        ({"crop_frac": 0.0}, "crop_frac is 0.0; it is a part of the side, above 0 and at most 1"),
        ({"crop_frac": 1.01}, "crop_frac is 1.01; it is a part of the side, above 0 and at most 1"),
        ({"crop_frac": float("nan")}, "crop_frac is nan; it is a part of the side, above 0 and at most 1"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(CallError) as caught:
        Fit(**values)
    assert str(caught.value) == text


@given(st.integers(8, 4096), st.sampled_from(MODES), st.floats(0, 1, exclude_min=True))
def test_a_fit_survives_its_json(side_px: int, mode: str, crop_frac: float) -> None:
    fit = Fit(side_px, mode, crop_frac)
    assert Fit(**fit.to_json()) == fit


@pytest.mark.parametrize(
    ("fit", "size", "box"),
    [
        (Fit(64), (200, 100), (0.28125, 0.0625, 0.71875, 0.9375)),
        (Fit(64), (100, 100), (0.0625, 0.0625, 0.9375, 0.9375)),
        (Fit(64, "pad"), (200, 100), (0, -0.5, 1, 1.5)),
        (Fit(64, "squish"), (200, 100), (0, 0, 1, 1)),
    ],
)
def test_the_box_is_what_the_square_shows(fit: Fit, size: tuple[int, int], box: tuple[float, ...]) -> None:
    assert fit.box(size) == pytest.approx(box)
