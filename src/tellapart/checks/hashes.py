"""Perceptual hashes: 64 bits that stay nearly the same when a picture is resized, recompressed or recoloured."""

from __future__ import annotations

import numpy as np

BITS = 64
FREQUENCIES = 12  # a side; the 64 lowest after the mean lie within
DEAD_ZONE = 0.25  # grey levels; a guess: what rounding to 8 bits leaves in a coefficient of a blank picture
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"
CHUNK = 2048  # thumbnails at a time: 19 MB in grey


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 2) uint64: the hash of each of the (N, S, S, 3) uint8 thumbnails as it is, and of its mirror image.

    A bit is the sign of one of the 64 lowest frequencies of the grey picture (after Zauner 2010, "Implementation and
    benchmarking of perceptual image hash functions", with 0 for the median: mirroring then only turns signs). Blank pictures
    hash to 0.
    """
    hashes = np.zeros((len(thumbnails), 2), np.uint64)
    for start in range(0, len(thumbnails), CHUNK):
        chunk = slice(start, start + CHUNK)
        hashes[chunk] = _hashes_of(grey(thumbnails[chunk]))
    return hashes


def grey(thumbnails: np.ndarray) -> np.ndarray:
    """(N, S, S) float32 in 0..255, of (N, S, S, 3) uint8."""
    return (thumbnails.reshape(-1, 3).astype(np.float32) @ LUMA).reshape(thumbnails.shape[:-1])


def _hashes_of(pictures: np.ndarray) -> np.ndarray:
    cosines = _cosines(pictures.shape[1])
    down, across = _lowest()
    signs = (cosines @ pictures @ cosines.T)[:, down, across]  # (N, 64), in grey levels
    mirrored = np.where(across % 2 == 1, -signs, signs)
    bits = np.stack([signs, mirrored], 1) > DEAD_ZONE  # (N, 2, 64)
    packed: np.ndarray = np.packbits(bits, axis=2).view(np.uint64)[..., 0]
    return packed


def _cosines(side: int) -> np.ndarray:
    """(FREQUENCIES, side) of the discrete cosine transform, each of amplitude 1 for a cosine of amplitude 1."""
    places = np.pi * (2 * np.arange(side) + 1) / (2 * side)
    cosines: np.ndarray = (np.sqrt(2) * np.cos(np.arange(FREQUENCIES)[:, None] * places) / side).astype(np.float32)
    return cosines


def _lowest() -> tuple[np.ndarray, np.ndarray]:
    """(64,) frequencies down and (64,) across, lowest first, without the mean."""
    down, across = np.divmod(np.arange(FREQUENCIES**2), FREQUENCIES)
    order = np.argsort(down**2 + across**2, kind="stable")[1 : BITS + 1]
    return down[order], across[order]
