"""Fashion-MNIST for all sides of a comparison: the same pictures, parted alike, in batches of one size. Needs NumPy alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

EPOCHS, BATCH = 5, 256  # of the tutorials' CNN
N_TRAIN = 60_000  # pictures of the training part
N_VALID = 3_000  # of these, that Tellapart chooses its best epoch by; nobody learns from them


def parted(*, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training part: those to learn from (57,000) and those held back (3,000)."""
    rows = np.random.default_rng([seed, 1]).permutation(N_TRAIN)
    return rows[N_VALID:], rows[:N_VALID]


def training_part(folder: Path, *, seed: int, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The pictures to learn from, at most `limit`: (N, 28, 28) uint8 and labels (N,)."""
    pictures, labels = _read(folder, "train")
    rows = parted(seed=seed)[0][:limit]
    return pictures[rows], labels[rows]


def test_part(folder: Path, *, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The pictures to be judged on, at most `limit`: (N, 28, 28) uint8 and labels (N,)."""
    pictures, labels = _read(folder, "t10k")
    return pictures[:limit], labels[:limit]


def _read(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    pictures = _read_idx(folder / f"{name}-images-idx3-ubyte.gz", n_header=16).reshape(-1, 28, 28)
    return pictures, _read_idx(folder / f"{name}-labels-idx1-ubyte.gz", n_header=8)


def _read_idx(path: Path, *, n_header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=n_header)
