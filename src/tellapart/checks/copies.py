"""Copies: pictures of the same content, and those that are one picture changed a little."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from tellapart.checks.agreement import compare
from tellapart.checks.changes import changes
from tellapart.checks.hashes import perceptual_hashes
from tellapart.checks.neighbours import approximate_pairs
from tellapart.checks.pairs import nearest_hamming_pairs, similar_pairs
from tellapart.data import ImageTable
from tellapart.data.groups import Ties
from tellapart.images.glances import THUMBNAIL_PX
from tellapart.progress import Progress, silent

FINDER = 2  # raise it whenever other pairs are found, so that those kept in the cache are not taken
NEAR_BITS = 6  # of 64, between perceptual hashes that propose a pair; the most that is searched exactly
MIN_COSINE = 0.75  # between embeddings that propose a pair; chosen on docs/near-copies.md
N_NEIGHBOURS = 8  # proposed by hash, and by embedding: 99 % of 1,800 changed flowers had the original among the nearest 3
EXACT_ROWS = 100_000  # beyond, embeddings are searched approximately, where usearch is installed: exactly takes minutes
SAME_SHARE = 0.75  # of the textured blocks, from which two pictures are one; chosen on docs/near-copies.md


@dataclass(frozen=True)
class CopyPair:
    """Two rows of a table that are one picture."""

    first: int
    second: int  # above `first`
    kind: str  # "exact", or one of `changes.changes`
    score: float  # 0..1: 1 for the same content, else the share of the picture that is found again


def find_copies(
    table: ImageTable,
    glances: np.ndarray,
    features: np.ndarray | None,
    *,
    n_embedding: int,
    progress: Progress = silent,
) -> tuple[CopyPair, ...]:
    """The pairs of rows that are one picture, sorted; several copies of one content are each paired with their first row.

    `glances` (N,) of kind `GLANCE` and `features` (N, D) are aligned with the table; the first `n_embedding` columns are
    compared by cosine. Without features, crops and captions are mostly missed. Of pictures with a side below `THUMBNAIL_PX`
    only exact copies are found: enlarged, different ones agree as well as copies do (a third of Fashion-MNIST did).
    """
    firsts = {digest: row for row, digest in reversed(list(enumerate(table.sha256)))}
    rows = np.sort(np.fromiter(firsts.values(), np.int64, len(firsts)))  # one for each content
    rows = rows[np.minimum(glances["width"], glances["height"])[rows] >= THUMBNAIL_PX]
    embeddings = None if features is None else features[:, :n_embedding]
    near = _near_copies(glances, embeddings, rows, progress)
    return tuple(sorted([*exact_copies(table), *near], key=lambda pair: (pair.first, pair.second)))


def exact_copies(table: ImageTable) -> list[CopyPair]:
    """Each row whose content an earlier row has, paired with the first such row."""
    firsts = dict[str, int]()
    return [
        CopyPair(firsts[digest], row, "exact", 1.0)
        for row, digest in enumerate(table.sha256)
        if firsts.setdefault(digest, row) != row
    ]


def copy_groups(n_rows: int, pairs: Iterable[CopyPair]) -> np.ndarray:
    """(n_rows,) the lowest row that each row is connected with through copies of copies; its own number where there is none."""
    ties = Ties[int]()
    for pair in pairs:
        ties.tie(pair.first, pair.second)
    return np.array([ties.leader(row) for row in range(n_rows)], np.int64)


def confirm(glances: np.ndarray, proposed: np.ndarray, *, progress: Progress = silent) -> list[CopyPair]:
    """Those of the proposed pairs (M, 2), rows of `glances` (N,) of kind `GLANCE`, that are one picture.

    They are looked at on the thumbnails.
    """
    if not len(proposed):
        return []
    thumbnails, sizes = glances["thumbnail"], np.stack([glances["width"], glances["height"]], 1)
    compared = compare(thumbnails, proposed, progress=progress)
    found = compared.take(compared.shares >= SAME_SHARE)
    pairs = np.sort(np.stack([found.placements.outer, found.placements.inner], 1), 1)
    kinds = changes(thumbnails, sizes, found)
    return [
        CopyPair(int(first), int(second), kind, round(float(share), 4))
        for (first, second), kind, share in zip(pairs, kinds, found.shares, strict=True)
    ]


def _near_copies(glances: np.ndarray, embeddings: np.ndarray | None, rows: np.ndarray, progress: Progress) -> list[CopyPair]:
    """The near copies among these rows: proposed by hash or embedding, and confirmed."""
    hashes = perceptual_hashes(glances["thumbnail"])[rows]  # (n, 2): as they are, and mirrored
    proposals = [nearest_hamming_pairs(hashes, radius=NEAR_BITS, max_neighbours=N_NEIGHBOURS)]
    if embeddings is not None:
        proposals.append(_neighbours(embeddings if len(rows) == len(embeddings) else embeddings[rows]))
    return confirm(glances, rows[np.unique(np.concatenate(proposals), axis=0)], progress=progress)


def _neighbours(embeddings: np.ndarray) -> np.ndarray:
    """(M, 2) places whose embeddings are near."""
    is_approximate = len(embeddings) > EXACT_ROWS and find_spec("usearch") is not None
    search = approximate_pairs if is_approximate else similar_pairs
    return search(embeddings, min_cosine=MIN_COSINE, max_neighbours=N_NEIGHBOURS)
