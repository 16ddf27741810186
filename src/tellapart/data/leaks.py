"""Leaks of a given split: pictures that stand on both sides of it, as copies or as members of one group."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from tellapart.data.groups import units
from tellapart.data.table import ImageTable, Skipped
from tellapart.words import counted

SIDES = (("train", "valid"), ("train", "test"), ("valid", "test"))  # what would be left out, for the sake of what
WORDS = {"train": "training", "valid": "validation", "test": "test"}
LEFT_OUT = "a copy of a held-back picture"


@dataclass(frozen=True)
class SplitLeak:
    """Rows of `part` that also stand in the part `held`: `n_exact` by content, `n_near` as near copies or by their group.

    `n_held` counts the rows of `held` that they give away: on these the score is too good.
    """

    part: str
    held: str
    n_exact: int
    n_near: int
    n_held: int
    rows: tuple[int, ...]

    def text(self) -> str:
        """ "3 training pictures are copies of 2 test pictures (1 exact, 2 near or of one group)"."""
        copies = "is a copy of" if len(self.rows) == 1 else "are copies of"
        near = f"{self.n_exact} exact, {self.n_near} near or of one group"
        return f"{_counted(len(self.rows), self.part)} {copies} {_counted(self.n_held, self.held)} ({near})"


def find_split_leaks(table: ImageTable) -> tuple[SplitLeak, ...]:
    """The leaks between the parts of a table, one for each two parts that leak. Rows without a part count as training rows.

    Near copies are seen where they share a group: `tie` the table first.
    """
    if not {"valid", "test"} & set(table.splits):
        return ()
    names = units(table)
    rows_of = {name: defaultdict[str, list[int]](list) for name in WORDS}
    for row, (unit, split) in enumerate(zip(names, table.splits, strict=True)):
        rows_of[split or "train"][unit].append(row)
    leaks = []
    for part, held in SIDES:
        shared = rows_of[part].keys() & rows_of[held].keys()
        rows = sorted(row for unit in shared for row in rows_of[part][unit])
        held_rows = [row for unit in shared for row in rows_of[held][unit]]
        contents = {table.sha256[row] for row in held_rows}
        n_exact = sum(table.sha256[row] in contents for row in rows)
        if rows:
            leaks.append(SplitLeak(part, held, n_exact, len(rows) - n_exact, len(held_rows), tuple(rows)))
    return tuple(leaks)


def without_leaks(table: ImageTable, *, allow_leaks: bool = False) -> ImageTable:
    """The table without the rows that leak into a held-back part; they go to `skipped`, and a note says how many they were.

    With `allow_leaks` the rows stay, and the note says that too.
    """
    leaks = find_split_leaks(table)
    if not leaks:
        return table
    found = f"the given split leaks: {'; '.join(leak.text() for leak in leaks)}."
    if allow_leaks:
        return replace(table, notes=(*table.notes, f"{found} They stay, as asked: the score is better than the truth."))
    leaked = {row for leak in leaks for row in leak.rows}
    kept = table.take(row for row in range(len(table)) if row not in leaked)
    skipped = tuple(Skipped(table.paths[row], LEFT_OUT) for row in sorted(leaked))
    note = f"{found} {len(leaked):,} are left out; to keep them: --allow-leaks"
    return replace(kept, skipped=table.skipped + skipped, notes=(*table.notes, note))


def _counted(n: int, part: str) -> str:
    return counted(n, f"{WORDS[part]} picture")
