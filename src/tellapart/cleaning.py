"""Cleaning: what findings propose and a person takes goes into the edits journal. Nothing else is ever written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tellapart.data import ImageTable, journal_path, read_journal
from tellapart.data.edits import Edit, standing, undone_ids
from tellapart.data.journals import NO_EDITS, Journal, append_edits, draft, undo_edits, user_name
from tellapart.data.plans import Plan, PlanRow, plan_of, read_plan
from tellapart.errors import CallError, DataError, unknown_name
from tellapart.files import printable
from tellapart.progress import Progress, silent
from tellapart.sources import Columns, read
from tellapart.sources.columns import GUESSED
from tellapart.words import counted

FILES_NAMED = 5
NO_PROPOSALS = "nothing was taken: no finding of these kinds proposes an edit"


@dataclass(frozen=True)
class Cleaning:
    """What was written into a journal, and what the pictures are after it.

    `n_known` decisions stood in the journal already; `notes` say what could not be done, and what the edits change.
    """

    journal: Path
    written: tuple[Edit, ...]
    n_known: int
    account: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What `tellapart clean --json` prints."""
        edits = [asdict(edit) for edit in self.written]
        facts = {"journal": str(self.journal), "n_written": len(edits), "n_known": self.n_known, "counts": self.account}
        return {**facts, "edits": edits, "notes": list(self.notes)}

    def text(self) -> str:
        """The same for a terminal."""
        known = f" ({self.n_known} stood there already)" if self.n_known else ""
        lines = [f"{counted(len(self.written), 'edit')} written to {self.journal}{known}", self.account, *self.notes]
        if self.written:
            lines.append(f"to undo one: tellapart clean DATA --undo {self.written[-1].id}; to see all: --list")
        return "\n".join(map(printable, lines))


@dataclass(frozen=True)
class Listing:
    """The edits of a journal, oldest first."""

    journal: Journal

    def states(self) -> list[str]:
        """For each edit "stands", "undone" or "overruled" by a later one; an undo stands too."""
        undone, holding = undone_ids(self.journal.edits), {edit.id for edit in standing(self.journal.edits)}
        return [
            "undone" if edit.id in undone else "stands" if edit.id in holding or edit.action == "undo" else "overruled"
            for edit in self.journal.edits
        ]

    def to_json(self) -> dict[str, Any]:
        """What `tellapart clean --list --json` prints."""
        rows = [{**asdict(edit), "state": state} for edit, state in zip(self.journal.edits, self.states(), strict=True)]
        return {"journal": str(self.journal.path), "edits": rows, "notes": list(self.journal.notes)}

    def text(self) -> str:
        """A line an edit, for a terminal."""
        rows = [
            f"{edit.id}  {edit.when}  {edit.who}  {state:9}  {edit.action} {edit.path}{f' -> {edit.value}' if edit.value else ''}"
            f"{f'  ({edit.why})' if edit.why else ''}"
            for edit, state in zip(self.journal.edits, self.states(), strict=True)
        ]
        n_holding = len(self.journal.standing)
        deciding = f"{n_holding} of {counted(len(rows), 'line')} {'decides' if n_holding == 1 else 'decide'} something now"
        lines = [*rows, f"{self.journal.path}: {deciding}", *self.journal.notes]
        return "\n".join(map(printable, lines))


def clean(
    source: str | Path,
    *,
    plan: str | Path | None = None,
    apply: Sequence[str] = (),
    columns: Columns = GUESSED,
    edits: str | Path | None = None,
    who: str = "",
    why: str = "",
    progress: Progress = silent,
) -> Cleaning:
    """Write the taken rows of a plan, or all that findings of some kinds propose, into the journal of a source.

    `plan` is a CSV file; `apply` names kinds of findings, for which the pictures are checked first. `why` goes before the
    reasons that the findings give. Raises CallError for an unknown kind, DataError for a plan or journal that is damaged or
    contradicts itself, StorageError where the journal cannot be written; then nothing is written.
    """
    if (plan is None) == (not apply):
        raise CallError("give either a plan (--plan plan.csv) or kinds of findings to apply (--apply copies,broken)")
    path = _journal_of(source, edits)
    chosen = read_plan(plan) if plan is not None else None
    table = read(source, columns=columns, progress=progress)  # all of it: a plan may bring back what was dropped
    if chosen is None:
        chosen = _proposed(table, apply, path, progress)
    chosen = chosen.with_hashes(_hashes_of(table, source))
    impossible = _impossible(chosen.taken(), table, source)
    rows = [row for row in chosen.taken() if row.proposal.sha256]
    written = append_edits(path, [draft(row.proposal, who=who or user_name(), why=why or row.why) for row in rows])
    after = _after(table, path, progress)
    nothing = () if rows else ("nothing was taken: the plan has no row that says yes" if plan is not None else NO_PROPOSALS,)
    return Cleaning(
        path,
        written,
        len(rows) - len(written),
        after.account(),
        (*nothing, *_gave_way(chosen), *impossible, *_added_notes(table, after)),
    )


