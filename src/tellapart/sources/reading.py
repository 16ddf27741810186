"""The one way in: whatever holds labelled pictures becomes an `ImageTable` that says what was understood."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tellapart.data.table import ImageTable, Skipped
from tellapart.errors import CallError
from tellapart.images.containers import members
from tellapart.images.delimited import TEXT_SUFFIXES, TextTable
from tellapart.images.pixel_tables import is_pixel_table
from tellapart.progress import Progress, silent
from tellapart.sources.columns import GUESSED, Columns
from tellapart.sources.folders import holds_pictures, read_folder
from tellapart.sources.hub import encoded_column, is_dataset, read_dataset, unpacked
from tellapart.sources.pixels import (
    idx_images,
    is_idx,
    read_arrays,
    read_idx_folder,
    read_idx_pair,
    read_npz_file,
    read_pixel_csv,
)
from tellapart.sources.shards import expand, not_read, read_shards
from tellapart.sources.sheets import Sheet, frame_sheet, is_frame, parquet_sheet, text_sheet
from tellapart.sources.tables import read_paths, read_sheet
from tellapart.sources.walking import Skip, is_hidden, pictures_below

PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
PACKED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z", ".rar", ".csv.gz", ".tsv.gz")
KNOWN = "a folder of class folders, a CSV, TSV or Parquet table, a pixel CSV, IDX files, a .npz, tar shards"


def read(source: Any, *, columns: Columns = GUESSED, progress: Progress = silent) -> ImageTable:
    """The labelled pictures of any source; `table.notes` say what was understood.

    `source`: a folder with a folder per class (below `train`, `valid`/`val` and `test` where it is split so); a CSV, TSV or
    Parquet file or a data frame of paths and labels, whose `columns` are guessed where they are not given; a pixel CSV; an IDX
    file or a folder of them; a .npz, or arrays as (x, y) or ((x, y), (x, y)); tar shards in the WebDataset layout (a file, a
    folder, `shard-{000..009}.tar`, `*.tar`); a `datasets.Dataset` or `DatasetDict`.
    Raises CallError for a source that cannot be meant and DataError where it cannot be used, with the numbers of the rows.
    """
    if isinstance(source, str | Path):
        return _read_path(Path(source), columns, progress)
    if is_dataset(source):
        return read_dataset(source, columns, progress=progress)
    if is_frame(source):
        return read_sheet(frame_sheet(source), columns, source="table", progress=progress)
    if isinstance(source, tuple | list) and len(source) == 2:
        _refuse_columns(columns, "arrays")
        return read_arrays(source, progress=progress)
    raise CallError(
        f"cannot read pictures from a {type(source).__name__}; give {KNOWN}, a data frame, (x, y) arrays or a dataset"
    )


def list_members(path: str | Path) -> tuple[list[str], list[Skipped]] | None:
    """The pictures that a file holds or names, labelled or not, and what in it is none; None for a file that does neither.

    Raises CallError and DataError where it cannot be understood.
    """
    file = Path(path)
    if not os.path.isfile(file):
        return None
    found = members(file)
    if found is not None:
        return found, not_read(file) if file.suffix.lower() == ".tar" else []
    if file.suffix.lower() in TEXT_SUFFIXES:
        return read_paths(text_sheet(file), GUESSED)
    if file.suffix.lower() in PARQUET_SUFFIXES:
        return read_paths(*_with_files(parquet_sheet(file), GUESSED))
    return None


def pictures_in(folder: str | Path, skip: Skip) -> Iterator[str]:
    """The pictures below a folder, else in the IDX files or tar shards that it is made of; `skip` is told of all else there.

    Raises DataError where one of those is damaged.
    """
    held = list[Skipped]()  # until it is known whether this is a folder of containers
    pictures = pictures_below(folder, lambda one: (held.append if first is None else skip)(one))
    first: str | None = None
    first = next(pictures, None)
    containers = [] if first else _containers(Path(folder))
    for one in held:
        if not containers or (not is_idx(Path(one.path)) and Path(one.path) not in containers):
            skip(one)
    if first:
        yield first
        yield from pictures
    for file in containers:
        found, others = list_members(file) or ([], [])
        yield from found
        for one in others:
            skip(one)


def _containers(folder: Path) -> list[Path]:
    """The IDX files or tar shards that a folder without pictures is made of."""
    files = _files_of(folder)
    return idx_images(folder) if any(map(is_idx, files)) else _shards(folder, files)


_Reader = Callable[[Path, Columns, Progress], ImageTable]


def _read_path(path: Path, columns: Columns, progress: Progress) -> ImageTable:
    if not os.path.lexists(path) and any(mark in path.name for mark in "*?{["):
        return read_shards(expand(str(path)), columns, progress=progress)
    reader = _file_reader(path) if os.path.isfile(path) else _folder_reader(path)
    return reader(path, columns, progress)


def _folder_reader(path: Path) -> _Reader:
    """How a folder is read, by the files that lie at its top; what is not there is read_folder's to complain of."""
    if not os.path.lexists(path) and path.suffix.lower() in READERS:
        raise CallError(f"no such file: {path}")
    files = _files_of(path)
    if any(map(is_idx, files)):
        return _plain(read_idx_folder)
    return _read_shard_folder if _shards(path, files) else _plain(read_folder)


