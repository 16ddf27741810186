"""Pixel tables: text files with a picture a row, a column for each pixel and perhaps one for the label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from tellapart.errors import DataError
from tellapart.images.arrays import SHOWN, Pixels, as_pixels, square_side
from tellapart.images.delimited import TextTable
from tellapart.words import counted

MIN_PIXELS = 16  # fewer columns of numbers are no picture
PIXEL_NAME = re.compile(r"(?!label|class|target)[a-z_. -]{0,12}\d+(x\d+|[a-z_]{1,3}\d+){0,2}", re.IGNORECASE)  # pixel7, 3x4, r0c1
LABEL_NAMES = ("label", "class", "target", "category", "y")
PATH_NAMES = ("path", "file", "filename", "image")  # of a table of paths that has numbered columns as well
MAX_OTHERS = 8  # columns beside the pixels: a label, an index, a usage
INDEX_NAMES = ("", "id", "index")  # of a column that numbers the rows and is no label
PARSED_BYTES = 2**25  # of text at a time; a row must fit into it


@dataclass(frozen=True)
class _Layout:
    """Which columns are what."""

    has_header: bool
    n_columns: int
    pixels: tuple[int, ...]  # their places, in order
    label: int | None
    notes: tuple[str, ...]


def is_pixel_table(text: TextTable) -> bool:
    """Whether a file's first rows look like pixels: a header that numbers them, or nothing but whole numbers."""
    first = [cells for _, cells in islice(text.rows(), 1)]
    return bool(first) and (_is_header_of_pixels(first[0]) or _is_numbers(first[0]))


def read_pixel_table(path: Path) -> Pixels:
    """The pictures and labels in a pixel table: grey or RGB squares, one a row.

    Raises DataError, with the numbers of the rows, where they are ragged or hold what is not from 0 to 255.
    """
    text = TextTable.of(path)
    first = next((cells for _, cells in text.rows()), None)
    if first is None:
        raise DataError(f"{path} is empty")
    layout = _layout(first, path)
    values, labels, rows = _parse_quickly(text, layout) or _parse(text, layout)
    if not len(values):
        raise DataError(f"{path} holds a header and no pictures")
    pixels = as_pixels(values, name=str(path), rows=rows)
    return Pixels(pixels.values, labels, rows, tuple(filter(None, (text.note, *layout.notes, *pixels.notes))))


def _is_header_of_pixels(cells: Sequence[str]) -> bool:
    if any(cell.strip().lower() in PATH_NAMES for cell in cells):
        return False
    named = sum(bool(PIXEL_NAME.fullmatch(cell.strip())) and not _is_number(cell) for cell in cells)
    numbers = [int(cell) for cell in cells if cell.strip().isdecimal() and len(cell) < 8]
    if len(numbers) >= MIN_PIXELS and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        named = len(numbers)  # 0, 1, 2 ...: a data frame's names
    return named >= max(MIN_PIXELS, len(cells) - MAX_OTHERS)


def _is_numbers(cells: Sequence[str]) -> bool:
    return len(cells) >= MIN_PIXELS and sum(map(_is_number, cells)) >= len(cells) - 1  # the label may be a word


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _layout(first: Sequence[str], path: Path) -> _Layout:
    if not _is_header_of_pixels(first):
        return _layout_without_header(first, path)
    names = [cell.strip().lower() for cell in first]
    pixels = tuple(place for place, name in enumerate(names) if PIXEL_NAME.fullmatch(name))
    others = [place for place in range(len(names)) if place not in set(pixels)]
    label = next((names.index(name) for name in LABEL_NAMES if name in names), None)
    if label is None and len(others) == 1 and names[others[0]] not in INDEX_NAMES:
        label = others[0]
    notes = [f"column {first[label]!r} holds labels, the other {len(pixels)} pixels" if label is not None else "no labels"]
    notes += [f"column {first[place]!r} is left out" for place in others if place != label]
    _refuse_no_square(len(pixels), path)
    return _Layout(True, len(first), pixels, label, tuple(notes))


