"""Perceptual hashes: 64 bits that stay nearly the same when a picture is resized, recompressed or recoloured."""

from __future__ import annotations

from functools import cache

import numpy as np

BITS = 64
FREQUENCIES = 12  # a side; the 64 lowest after the mean lie within
DEAD_ZONE = 0.25  # grey levels; a guess: what rounding to 8 bits leaves in a coefficient of a blank picture


def hashes_of(pictures: np.ndarray) -> np.ndarray:
    """(N, 2) uint64: the hash of each of the grey pictures (N, S, S) float32 in 0..255 as it is, and of its mirror image.

    A bit is the sign of one of the 64 lowest frequencies (after Zauner 2010, "Implementation and benchmarking of perceptual
    image hash functions", with 0 for the median: mirroring then only turns signs). Blank pictures hash to 0. `S` hardly
    matters: of 32 and of 48 px a picture's hashes differ in 0.3 bits on average (docs/near-copies.md).
    """
    cosines = _cosines(pictures.shape[1])
    down, across = _lowest()
    signs = (cosines @ pictures @ cosines.T)[:, down, across]  # (N, 64), in grey levels
    mirrored = np.where(across % 2 == 1, -signs, signs)
    bits = np.stack([signs, mirrored], 1) > DEAD_ZONE  # (N, 2, 64)
    packed: np.ndarray = np.packbits(bits, axis=2).view(np.uint64)[..., 0]
    return packed


@cache
def _cosines(side: int) -> np.ndarray:
    """(FREQUENCIES, side) of the discrete cosine transform, each of amplitude 1 for a cosine of amplitude 1."""
    places = np.pi * (2 * np.arange(side) + 1) / (2 * side)
    cosines: np.ndarray = (np.sqrt(2) * np.cos(np.arange(FREQUENCIES)[:, None] * places) / side).astype(np.float32)
    return cosines


@cache
def _lowest() -> tuple[np.ndarray, np.ndarray]:
    """(64,) frequencies down and (64,) across, lowest first, without the mean."""
    down, across = np.divmod(np.arange(FREQUENCIES**2), FREQUENCIES)
    order = np.argsort(down**2 + across**2, kind="stable")[1 : BITS + 1]
    return down[order], across[order]
