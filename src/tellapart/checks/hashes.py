"""The perceptual hashes of thumbnails."""

from __future__ import annotations

import numpy as np

from tellapart.images.hashes import hashes_of

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"
CHUNK = 256  # thumbnails at a time: 7 MB in float32


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 2) uint64: the hash of each of the (N, S, S, 3) uint8 thumbnails as it is, and of its mirror image."""
    hashes = np.zeros((len(thumbnails), 2), np.uint64)
    for start in range(0, len(thumbnails), CHUNK):
        chunk = slice(start, start + CHUNK)
        hashes[chunk] = hashes_of(grey(thumbnails[chunk]))
    return hashes


def grey(thumbnails: np.ndarray) -> np.ndarray:
    """(N, S, S) float32 in 0..255, of (N, S, S, 3) uint8."""
    return (thumbnails.reshape(-1, 3).astype(np.float32) @ LUMA).reshape(thumbnails.shape[:-1])
