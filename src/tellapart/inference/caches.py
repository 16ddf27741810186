"""The feature cache: what a frozen network said of a picture is computed once and kept on disk.

A cache is a folder per feature space (network, preprocessing, runtime and precision); in it lie shards that are written whole
and never changed, so a kill at any moment leaves a valid cache. A damaged shard is thrown away and computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tellapart.errors import StorageError
from tellapart.files import cache_dir, write_atomically

SHARD_ROWS = 1024  # a kill loses at most this many pictures' work, some seconds
FORMAT = "1"


class FeatureCache:
    """The features of one feature space, by the SHA-256 of the picture.

    `space` says all that the features depend on; another network, fit, precision or library version is another space.
    """

    def __init__(self, space: Mapping[str, Any], *, folder: Path | None = None) -> None:
        text = json.dumps(space, sort_keys=True)
        self.folder = (folder or cache_dir()) / "features" / hashlib.sha256(text.encode()).hexdigest()[:24]
        self.space = text
        self.lost = ""  # why rows could not be kept, for the caller to say
        self._digests: list[str] = []
        self._rows: list[np.ndarray] = []
        self._written: list[Path] = []

    def rows(self) -> Iterator[tuple[str, np.ndarray]]:
        """Everything that is on disk: (digest, (D,) of one kind), shard by shard."""
        for shard in sorted(self.folder.glob("*.safetensors")):
            yield from _read_shard(shard)

    def fill(self, matrix: np.ndarray, row_of: Mapping[str, int]) -> set[str]:
        """Copy what is kept into the rows of a matrix (U, D); returns the digests that were found."""
        return _copy(self.rows(), matrix, row_of)

    def fill_added(self, matrix: np.ndarray, row_of: Mapping[str, int]) -> set[str]:
        """The same of what was added here, on disk or not."""
        written = chain.from_iterable(map(_read_shard, self._written))
        return _copy(chain(written, zip(self._digests, self._rows, strict=True)), matrix, row_of)

    def add(self, digest: str, row: np.ndarray) -> None:
        """Keep what was computed of a picture, (D,) of one kind, say float16; on disk after `SHARD_ROWS` of them or a `flush`."""
        self.extend([digest], [row])

    def extend(self, digests: Sequence[str], rows: Iterable[np.ndarray]) -> None:
        """As `add`, of several pictures: (N, D), not to be changed afterwards."""
        n_full = len(self._rows) // SHARD_ROWS
        self._digests.extend(digests)
        self._rows.extend(rows)
        if len(self._rows) // SHARD_ROWS > n_full:  # where the disk is full they grow on, and are tried again once a shard
            self.flush()

    def flush(self) -> None:
        """Write what has been added. Where the disk takes no more the rows stay in memory, and `lost` says why."""
        if not self._rows:
            return
        digests = np.frombuffer(bytes.fromhex("".join(self._digests)), np.uint8).reshape(-1, 32)
        tensors = {"digests": digests, "features": np.stack(self._rows)}
        metadata = {"format": FORMAT, "crc32": _checksum(tensors), "space": self.space}
        try:
            shard = self.folder / f"{os.getpid()}-{uuid.uuid4().hex[:12]}.safetensors"  # its own: processes may share a cache
            write_atomically(shard, save(tensors, metadata))
        except StorageError as error:
            self.lost = f"the computed features could not be kept: {error}"
            return
        self._written.append(shard)
        self._digests, self._rows = [], []


def rows_of(matrix: np.ndarray, rows: list[int]) -> np.ndarray:
    """(len(rows), ...) of the matrix; itself where all rows are wanted in order, which spares a copy of it."""
    if rows == list(range(len(matrix))):
        return matrix
    taken: np.ndarray = matrix[rows]
    return taken


def _copy(rows: Iterable[tuple[str, np.ndarray]], matrix: np.ndarray, row_of: Mapping[str, int]) -> set[str]:
    found = set[str]()
    for digest, row in rows:
        if digest in row_of:
            matrix[row_of[digest]] = row
            found.add(digest)
    return found


def _read_shard(path: Path) -> list[tuple[str, np.ndarray]]:
    """The rows of a shard; none where it is damaged, which removes it."""
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in ("digests", "features")}
        if metadata.get("format") != FORMAT or metadata.get("crc32") != _checksum(tensors):
            raise ValueError("checksum")
    except (SafetensorError, ValueError, OSError):
        with suppress(OSError):  # in a cache that may only be read it stays, and is passed over again
            path.unlink(missing_ok=True)
        return []
    text = tensors["digests"].tobytes().hex()
    return [(text[64 * row : 64 * row + 64], features) for row, features in enumerate(tensors["features"])]


def _checksum(tensors: Mapping[str, np.ndarray]) -> str:
    return str(zlib.crc32(tensors["features"].tobytes(), zlib.crc32(tensors["digests"].tobytes())))
