"""Near copies proposed by hashes alone, so that only those pictures are looked at whose hashes are alike."""

from __future__ import annotations

import numpy as np

from tellapart.checks.copies import N_NEIGHBOURS, NEAR_BITS
from tellapart.checks.pairs import nearest_hamming_pairs
from tellapart.data import ImageTable
from tellapart.images.glances import THUMBNAIL_PX


def propose(table: ImageTable, glimpses: np.ndarray) -> np.ndarray:
    """(M, 2) rows that may be one picture, of different contents, the lower first; `glimpses` (N,) are of kind `GLIMPSE`.

    None with a side below `THUMBNAIL_PX`, as in `find_copies`.
    """
    firsts = np.unique(np.array(table.sha256, "S64"), return_index=True)[1]  # one row for each content
    large = np.minimum(glimpses["width"], glimpses["height"]) >= THUMBNAIL_PX
    rows = np.sort(firsts[large[firsts]])
    proposed: np.ndarray = rows[nearest_hamming_pairs(glimpses["hashes"][rows], radius=NEAR_BITS, max_neighbours=N_NEIGHBOURS)]
    return proposed
