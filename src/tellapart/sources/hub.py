"""Datasets of the Hugging Face `datasets` library, and tables whose cells hold encoded pictures; neither is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tellapart.data.table import ImageTable
from tellapart.errors import CallError, unknown_name
from tellapart.images.containers import MARK
from tellapart.progress import Progress, silent
from tellapart.sources.columns import LABEL_NAMES, PATH_NAMES, SPLIT_OF, Columns, is_named
from tellapart.sources.sheets import HEAD_ROWS, Cells, Sheet, sheet_of
from tellapart.sources.stores import keep_files
from tellapart.sources.tables import read_sheet

PATH_COLUMN, SPLIT_COLUMN = ".picture", ".part"  # no column is likely to be called so
BATCH_ROWS = 256  # that are in memory at once


def is_dataset(source: object) -> bool:
    """Whether something is a `datasets.Dataset` or a `DatasetDict`."""
    return _is_part(source) or (isinstance(source, Mapping) and bool(source) and all(map(_is_part, source.values())))


def read_dataset(source: Any, columns: Columns, *, progress: Progress = silent) -> ImageTable:
    """The pictures of a dataset with a feature of the kind Image. What is encoded within it is kept in the cache folder.

    Raises CallError where columns or splits cannot be understood.
    """
    parts = dict(source) if isinstance(source, Mapping) else {"": source}
    unknown = [name for name in parts if name.lower() not in SPLIT_OF]
    if unknown:
        raise CallError(
            f"the dataset has a part {unknown[0]!r}; train, valid (validation) and test are known. Give one part alone."
        )
    first = next(iter(parts.values()))
    image = _image_column(first, columns)
    names = tuple(name for name in first.column_names if name != image)
    own: dict[str, list[object]] = {PATH_COLUMN: [path for one in parts.values() for path in _kept(_encoded(one, image))]}
    if any(parts):
        own[SPLIT_COLUMN] = [SPLIT_OF[part.lower()] for part, one in parts.items() for _ in range(len(one))]
        columns = replace(columns, split=SPLIT_COLUMN)

    def load(wanted: Sequence[str]) -> Cells:
        whole = {name: own[name] if name in own else _column(parts.values(), name) for name in wanted}
        return Cells(whole, range(len(own[PATH_COLUMN])))

    heads = [one.select(range(min(HEAD_ROWS, len(one)))) for one in parts.values()]
    head = {name: _column(heads, name) for name in names} | own
    sheet = Sheet("the dataset", (*own, *names), head, load, Path(), path_column=PATH_COLUMN)
    return read_sheet(sheet, _label(first, names, columns), source="dataset", progress=progress)


def encoded_column(sheet: Sheet, columns: Columns) -> str | None:
    """The column of a sheet whose cells are encoded pictures: bytes, or {"bytes", "path"} as that library writes them."""
    found = [name for name, cells in sheet.head.items() if any(_content(cell) is not None for cell in cells)]
    if columns.path:
        return columns.path if columns.path in found else None
    if len(found) > 1:
        raise CallError(f"{sheet.name}: several columns hold pictures: {', '.join(map(repr, found))}. Name one: --path-column")
    return found[0] if found else None


def unpacked(sheet: Sheet, column: str) -> Sheet:
    """The sheet with the pictures of a column kept in the cache folder."""
    names = [name for name in sheet.names if name != column]
    cells = sheet.load(sheet.names)
    paths: list[object] = list(_kept(cells.columns[column]))
    others = {name: cells.columns[name] for name in names}
    return sheet_of({PATH_COLUMN: paths, **others}, name=sheet.name, path_column=PATH_COLUMN)


def _is_part(source: object) -> bool:
    return hasattr(source, "features") and hasattr(source, "column_names") and hasattr(source, "cast_column")


def _image_column(dataset: Any, columns: Columns) -> str:
    """The feature of the kind Image."""
    if columns.path and columns.path not in dataset.column_names:
        raise unknown_name("column of the dataset", columns.path, dataset.column_names)
    found = [name for name, feature in dataset.features.items() if type(feature).__name__ == "Image"]
    if columns.path in found:
        return str(columns.path)
    named = [name for name in found if is_named(name, PATH_NAMES)]
    if len(found) != 1 and len(named) != 1:
        there = f"several features are pictures, {', '.join(found)}" if found else "no feature is of the kind Image"
        raise CallError(f"the dataset: {there}; it has {', '.join(dataset.column_names)}. Name it: Columns(path=...)")
    return str(found[0] if len(found) == 1 else named[0])


def _encoded(dataset: Any, image: str) -> Iterator[object]:
    """The cells of the image column as they are stored, not decoded."""
    raw = dataset.select_columns([image]).cast_column(image, type(dataset.features[image])(decode=False)).with_format(None)
    for start in range(0, len(raw), BATCH_ROWS):
        yield from raw[start : start + BATCH_ROWS][image]


def _column(parts: Iterable[Any], name: str) -> list[object]:
    return [value for dataset in parts for value in _values(dataset, name)]


def _values(dataset: Any, name: str) -> Sequence[object]:
    """A column, its class numbers as the names that the dataset has for them."""
    feature = dataset.features[name]
    if type(feature).__name__ in ("Image", "Audio", "Video"):
        return [None] * len(dataset)
    values: Sequence[object] = list(dataset.select_columns([name]).with_format(None)[:][name])
    within = getattr(feature, "feature", feature[0] if isinstance(feature, list) and feature else feature)
    names = getattr(within, "names", None) if type(within).__name__ == "ClassLabel" else None
    return [_named(value, names) for value in values] if names else values


def _named(value: object, names: Sequence[str]) -> object:
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None  # -1: no label


def _label(dataset: Any, names: Sequence[str], columns: Columns) -> Columns:
    """The columns with the only ClassLabel as the label, unless a name or the caller says otherwise."""
    classes = [name for name in names if type(dataset.features[name]).__name__ == "ClassLabel"]
    if (
        columns.label is None
        and len(classes) == 1
        and not any(is_named(name, LABEL_NAMES) for name in names if name not in classes)
    ):
        return replace(columns, label=classes[0], path=None)
    return replace(columns, path=None)


def _kept(cells: Iterable[object]) -> list[str]:
    """A path for each encoded picture: the file that it is, else a member of a tar in the cache; "" where there is none."""
    names = list[str]()

    def files() -> Iterator[tuple[str, bytes]]:
        for number, cell in enumerate(cells):
            content = _content(cell)
            path = cell.get("path") if isinstance(cell, Mapping) else None
            if content is None:
                names.append(str(path) if path and Path(path).is_file() else "")
            else:
                names.append(f"{MARK}{number:07d}{_suffix(content)}")
                yield names[-1].removeprefix(MARK), content

    store = keep_files(files())
    return [f"{store}{name}" if name.startswith(MARK) else name for name in names]


def _content(cell: object) -> bytes | None:
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, Mapping) and isinstance(cell.get("bytes"), bytes):
        return bytes(cell["bytes"])
    return None


def _suffix(content: bytes) -> str:
    """By the first bytes; what is none of the usual is called .jpg and found out when it is decoded."""
    known = {b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"II*\0": ".tif", b"MM\0*": ".tif", b"RIFF": ".webp"}
    return next((suffix for start, suffix in known.items() if content.startswith(start)), ".jpg")
