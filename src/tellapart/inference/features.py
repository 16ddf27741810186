"""Features of many pictures from a frozen backbone, through the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from tellapart.data import ImageTable
from tellapart.errors import StorageError
from tellapart.files import sha256_of
from tellapart.images import Fit
from tellapart.images.decoding import DECODER
from tellapart.inference.caches import FeatureCache, rows_of
from tellapart.inference.glances import glance_cache
from tellapart.inference.runtimes import load_embedder
from tellapart.inference.streaming import run_pictures
from tellapart.progress import Progress, silent

COPIED_ROWS = 512  # at a time: 3 MB


@dataclass(frozen=True)
class Backbone:
    """A frozen network on disk: `pixels` (N, side, side, C) uint8 -> `features` (N, D) float32.

    `blocks` are the widths of the parts that the features are made of (say, mean and maximum of a layer), in order.
    """

    arch: str
    weights: str
    weights_sha256: str
    path: Path
    fit: Fit
    blocks: tuple[int, ...]

    @property
    def n_features(self) -> int:
        return sum(self.blocks)


@dataclass(frozen=True)
class Features:
    """What a backbone said of each readable picture, and why it said nothing of the others."""

    matrix: np.ndarray  # (U, D) float16, a row per content; those of unreadable pictures hold nothing
    row_of: dict[str, int]  # sha256 -> row, of the readable ones
    failures: dict[str, str]  # sha256 -> reason
    n_cached: int
    runtime: str
    warning: str = ""
    space: str = ""  # all that the features depend on besides the picture

    def of(self, table: ImageTable) -> np.ndarray:
        """(len(table), D) float16, aligned with the table; not to be written into."""
        return rows_of(self.matrix, self._rows_of(table))

    def floats(self, table: ImageTable) -> np.ndarray:
        """(len(table), D) float32, aligned with the table, the caller's own."""
        rows = self._rows_of(table)
        found = np.empty((len(rows), self.matrix.shape[1]), np.float32)
        for start in range(0, len(rows), COPIED_ROWS):
            found[start : start + COPIED_ROWS] = self.matrix[rows[start : start + COPIED_ROWS]]
        return found

    def _rows_of(self, table: ImageTable) -> list[int]:
        return [self.row_of[digest] for digest in table.sha256]


def embed(
    table: ImageTable,
    backbone: Backbone,
    *,
    shown: bool = False,
    cache_folder: Path | None = None,
    progress: Progress = silent,
) -> Features:
    """The features of the table's pictures, each content once; only those that the cache lacks are computed.

    With `shown` a picture with other channels than the backbone takes is embedded as it is shown, in place of being a failure.
    An unreadable picture is in `failures`. On any interruption what was computed so far is kept. In the same pass each
    opened picture's glance is left in its cache, so that a `scan` afterwards opens none.
    """
    runtime, remark = load_embedder(backbone.path)
    name = runtime.name
    cache = FeatureCache(_space(backbone, name) | ({"shown": True} if shown else {}), folder=cache_folder)
    path_of = dict(zip(reversed(table.sha256), reversed(table.paths), strict=True))  # the first of several copies
    row_of = {digest: row for row, digest in enumerate(dict.fromkeys(table.sha256))}
    matrix = np.empty((len(row_of), backbone.n_features), np.float16)
    kept = cache.fill(matrix, row_of)
    missing = [digest for digest in row_of if digest not in kept]
    failures = dict[str, str]()
    glances = glance_cache(cache_folder)
    results = run_pictures(runtime, (path_of[digest] for digest in missing), backbone.fit, glances=True, shown=shown)
    try:
        for done, (digest, result) in enumerate(zip(missing, results, strict=True), start=1):
            if result.glance is None:
                failures[digest] = str(result.error)
                del row_of[digest]
            else:
                cache.add(digest, result.outputs["features"].astype(np.float16))
                glances.add(digest, np.frombuffer(result.glance.tobytes(), np.uint8))
            progress("embedding", done, len(missing))
    finally:
        cache.flush()
        glances.flush()
    del runtime, results  # they make room for the features, which until now are on disk
    if not kept | cache.fill_added(matrix, row_of) >= row_of.keys():
        raise StorageError(f"features vanished from {cache.folder} while others were computed. Train again: the rest is kept.")
    return Features(matrix, row_of, failures, len(kept), name, "; ".join(filter(None, (remark, cache.lost))), cache.space)


def _space(backbone: Backbone, runtime: str) -> dict[str, object]:
    """All that a feature depends on besides the picture."""
    return {
        "network": sha256_of(backbone.path),
        "fit": backbone.fit.to_json(),
        "runtime": runtime,
        "decoder": f"{DECODER}, Pillow {PIL.__version__}",
    }
