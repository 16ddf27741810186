"""Tar shards in the WebDataset layout: members of one name belong together, `0007.jpg` with `0007.cls`, `.json` or `.txt`."""

from __future__ import annotations

import glob
import json
import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tellapart.data.table import UNREADABLE, ImageTable, Skipped
from tellapart.errors import CallError, DataError, PictureError
from tellapart.images import PICTURE_SUFFIXES
from tellapart.images.containers import MARK, OVERRULED, read_member, tar_index
from tellapart.progress import Progress, silent
from tellapart.sources.columns import LABEL_NAMES, SPLIT_OF, Columns, is_named
from tellapart.sources.sheets import Sheet, sheet_of
from tellapart.sources.tables import read_sheet
from tellapart.words import counted

BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_SHARDS = 100_000  # that a pattern may mean; more is a slip of the keyboard
MAX_NOTE_BYTES = 2**20  # of a .cls, .json or .txt member: more is no label
LABEL_SUFFIXES = (".cls", ".txt")
PATH_COLUMN, SPLIT_COLUMN = ".picture", ".shard"  # no member or field is likely to be called so


def expand(pattern: str) -> list[Path]:
    """The files that a pattern means: `shard-{000..009}.tar` counts, `*` and `?` match. Raises CallError where there are none."""
    paths = [Path(path) for text in _counted(pattern) for path in (sorted(glob.glob(text)) if glob.has_magic(text) else [text])]
    missing = [str(path) for path in paths if not os.path.isfile(path)]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        n_meant = counted(len(paths), "file")
        raise CallError(f"{len(missing)} of {n_meant} that {pattern} means {are} not there, such as {missing[0]}")
    if not paths:
        raise CallError(f"no file is called like {pattern}")
    return paths


def read_shards(paths: Sequence[Path], columns: Columns, *, progress: Progress = silent) -> ImageTable:
    """The pictures in tar shards, labelled by the members of their name. Pictures that belong together lie in one shard.

    Labels: `.cls`, else the label in `.json`, else `.txt`. Other fields of `.json` are columns as of a table, so that it may
    give splits, groups and weights. Raises DataError where a shard is damaged or nothing is labelled.
    """
    rows, skipped = list[dict[str, object]](), list[Skipped]()
    for path in paths:
        found, problems = _samples(path)
        rows += found
        skipped += problems
    if not rows:
        raise DataError(f"{paths[0]} and its like hold no pictures (.jpg, .png ...) with a .cls, .json or .txt beside them")
    sheet, chosen = _sheet(rows, paths, columns)
    table = read_sheet(sheet, chosen, source="shards", progress=progress)
    return replace(table, skipped=(*skipped, *table.skipped))


def not_read(path: Path) -> list[Skipped]:
    """What in a tar is no file to read."""
    return [
        Skipped(f"{path}{MARK}{name}" if name else str(path), reason, kind="" if reason == OVERRULED else UNREADABLE)
        for name, reason in tar_index(path).problems
    ]


def _counted(pattern: str) -> list[str]:
    """A pattern without its braces: one text for each number."""
    match = BRACES.search(pattern)
    if match is None:
        return [pattern]
    first, last = int(match[1]), int(match[2])
    if not 0 <= last - first < MAX_SHARDS:
        raise CallError(f"{match[0]} in {pattern} counts {last - first + 1} shards; count upwards, to at most {MAX_SHARDS:,}")
    width = len(match[1])
    rest = _counted(pattern[match.end() :])
    return [f"{pattern[: match.start()]}{number:0{width}d}{end}" for number in range(first, last + 1) for end in rest]


def _samples(path: Path) -> tuple[list[dict[str, object]], list[Skipped]]:
    """The pictures of a shard as rows, and what in it is none."""
    index, skipped = tar_index(path), not_read(path)
    members_of = dict[str, dict[str, str]]()
    for name in index.places:
        folder, base = posixpath.split(name)
        key, dot, ending = base.partition(".")
        members_of.setdefault(posixpath.join(folder, key), {})[(dot + ending).lower()] = name
    rows = list[dict[str, object]]()
    for parts in members_of.values():
        pictures = [ending for ending in parts if posixpath.splitext("x" + ending)[1] in PICTURE_SUFFIXES]
        if not pictures:
            skipped += [Skipped(f"{path}{MARK}{name}", "no picture beside it in its shard") for name in parts.values()]
            continue
        facts = _facts(str(path), parts)
        rows += [{**facts, PATH_COLUMN: f"{path}{MARK}{parts[ending]}"} for ending in pictures]
    return rows, skipped


def _facts(path: str, parts: dict[str, str]) -> dict[str, object]:
    """What the members beside a picture say of it."""
    facts = dict[str, object]()
    if ".json" in parts:
        try:
            found = json.loads(_text(path, parts[".json"]))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}{MARK}{parts['.json']} is no JSON: {error}") from error
        facts |= found if isinstance(found, dict) else {}
    return facts | {ending: _text(path, parts[ending]).strip() for ending in LABEL_SUFFIXES if ending in parts}


def _text(path: str, member: str) -> str:
    try:
        content = read_member(path, member)
    except PictureError as error:
        raise DataError(f"{path}{MARK}{member} {error}") from error
    if not isinstance(content, bytes) or len(content) > MAX_NOTE_BYTES:
        raise DataError(f"{path}{MARK}{member} is no label: it is larger than {MAX_NOTE_BYTES // 2**20} MiB")
    return content.decode(errors="replace")


def _sheet(rows: Sequence[dict[str, object]], paths: Sequence[Path], columns: Columns) -> tuple[Sheet, Columns]:
    """The rows as a sheet, and which of its columns hold labels and splits where the caller does not say."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = {name: [row.get(name) for row in rows] for name in names}
    has_json_label = any(is_named(name, LABEL_NAMES) for name in names if name not in LABEL_SUFFIXES)
    if columns.label is None and ".cls" in names:
        columns = replace(columns, label=".cls")
    elif columns.label is None and ".txt" in names and not has_json_label:
        columns = replace(columns, label=".txt")
    split_of = _split_of_names(paths)
    if split_of and columns.split is None:
        cells[SPLIT_COLUMN] = [split_of[str(cell).partition(MARK)[0]] for cell in cells[PATH_COLUMN]]
        columns = replace(columns, split=SPLIT_COLUMN)
    name = str(paths[0]) if len(paths) == 1 else f"{len(paths)} tar shards, {paths[0]} to {paths[-1].name},"
    return sheet_of(cells, name=name, path_column=PATH_COLUMN), columns


def _split_of_names(paths: Sequence[Path]) -> dict[str, str]:
    """The split of each shard by its name, where all names begin with one: train-000.tar."""
    starts = {str(path): re.split(r"[-_.\d]", path.name, maxsplit=1)[0].lower() for path in paths}
    if not all(start and start in SPLIT_OF for start in starts.values()):
        return {}
    return {path: SPLIT_OF[start] for path, start in starts.items()}
