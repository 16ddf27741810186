"""Pictures in folders: one folder per class, optionally below `train`, `valid` (or `val`) and `test`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from tellapart.data.table import UNREADABLE, ImageTable, Skipped, table_of
from tellapart.errors import CallError, DataError
from tellapart.progress import Progress, silent
from tellapart.sources.walking import NO_PICTURE, Entry, entries, files_below, may_be_picture, pictures_below

SPLIT_FOLDERS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}


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
    skipped = list[Skipped]()
    return list(pictures_below(folder, skipped.append)), skipped


def holds_pictures(folder: str | Path) -> bool:
    """Whether a picture lies anywhere below a folder; hidden and junk entries do not count."""
    return any(map(may_be_picture, files_below(folder, lambda _: None)))


@dataclass
class _Found:
    """What a walk has come upon so far."""

    root: Path
    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, one: Skipped) -> None:
        """Note what is passed over; a folder that cannot be listed is come upon more than once."""
        if one.kind != UNREADABLE or one not in self.skipped:
            self.skipped.append(one)


def _split_folders(root: Path, found: _Found) -> list[tuple[str, Path]]:
    """[("train", root/train), ...] where the folder is laid out so, else [("", root)]."""
    listed = list(entries(root, found.skip))
    folders = [entry for entry in listed if entry.is_folder]
    if len(folders) == len(listed) == 1 and _is_wrapper(folders[0], found):
        return _split_folders(Path(folders[0].path), found)
    splits = [entry for entry in folders if _is_split(entry, found)]
    has_train = any(SPLIT_FOLDERS[entry.name.lower()] == "train" for entry in splits)
    if not splits or (len(splits) < len(folders) and not has_train):  # "test" beside other classes is one of them
        return [("", root)]
    for entry in listed:
        if entry not in splits:
            beside = files_below(entry.path, found.skip) if entry.is_folder else [entry.path]
            found.skipped += [Skipped(path, "beside the train folder") for path in beside]
    return [(SPLIT_FOLDERS[entry.name.lower()], Path(entry.path)) for entry in splits]


def _is_wrapper(entry: Entry, found: _Found) -> bool:
    """A folder that holds the folders of the classes, as archives often have; one that holds pictures is a class."""
    return not _is_split(entry, found) and any(below.is_folder for below in entries(entry.path, found.skip))


def _is_split(entry: Entry, found: _Found) -> bool:
    """A folder named like a split that holds folders; a class called "train" holds pictures."""
    return entry.name.lower() in SPLIT_FOLDERS and any(below.is_folder for below in entries(entry.path, found.skip))


def _list_classes(folder: Path, split: str, found: _Found) -> None:
    above = frozenset({os.path.realpath(folder), os.path.realpath(found.root)})
    for entry in entries(folder, found.skip):
        if not entry.is_folder:
            reason = "lies in no class folder" if may_be_picture(entry.path) else NO_PICTURE
            found.skipped.append(Skipped(entry.path, reason))
            continue
        for path in files_below(entry.path, found.skip, above=above):
            if may_be_picture(path):
                found.paths.append(path)
                found.labels.append(entry.name)
                found.splits.append(split)
            else:
                found.skipped.append(Skipped(path, NO_PICTURE))


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
