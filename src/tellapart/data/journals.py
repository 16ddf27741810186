"""The edits journal: a file of JSON lines beside the pictures that only grows, an edit a line. docs/cleaning.md describes it."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from tellapart.data.edits import ACTIONS, KEEP_ONE, Edit, Proposal, matter, standing, undone_ids, with_edits
from tellapart.data.table import ImageTable
from tellapart.errors import CallError, DataError, unknown_name
from tellapart.files import growing_file

FORMAT = 1  # of a line
EDITS_FILE = "tellapart-edits.jsonl"
NO_EDITS = "none"  # given instead of a journal
TORN_MARK = " <- cut short, no edit"  # written behind a line that a kill or a full disk has cut
ID_DIGITS = 10  # hexadecimal: two of 10,000 edits made on two machines meet once in 20,000 merges
PROBLEMS_NAMED = 5
_FIELDS = tuple(field.name for field in fields(Edit))


@dataclass(frozen=True)
class Journal:
    """What a journal holds: every edit in order, undone ones and undos too; and what is to be said of the file."""

    path: Path
    edits: tuple[Edit, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def standing(self) -> tuple[Edit, ...]:
        """The edits that are neither undone nor overruled."""
        return standing(self.edits)


def journal_path(source: object) -> Path | None:
    """Where the journal of a source is: in its folder, or beside its file (labels.csv: labels.edits.jsonl).

    None for what lies in no one place: a pattern of files, or a table in memory.
    """
    if not isinstance(source, str | Path):
        return None
    path = Path(source)
    if path.is_dir():
        return path / EDITS_FILE
    return path.with_suffix(".edits.jsonl") if path.is_file() else None


def edited(table: ImageTable, source: object, *, edits: str | Path | None = None) -> ImageTable:
    """The table after the edits of its source's journal, or of the journal `edits`; "none" leaves it as it is.

    Raises CallError where `edits` is not there and DataError for a damaged journal.
    """
    if edits is not None and str(edits) == NO_EDITS:
        return table
    path = Path(edits) if edits is not None else journal_path(source)
    if edits is not None and not Path(edits).is_file():
        raise CallError(f"no such journal of edits: {edits}. Give the file, or `none` to take the pictures as they are.")
    if path is None or not path.is_file():
        return table
    journal = read_journal(path)
    return with_edits(table.with_notes(*journal.notes), journal.edits)


def read_journal(path: str | Path) -> Journal:
    """The journal in a file; an empty one where there is none.

    A last line that was cut short is ignored, and a note says so. Raises DataError, with the numbers of the lines, for lines
    that are no edits, and for a format that is newer than this version.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Journal(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return _parse(content, path)


def draft(proposal: Proposal, *, who: str, why: str) -> Edit:
    """The edit that a proposal becomes, made now; `append_edits` gives it its id."""
    return Edit("", utc_now(), who, why, proposal.action, proposal.sha256, proposal.value, proposal.path)


def append_edits(path: str | Path, drafts: Iterable[Edit]) -> tuple[Edit, ...]:
    """Write edits to the end of a journal at once, and return them with their ids. What stands already is left out.

    Other processes wait meanwhile. What fails leaves the journal as it was; a kill loses at most what was not returned yet.
    Raises StorageError where the file cannot be written and DataError where it is damaged.
    """
    path, drafts = Path(path), list(drafts)
    if not drafts:
        return ()
    with growing_file(path) as file:
        journal = _parse(file.content, path)
        decided = {(edit.sha256, matter(edit)): (edit.action, edit.value) for edit in journal.standing}
        taken = {edit.id for edit in journal.edits}
        new = list[Edit]()
        for edit in drafts:
            about, decision = (edit.sha256, matter(edit)), (edit.action, edit.value)
            if edit.action == "undo" or decided.get(about) != decision:
                new.append(replace(edit, id=_new_id(edit, taken)))
                taken.add(new[-1].id)
                decided[about] = decision
        if new:
            file.append(_mended(file.content) + "".join(_line(edit) for edit in new).encode(errors="backslashreplace"))
    return tuple(new)


def undo_edits(path: str | Path, ids: Sequence[str], *, who: str, why: str) -> tuple[Edit, ...]:
    """Undo edits by their ids; the undos are returned and can themselves be undone.

    Raises CallError for an id that the journal does not hold, or that is undone already.
    """
    journal = read_journal(path)
    by_id = {edit.id: edit for edit in journal.edits}
    undone = undone_ids(journal.edits)
    drafts = []
    for wanted in dict.fromkeys(ids):
        if wanted not in by_id:
            raise unknown_name("edit", wanted, by_id) if by_id else CallError(f"there are no edits in {path} to undo")
        if wanted in undone:
            raise CallError(f"the edit {wanted} is undone already")
        edit = by_id[wanted]
        drafts.append(draft(Proposal(edit.path, edit.sha256, "undo", wanted), who=who, why=why))
    return append_edits(path, drafts)


def utc_now() -> str:
    """The time as lines bear it: 2026-05-17T09:30:00Z."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def user_name() -> str:
    """The user's name, for lines that say who; "unknown" where the system has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def _new_id(edit: Edit, taken: Collection[str]) -> str:
    """A short name that follows from the edit, and is no other's."""
    for salt in count():
        content = json.dumps([*asdict(edit).values(), salt])
        found = hashlib.sha256(content.encode()).hexdigest()[:ID_DIGITS]
        if found not in taken:
            return found
    raise AssertionError("count() does not end")


def _line(edit: Edit) -> str:
    return json.dumps({"format": FORMAT, **asdict(edit)}, ensure_ascii=False) + "\n"


def _mended(content: bytes) -> bytes:
    """What must come before the next line: nothing, or the end of a line that lacks it."""
    last = content.rpartition(b"\n")[2]
    is_whole = not last.strip() or _is_json(last)
    return b"" if not last else b"\n" if is_whole else f"{TORN_MARK}\n".encode()


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _parse(content: bytes, path: Path) -> Journal:
    edits, notes, problems = dict[str, Edit](), list[str](), list[str]()
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        is_torn = number == len(lines) and not _is_json(line)
        if not line.strip():
            continue
        if is_torn or line.rstrip().endswith(TORN_MARK.encode()):
            notes.append(f"{path}: line {number} was cut short (by a kill or a full disk) and is no edit")
            continue
        try:
            edit = _edit_of(line)
            edit = edit if edit.id else replace(edit, id=_new_id(edit, edits))
            _refuse_contradiction(edit, edits)
        except ValueError as error:
            problems.append(f"line {number} {error}")
        else:
            edits[edit.id] = edit
    if problems:
        raise DataError(_told(path, problems))
    return Journal(path, tuple(edits.values()), tuple(notes))


def _told(path: Path, problems: list[str]) -> str:
    named = "; ".join(problems[:PROBLEMS_NAMED])
    more = f"; and {len(problems) - PROBLEMS_NAMED} more" if len(problems) > PROBLEMS_NAMED else ""
    return f"{path} cannot be taken as it is: {named}{more}. Correct or remove the lines; nothing was changed."


def _edit_of(line: bytes) -> Edit:
    """The edit in a line, without an id where a person has written none; raises ValueError that says what is wrong with it.

    Fields that are not known are passed over.
    """
    if line.startswith((b"<<<<<<<", b"=======", b">>>>>>>")):
        raise ValueError("is a mark of a git merge: keep the edits of both sides and remove the marks")
    try:
        found = json.loads(line.decode())
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ValueError('is not an object: {"action": ..., "sha256": ...}')
    number = found.get("format", FORMAT)
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"has 'format' {number!r}, which must be {FORMAT}")
    if number > FORMAT:
        raise ValueError(f"is of format {number}; this Tellapart reads up to {FORMAT}: pip install -U tellapart")
    values = {name: found.get(name, "") for name in _FIELDS}
    wrong = [name for name, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise ValueError(f"has a {wrong[0]!r} that is no text")
    return _validated(Edit(**values))


def _validated(edit: Edit) -> Edit:
    if not re.fullmatch(r"[0-9A-Za-z_-]{0,64}", edit.id):
        raise ValueError(f"has the 'id' {edit.id!r}; it must be 1 to 64 letters and digits, or left out")
    if edit.action not in ACTIONS:
        raise ValueError(f"has an {unknown_name('action', edit.action, ACTIONS)}")
    if edit.action != "undo" and not re.fullmatch(r"[0-9a-fA-F]{64}", edit.sha256):
        raise ValueError(f"has the 'sha256' {edit.sha256[:70]!r}; it must be 64 hexadecimal digits")
    if edit.action == "drop" and edit.value not in ("", KEEP_ONE):
        raise ValueError(f"drops {edit.value!r}; the 'value' of a drop is empty, or {KEEP_ONE!r} of several copies")
    if edit.action != "drop" and not edit.value.strip():
        raise ValueError(f"has no 'value', which a {edit.action} needs")
    return replace(edit, sha256=edit.sha256.lower())


def _refuse_contradiction(edit: Edit, above: dict[str, Edit]) -> None:
    """Raise ValueError where a line does not go with those above it. A line that comes twice, as after a merge, counts once."""
    if above.get(edit.id, edit) != edit:
        raise ValueError(f"has the 'id' {edit.id!r} of another edit above it")
    if edit.action == "undo" and edit.value not in above:
        raise ValueError(f"undoes {edit.value!r}, which is not above it")
