"""Folders walked in the order of names, in bounded memory however many files they hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tellapart.data.journals import EDITS_FILE
from tellapart.data.table import UNREADABLE, Skipped
from tellapart.errors import PictureError
from tellapart.images import PICTURE_SUFFIXES, open_picture
from tellapart.spilling import sorted_texts

JUNK = frozenset({"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
JUNK |= {"Thumbs.db", "desktop.ini", "ehthumbs.db", EDITS_FILE}
NO_PICTURE = "not a picture by its name"
FOLDER_MARK = "\0/"  # behind a folder's name while names are sorted: no name holds a NUL
Skip = Callable[[Skipped], None]  # is told of what is passed over


class Entry(NamedTuple):
    """What lies in a folder."""

    name: str
    path: str
    is_folder: bool  # a link to a folder too


def is_hidden(name: str) -> bool:
    """Whether an entry of a folder is passed over without a word."""
    return name.startswith(".") or name in JUNK


def entries(folder: str | Path, skip: Skip) -> Iterator[Entry]:
    """What a folder holds, by name, without hidden and junk entries; one that cannot be listed is skipped."""
    place = str(Path(folder))
    try:
        with os.scandir(place) as listing:
            marked = (one.name + FOLDER_MARK * _is_folder(one) for one in listing if not is_hidden(one.name))
            for text in sorted_texts(marked):
                name = text.removesuffix(FOLDER_MARK)
                yield Entry(name, os.path.join(place, name), text != name)
    except OSError as error:
        skip(Skipped(str(folder), f"cannot be listed: {error.strerror}", kind=UNREADABLE))


def files_below(folder: str | Path, skip: Skip, *, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every file below, depth first; a symbolic link that leads back into a folder above it is skipped."""
    real = os.path.realpath(folder)
    if real in above:
        skip(Skipped(str(folder), "a symbolic link that leads back to a folder above it"))
        return
    for entry in entries(folder, skip):
        if entry.is_folder:
            yield from files_below(entry.path, skip, above=above | {real})
        else:
            yield entry.path


def pictures_below(folder: str | Path, skip: Skip) -> Iterator[str]:
    """Every picture below a folder, by name; what is none is skipped."""
    for path in files_below(folder, skip):
        if may_be_picture(path):
            yield path
        else:
            skip(Skipped(path, NO_PICTURE))


def may_be_picture(path: str) -> bool:
    """By suffix; a file without one is looked into."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix in PICTURE_SUFFIXES or (not suffix and _opens(path))


def _opens(path: str) -> bool:
    try:
        open_picture(path, min_side_px=8)
    except PictureError:
        return False
    return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, at once or after 40 levels
        return False
