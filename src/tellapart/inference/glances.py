"""Glances at many pictures, through a cache of their own; the embedding leaves them there as it passes."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from tellapart.data import ImageTable
from tellapart.errors import PictureError
from tellapart.images import GLANCE
from tellapart.images.decoding import DECODER, open_described
from tellapart.images.glances import SHARP_PX, glance
from tellapart.inference.caches import FeatureCache, rows_of
from tellapart.inference.streaming import DECODE_THREADS
from tellapart.progress import Progress, silent

GLANCES = 1  # raise it whenever `glance` sees something else, so that older ones are not taken
CHUNK = 64  # pictures that a thread takes at a time: a task costs as much as a tenth of a picture


@dataclass(frozen=True)
class Glances:
    """A glance at each readable picture, and why there is none at the others."""

    rows: np.ndarray  # (U,) GLANCE, one per content; those of unreadable pictures hold nothing
    row_of: dict[str, int]  # sha256 -> row, of the readable ones
    failures: dict[str, str]  # sha256 -> reason

    def of(self, table: ImageTable) -> np.ndarray:
        """(len(table),) GLANCE, aligned with the table; not to be written into."""
        return rows_of(self.rows, [self.row_of[digest] for digest in table.sha256])


def scan(
    table: ImageTable, *, min_side_px: int = SHARP_PX, cache_folder: Path | None = None, progress: Progress = silent
) -> Glances:
    """A glance at each content of the table; only those that the cache lacks are taken.

    A large JPEG is decoded at a part of its size, both sides staying at least `min_side_px`.
    """
    cache = glance_cache(cache_folder)
    path_of = dict(zip(reversed(table.sha256), reversed(table.paths), strict=True))  # the first of several copies
    row_of = {digest: row for row, digest in enumerate(dict.fromkeys(table.sha256))}
    rows, failures = np.zeros(len(row_of), GLANCE), dict[str, str]()
    as_bytes = rows.view(np.uint8).reshape(len(rows), GLANCE.itemsize)
    kept = cache.fill(as_bytes, row_of)
    missing = [digest for digest in row_of if digest not in kept]
    chunks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    try:
        with ThreadPoolExecutor(DECODE_THREADS) as pool:
            taken = pool.map(lambda chunk: [_look(path_of[digest], min_side_px) for digest in chunk], chunks)
            for done, (digest, one) in enumerate(zip(missing, _flat(taken), strict=True), start=1):
                if isinstance(one, str):
                    failures[digest] = one
                    del row_of[digest]
                else:
                    rows[row_of[digest]] = one
                    cache.add(digest, as_bytes[row_of[digest]])
                progress("looking", done, len(missing))
    finally:
        cache.flush()
    return Glances(rows, row_of, failures)


def glance_cache(folder: Path | None = None) -> FeatureCache:
    """Where glances are kept, as rows of bytes."""
    return FeatureCache({"glance": GLANCES, "decoder": f"{DECODER}, Pillow {PIL.__version__}"}, folder=folder)


def _look(path: str, min_side_px: int) -> np.ndarray | str:
    """The glance, or why there is none."""
    try:
        return glance(open_described(path, min_side_px=min_side_px))
    except PictureError as error:
        return str(error)


def _flat(chunks: Iterable[list[np.ndarray | str]]) -> Iterable[np.ndarray | str]:
    return (one for chunk in chunks for one in chunk)
