"""Lists of links: text, CSV or TSV, JSON, JSON lines. Whatever is no blank line or comment is an entry, good link or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tellapart.errors import CallError, DataError, unknown_name
from tellapart.images.delimited import TEXT_SUFFIXES, TextTable
from tellapart.words import counted

JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
LINK_COLUMNS = ("url", "link", "image_url", "imageurl", "img_url", "image_link", "image", "src", "href", "uri", "path")
LABEL_COLUMNS = ("label", "class", "category", "class_name", "label_name", "species", "target")
LICENCE_COLUMNS = ("licence", "license", "rights", "licence_url", "license_url")
GUESSED_ROWS = 100  # as many are looked at to guess a column from its values
MAX_JSON_BYTES = 2**30  # a guess: a list of ten million links


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a list: what is asked for, and what is said of it. `link` may be anything that stood there."""

    source: str  # the list's file name
    row: int  # its line, row or place, from 1
    link: str
    label: str
    licence: str = ""


@dataclass(frozen=True)
class ListColumns:
    """Which columns to take; None: guessed from names and values, and said."""

    link: str | None = None
    label: str | None = None
    licence: str | None = None


def read_lists(paths: Sequence[Path], *, columns: ListColumns | None = None) -> tuple[list[Entry], tuple[str, ...]]:
    """The entries of several lists in order, and what was understood, in sentences.

    The class is a column's where there is one, else the list's file name without its suffix.
    Raises CallError where a list is missing or a named column is not in it, and DataError where one is damaged or holds nothing.
    """
    entries: list[Entry] = []
    notes: list[str] = []
    for path in paths:
        found = _read_list(path, columns or ListColumns(), notes)
        if not found:
            raise DataError(f"{path} holds no links: it is empty, or all its lines are comments")
        entries += found
    return entries, tuple(notes)


def _read_list(path: Path, columns: ListColumns, notes: list[str]) -> list[Entry]:
    if not path.is_file():
        hint = "give the lists in it, one by one" if path.is_dir() else "give a text, CSV or JSON file of links"
        raise CallError(f"{path} is {'a folder' if path.is_dir() else 'no file'}; {hint}")
    suffix = path.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        table = TextTable.of(path)
        notes += [f"{path.name}: {table.note}"] if table.note else []
        return _from_table(path, table.rows(), columns, notes)
    if suffix in JSON_SUFFIXES:
        return _from_json(path, columns, notes)
    return _from_text(path, columns, notes)


def _from_text(path: Path, columns: ListColumns, notes: list[str]) -> list[Entry]:
    if columns.link is not None or columns.label is not None:
        raise CallError(f"{path} is a plain list of links without columns; name it .csv, .tsv or .json where it has some")
    table = TextTable.of(path)
    notes += [f"{path.name}: {table.note}"] if table.note else []
    entries, n_blank, n_comments = [], 0, 0
    with path.open(encoding=table.encoding, errors="replace", newline=None) as file:
        for row, line in enumerate(file, start=1):
            text = line.strip()
            n_blank += not text
            n_comments += text.startswith("#")
            if text and not text.startswith("#"):
                entries.append(Entry(path.name, row, text, path.stem))
    if n_blank or n_comments:
        notes.append(f"{path.name}: {counted(n_blank, 'blank line')} and {counted(n_comments, 'comment')} passed over")
    return entries


def _from_table(path: Path, rows: Iterator[tuple[int, list[str]]], columns: ListColumns, notes: list[str]) -> list[Entry]:
    """Entries of numbered rows, of which the first names the columns unless it holds a link itself."""
    start = list(islice(rows, 1 + GUESSED_ROWS))
    if not start:
        return []
    names = [name.strip() for name in start[0][1]]
    if any(_is_link(name) for name in names):
        names = [str(number) for number in range(1, len(names) + 1)]
        notes.append(f"{path.name}: its first row is a link, so its columns have no names; they are called 1, 2, ...")
    else:
        start = start[1:]
    records = ((row, _record(names, cells)) for row, cells in chain(start, rows))
    return _from_records(path, names, [_record(names, cells) for _, cells in start], records, columns, notes)


