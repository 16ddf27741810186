"""Pictures in folders: one folder per class, optionally below `train`, `valid` (or `val`) and `test`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tellapart.data.journals import EDITS_FILE
from tellapart.data.table import UNREADABLE, ImageTable, Skipped, table_of
from tellapart.errors import CallError, DataError, PictureError
from tellapart.images import PICTURE_SUFFIXES, open_picture
from tellapart.progress import Progress, silent

SPLIT_FOLDERS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
JUNK = frozenset({"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
JUNK |= {"Thumbs.db", "desktop.ini", "ehthumbs.db", EDITS_FILE}


def read_folder(source: str | Path, *, progress: Progress = silent) -> ImageTable:
    """The pictures of a folder that holds a folder per class.

    A picture belongs to the first folder below the root (or below `train`, `valid`/`val`, `test`), however deep it lies.
    Hidden and junk folders are never classes; files that are no pictures are in `table.skipped`. Only a file without a suffix
    is looked into.
    Raises CallError where there is no such folder and DataError where it holds no labelled pictures.
    """
    root = Path(source)
    if not os.path.exists(root):  # unlike Path.exists, False for a name that is too long
        raise CallError(f"no such folder: {root}. Give the folder that holds a folder of pictures per class.")
    if not root.is_dir():
        raise CallError(f"{root} is a file; give the folder that holds a folder of pictures per class")
    found = _Found(root)
    for split, folder in _split_folders(root, found):
        _list_classes(folder, split, found)
    if not found.paths:
        raise DataError(_nothing_found(root, found))
    skipped = tuple(found.skipped)
    return table_of(found.paths, found.labels, splits=found.splits, source="folder", skipped=skipped, progress=progress)


def list_pictures(folder: str | Path) -> tuple[list[str], list[Skipped]]:
    """The pictures below a folder, by name, and what else was found there; hidden and junk entries are passed over."""
    found = _Found(Path(folder))
    for path in _files_below(str(folder), found, frozenset()):
        if _may_be_picture(path):
            found.paths.append(path)
        else:
            found.skipped.append(Skipped(path, "not a picture by its name"))
    return found.paths, found.skipped


def holds_pictures(folder: str | Path) -> bool:
    """Whether a picture lies anywhere below a folder; hidden and junk entries do not count."""
    return any(_may_be_picture(path) for path in _files_below(str(folder), _Found(Path(folder)), frozenset()))


@dataclass
class _Found:
    """What a walk has come upon so far."""

    root: Path
    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def _split_folders(root: Path, found: _Found) -> list[tuple[str, Path]]:
    """[("train", root/train), ...] where the folder is laid out so, else [("", root)]."""
    entries = _entries(root, found)
    folders = [entry for entry in entries if _is_folder(entry)]
    if len(folders) == len(entries) == 1 and _is_wrapper(folders[0], found):
        return _split_folders(Path(folders[0].path), found)
    splits = [entry for entry in folders if _is_split(entry, found)]
    has_train = any(SPLIT_FOLDERS[entry.name.lower()] == "train" for entry in splits)
    if not splits or (len(splits) < len(folders) and not has_train):  # "test" beside other classes is one of them
        return [("", root)]
    for entry in entries:
        if entry not in splits:
            beside = _files_below(entry.path, found, frozenset()) if _is_folder(entry) else [entry.path]
            found.skipped += [Skipped(path, "beside the train folder") for path in beside]
    return [(SPLIT_FOLDERS[entry.name.lower()], Path(entry.path)) for entry in splits]


def _is_wrapper(entry: os.DirEntry[str], found: _Found) -> bool:
    """A folder that holds the folders of the classes, as archives often have; one that holds pictures is a class."""
    return not _is_split(entry, found) and any(_is_folder(below) for below in _entries(Path(entry.path), found))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, at once or after 40 levels
        return False


def _is_split(entry: os.DirEntry[str], found: _Found) -> bool:
    """A folder named like a split that holds folders; a class called "train" holds pictures."""
    return entry.name.lower() in SPLIT_FOLDERS and any(_is_folder(below) for below in _entries(Path(entry.path), found))


def _list_classes(folder: Path, split: str, found: _Found) -> None:
    above = frozenset({os.path.realpath(folder), os.path.realpath(found.root)})
    for entry in _entries(folder, found):
        if not _is_folder(entry):
            reason = "lies in no class folder" if _may_be_picture(entry.path) else "not a picture by its name"
            found.skipped.append(Skipped(entry.path, reason))
            continue
        for path in _files_below(entry.path, found, above=above):
            if _may_be_picture(path):
                found.paths.append(path)
                found.labels.append(entry.name)
                found.splits.append(split)
            else:
                found.skipped.append(Skipped(path, "not a picture by its name"))


def _files_below(folder: str, found: _Found, above: frozenset[str]) -> Iterator[str]:
    """Every file below, depth first; a symbolic link that leads back into a folder above it is skipped."""
    real = os.path.realpath(folder)
    if real in above:
        found.skipped.append(Skipped(folder, "a symbolic link that leads back to a folder above it"))
        return
    for entry in _entries(Path(folder), found):
        if _is_folder(entry):
            yield from _files_below(entry.path, found, above | {real})
        else:
            yield entry.path


def _entries(folder: Path, found: _Found) -> list[os.DirEntry[str]]:
    """What a folder holds, by name, without hidden and junk entries; one that cannot be listed is a finding."""
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".") and entry.name not in JUNK]
    except OSError as error:
        problem = Skipped(str(folder), f"cannot be listed: {error.strerror}", kind=UNREADABLE)
        if problem not in found.skipped:
            found.skipped.append(problem)
        return []
    return sorted(entries, key=lambda entry: entry.name)


def _may_be_picture(path: str) -> bool:
    """By suffix; a file without one is looked into."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix in PICTURE_SUFFIXES or (not suffix and _opens(path))


def _opens(path: str) -> bool:
    try:
        open_picture(path, min_side_px=8)
    except PictureError:
        return False
    return True


def _nothing_found(root: Path, found: _Found) -> str:
    layout = f"Put pictures into one folder per class: {root}/cat/1.jpg, {root}/dog/2.jpg."
    if any(skip.reason == "lies in no class folder" for skip in found.skipped):
        return f"the pictures in {root} lie in no class folder. {layout}"
    unlisted = [skip.reason for skip in found.skipped if skip.path == str(root)]
    if unlisted:
        return f"{root} {unlisted[0]}"
    if found.skipped:
        names = ", ".join(repr(os.path.basename(skip.path)) for skip in found.skipped[:5])
        return (
            f"{root} holds no pictures (.jpg, .png, .webp ...); {len(found.skipped)} other entries were found: {names}. {layout}"
        )
    return f"{root} is empty. {layout}"