def _layout_without_header(first: Sequence[str], path: Path) -> _Layout:
    """Labels come first, or last where the first row's only word stands there; without labels all columns are pixels."""
    n_columns = len(first)
    if square_side(n_columns) and all(map(_is_number, first)):
        return _Layout(False, n_columns, tuple(range(n_columns)), None, ("no header and no labels",))
    _refuse_no_square(n_columns - 1, path)
    label = 0 if _is_number(first[-1]) else n_columns - 1
    pixels = tuple(place for place in range(n_columns) if place != label)
    note = f"no header: the {'last' if label else 'first'} column holds labels, the other {n_columns - 1} pixels"
    return _Layout(False, n_columns, pixels, label, (note,))


def _refuse_no_square(n_pixels: int, path: Path) -> None:
    if square_side(n_pixels) is None:
        raise DataError(
            f"{path} has {counted(n_pixels, 'column')} of pixels: neither a square of grey pixels (28 x 28 = 784) "
            "nor one of RGB (3 x 32 x 32 = 3072). Leave out what is no pixel."
        )


def _parse_quickly(text: TextTable, layout: _Layout) -> tuple[np.ndarray, tuple[str, ...] | None, range] | None:
    """(N, P) uint8, labels and rows; None for whatever is not plainly 0..255, which `_parse` then reads or explains."""
    try:
        import pyarrow
        from pyarrow import csv
    except ImportError:  # the extra `tables`
        return None
    names = [f"f{place}" for place in range(layout.n_columns)]
    pixel_names = [names[place] for place in layout.pixels]
    label_names = [] if layout.label is None else [names[layout.label]]
    kinds = dict.fromkeys(pixel_names, pyarrow.uint8()) | dict.fromkeys(label_names, pyarrow.string())
    try:
        table = csv.read_csv(
            text.path,
            csv.ReadOptions(
                encoding=text.encoding.removesuffix("-sig"), block_size=PARSED_BYTES,
                skip_rows=int(layout.has_header), column_names=names,
            ),
            csv.ParseOptions(delimiter=text.delimiter, ignore_empty_lines=False),
            csv.ConvertOptions(column_types=kinds, null_values=[], include_columns=[*pixel_names, *label_names]),
        )  # fmt: skip
    except (pyarrow.ArrowException, UnicodeError, OSError):
        return None
    columns = np.empty((len(pixel_names), len(table)), np.uint8)
    for place, name in enumerate(pixel_names):
        columns[place] = table[name].to_numpy()
    values = np.ascontiguousarray(columns.T)  # ten times as fast as to fill it column by column
    labels = tuple(table[label_names[0]].to_pylist()) if label_names else None
    first_row = 2 if layout.has_header else 1
    return values, labels, range(first_row, first_row + len(values))


def _parse(text: TextTable, layout: _Layout) -> tuple[np.ndarray, tuple[str, ...] | None, list[int]]:
    """As `_parse_quickly`, row by row, (N, P) float32; raises DataError that names the rows that are no pictures."""
    pictures, labels, rows, problems = list[np.ndarray](), list[str](), list[int](), list[str]()
    for row, cells in islice(text.rows(), int(layout.has_header), None):
        if len(cells) != layout.n_columns:
            problems.append(f"row {row} has {len(cells)} cells instead of {layout.n_columns}")
            continue
        words = [cells[place] for place in layout.pixels]
        try:
            pictures.append(np.array(words, np.float32))
        except ValueError:
            problems.append(f"row {row} holds {next(word for word in words if not _is_number(word))!r} as a pixel")
            continue
        rows.append(row)
        labels.append(cells[layout.label] if layout.label is not None else "")
    if problems:
        are = counted(len(problems), "row is no picture", "rows are no pictures")
        raise DataError(f"{text.path}: {are}: {'; '.join(problems[:SHOWN])}. Mend or remove what is none.")
    values = np.stack(pictures) if pictures else np.empty((0, len(layout.pixels)), np.float32)
    return values, tuple(labels) if layout.label is not None else None, rows
