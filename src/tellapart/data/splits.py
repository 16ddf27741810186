"""Splits that keep copies and groups together, keep the classes in proportion, and stay when pictures are added."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tellapart.data.groups import Units, units
from tellapart.data.leaks import without_leaks
from tellapart.data.stratifying import stratified
from tellapart.data.table import ImageTable
from tellapart.errors import CallError, DataError
from tellapart.words import counted

HELD_BACK = ("valid", "test")
TRAIN_PART = 0  # of the two that pictures of several labels are parted into
STRICTNESS = ("test", "valid", "train")  # what is tied to pictures of several parts goes to the first of these


def split(
    table: ImageTable, *, valid_frac: float = 0.2, test_frac: float = 0.0, seed: int = 0, allow_leaks: bool = False
) -> ImageTable:
    """The table with each row in "train", "valid" or "test".

    Rows of one group, and of one content, share a split. Splits that the table brings are kept: only its training (or
    unassigned) rows are drawn from, and only for a part that it does not bring. Which groups are held back follows from
    their content and `seed` alone, so neither renaming nor the order of files changes it.

    Where the splits that the table brings leak (`find_split_leaks`), a note says by how much, and the training rows that are
    copies of held-back ones are left out, and so are validation rows that are copies of test rows. With `allow_leaks` they stay.

    Of pictures with several labels each label is brought near to its share (`stratified`); one of a single group is trained on.

    Raises CallError for impossible fractions and DataError where a class is too small to be held back.
    """
    _refuse_impossible(valid_frac, test_frac)
    table = without_leaks(table, allow_leaks=allow_leaks)
    brought = set(table.splits)
    pool = [name in ("", "train") for name in table.splits]
    parts = {name: part for name, part in (("test", test_frac), ("valid", valid_frac)) if name not in brought}
    return checked(table.with_splits(_drawn(table, pool, pool, parts, seed)))


def split_like(
    table: ImageTable,
    earlier: ImageTable,
    *,
    valid_frac: float = 0.2,
    test_frac: float = 0.0,
    seed: int = 0,
    allow_leaks: bool = False,
) -> ImageTable:
    """The table split as an `earlier` one was; only pictures that are new to it are drawn.

    A content keeps its part, and a new picture that is tied to pictures of the earlier table (a copy, or of one group) joins
    them. Of the rest each class is brought as near to `valid_frac` and `test_frac` of the whole as the new pictures allow.
    Splits that the table itself brings go before the earlier ones. Raises as `split` does, and treats leaks as it does: where
    a new picture ties an earlier training picture to a held-back one, the training picture is left out.
    """
    _refuse_impossible(valid_frac, test_frac)
    brought = set(table.splits) & set(HELD_BACK)
    kept = _kept_splits(table, earlier, brought)
    new = {digest for digest, name in zip(table.sha256, kept, strict=True) if not name}
    table = table.with_notes(_kept_note(table, earlier, kept))
    table = without_leaks(table.with_splits(kept), allow_leaks=allow_leaks)
    pool = [digest in new for digest in table.sha256]
    parts = {name: part for name, part in (("test", test_frac), ("valid", valid_frac)) if name not in brought}
    whole = [name not in brought for name in table.splits]
    return checked(table.with_splits(_drawn(table, pool, whole, parts, seed)))


def order_key(salt: str, unit: str) -> bytes:
    """An order that content and salt alone decide."""
    return hashlib.sha256(f"{salt}:{unit}".encode()).digest()


def checked(table: ImageTable) -> ImageTable:
    """The split table itself; raises DataError unless each of at least two classes has pictures to train on, and none has all."""
    training = table.in_split("train")
    train = set(training.classes)
    if len(train) < 2:
        found = f"one class, {next(iter(train))!r}" if train else "no class"
        raise DataError(
            f"{found} has pictures to train on; telling apart needs at least 2. Add a folder of pictures for another class."
        )
    missing = sorted(set(table.classes) - train)
    if missing:
        names = ", ".join(map(repr, missing[:5]))
        raise DataError(
            f"{counted(len(missing), 'class has', 'classes have')} held-back pictures but none to train on: {names}. "
            "Add some, or leave them out: --drop"
        )
    everywhere = [label for label, n in training.counts.items() if n == len(training)]
    if everywhere:
        have = counted(len(everywhere), "label is", "labels are")
        raise DataError(
            f"{have} on all of {counted(len(training), 'training picture')}: {', '.join(map(repr, everywhere[:5]))}. There is "
            "nothing to tell them from: add pictures without, or take them out of the labels."
        )
    return table


def _refuse_impossible(valid_frac: float, test_frac: float) -> None:
    if not (0 <= valid_frac < 1 and 0 <= test_frac < 1 and valid_frac + test_frac < 1):
        raise CallError(f"valid {valid_frac} and test {test_frac}: each is a part from 0 to 1, and both leave some to train on")


def _kept_splits(table: ImageTable, earlier: ImageTable, brought: set[str]) -> list[str]:
    """(len(table),) the part that each row has or had, "" for what is new in every respect.

    Where the table itself brings a held-back part, nothing else comes into that part.
    """
    had = _strictest(zip(earlier.sha256, earlier.splits, strict=True))
    of_group = _strictest((group, name) for group, name in zip(earlier.groups, earlier.splits, strict=True) if group)
    names = [had.get(digest) or of_group.get(group, "") for digest, group in zip(table.sha256, table.groups, strict=True)]
    names = ["train" if name in brought else name for name in names]
    names = [own if own in brought else name for own, name in zip(table.splits, names, strict=True)]
    tied = units(table)
    of_unit = _strictest(zip(tied, names, strict=True))
    joined = ["train" if (name := of_unit.get(unit, "")) in brought else name for unit in tied]
    return [name or joining for name, joining in zip(names, joined, strict=True)]


def _kept_note(table: ImageTable, earlier: ImageTable, kept: Sequence[str]) -> str:
    """How many pictures have the part that they had, how many another known one, and how many are drawn."""
    had = _strictest(zip(earlier.sha256, earlier.splits, strict=True))
    n_kept = sum(had.get(digest) == name for digest, name in zip(table.sha256, kept, strict=True) if name)
    n_new = sum(not name for name in kept)
    n_other = len(table) - n_kept - n_new
    others = f", {n_other:,} decided by what they are tied to or by the given parts" if n_other else ""
    said = f"{counted(n_kept, 'picture')} kept {'its' if n_kept == 1 else 'their'} part{others}, {n_new:,} drawn anew"
    if had.keys().isdisjoint(table.sha256):
        said = f"0 of these pictures are in it, so it decides nothing{others}; {n_new:,} drawn anew"
    return f"split like an earlier run: {said}"


def _strictest(parts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The part of each name; of several, the one that comes first in `STRICTNESS`. What has none ("") is left out."""
    found = dict[str, str]()
    for name, part in parts:
        if part:
            found[name] = min(part, found.get(name, part), key=STRICTNESS.index)
    return found