def undo(
    source: str | Path,
    ids: Sequence[str],
    *,
    columns: Columns = GUESSED,
    edits: str | Path | None = None,
    who: str = "",
    why: str = "",
    progress: Progress = silent,
) -> Cleaning:
    """Undo edits of a source's journal by their ids. Raises CallError for one that is not there, or undone already."""
    path = _journal_of(source, edits)
    written = undo_edits(path, ids, who=who or user_name(), why=why)
    table = read(source, columns=columns, progress=progress)
    after = _after(table, path, progress)
    return Cleaning(path, written, 0, after.account(), _added_notes(table, after))


def list_edits(source: str | Path, *, edits: str | Path | None = None) -> Listing:
    """The edits of a source's journal; none where there is no journal yet."""
    return Listing(read_journal(_journal_of(source, edits)))


def _journal_of(source: str | Path, edits: str | Path | None) -> Path:
    if edits is not None and str(edits) == NO_EDITS:
        raise CallError("--edits none takes pictures as they are; to clean, leave it out or give a file")
    path = Path(edits) if edits is not None else journal_path(source)
    if path is None:
        raise CallError(f"{source} is no one folder or file, so that its journal has no place of its own; give one: --edits FILE")
    return path


def _after(table: ImageTable, path: Path, progress: Progress) -> ImageTable:
    """The table after the edits of a journal and without what cannot be read as a picture: what a training would take."""
    from tellapart.inference.glances import scan  # imports what opens pictures

    left = table.with_edits(read_journal(path).edits)
    return left.without(scan(left, progress=progress).failures)


def _proposed(table: ImageTable, kinds: Sequence[str], path: Path, progress: Progress) -> Plan:
    """What the findings of these kinds propose after the edits of the journal, all taken."""
    from tellapart.checking import check  # imports what looks at pictures
    from tellapart.checks.findings import KIND_NAMES

    for kind in set(kinds) - set(KIND_NAMES):
        raise unknown_name("kind of finding", kind, KIND_NAMES)
    report = check(table, edits=path if path.is_file() else NO_EDITS, only=kinds, progress=progress)
    contents = dict(zip(report.table.paths, report.table.sha256, strict=True))
    return plan_of(report.findings, take=kinds, contents=contents)


def _gave_way(plan: Plan) -> tuple[str, ...]:
    """Notes on what was asked for and not taken, since another finding decides otherwise about the same pictures."""
    counts = Counter((row.kind, row.proposal.action, row.gives_way_to) for row in plan.rows if row.gives_way_to)
    return tuple(
        f"{counted(n, action)} that {kind} proposes gave way to {other}, which decides otherwise about the same pictures"
        for (kind, action, other), n in counts.items()
    )


def _hashes_of(table: ImageTable, source: str | Path) -> Callable[[str], str]:
    """By path, absolute or relative to the working folder or the source, the content of a picture; "" where it has none."""
    known = {os.path.abspath(skip.path): skip.sha256 for skip in table.skipped}
    known |= {os.path.abspath(path): digest for path, digest in zip(table.paths, table.sha256, strict=True)}

    def hash_of(path: str) -> str:
        return known.get(os.path.abspath(path)) or known.get(os.path.abspath(os.path.join(source, path)), "")

    return hash_of


def _impossible(rows: Sequence[PlanRow], table: ImageTable, source: str | Path) -> tuple[str, ...]:
    """A note on files without a content to go by. Raises DataError for paths that are not among the pictures at all."""
    lost = [row for row in rows if not row.proposal.sha256]
    unread = {os.path.abspath(skip.path) for skip in table.skipped}
    strange = [row for row in lost if os.path.abspath(row.proposal.path) not in unread]
    if strange:
        named = "; ".join(f"line {row.line}: {row.proposal.path}" for row in strange[:FILES_NAMED])
        raise DataError(
            f"{counted(len(strange), 'row')} of the plan without a sha256, and with a path that is not among the pictures of "
            f"{source}: {named}. Correct the paths, or write the plan once more. Nothing was changed."
        )
    if not lost:
        return ()
    named = ", ".join(row.proposal.path for row in lost[:FILES_NAMED])
    their, them = ("its", "it") if len(lost) == 1 else ("their", "them")
    n_lost = counted(len(lost), "file")
    return (f"{n_lost} cannot be read at all, so that no edit can name {their} content; move {them} away yourself: {named}",)


def _added_notes(before: ImageTable, after: ImageTable) -> tuple[str, ...]:
    """What the edits made to be said; how the source was read is another matter."""
    return after.notes[len(before.notes) :]
