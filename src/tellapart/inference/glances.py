"""Glances at many pictures, through a cache of their own; the embedding leaves them there as it passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL

from tellapart.data import ImageTable
from tellapart.errors import PictureError
from tellapart.images import GLANCE
from tellapart.images.decoding import DECODER, open_described
from tellapart.images.glances import SHARP_PX, glance
from tellapart.images.glimpses import GLIMPSE, glimpses
from tellapart.inference.caches import FeatureCache, rows_of
from tellapart.inference.streaming import DECODE_THREADS
from tellapart.progress import Progress, silent

GLANCES = 1  # raise it whenever `glance` sees something else, so that older ones are not taken
GLIMPSES = 2  # the same of `glimpses`
CHUNK = 128  # pictures that a thread takes at a time: a task costs as much as a tenth of a picture, and wakes who waits for it
Look = Callable[[Sequence[str]], tuple[np.ndarray, list[str]]]  # paths -> a row each, and "" or why it holds nothing


@dataclass(frozen=True)
class Glances:
    """A glance or a glimpse at each readable picture, and why there is none at the others."""

    rows: np.ndarray  # (U,) GLANCE or GLIMPSE, one per content; those of unreadable pictures hold nothing
    row_of: dict[str, int]  # sha256 -> row, of the readable ones
    failures: dict[str, str]  # sha256 -> reason

    def of(self, table: ImageTable) -> np.ndarray:
        """(len(table),) of the rows' kind, aligned with the table; not to be written into."""
        return rows_of(self.rows, [self.row_of[digest] for digest in table.sha256])


def scan(
    table: ImageTable, *, min_side_px: int = SHARP_PX, cache_folder: Path | None = None, progress: Progress = silent
) -> Glances:
    """A glance at each content of the table; only those that the cache lacks are taken.

    A large JPEG is decoded at a part of its size, both sides staying at least `min_side_px`.
    """
    return _look_at(table, partial(_glances, min_side_px=min_side_px), GLANCE, glance_cache(cache_folder), progress)


def skim(table: ImageTable, *, cache_folder: Path | None = None, progress: Progress = silent) -> Glances:
    """As `scan`, but glimpses, in a fifth of the time: enough to propose near copies."""
    return _look_at(table, glimpses, GLIMPSE, _glimpse_cache(cache_folder), progress)


def glance_cache(folder: Path | None = None) -> FeatureCache:
    """Where glances are kept, as rows of bytes."""
    return FeatureCache({"glance": GLANCES, "decoder": f"{DECODER}, Pillow {PIL.__version__}"}, folder=folder)


def _glimpse_cache(folder: Path | None) -> FeatureCache:
    return FeatureCache({"glimpse": GLIMPSES, "decoder": f"{DECODER}, Pillow {PIL.__version__}"}, folder=folder)


def _glances(paths: Sequence[str], min_side_px: int) -> tuple[np.ndarray, list[str]]:
    rows, reasons = np.zeros(len(paths), GLANCE), [""] * len(paths)
    for place, path in enumerate(paths):
        try:
            rows[place] = glance(open_described(path, min_side_px=min_side_px))
        except PictureError as error:
            reasons[place] = str(error)
    return rows, reasons


def _look_at(table: ImageTable, look: Look, kind: np.dtype, cache: FeatureCache, progress: Progress) -> Glances:
    """What the cache lacks is looked at in threads, a chunk of contents at a time."""
    path_of = dict(zip(reversed(table.sha256), reversed(table.paths), strict=True))  # the first of several copies
    row_of = {digest: row for row, digest in enumerate(dict.fromkeys(table.sha256))}
    rows, failures = np.zeros(len(row_of), kind), dict[str, str]()
    kept = cache.fill(rows.view(np.uint8).reshape(len(rows), kind.itemsize), row_of)
    missing = [digest for digest in row_of if digest not in kept]
    chunks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    done = 0
    try:
        with ThreadPoolExecutor(DECODE_THREADS) as pool:
            taken = pool.map(lambda chunk: look([path_of[digest] for digest in chunk]), chunks)
            for chunk, (seen, reasons) in zip(chunks, taken, strict=True):
                failures.update((digest, reason) for digest, reason in zip(chunk, reasons, strict=True) if reason)
                read = [place for place, reason in enumerate(reasons) if not reason]
                looked_at = [chunk[place] for place in read]
                cache.extend(looked_at, seen[read].view(np.uint8).reshape(len(read), kind.itemsize))
                rows[[row_of[digest] for digest in looked_at]] = seen[read]
                done += len(chunk)
                progress("looking", done, len(missing))
    finally:
        cache.flush()
    return Glances(rows, {digest: row for digest, row in row_of.items() if digest not in failures}, failures)
