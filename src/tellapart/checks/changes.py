"""What was done to a picture that a near copy comes from, as far as thumbnails tell."""

from __future__ import annotations

import numpy as np

from tellapart.checks.agreement import Agreements
from tellapart.checks.placement import seen_through

# Chosen on 1,800 changed flowers; docs/near-copies.md tells how often each is right on others.
CROPPED_BELOW = 0.95  # of a side: the smallest window that still counts as the whole picture
CAPTIONED_ABOVE = 0.1  # of the agreement, gained by leaving out rows at the top or bottom
RECOLOURED_ABOVE = 6.0  # levels of 255, the median over the picture
COLOUR_PX = 4  # a side of the cells on which colours are compared
CHUNK = 128  # pairs at a time: 8 MB


def changes(thumbnails: np.ndarray, sizes: np.ndarray, agreements: Agreements) -> list[str]:
    """One word a pair: "mirrored", "captioned", "cropped", "recoloured", "resized", or "near" where none of them shows.

    Of several changes the first in that order is told. `sizes` (N, 2) are the pictures' widths and heights in px.
    """
    placements = agreements.placements
    sides = (placements.windows[:, 1::2] - placements.windows[:, ::2]).min(1, initial=1)
    gains = agreements.shares - agreements.whole_shares
    words = {
        "mirrored": placements.is_mirrored,
        "captioned": gains >= CAPTIONED_ABOVE,
        "cropped": sides < CROPPED_BELOW,
        "recoloured": _colour_differences(thumbnails, agreements) > RECOLOURED_ABOVE,
        "resized": (sizes[placements.outer] != sizes[placements.inner]).any(1),
    }
    return [str(word) for word in np.select(list(words.values()), list(words), "near")]


def _colour_differences(thumbnails: np.ndarray, agreements: Agreements) -> np.ndarray:
    """(M,) median over cells of the largest difference of a channel."""
    placements, differences = agreements.placements, np.empty(len(agreements.shares), np.float32)
    for start in range(0, len(differences), CHUNK):
        chunk = slice(start, start + CHUNK)
        outer, inner = thumbnails[placements.outer[chunk]], thumbnails[placements.inner[chunk]]
        inner = np.where(placements.is_mirrored[chunk, None, None, None], inner[:, :, ::-1], inner)
        windows, side = placements.windows[chunk], thumbnails.shape[1]
        seen = [seen_through(outer[..., channel].astype(np.float32), windows, side) for channel in range(3)]
        cells = _cells(np.stack(seen, -1) - inner)  # (p, n, n, 3)
        differences[chunk] = np.median(np.abs(cells).max(3).reshape(len(cells), -1), axis=1)
    return differences


def _cells(pictures: np.ndarray) -> np.ndarray:
    """Means over cells of `COLOUR_PX` a side, of (P, S, S, 3)."""
    n = pictures.shape[1] // COLOUR_PX
    means: np.ndarray = pictures.reshape(-1, n, COLOUR_PX, n, COLOUR_PX, 3).mean((2, 4))
    return means
