"""Edits: what people decided about pictures, keyed by content. Applied to a table they make another table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tellapart.data.table import ImageTable, Skipped

ACTIONS = ("drop", "relabel", "group", "undo")
KEEP_ONE = "keep one"  # the value of a drop that leaves one row of the content, under each label that it has


@dataclass(frozen=True)
class Proposal:
    """An edit that would settle a finding.

    `action` is "drop", "relabel" or "group"; `value` is the new label, or the name of the group. An edit concerns every row
    of the content: a drop with the value `KEEP_ONE` leaves one of them.
    """

    path: str
    sha256: str
    action: str
    value: str = ""


@dataclass(frozen=True)
class Edit:
    """A line of the journal. `sha256` says which picture; `path` only where it lay then, for readers.

    `action` is one of `ACTIONS`. `value` is a relabel's new label, a group's name, `KEEP_ONE` for a drop that leaves one of
    several copies, and the `id` of the undone edit for an undo. `when` is UTC, ISO 8601. Not written yet, it has no id.
    """

    id: str
    when: str
    who: str
    why: str
    action: str
    sha256: str
    value: str = ""
    path: str = ""


def standing(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """The edits that hold: neither undone nor overruled by a later one, in order.

    Of one content, the last of drop and relabel decides what becomes of it, and the last group which group it is of.
    """
    undone, decided = undone_ids(edits), dict[tuple[str, str], int]()
    for place, edit in enumerate(edits):
        if edit.action != "undo" and edit.id not in undone:
            decided[edit.sha256, matter(edit)] = place
    return tuple(edits[place] for place in sorted(decided.values()))


def undone_ids(edits: Sequence[Edit]) -> set[str]:
    """The ids of the edits that are undone. An undo stands below what it undoes, and may itself be undone."""
    undone = set[str]()
    for edit in reversed(edits):
        if edit.action == "undo" and edit.id not in undone:
            undone.add(edit.value)
    return undone


def held_back_first(table: ImageTable, rows: Sequence[int]) -> list[int]:
    """The rows in the order in which one of several copies is kept: those of the validation and test part before others."""
    return sorted(rows, key=lambda row: table.splits[row] not in ("valid", "test"))


def with_edits(table: ImageTable, edits: Sequence[Edit]) -> ImageTable:
    """The table after the edits that stand. Dropped rows go to `skipped`; notes say what was changed, and what had no effect."""
    made = _Changes(table)
    for edit in standing(edits):
        made.apply(edit)
    return made.table()


def matter(edit: Edit) -> str:
    """What an edit decides about: those of one matter overrule each other."""
    if edit.action == "group":
        return "group"
    return "copies" if edit.action == "drop" and edit.value == KEEP_ONE else "fate"


@dataclass
class _Changes:
    """What the edits make of a table's rows."""

    before: ImageTable
    rows_of: dict[str, list[int]] = field(init=False)
    left_out: set[str] = field(init=False)  # contents that are there but are no pictures
    labels: list[str] = field(init=False)
    groups: list[str] = field(init=False)
    dropped: dict[int, Edit] = field(default_factory=dict)
    keep_one: list[Edit] = field(default_factory=list)
    n_absent: int = 0

    def __post_init__(self) -> None:
        self.labels, self.groups, self.rows_of = list(self.before.labels), list(self.before.groups), {}
        self.left_out = {skip.sha256 for skip in self.before.skipped}
        for row, digest in enumerate(self.before.sha256):
            self.rows_of.setdefault(digest, []).append(row)

    def apply(self, edit: Edit) -> None:
        rows = self.rows_of.get(edit.sha256, [])
        self.n_absent += not rows and edit.sha256 not in self.left_out
        if edit.action == "relabel":
            for row in rows:
                self.labels[row] = edit.value
        elif edit.action == "group":
            for row in rows:
                self.groups[row] = edit.value
        elif edit.value == KEEP_ONE:
            self.keep_one.append(edit)  # once the labels are known
        else:
            self.dropped.update(dict.fromkeys(rows, edit))

    def table(self) -> ImageTable:
        for edit in self.keep_one:
            for row in self._spare(edit.sha256):
                self.dropped.setdefault(row, edit)
        edited = replace(self.before, labels=tuple(self.labels), groups=tuple(self.groups))
        kept = edited.take(row for row in range(len(edited)) if row not in self.dropped)
        skipped = tuple(
            Skipped(edited.paths[row], f"dropped by an edit{f': {edit.why}' if edit.why else ''}")
            for row, edit in sorted(self.dropped.items())
        )
        return replace(kept, skipped=kept.skipped + skipped, notes=kept.notes + self._notes(kept))

    def _spare(self, digest: str) -> list[int]:
        """The rows of a content but for one of each label: a held-back row before others, else the first."""
        kept = dict[str, int]()
        rows = self.rows_of.get(digest, [])
        for row in held_back_first(self.before, rows):
            kept.setdefault(self.labels[row], row)
        return [row for row in rows if row not in kept.values()]

    def _notes(self, kept: ImageTable) -> tuple[str, ...]:
        counts = {
            "dropped": len(self.dropped),
            "relabelled": _n_changed(self.before.labels, self.labels),
            "put into a group": _n_changed(self.before.groups, self.groups),
        }
        done = [f"{n} {what}" for what, n in counts.items() if n]
        notes = [f"edits: {', '.join(done)}"] if done else []
        if self.n_absent:
            notes.append(f"edits: {self.n_absent} for pictures that are not here, kept and without effect")
        relabelled = Counter(label for label in self.labels if label not in self.before.classes)
        if not self.before.multi_label:
            notes += [f"edits: {label!r} is a new class ({n} relabelled to it)" for label, n in sorted(relabelled.items())]
        notes += [f"edits: no picture of {label!r} is left" for label in self.before.classes if label not in kept.classes]
        return tuple(notes)


def _n_changed(before: Sequence[str], after: Sequence[str]) -> int:
    return sum(old != new for old, new in zip(before, after, strict=True))
