"""Near copies of embedded pictures, so that no split parts them; found once for a set of pictures and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.checks.copies import FINDER, CopyPair, confirm, find_copies
from tellapart.checks.proposals import propose
from tellapart.data import ImageTable, tie
from tellapart.errors import BundleError, StorageError
from tellapart.files import cache_dir, read_json, write_json
from tellapart.inference.glances import glance_cache, scan, skim
from tellapart.progress import Progress, silent
from tellapart.training import Embedded


def with_copies_tied(table: ImageTable, embedded: Embedded, *, progress: Progress = silent) -> ImageTable:
    """The embedded table with its near copies in one group each (`tie`), so that a split keeps them together."""
    pairs = near_copies(table, embedded, progress=progress)
    return tie(table, ((pair.first, pair.second) for pair in pairs))


def with_hashed_copies_tied(table: ImageTable, *, progress: Progress = silent) -> ImageTable:
    """The readable pictures, their near copies tied as far as hashes find them: what is trained from scratch is not embedded."""
    seen = skim(table, progress=progress)
    readable = table.without(seen.failures)
    pairs = hashed_copies(readable, seen.of(readable), progress=progress)
    return tie(readable, ((pair.first, pair.second) for pair in pairs))


def near_copies(table: ImageTable, embedded: Embedded, *, progress: Progress = silent) -> tuple[CopyPair, ...]:
    """The pairs of different contents that are near copies, as rows of the table (of each content the first)."""
    first = {digest: row for row, digest in reversed(list(enumerate(table.sha256)))}
    unique = table.take(sorted(first.values()))
    path = cache_dir() / "copies" / f"{_key(unique, embedded)}.json"
    kept = _load(path, set(first))
    if kept is None:
        glances = scan(unique, progress=progress)
        unique = unique.without(glances.failures)  # what broke in between
        n_embedding = embedded.backbone.blocks[0]
        found = find_copies(unique, glances.of(unique), embedded.features.of(unique), n_embedding=n_embedding, progress=progress)
        kept = [[unique.sha256[pair.first], unique.sha256[pair.second], pair.kind, pair.score] for pair in found]
        with suppress(StorageError):  # then they are found again
            write_json(path, {"pairs": kept})
    ends = ((*sorted((first[one], first[other])), kind, score) for one, other, kind, score in kept)
    return tuple(CopyPair(low, high, kind, score) for low, high, kind, score in sorted(ends))


def hashed_copies(table: ImageTable, glimpses: np.ndarray, *, progress: Progress = silent) -> list[CopyPair]:
    """The pairs of different contents that are near copies, found without a network: few that are cropped or captioned.

    `glimpses` (N,) of kind `GLIMPSE` are aligned with the table.
    """
    proposed = propose(table, glimpses)
    seen = scan(table.take(np.unique(proposed).tolist()), progress=progress)
    is_seen = np.array([digest in seen.row_of for digest in table.sha256])
    proposed = proposed[is_seen[proposed].all(1)]  # without what broke in between
    rows = np.unique(proposed)
    pairs = confirm(seen.of(table.take(rows.tolist())), np.searchsorted(rows, proposed), progress=progress)
    return [replace(pair, first=int(rows[pair.first]), second=int(rows[pair.second])) for pair in pairs]


def _key(table: ImageTable, embedded: Embedded) -> str:
    """A name for all that the pairs depend on."""
    searches = f"{FINDER} {find_spec('usearch') is not None}"
    basis = [searches, glance_cache().space, embedded.features.space, *sorted(table.sha256)]
    return hashlib.sha256("\n".join(basis).encode()).hexdigest()[:24]


def _load(path: Path, known: Collection[str]) -> list[Any] | None:
    """The pairs of known contents that an earlier call kept, unless they are missing or damaged."""
    try:
        found: Mapping[str, Any] = read_json(path)
        pairs = [[str(one), str(other), str(kind), float(score)] for one, other, kind, score in found["pairs"]]
        return pairs if {digest for pair in pairs for digest in pair[:2]} <= set(known) else None
    except (BundleError, KeyError, TypeError, ValueError):
        return None
