"""`Evidence`: all that the finders look at, gathered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag, auto
from functools import cached_property

import numpy as np

from tellapart.checks.appearance import Appearance, measure
from tellapart.checks.copies import CopyPair
from tellapart.data import ImageTable, tie
from tellapart.data.groups import Units


class Need(Flag):
    """What a finder needs to know beside the table and what the files say; `NETWORK` stands for all that it says."""

    NOTHING = 0
    COPIES = auto()
    GLANCES = auto()
    NETWORK = auto()
    ALL = COPIES | GLANCES | NETWORK


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of N readable pictures, aligned with `table`; the unreadable ones are in `table.skipped`.

    `gathered` says how much that is. `glances` (N,) are of kind `GLANCE`, or `GLIMPSE` where no `GLANCES` are needed.
    `features` (N, D) float16, of which the first `n_embedding` columns are compared by their cosine; without the `NETWORK`
    there are no columns, and near copies are those that hashes propose. `fold_probabilities` (N, K), columns as
    `table.classes`, come for each picture from a head that had not seen its fold; None where there is nothing to tell apart.
    `split_probabilities` (N, K) come from a head that saw the training part only, NaN in rows of that part; None where the
    table brings no split. `folds` (N,) number the folds of `fold_probabilities`; None where they are not known.
    """

    table: ImageTable
    glances: np.ndarray
    features: np.ndarray
    n_embedding: int
    copies: tuple[CopyPair, ...] = ()
    fold_probabilities: np.ndarray | None = None
    split_probabilities: np.ndarray | None = None
    folds: np.ndarray | None = None
    gathered: Need = Need.ALL

    @cached_property
    def appearance(self) -> Appearance:
        return measure(self.glances)

    @cached_property
    def tied(self) -> ImageTable:
        """The table with its near copies in one group each."""
        return tie(self.table, ((pair.first, pair.second) for pair in self.copies))

    @cached_property
    def judged(self) -> np.ndarray:
        """(N, K) bool: whether the head that judged a row's fold had seen the class, which then has a row in another fold.

        Where the folds are not known, what must not be parted is taken for one: such a class no fold can have parted.
        """
        parts = Units.of(self.tied).of_row if self.folds is None else self.folds
        n_classes = len(self.table.classes)
        least, greatest = np.full(n_classes, np.iinfo(np.int64).max), np.full(n_classes, -1)
        np.minimum.at(least, self.table.codes, parts)
        np.maximum.at(greatest, self.table.codes, parts)
        only = np.where(least == greatest, least, -1)  # (K,) the part in which all of a class lie
        judged: np.ndarray = parts[:, None] != only
        return judged

    def paths(self, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.table.paths[row] for row in rows)