def _drawn(table: ImageTable, pool: Sequence[bool], whole: Sequence[bool], parts: dict[str, float], seed: int) -> list[str]:
    """The splits with rows of the pool drawn into each of `parts`: name -> fraction of the rows of the `whole`."""
    tied, splits = Units.of(table), np.array([name or "train" for name in table.splits], "<U5")
    counts = tied.class_counts(np.array(whole, bool))
    for name, fraction in parts.items():
        if fraction > 0:
            free = (splits == "train") & np.array(pool, bool)
            keys = [order_key(f"{seed}:{name}", unit) for unit in tied.names]
            if table.multi_label:
                chosen = _stratified_part(tied, free, splits, name, fraction * counts, keys)
            else:
                _refuse_single(table, tied, splits, name)
                trained = tied.sizes(splits == "train")
                drawing = _Drawing(
                    sizes=tied.sizes(free).by_unit(),
                    wanted=(fraction * counts).tolist(),
                    have=tied.class_counts(splits == name).tolist(),
                    left=np.bincount(trained.classes, minlength=tied.n_classes).tolist(),
                )
                chosen = drawing.draw(sorted(drawing.sizes, key=keys.__getitem__))
            splits[free & np.isin(tied.of_row, chosen)] = name
    return [str(name) for name in splits.tolist()]


