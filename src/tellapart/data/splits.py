"""Splits that keep copies and groups together, keep the classes in proportion, and stay when pictures are added."""

from __future__ import annotations

import hashlib
import shlex
from collections import defaultdict
from dataclasses import replace

import numpy as np

from tellapart.data.table import ImageTable, Skipped
from tellapart.errors import CallError, DataError


def split(table: ImageTable, *, valid_frac: float = 0.2, test_frac: float = 0.0, seed: int = 0) -> ImageTable:
    """The table with each row in "train", "valid" or "test".

    Rows of one group, and of one content, share a split. Splits that the table brings are kept: only its training (or
    unassigned) rows are drawn from, and only for a part that it does not bring. Which groups are held back follows from
    their content and `seed` alone, so neither renaming nor the order of files changes it.

    Raises CallError for impossible fractions and DataError where a class is too small to be held back.
    """
    if not (0 <= valid_frac < 1 and 0 <= test_frac < 1 and valid_frac + test_frac < 1):
        raise CallError(f"valid {valid_frac} and test {test_frac}: each is a part from 0 to 1, and both leave some to train on")
    table = _without_leaks(table)
    splits = ["train" if name == "" else name for name in table.splits]
    left_frac = 1.0  # of what the table left to be drawn from
    for name, fraction in (("test", test_frac), ("valid", valid_frac)):
        if name not in splits and fraction > 0:
            for row in _draw(table, splits, fraction / left_frac, f"{seed}:{name}"):
                splits[row] = name
            left_frac -= fraction
    return checked(table.with_splits(splits))


def fold_numbers(table: ImageTable, *, n_folds: int, seed: int = 0) -> np.ndarray:
    """(len(table),) numbers 0..n_folds-1: each class spread evenly over the folds, groups and copies together."""
    units, place = _units(table), dict[str, int]()
    order = sorted(range(len(table)), key=lambda row: (table.labels[row], _key(f"{seed}:fold", units[row])))
    for row in order:
        place.setdefault(units[row], len(place) % n_folds)
    return np.array([place[unit] for unit in units], np.int64)


def _key(salt: str, unit: str) -> bytes:
    """An order that content and salt alone decide."""
    return hashlib.sha256(f"{salt}:{unit}".encode()).digest()


def _without_leaks(table: ImageTable) -> ImageTable:
    """The table without training rows whose content, or group, is also in a held-back part that it brings."""
    held = {unit for unit, name in zip(_units(table), table.splits, strict=True) if name in ("valid", "test")}
    leaks = [row for row, unit in enumerate(_units(table)) if unit in held and table.splits[row] in ("train", "")]
    if not leaks:
        return table
    leaked = set(leaks)
    kept = table.take(row for row in range(len(table)) if row not in leaked)
    skipped = tuple(Skipped(table.paths[row], "a copy of a held-back picture") for row in leaks)
    return replace(kept, skipped=table.skipped + skipped)


def _units(table: ImageTable) -> list[str]:
    """What a split must not part, by row: contents that groups tie together have one name, the least of their digests."""
    leader: dict[str, str] = {}

    def leader_of(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for group, digest in zip(table.groups, table.sha256, strict=True):
        if group:
            first, second = sorted((leader_of(digest), leader_of(f"group {group}")))  # a digest sorts before "group"
            leader[second] = first
    return [leader_of(digest) for digest in table.sha256]


def _draw(table: ImageTable, splits: list[str], fraction: float, salt: str) -> list[int]:
    """Rows to hold back: about `fraction` of each class, at least one row, never the whole class."""
    rows_of = defaultdict[str, list[int]](list)
    for row, unit in enumerate(_units(table)):
        if splits[row] == "train":
            rows_of[unit].append(row)
    units_of = defaultdict[str, list[str]](list)
    for unit in sorted(rows_of, key=lambda unit: _key(salt, unit)):
        units_of[min(table.labels[row] for row in rows_of[unit])].append(unit)
    _refuse_single(units_of, rows_of)
    return [row for units in units_of.values() for unit in _first(units, rows_of, fraction) for row in rows_of[unit]]


def _first(units: list[str], rows_of: dict[str, list[int]], fraction: float) -> list[str]:
    """The first units that come nearest to `fraction` of the class's rows."""
    wanted = fraction * sum(len(rows_of[unit]) for unit in units)
    chosen, n_rows = [units[0]], len(rows_of[units[0]])
    for unit in units[1:-1]:
        if n_rows + len(rows_of[unit]) / 2 > wanted:
            break
        chosen.append(unit)
        n_rows += len(rows_of[unit])
    return chosen


def _refuse_single(units_of: dict[str, list[str]], rows_of: dict[str, list[int]]) -> None:
    single = sorted(label for label, units in units_of.items() if len(units) < 2)
    if not single:
        return
    n_rows = sum(len(rows_of[unit]) for unit in units_of[single[0]])
    copies = f" ({n_rows} copies of it)" if n_rows > 1 else ""
    more = f" So do {len(single) - 1} more classes: {', '.join(map(repr, single[1:5]))}." if len(single) > 1 else ""
    drops = " ".join(f"--drop {shlex.quote(label)}" for label in single[:5])
    raise DataError(
        f"class {single[0]!r} has 1 picture{copies}; at least 2 are needed to hold one back.{more} "
        f"Add pictures, or leave it out: {drops}"
    )


def checked(table: ImageTable) -> ImageTable:
    """The split table itself; raises DataError unless each of at least two classes has pictures to train on."""
    train = set(table.in_split("train").labels)
    if len(train) < 2:
        found = f"one class, {next(iter(train))!r}" if train else "no class"
        raise DataError(
            f"{found} has pictures to train on; telling apart needs at least 2. Add a folder of pictures for another class."
        )
    missing = sorted(set(table.classes) - train)
    if missing:
        names = ", ".join(map(repr, missing[:5]))
        raise DataError(
            f"{len(missing)} classes have held-back pictures but none to train on: {names}. Add some, or leave them out: --drop"
        )
    return table
