"""What became of every link: a journal while it happens, a table when it is over, an account in one sentence."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path

from tellapart.downloads.lists import Entry
from tellapart.errors import DataError, StorageError
from tellapart.files import atomic_file, cell_text, table_writer, text_of_cell, write_error
from tellapart.words import counted

TABLE = "provenance.csv"
JOURNAL = "journal.jsonl"
COLUMNS = (
    "list", "row", "link", "final_link", "label", "status", "error", "sha256", "bytes", "seconds", "licence", "path",
)  # fmt: skip
SHOWN_LINK = 8_000  # characters; the rest of a longer one (a picture within a `data:` link) is left out
WORDS = {
    "kept": "kept",
    "copy": "copies",
    "duplicate": "asked for twice",
    "refused": "refused",
    "bad_link": "not http(s) links",
    "bad_redirect": "redirected to what is no link",
    "redirect_loop": "redirected in a circle",
    "too_many_redirects": "redirected too often",
    "timeout": "timed out",
    "slow": "too slow",
    "reset": "cut off before a reply",
    "truncated": "cut short",
    "too_large": "too large",
    "not_a_picture": "not pictures",
    "undecodable": "broken pictures",
    "empty": "empty",
    "unresolved": "of unknown hosts",
    "unreachable": "unreachable",
    "tls": "without a safe connection",
    "bad_reply": "not proper HTTP",
    "encoded": "encoded unasked",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a link."""

    status: str  # "kept", "copy" (of a picture of the same class), "duplicate" (of a row), or the kind of its failure
    error: str = ""
    final_link: str = ""  # after redirects
    sha256: str = ""
    bytes: int = 0
    seconds: float = 0.0
    path: str = ""  # below the folder, with forward slashes


Row = tuple[Entry, Outcome]
Key = tuple[str, str]  # the link and its label


def key_of(entry: Entry) -> Key:
    """What a link is recognised by in a later run."""
    return entry.link[:SHOWN_LINK], entry.label


class Journal:
    """Rows as they come, a JSON array a line: appended in one write, so that a kill cuts the last one at most."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.write(self._descriptor, b"\n")  # ends a line that a kill has cut

    def add(self, row: Row) -> None:
        """Append a row. Raises StorageError where the disk is full."""
        try:
            os.write(self._descriptor, json.dumps(_cells(row)).encode() + b"\n")
        except OSError as error:
            raise write_error(self._path, error, then="and run the same command again") from error

    def close(self) -> None:
        os.close(self._descriptor)


def read_journal(path: Path) -> list[Row]:
    """The rows of an unfinished run; lines that are none are passed over: cut by a kill, or edited."""
    rows = []
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    for line in lines:
        try:
            rows.append(_row(json.loads(line)))
        except (ValueError, TypeError, RecursionError):
            continue
    return rows


def read_table(path: Path) -> list[Row]:
    """The rows of an earlier table. Raises DataError where it is none: it is not overwritten then."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = csv.reader(file)
            if tuple(next(cells, ())) != COLUMNS:
                raise DataError(f"{path} is no table of collected links; nothing is overwritten. Choose another --out.")
            return [_row([text_of_cell(cell) for cell in row]) for row in cells]
    except (OSError, csv.Error, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Move it away, or choose another --out.") from error


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write a row for every link, atomically."""
    with atomic_file(path) as file:
        # A text that is no valid Unicode holds halves of characters; as escapes they are legible.
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        writer = table_writer(text)
        writer.writerow(COLUMNS)
        writer.writerows([cell_text(cell) if isinstance(cell, str) else cell for cell in _cells(row)] for row in rows)
        text.flush()
        text.detach()  # the file is flushed to the disk and closed by its owner


def _cells(row: Row) -> tuple[str | int | float, ...]:
    entry, outcome = row
    return (
        entry.source, entry.row, entry.link[:SHOWN_LINK], outcome.final_link, entry.label, outcome.status, outcome.error,
        outcome.sha256, outcome.bytes, round(outcome.seconds, 3), entry.licence, outcome.path,
    )  # fmt: skip


def _row(cells: Sequence[str | int | float]) -> Row:
    """What `_cells` gave; raises ValueError or TypeError for anything else."""
    source, row, link, final_link, label, status, error, sha256, n_bytes, seconds, licence, path = cells
    texts = str(status), str(error), str(final_link), str(sha256)
    outcome = Outcome(*texts, int(n_bytes), float(seconds), str(path))
    return Entry(str(source), int(row), str(link), str(label), str(licence)), outcome


def with_copies(rows: Iterable[Row]) -> list[Row]:
    """The rows, of which each picture's first in its class stays "kept" and the others are "copy": by order, not by arrival."""
    first: dict[Key, Entry] = {}
    marked: list[Row] = []
    for entry, outcome in rows:
        if outcome.status in ("kept", "copy"):
            kept = first.setdefault((outcome.sha256, entry.label), entry)
            if kept is entry:
                outcome = replace(outcome, status="kept", error="")
            else:
                outcome = replace(outcome, status="copy", error=f"the same picture as {kept.source}, row {kept.row}")
        marked.append((entry, outcome))
    return marked


def account(counts: Counter[str]) -> str:
    """Where every link went: "1,000 links = 790 kept + 100 copies + 110 not found (404)"."""
    order = sorted({*counts, "kept"}, key=lambda status: (status != "kept", status != "copy", -counts[status], status))
    return f"{counted(counts.total(), 'link')} = {' + '.join(f'{counts[status]:,} {said(status)}' for status in order)}"


def said(status: str) -> str:
    """A status in words: "not found (404)"."""
    if status.startswith("http_"):
        number = status.removeprefix("http_")
        return next((f"{one.phrase.lower()} ({number})" for one in HTTPStatus if str(one.value) == number), f"answered {number}")
    return WORDS.get(status, status.replace("_", " "))


def failures(counts: Counter[str]) -> Iterator[str]:
    """The failures so far, the commonest first: "12 timed out"."""
    for status, n in counts.most_common():
        if status not in ("kept", "copy", "duplicate"):
            yield f"{n:,} {said(status)}"
