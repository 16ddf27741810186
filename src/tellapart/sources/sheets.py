"""Sheets: rows and named columns, wherever they come from. What the columns mean is decided in `columns.py`."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tellapart.errors import DataError, MissingExtraError
from tellapart.files import text_of_cell
from tellapart.images import PICTURE_SUFFIXES
from tellapart.images.delimited import TextTable
from tellapart.words import counted

HEAD_ROWS = 1000  # that columns are told by
SHOWN = 5
KEPT_CELLS = 100_000  # different cells that are looked up among the earlier ones; labels are among the first
MISSING = frozenset({"", "nan", "NaN", "<NA>"})  # how data frames write that there is nothing; "NA" and "None" may be labels


@dataclass(frozen=True)
class Cells:
    """Some columns in full, and the number of each row as its owner counts."""

    columns: Mapping[str, Sequence[object]]
    rows: Sequence[int]


@dataclass(frozen=True)
class Sheet:
    """A table before its columns are understood; only its head is in memory."""

    name: str  # what messages call it
    names: tuple[str, ...]
    head: Mapping[str, Sequence[object]]  # the first rows
    load: Callable[[Sequence[str]], Cells]  # these columns of all rows
    folder: Path  # where relative paths begin
    notes: tuple[str, ...] = ()
    path_column: str | None = None  # a column of whole paths that are known to be there


def text_of(value: object) -> str:
    """A cell as text without spaces around it; "" where it holds nothing (empty, None, NaN)."""
    if type(value) is str:
        text = value.strip()
        return "" if text in MISSING else text
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else str(value)
    return str(value).strip()


def text_sheet(path: Path) -> Sheet:
    """A CSV, TSV or alike, with or without a header. Raises CallError where it cannot be read, DataError where it is no table.

    Cells that were marked so that no spreadsheet computes them (`cell_text`) are read without the mark.
    """
    text = TextTable.of(path)
    head = [cells for _, cells in islice(text.rows(), HEAD_ROWS)]
    if not head:
        raise DataError(f"{path} is empty")
    notes = [text.note] if text.note else []
    if has_header := not _is_data(head[0], path.parent):
        names, head = tuple(cell.strip() for cell in head[0]), head[1:]
    else:
        names = tuple(f"column {number}" for number in range(1, len(head[0]) + 1))
        notes.append(f"there is no header; the columns are called {', '.join(map(repr, names))}")
    _refuse_twins(names, str(path))
    if not head:
        raise DataError(f"{path} holds a header and no rows")
    columns = {name: [_cell(cells, place) for cells in head] for place, name in enumerate(names)}

    def load(wanted: Sequence[str]) -> Cells:
        return _load_text(text, names, wanted, n_skipped=int(has_header))

    return Sheet(str(path), names, columns, load, path.parent, tuple(notes))


def parquet_sheet(path: Path) -> Sheet:
    """A Parquet file, its rows counted from 0. Raises DataError where it is damaged, MissingExtraError without PyArrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("a Parquet file", "tables") from error
    try:
        with parquet.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
            first = next(file.iter_batches(batch_size=HEAD_ROWS), None)
            n_rows = file.metadata.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file: {error}") from error
    _refuse_twins(names, str(path))
    if first is None or not n_rows:
        raise DataError(f"{path} holds no rows")

    def load(wanted: Sequence[str]) -> Cells:
        try:
            table = parquet.read_table(path, columns=list(wanted))
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path} is no readable Parquet file: {error}") from error
        return Cells({name: table[name].to_pylist() for name in wanted}, range(n_rows))

    return Sheet(str(path), names, first.to_pydict(), load, path.parent)


def is_frame(source: object) -> bool:
    """Whether something is a data frame, of pandas or alike."""
    return hasattr(source, "columns") and hasattr(source, "head")


def frame_sheet(frame: Any) -> Sheet:
    """A data frame, its rows counted from 0. Raises DataError where it is empty."""
    names = tuple(map(str, frame.columns))
    _refuse_twins(names, "the data frame")
    if not len(frame):
        raise DataError("the data frame holds no rows")
    own_name = dict(zip(names, frame.columns, strict=True))
    head = frame.head(HEAD_ROWS)

    def load(wanted: Sequence[str]) -> Cells:
        return Cells({name: frame[own_name[name]].to_list() for name in wanted}, range(len(frame)))

    return Sheet("the data frame", names, {name: head[own_name[name]].to_list() for name in names}, load, Path())


def sheet_of(columns: Mapping[str, Sequence[object]], *, name: str, path_column: str, notes: tuple[str, ...] = ()) -> Sheet:
    """A sheet in memory whose paths are known to be there, its rows counted from 0."""
    n_rows = len(columns[path_column])
    head = {column: cells[:HEAD_ROWS] for column, cells in columns.items()}

    def load(wanted: Sequence[str]) -> Cells:
        return Cells({column: columns[column] for column in wanted}, range(n_rows))

    return Sheet(name, tuple(columns), head, load, Path(), notes, path_column)


def _is_data(cells: Sequence[str], folder: Path) -> bool:
    """Whether the first row is no header: a cell is a picture's name, or a file that is there."""
    for cell in cells:
        if os.path.splitext(cell)[1].lower() in PICTURE_SUFFIXES or (cell and os.path.isfile(os.path.join(folder, cell))):
            return True
    return False


def _refuse_twins(names: Sequence[str], where: str) -> None:
    twins = [name for name, n in Counter(names).items() if n > 1 and name]
    if twins:
        stand = counted(len(twins), "name stands", "names stand")
        raise DataError(f"{where}: {stand} over several columns: {', '.join(map(repr, twins[:SHOWN]))}. Rename one.")


def _cell(cells: Sequence[str], place: int) -> str:
    return text_of_cell(cells[place]) if place < len(cells) else ""


def _load_text(text: TextTable, names: Sequence[str], wanted: Sequence[str], *, n_skipped: int) -> Cells:
    """Columns of a text table; raises DataError where rows have more cells than the header, as unquoted delimiters make them."""
    places = [names.index(name) for name in wanted]
    columns: list[list[str | None]] = [[] for _ in wanted]
    pairs = list(zip(places, columns, strict=True))
    rows, n_long, too_long = array("L"), 0, list[str]()
    seen = dict[str, str]()
    one_of: Callable[[str, str], str | None] = seen.setdefault  # one object for equal cells: labels repeat
    for row, cells in islice(text.rows(), n_skipped, None):
        if len(cells) != len(names):
            if any(cell.strip() for cell in cells[len(names) :]):
                n_long += 1
                too_long += [f"row {row} has {len(cells)}"] if n_long <= SHOWN else []
            cells = cells + [""] * (len(names) - len(cells))
        rows.append(row)
        for place, column in pairs:
            cell = text_of_cell(cells[place])
            column.append(one_of(cell, cell))
        if len(seen) > KEPT_CELLS:
            one_of = seen.get
    if n_long:
        raise DataError(
            f"{text.path}: {counted(n_long, 'row has', 'rows have')} more cells than the {len(names)} of the first row: "
            f"{', '.join(too_long)}. Put cells that hold {text.delimiter!r} into quotes."
        )
    return Cells(dict(zip(wanted, columns, strict=True)), rows)