def _stratified_part(
    tied: Units, free: np.ndarray, splits: np.ndarray, name: str, wanted: np.ndarray, keys: Sequence[bytes]
) -> list[int]:
    """The units to draw from the `free` rows into the part `name`, which is to have these rows of each label (K,)."""
    sizes = tied.sizes(free).by_unit()
    have = np.stack([tied.class_counts((splits == "train") & ~free), tied.class_counts(splits == name)])  # (2, K)
    in_all = have.sum(0) + tied.class_counts(free)
    part_of = stratified(
        sizes, sorted(sizes, key=keys.__getitem__), np.stack([in_all - wanted, wanted]), have, kept_in=TRAIN_PART
    )
    return [unit for unit, part in part_of.items() if part != TRAIN_PART]


@dataclass
class _Drawing:
    """What may be drawn into one part: units (what must not be parted), and by class what that part wants and has.

    From each class at least one unit is drawn, and at least one is left to train on.
    """

    sizes: dict[int, list[tuple[int, int]]]  # of each unit that may be drawn: [(class, rows), ...]
    wanted: list[float]  # rows of each class
    have: list[int]
    left: list[int]  # units of each class that are trained on

    def draw(self, order: list[int]) -> list[int]:
        """The units to draw: the first in this order that bring the classes nearer to what is wanted."""
        chosen = [unit for unit in order if self._brings_nearer(unit) and self._take(unit)]
        lacking = [label for label, n_rows in enumerate(self.have) if not n_rows]
        of_class: dict[int, list[int]] = {label: [] for label in lacking}
        for unit in order if lacking else ():
            for label, _ in self.sizes[unit]:
                of_class.get(label, []).append(unit)
        for label in lacking:
            by_size = sorted(of_class[label], key=lambda unit: sum(n for _, n in self.sizes[unit]))
            chosen += next(([unit] for unit in by_size if not self.have[label] and self._take(unit)), [])
        return chosen

    def _take(self, unit: int) -> bool:
        """Draw the unit, unless it is the last of a class."""
        if any(self.left[label] < 2 for label, _ in self.sizes[unit]):
            return False
        for label, n_rows in self.sizes[unit]:
            self.have[label] += n_rows
            self.left[label] -= 1
        return True

    def _brings_nearer(self, unit: int) -> bool:
        """Whether the classes of a unit come, all in all and each by its share, nearer to what is wanted of them."""
        change = 0.0
        for label, n_rows in self.sizes[unit]:
            missing = self.wanted[label] - self.have[label]
            change += (abs(missing - n_rows) - abs(missing)) / self.wanted[label]
        return change <= 0


def _refuse_single(table: ImageTable, tied: Units, splits: np.ndarray, name: str) -> None:
    """Raise DataError for classes of which nothing is in the part `name` yet and only one unit is there to train on."""
    n_units = np.bincount(tied.sizes(splits == "train").classes, minlength=len(table.classes))
    n_held = tied.class_counts(splits == name)
    single = [table.classes[code] for code in np.flatnonzero((n_units == 1) & (n_held == 0))]
    if not single:
        return
    rows = [row for row, labels in enumerate(table.label_sets) if single[0] in labels and splits[row] == "train"]
    is_group = len({table.sha256[row] for row in rows}) > 1
    found = f"{len(rows)} pictures, all near copies or of one group" if is_group else "1 picture"
    copies = f" ({len(rows)} copies of it)" if len(rows) > 1 and not is_group else ""
    parted = "that may be parted " if is_group else ""
    n_more = counted(len(single) - 1, "more class", "more classes")
    more = f" So {'does' if len(single) == 2 else 'do'} {n_more}: {', '.join(map(repr, single[1:5]))}." if len(single) > 1 else ""
    drops = " ".join(f"--drop {shlex.quote(label)}" for label in single[:5])
    raise DataError(
        f"class {single[0]!r} has {found}{copies}; at least 2 {parted}are needed to hold one back.{more} "
        f"Add pictures, or leave it out: {drops}"
    )