def _record(names: list[str], cells: list[str]) -> dict[str, str]:
    if len(names) == 1 and len(cells) > 1:  # a link with commas in it, in a table of nothing but links
        return {names[0]: ",".join(cells)}
    return dict(zip(names, cells, strict=False))


def _from_json(path: Path, columns: ListColumns, notes: list[str]) -> list[Entry]:
    values = list(_json_values(path))
    if all(isinstance(value, dict) for value in values):
        names = list(dict.fromkeys(name for value in values[:GUESSED_ROWS] for name in value))
        return _from_records(path, names, values[:GUESSED_ROWS], enumerate(values, start=1), columns, notes)
    return [Entry(path.name, row, _text(value), path.stem) for row, value in enumerate(values, start=1)]


def _json_values(path: Path) -> Iterator[Any]:
    """The links or objects of a list: a JSON array, an object of arrays by class, or a value a line."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise DataError(f"{path} is larger than {MAX_JSON_BYTES // 2**30} GiB; give JSON lists in parts, or as CSV")
        content = path.read_bytes()
        text = content.decode(json.detect_encoding(content))
    except OSError as error:
        raise CallError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    if path.suffix.lower() != ".json":
        for row, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield _parsed(line, f"{path}, line {row}")
        return
    value = _parsed(text, str(path))
    if isinstance(value, dict) and all(isinstance(links, list) for links in value.values()):
        yield from ({"url": link, "label": label} for label, links in value.items() for link in links)
    elif isinstance(value, list):
        yield from value
    else:
        raise DataError(f"{path} holds a JSON {type(value).__name__}; a list of links or objects, or lists by class, is wanted")


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error}") from error


def _from_records(
    path: Path,
    names: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    records: Iterable[tuple[int, Mapping[str, Any]]],
    columns: ListColumns,
    notes: list[str],
) -> list[Entry]:
    link = _link_column(path, names, sample, columns.link)
    label = _named_column(path, names, columns.label, LABEL_COLUMNS)
    licence = _named_column(path, names, columns.licence, LICENCE_COLUMNS)
    said = [f"links from column {link!r}", f"classes from column {label!r}" if label else f"class {path.stem!r} (its name)"]
    notes.append(f"{path.name}: {', '.join(said + ([f'licences from column {licence!r}'] if licence else []))}")
    return [
        Entry(
            path.name,
            row,
            _text(record.get(link)),
            _text(record.get(label)) if label else path.stem,
            _text(record.get(licence)) if licence else "",
        )
        for row, record in records
    ]


def _link_column(path: Path, names: Sequence[str], sample: Sequence[Mapping[str, Any]], wanted: str | None) -> str:
    """By name, of two such names the one with more links in it; else the column with the most links."""
    if wanted is not None:
        return _named_column(path, names, wanted, ())
    n_links = {name: sum(_is_link(_text(record.get(name))) for record in sample) for name in names}
    by_name = [name for candidate in LINK_COLUMNS for name in names if name.lower() == candidate]
    best = max([*by_name, *names], key=lambda name: n_links[name], default="")
    if best and (n_links[best] or by_name):
        return best
    raise CallError(f"{path}: no column holds links; its columns: {', '.join(names[:12])}. Name one: --url-column NAME")


def _named_column(path: Path, names: Sequence[str], wanted: str | None, known: Sequence[str]) -> str:
    if wanted:
        if wanted not in names:
            raise unknown_name(f"column in {path.name}:", wanted, names)
        return wanted
    return next((name for candidate in known for name in names if name.lower() == candidate), "") if wanted is None else ""


def _is_link(text: str) -> bool:
    return text.strip().lower().startswith(("http://", "https://"))


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
