"""Folds for cross-validation that keep copies and groups together and the classes in proportion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tellapart.data.groups import Units
from tellapart.data.splits import order_key
from tellapart.data.stratifying import stratified
from tellapart.data.table import ImageTable
from tellapart.errors import CallError, DataError
from tellapart.words import counted


def folds(table: ImageTable, n_folds: int = 5, *, seed: int = 0) -> Iterator[tuple[ImageTable, ImageTable]]:
    """(train, valid) tables, `n_folds` times; each row is in one valid table. See `fold_numbers` for what stays together.

    Raises CallError for fewer than 2 folds, and DataError where there are fewer groups of pictures than folds.
    """
    if n_folds < 2:
        raise CallError(f"{n_folds} folds: at least 2 are needed, one to judge on and one to train on")
    n_units = len(Units.of(table).names)
    if n_units < n_folds:
        raise DataError(
            f"{counted(len(table), 'picture is', 'pictures are')} {n_units} that may be parted (copies and groups stay together);"
            f" {n_folds} folds need as many. Add pictures, or take fewer folds."
        )
    numbers = fold_numbers(table, n_folds=n_folds, seed=seed)
    for fold in range(n_folds):
        yield table.take(np.flatnonzero(numbers != fold).tolist()), table.take(np.flatnonzero(numbers == fold).tolist())


def fold_numbers(table: ImageTable, *, n_folds: int, seed: int = 0) -> np.ndarray:
    """(len(table),) numbers 0..n_folds-1: each class spread evenly over the folds, groups and copies together.

    What is tied goes, the largest first, to the fold that has the least of its classes. Without groups no two folds differ
    by more than one picture of a class; with large groups they can.
    """
    tied = Units.of(table)
    everything = np.ones(len(table), bool)
    sizes = tied.sizes(everything).by_unit()
    keys = [order_key(f"{seed}:fold", name) for name in tied.names]
    counts = tied.class_counts(everything)
    numbers = np.zeros(len(tied.names), np.int64)
    if table.multi_label:
        wanted = np.tile(counts / n_folds, (n_folds, 1))
        part_of = stratified(sizes, sorted(sizes, key=keys.__getitem__), wanted, np.zeros_like(wanted), kept_in=None)
        numbers[list(part_of)] = list(part_of.values())
    else:
        order = sorted(sizes, key=lambda unit: (sizes[unit][0][0], -sum(n for _, n in sizes[unit]), keys[unit]))
        numbers[order] = _spread([sizes[unit] for unit in order], n_folds, counts.tolist())
    folds_of_rows: np.ndarray = numbers[tied.of_row]
    return folds_of_rows


def _spread(sizes: list[list[tuple[int, int]]], n_folds: int, counts: list[int]) -> list[int]:
    """A fold for each of these units, [(class, rows), ...]: the fold that has the smallest share of their classes."""
    have = [[0] * n_folds for _ in counts]  # rows of each class in each fold
    totals, place = [0] * n_folds, []
    for size in sizes:
        if len(size) == 1:
            shares: list[float] = list(have[size[0][0]])
        else:
            shares = [sum(n * have[label][fold] / counts[label] for label, n in size) for fold in range(n_folds)]
        fold = min(zip(shares, totals, range(n_folds), strict=True))[2]
        for label, n_rows in size:
            have[label][fold] += n_rows
            totals[fold] += n_rows
        place.append(fold)
    return place
