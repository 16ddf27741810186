"""Near copies of embedded pictures, so that no split parts them; found once for a set of pictures and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.checks.copies import FINDER, CopyPair, find_copies
from tellapart.data import ImageTable, tie
from tellapart.errors import BundleError, StorageError
from tellapart.files import cache_dir, read_json, write_json
from tellapart.inference.glances import Glances, scan
from tellapart.progress import Progress, silent
from tellapart.training import Embedded


def with_copies_tied(table: ImageTable, embedded: Embedded, *, progress: Progress = silent) -> ImageTable:
    """The table with its near copies in one group each (`tie`), so that a split keeps them together.

    Pictures that are not embedded, a locked test part, are compared by a glance at them alone.
    """
    glances = scan(table, progress=progress)
    pairs = near_copies(table, embedded, glances)
    return tie(table, ((pair.first, pair.second) for pair in pairs))


def near_copies(table: ImageTable, embedded: Embedded, glances: Glances) -> tuple[CopyPair, ...]:
    """The pairs of different contents that are near copies, as rows of the table (of each content the first)."""
    first = {digest: row for row, digest in reversed(list(enumerate(table.sha256))) if digest in glances.row_of}
    unique = table.take(sorted(first.values()))
    path = cache_dir() / "copies" / f"{_key(unique, embedded)}.json"
    kept = _load(path)
    if kept is None:
        found = find_copies(unique, glances.of(unique), _features(unique, embedded), n_embedding=embedded.backbone.blocks[0])
        kept = [[unique.sha256[pair.first], unique.sha256[pair.second], pair.kind, pair.score] for pair in found]
        with suppress(StorageError):  # then they are found again
            write_json(path, {"pairs": kept})
    ends = ((*sorted((first[one], first[other])), kind, score) for one, other, kind, score in kept)
    return tuple(CopyPair(low, high, kind, score) for low, high, kind, score in sorted(ends))


def _features(table: ImageTable, embedded: Embedded) -> np.ndarray:
    """(len(table), D) float16; zeros, which are like nothing, for what is not embedded."""
    row_of = embedded.features.row_of
    rows = np.array([row_of.get(digest, -1) for digest in table.sha256], np.int64)
    features: np.ndarray = embedded.features.matrix[rows]
    features[rows < 0] = 0
    return features


def _key(table: ImageTable, embedded: Embedded) -> str:
    """A name for all that the pairs depend on."""
    row_of, backbone = embedded.features.row_of, embedded.backbone
    basis = f"{FINDER} {backbone.weights_sha256} {backbone.fit} {embedded.features.runtime}\n"
    marks = (f"{digest} {digest in row_of}\n" for digest in sorted(table.sha256))
    return hashlib.sha256("".join([basis, *marks]).encode()).hexdigest()[:24]


def _load(path: Path) -> list[Any] | None:
    """The pairs that an earlier call kept, unless they are missing or damaged."""
    try:
        found: Mapping[str, Any] = read_json(path)
        return [[str(one), str(other), str(kind), float(score)] for one, other, kind, score in found["pairs"]]
    except (BundleError, KeyError, TypeError, ValueError):
        return None
