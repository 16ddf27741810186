"""Near pairs of embeddings too many to compare each with each: most of them, through a graph of neighbours (usearch)."""

from __future__ import annotations

import numpy as np

from tellapart.checks.pairs import sorted_pairs
from tellapart.errors import MissingExtraError

BLOCK_ROWS = 4096  # added or asked for at a time
EXPANSION = 128  # candidates kept while searching, and twice that while building; docs/near-copies.md has the recall


def approximate_pairs(embeddings: np.ndarray, *, min_cosine: float, max_neighbours: int) -> np.ndarray:
    """(M, 2) as `pairs.similar_pairs`, but some may be missing. Raises MissingExtraError without usearch.

    A hierarchical navigable small world (Malkov and Yashunin 2016) in half precision.
    """
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError("searching for near copies approximately", "check") from error
    index = Index(ndim=embeddings.shape[1], metric="cos", dtype="f16", expansion_add=2 * EXPANSION, expansion_search=EXPANSION)
    starts, found = range(0, len(embeddings), BLOCK_ROWS), [np.empty((0, 2), np.int64)]
    for start in starts:
        block = embeddings[start : start + BLOCK_ROWS]
        index.add(np.arange(start, start + len(block)), block)
    for start in starts:
        matches = index.search(embeddings[start : start + BLOCK_ROWS], max_neighbours + 1)  # a row is its own neighbour
        rows = np.arange(start, start + len(matches.keys))
        near = matches.distances <= 1 - min_cosine
        pairs = np.stack(np.broadcast_arrays(rows[:, None], matches.keys.astype(np.int64)), 2)[near]
        found.append(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], 1))
    return sorted_pairs(np.unique(np.concatenate(found), axis=0))
