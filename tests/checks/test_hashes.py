"""Perceptual hashes: what leaves them as they are, and what does not."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance

from tellapart.checks.hashes import grey, perceptual_hashes

SIDE_PX = 48


def scenes(n: int, *, seed: int = 0) -> np.ndarray:
    """(n, 48, 48, 3) of large soft blots, no two alike."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, 8, 8, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)) for each in small])


def bits_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.bitwise_count(first ^ second)


def test_different_pictures_are_far_apart() -> None:
    hashes = perceptual_hashes(scenes(60))
    assert hashes.shape == (60, 2)
    assert hashes.dtype == np.uint64
    apart = bits_apart(hashes[:, None, 0], hashes[None, :, 0])[np.triu_indices(60, 1)]
    assert apart.min() > 12
    assert 28 < apart.mean() < 36


def test_the_second_hash_is_that_of_the_mirror_image() -> None:
    pictures = scenes(20)
    hashes, mirrored = perceptual_hashes(pictures), perceptual_hashes(pictures[:, :, ::-1])
    assert (hashes == mirrored[:, ::-1]).all()
    assert (hashes[:, 0] != hashes[:, 1]).all()


def test_brightness_contrast_and_grey_hardly_matter() -> None:
    pictures = scenes(20) // 2 + 64
    hashes = perceptual_hashes(pictures)[:, 0]
    for change in (
        lambda image: ImageEnhance.Brightness(image).enhance(0.7),
        lambda image: ImageEnhance.Contrast(image).enhance(1.3),
        lambda image: image.convert("L").convert("RGB"),
    ):
        changed = np.stack([np.asarray(change(Image.fromarray(picture))) for picture in pictures])
        assert bits_apart(hashes, perceptual_hashes(changed)[:, 0]).max() <= 4


def test_blank_pictures_of_any_colour_hash_to_0() -> None:
    blank = np.broadcast_to(np.arange(0, 255, 25, np.uint8)[:, None, None, None], (11, SIDE_PX, SIDE_PX, 3))
    assert not perceptual_hashes(np.ascontiguousarray(blank)).any()


def test_none_and_many_pictures() -> None:
    assert perceptual_hashes(np.empty((0, SIDE_PX, SIDE_PX, 3), np.uint8)).shape == (0, 2)
    pictures = scenes(3)
    many = perceptual_hashes(np.tile(pictures, (1000, 1, 1, 1)))  # more than one chunk
    assert (many == np.tile(perceptual_hashes(pictures), (1000, 1))).all()


def test_grey_is_pillows() -> None:
    picture = scenes(1)
    expected = np.asarray(Image.fromarray(picture[0]).convert("L"), np.float32)
    assert np.abs(grey(picture)[0] - expected).max() <= 1
