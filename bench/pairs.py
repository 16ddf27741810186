"""Time and memory of looking for all near pairs, each in a process of its own: python bench/pairs.py [--features FILE.npy]

1,000,000 hashes of 64 bits within 6 bits: random ones, and half random, 40 % near another, 100,000 equal.
100,000 embeddings of 1,280 with a cosine of at least 0.9: mixtures of two rows of FILE (N, 1,280 or more), else of normal numbers
with a spectrum that falls; 5 % are near copies of others. The approximate search on 20,000 of them, its recall against the exact.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

N_HASHES = 1_000_000
N_EMBEDDINGS = 100_000
WIDTH = 1280
N_APPROXIMATE = 20_000
MIN_COSINE = 0.9
N_NEIGHBOURS = 8
RUNS = ("random hashes", "clustered hashes", "embeddings", "approximate embeddings")


def main() -> None:
    args = parse()
    if args.run is not None:
        measure(args.run, args.features)
        return
    for run in RUNS:
        words = [sys.executable, __file__, "--run", run, *(["--features", str(args.features)] if args.features else [])]
        subprocess.run(words, check=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--features", type=Path, help="a .npy of real embeddings, from which 100,000 are mixed")
    parser.add_argument("--run", choices=RUNS, help="one of them, in this process")
    return parser.parse_args()


def measure(run: str, features: Path | None) -> None:
    from tellapart.checks.neighbours import approximate_pairs
    from tellapart.checks.pairs import hamming_pairs, similar_pairs

    if "hashes" in run:
        hashes = random_hashes() if run == "random hashes" else clustered_hashes()
        tell(run, len(hashes), lambda: hamming_pairs(hashes, radius=6))
    elif run == "embeddings":
        vectors = embeddings(N_EMBEDDINGS, features)
        tell(run, len(vectors), lambda: similar_pairs(vectors, min_cosine=MIN_COSINE))
    else:
        vectors = embeddings(N_APPROXIMATE, features)
        bounds = {"min_cosine": MIN_COSINE, "max_neighbours": N_NEIGHBOURS}
        exact = tell(f"exact, {N_NEIGHBOURS} nearest", len(vectors), lambda: similar_pairs(vectors, **bounds))
        found = tell(run, len(vectors), lambda: approximate_pairs(vectors, **bounds))
        common = np.intersect1d(exact @ (len(vectors), 1), found @ (len(vectors), 1))
        print(f"recall of the approximate search: {len(common) / len(exact):.4f}")


def tell(what: str, n: int, search) -> np.ndarray:
    start, cpu_start = time.perf_counter(), time.process_time()
    found = search()
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    print(f"{what}: n = {n:,}, {len(found):,} pairs, {seconds:.1f} s ({cpu_s:.1f} s of CPU), peak {peak_mb():.0f} MB", flush=True)
    return found


def peak_mb() -> float:
    """Of this process alone: its parent may be larger, which `ru_maxrss` would tell instead."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def random_hashes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**64, N_HASHES, dtype=np.uint64)


def clustered_hashes() -> np.ndarray:
    rng = np.random.default_rng(1)
    centres = rng.integers(0, 2**64, N_HASHES // 2, dtype=np.uint64)
    near = rng.choice(centres, N_HASHES * 4 // 10)
    for _ in range(4):
        near ^= np.uint64(1) << rng.integers(0, 64, len(near), dtype=np.uint64)
    return rng.permutation(np.concatenate([centres, near, np.zeros(N_HASHES // 10, np.uint64)]))


def embeddings(n: int, features: Path | None) -> np.ndarray:
    """(n, WIDTH) float16."""
    rng = np.random.default_rng(2)
    if features is None:
        scale = (1 / np.arange(1, WIDTH + 1) ** 0.7).astype(np.float32)
        source = rng.standard_normal((8000, WIDTH), np.float32) * scale + 0.3 * scale
    else:
        source = np.load(features)[:, :WIDTH].astype(np.float32)
    mixed = np.empty((n, WIDTH), np.float16)
    for start in range(0, n, 4096):
        first, second = rng.integers(0, len(source), (2, min(4096, n - start)))
        share = rng.uniform(0.5, 1, (len(first), 1)).astype(np.float32)
        mixed[start : start + 4096] = share * source[first] + (1 - share) * source[second]
    n_copies = n // 20
    noise = rng.standard_normal((n_copies, WIDTH), np.float32) * 0.05 * np.abs(mixed[:n_copies]).mean()
    mixed[n // 2 : n // 2 + n_copies] = mixed[:n_copies] + noise
    return mixed


if __name__ == "__main__":
    main()
