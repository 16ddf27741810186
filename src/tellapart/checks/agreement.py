"""Whether two pictures show the same: how much of the one, block by block, is found again in the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tellapart.checks.hashes import grey
from tellapart.checks.placement import MIN_SIDE, SLACK, Placements, drawn_to_fit, local_contrast, place, seen_through, turned
from tellapart.progress import Progress, silent

MIN_CORRELATION = 0.5  # of a placement that is looked at closely; of 1,800 changed flowers none lay below 0.54
CHUNK = 128  # pairs looked at closely at a time: 12 MB

BLOCK_PX = 8  # a side: 6 x 6 blocks of a thumbnail
SAME_ABOVE = 0.75  # correlation of a block that shows the same; chosen on docs/near-copies.md
NOISE = 1.0  # grey levels, added to either block: what recompressing leaves of flatness. With 2, coins agreed by their rims alone
TEXTURED_ABOVE = 2.0  # deviation in grey levels, in either picture; flatter blocks say nothing
MIN_TEXTURED = 6  # blocks; fewer count as if they were so many
CAPTION_ROWS = 2  # of 6 at the top or the bottom, which a caption may hide
SURE = 0.95  # agreement at which a window needs no drawing to fit
MIN_DRAWN_SIDE = MIN_SIDE - SLACK  # a window that was drawn smaller shows something else


@dataclass(frozen=True)
class Agreements:
    """How well each of M placed pairs agrees."""

    placements: Placements
    shares: np.ndarray  # (M,) 0..1: of the textured blocks, those that show the same; rows under a caption left out
    whole_shares: np.ndarray  # (M,) the same, no row left out

    def take(self, rows: np.ndarray) -> Agreements:
        """Some of them: indices or a mask."""
        return Agreements(self.placements.take(rows), self.shares[rows], self.whole_shares[rows])


def compare(thumbnails: np.ndarray, pairs: np.ndarray, *, progress: Progress = silent) -> Agreements:
    """How pairs (M, 2) of rows of the (N, S, S, 3) thumbnails agree; only those for which a window is found, in any order."""
    placements = place(thumbnails, pairs, progress=progress)
    likely = np.flatnonzero(placements.correlations >= MIN_CORRELATION)
    chunks = [likely[start : start + CHUNK] for start in range(0, max(len(likely), 1), CHUNK)]
    found = [_look_closely(thumbnails, placements.take(chunk)) for chunk in chunks]
    return Agreements(
        Placements(*(np.concatenate([getattr(each.placements, name) for each in found]) for name in vars(placements))),
        np.concatenate([each.shares for each in found]),
        np.concatenate([each.whole_shares for each in found]),
    )


def _look_closely(thumbnails: np.ndarray, placements: Placements) -> Agreements:
    """The agreement in the windows as they are or, where it is better there, drawn to fit."""
    outer = grey(thumbnails[placements.outer])
    inner = turned(grey(thumbnails[placements.inner]), placements.is_mirrored)
    windows = placements.windows.copy()
    shares, whole_shares = _shares(outer, inner, windows)
    unsure = np.flatnonzero(shares < SURE)
    drawn = drawn_to_fit(local_contrast(outer[unsure]), local_contrast(inner[unsure]), windows[unsure])
    drawn_shares, drawn_whole_shares = _shares(outer[unsure], inner[unsure], drawn)
    sides = drawn[:, 1::2] - drawn[:, ::2]
    better = (drawn_shares > shares[unsure]) & (sides.min(1, initial=1) >= MIN_DRAWN_SIDE)
    chosen = unsure[better]
    windows[chosen], shares[chosen], whole_shares[chosen] = drawn[better], drawn_shares[better], drawn_whole_shares[better]
    return Agreements(replace(placements, windows=windows), shares, whole_shares)


def _shares(outer: np.ndarray, inner: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) shares of agreeing blocks, where a caption is left out and where none is."""
    seen, shown = _blocks(seen_through(outer, windows, outer.shape[1])), _blocks(inner)  # (P, rows, columns, pixels)
    seen_variances, shown_variances = (seen * seen).mean(3), (shown * shown).mean(3)
    scales = np.sqrt((seen_variances + NOISE**2) * (shown_variances + NOISE**2))
    is_textured = np.maximum(seen_variances, shown_variances) > TEXTURED_ABOVE**2
    is_same = is_textured & ((seen * shown).mean(3) > SAME_ABOVE * scales)
    same, textured = is_same.sum(2), is_textured.sum(2)  # (P, rows)
    kept = [slice(None), *(cut for n in range(1, CAPTION_ROWS + 1) for cut in (slice(n, None), slice(None, -n)))]
    shares = np.stack([same[:, rows].sum(1) / np.maximum(textured[:, rows].sum(1), MIN_TEXTURED) for rows in kept])
    return shares.max(0), shares[0]


def _blocks(pictures: np.ndarray) -> np.ndarray:
    """(P, rows, columns, pixels) of (P, S, S), each of mean 0."""
    n = pictures.shape[1] // BLOCK_PX
    blocks = pictures.reshape(-1, n, BLOCK_PX, n, BLOCK_PX).transpose(0, 1, 3, 2, 4).reshape(-1, n, n, BLOCK_PX**2)
    centred: np.ndarray = blocks - blocks.mean(3, keepdims=True)
    return centred
