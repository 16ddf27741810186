"""Pictures that lie in no file, kept in the cache folder: an array as .npy, encoded pictures as a tar.

A store's name is the hash of what it holds, so that the same pictures are kept once. Runs on them need the cache to stay.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np

from tellapart.files import atomic_file, cache_dir

HASHED_ROWS = 1024


def keep_array(values: np.ndarray) -> Path:
    """The .npy file that holds this array. Raises StorageError where it cannot be written."""
    digest = hashlib.sha256(repr((values.shape, values.dtype.str)).encode())
    for start in range(0, len(values), HASHED_ROWS):
        digest.update(np.ascontiguousarray(values[start : start + HASHED_ROWS]).tobytes())
    path = _folder() / f"{digest.hexdigest()}.npy"
    if not path.exists():
        with atomic_file(path) as file:
            np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
    return path


def keep_files(files: Iterable[tuple[str, bytes]]) -> Path:
    """The tar that holds these (name, content). Raises StorageError where it cannot be written."""
    digest = hashlib.sha256()
    beside = _folder() / f"{os.getpid()}-{id(files)}.tar"  # its name is known when all has been seen
    with atomic_file(beside) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
            digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    path = _folder() / f"{digest.hexdigest()}.tar"
    beside.replace(path)
    return path


def _folder() -> Path:
    return cache_dir() / "arrays"
