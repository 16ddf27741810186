"""What must stay together: rows of one content, of one group, and pictures that are near copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from tellapart.data.table import ImageTable

Name = TypeVar("Name", str, int)
NAME_DIGITS = 12  # of a digest, in the name of a group that near copies make


def units(table: ImageTable) -> list[str]:
    """(len(table),) names: rows of one name must not be parted. A name is the least digest of the contents that are tied."""
    ties = _ties_of(table)
    return [ties.leader(digest) for digest in table.sha256]


def tie(table: ImageTable, pairs: Iterable[tuple[int, int]]) -> ImageTable:
    """The table with near copies, given as pairs of rows, in one group each; the table's own groups hold too.

    Where a pair ties pictures of two groups, the groups become one, which bears the name that sorts first. Near copies
    without a group get one that is called after their least digest. A picture that nothing ties keeps its "".
    """
    ties = _ties_of(table)
    for first, second in pairs:
        ties.tie(table.sha256[first], table.sha256[second])
    leaders = [ties.leader(digest) for digest in table.sha256]
    contents, names = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for leader, digest, group in zip(leaders, table.sha256, table.groups, strict=True):
        if group:
            names[leader].add(group)
        elif leader != digest:
            contents[leader].add(digest)
    called = {leader: f"copies of {leader[:NAME_DIGITS]}" for leader in contents}
    called |= {leader: min(found) for leader, found in names.items()}
    return table.with_groups([called.get(leader, "") for leader in leaders])


@dataclass(frozen=True)
class Units:
    """What must not be parted, numbered, and the rows of each class in it.

    Of several labels a picture "no label" counts as one more class, the last.
    """

    names: tuple[str, ...]  # by number: what `units` calls them
    of_row: np.ndarray  # (N,) the number of each row's unit
    n_classes: int
    _rows: np.ndarray  # (P,) row and class of each label of each row: P = N unless rows have several labels
    _classes: np.ndarray

    @classmethod
    def of(cls, table: ImageTable) -> Units:
        number: dict[str, int] = {}
        of_row = [number.setdefault(name, len(number)) for name in units(table)]
        place = {label: code for code, label in enumerate(table.classes)}
        codes_of_row = [[place[label] for label in labels] or [len(place)] for labels in table.label_sets]
        rows = np.repeat(np.arange(len(table)), list(map(len, codes_of_row)))
        classes = np.array([code for codes in codes_of_row for code in codes], np.int64)
        return cls(tuple(number), np.array(of_row, np.int64), len(place) + table.multi_label, rows, classes)

    def class_counts(self, counted: np.ndarray) -> np.ndarray:
        """(n_classes,) rows of each class among those that `counted`, (N,) bool, says."""
        return np.bincount(self._classes[counted[self._rows]], minlength=self.n_classes)

    def sizes(self, counted: np.ndarray) -> Sizes:
        """How many rows of each class each unit has among the rows that `counted`, (N,) bool, says."""
        taken = counted[self._rows]
        pairs = np.stack([self.of_row[self._rows[taken]], self._classes[taken]], 1)  # (P', 2)
        width = int(self._classes.max(initial=0)) + 1
        keys, counts = np.unique(pairs[:, 0] * width + pairs[:, 1], return_counts=True)
        return Sizes(keys // width, keys % width, counts)


@dataclass(frozen=True)
class Sizes:
    """Rows by unit and class: arrays of one length in the order of the units, each pair of unit and class once."""

    units: np.ndarray
    classes: np.ndarray
    counts: np.ndarray

    def by_unit(self) -> dict[int, list[tuple[int, int]]]:
        """unit -> [(class, rows), ...]."""
        starts = np.flatnonzero(np.diff(self.units, prepend=-1)).tolist()
        pairs = list(zip(self.classes.tolist(), self.counts.tolist(), strict=True))
        ends = [*starts, len(pairs)][1:]
        units_of = self.units[starts].tolist()
        return {unit: pairs[start:end] for unit, start, end in zip(units_of, starts, ends, strict=True)}


class Ties(Generic[Name]):
    """Names or numbers tied together (a union-find); the leader of those that are tied is the least of them."""

    def __init__(self) -> None:
        self._above: dict[Name, Name] = {}

    def leader(self, name: Name) -> Name:
        above = self._above
        while (up := above.get(name, name)) != name:
            above[name] = above.get(up, up)  # halves the path, so that a long chain is walked once
            name = up
        return name

    def tie(self, one: Name, other: Name) -> None:
        first, second = sorted((self.leader(one), self.leader(other)))
        if first != second:
            self._above[second] = first


def _ties_of(table: ImageTable) -> Ties[str]:
    ties = Ties[str]()
    for group, digest in zip(table.groups, table.sha256, strict=True):
        if group:
            ties.tie(digest, f"group {group}")  # a digest sorts before "group", so it leads
    return ties