def _files_of(path: Path) -> list[Path]:
    """The files at the top of a folder, without hidden and junk ones; none of what is no folder or cannot be listed."""
    entries = path.iterdir() if os.path.isdir(path) and os.access(path, os.R_OK) else ()
    return sorted(entry for entry in entries if entry.is_file() and not is_hidden(entry.name))


def _shards(folder: Path, files: Sequence[Path]) -> list[Path]:
    """The tars that a folder is made of; none where other files or folders of pictures lie beside them."""
    is_made_of_tars = files and all(file.suffix.lower() == ".tar" for file in files)
    return list(files) if is_made_of_tars and not holds_pictures(folder) else []


def _file_reader(path: Path) -> _Reader:
    if is_idx(path):
        return _plain(read_idx_pair)
    packed = next((suffix for suffix in PACKED_SUFFIXES if path.name.lower().endswith(suffix)), None)
    if packed:
        raise CallError(f"{path} is packed ({packed}); unpack it first, and give what was in it")
    if path.suffix.lower() not in READERS:
        raise CallError(f"{path} is a file of no kind that holds labelled pictures; give {KNOWN}")
    return READERS[path.suffix.lower()]


def _plain(read_plainly: Callable[..., ImageTable]) -> _Reader:
    """A reader of sources that have no columns to choose."""

    def read_without_columns(path: Path, columns: Columns, progress: Progress) -> ImageTable:
        _refuse_columns(columns, str(path))
        return read_plainly(path, progress=progress)

    return read_without_columns


def _read_text(path: Path, columns: Columns, progress: Progress) -> ImageTable:
    if is_pixel_table(TextTable.of(path)):
        return _plain(read_pixel_csv)(path, columns, progress)
    return _read_list(path, columns, progress)


def _read_list(path: Path, columns: Columns, progress: Progress) -> ImageTable:
    return read_sheet(text_sheet(path), columns, source="table", progress=progress)


def _read_parquet(path: Path, columns: Columns, progress: Progress) -> ImageTable:
    return read_sheet(*_with_files(parquet_sheet(path), columns), source="table", progress=progress)


def _read_npy(path: Path, columns: Columns, progress: Progress) -> ImageTable:
    raise CallError(
        f"{path} holds pictures without labels. To predict them: tellapart predict RUN {path}. To train: a .npz of x and y"
    )


def _read_shard(path: Path, columns: Columns, progress: Progress) -> ImageTable:
    return read_shards([path], columns, progress=progress)


def _read_shard_folder(path: Path, columns: Columns, progress: Progress) -> ImageTable:
    return read_shards(_files_of(path), columns, progress=progress)


READERS: dict[str, _Reader] = {
    **dict.fromkeys(TEXT_SUFFIXES, _read_text),
    **dict.fromkeys(PARQUET_SUFFIXES, _read_parquet),
    ".txt": _read_list,
    ".npy": _read_npy,
    ".npz": _plain(read_npz_file),
    ".tar": _read_shard,
}


def _with_files(sheet: Sheet, columns: Columns) -> tuple[Sheet, Columns]:
    """A sheet whose cells hold encoded pictures with paths in their place; any other as it is."""
    column = encoded_column(sheet, columns)
    return (unpacked(sheet, column), replace(columns, path=None)) if column else (sheet, columns)


def _refuse_columns(columns: Columns, what: str) -> None:
    if columns != GUESSED:
        raise CallError(f"{what}: columns are chosen of tables only; leave --path-column and its like out")
