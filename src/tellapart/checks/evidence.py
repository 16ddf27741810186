"""`Evidence`: all that the finders look at, gathered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tellapart.checks.appearance import Appearance, measure
from tellapart.checks.copies import CopyPair
from tellapart.data import ImageTable


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of N readable pictures, aligned with `table`; the unreadable ones are in `table.skipped`.

    `glances` (N,) are of kind `GLANCE`. `features` (N, D) float16, of which the first `n_embedding` columns are compared by
    their cosine. `fold_probabilities` (N, K), columns as `table.classes`, come for each picture from a head that had not
    seen its fold; None where there is nothing to tell apart. `split_probabilities` (N, K) come from a head that saw the
    training part only, NaN in rows of that part; None where the table brings no split.
    """

    table: ImageTable
    glances: np.ndarray
    features: np.ndarray
    n_embedding: int
    copies: tuple[CopyPair, ...] = ()
    fold_probabilities: np.ndarray | None = None
    split_probabilities: np.ndarray | None = None

    @cached_property
    def appearance(self) -> Appearance:
        return measure(self.glances)

    def paths(self, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.table.paths[row] for row in rows)
