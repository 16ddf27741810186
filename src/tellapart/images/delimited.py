"""Text tables: their encoding, delimiter and rows; what the cells mean is for others to say."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tellapart.errors import CallError, DataError

DELIMITERS = ",;\t|"
TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
TAB_SUFFIXES = frozenset({".tsv", ".tab"})
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
GUESSED = ("utf-8", "cp1252", "latin-1")  # in this order; the last can read anything
SNIFFED_BYTES = 2**18  # holds the first rows, also of pixel tables
SNIFFED_ROWS = 20
CHUNK_BYTES = 2**22
MANY_ZEROS = 0.4  # of the bytes; a guess


@dataclass(frozen=True)
class TextTable:
    """A delimited text file, not read yet but for its beginning."""

    path: Path
    encoding: str
    delimiter: str

    @classmethod
    def of(cls, path: Path) -> TextTable:
        """Look into a file. Raises CallError where it cannot be read and DataError where it is no text."""
        try:
            with path.open("rb") as file:
                start = file.read(SNIFFED_BYTES)
            encoding = _marked(start) or next(name for name in GUESSED if _decodes(path, name))
        except OSError as error:
            raise CallError(f"cannot read {path}: {error.strerror}") from error
        if b"\0" in start and not encoding.startswith(("utf-16", "utf-32")):
            raise DataError(f"{path} is no text table: it holds zero bytes. Give a CSV, TSV or Parquet file.")
        text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(start)
        return cls(path, encoding, _delimiter(text, path))

    @property
    def note(self) -> str:
        """What should be said of the encoding: nothing where it is UTF-8."""
        return "" if self.encoding.startswith("utf-8") else f"its text is {self.encoding}, not UTF-8"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(number, cells) of each row, numbered from 1 as a spreadsheet does: a row of quoted newlines is one row.

        Empty rows count but are left out. Raises DataError with the row's number where quotes are broken.
        """
        number = 0
        try:
            with self.path.open(encoding=self.encoding, newline="") as file:
                reader = csv.reader(file, delimiter=self.delimiter, skipinitialspace=True, strict=True)
                for number, cells in enumerate(reader, start=1):
                    if cells:
                        yield number, cells
        except csv.Error as error:
            problem = f"{self.path}, row {number + 1}: {error}. A quote that is not closed, or not doubled, is the usual reason."
            raise DataError(problem) from error
        except (OSError, UnicodeError) as error:
            raise DataError(f"{self.path}, after row {number}: cannot be read on: {error}") from error


def _marked(start: bytes) -> str:
    """The encoding that a byte-order mark, or the zero bytes of UTF-16 without one, tell."""
    for mark, encoding in BOMS:
        if start.startswith(mark):
            return encoding
    low, high = start[::2], start[1::2]  # of UTF-16, little end first; Latin letters have a zero high byte
    if high.count(0) > MANY_ZEROS * len(high) and not low.count(0):
        return "utf-16-le"
    if low.count(0) > MANY_ZEROS * len(low) and not high.count(0):
        return "utf-16-be"
    return ""


def _decodes(path: Path, encoding: str) -> bool:
    """Whether the whole file is valid in an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _delimiter(text: str, path: Path) -> str:
    """The character that parts the first rows into most columns, alike in each."""
    order = "\t,;|" if path.suffix.lower() in TAB_SUFFIXES else DELIMITERS
    return max(order, key=lambda one: _fitness(text, one))


def _fitness(text: str, delimiter: str) -> tuple[float, int]:
    """How many of the first rows are as wide as the header, and how wide that is; nothing for one column."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        widths = [len(cells) for cells in islice(reader, SNIFFED_ROWS) if cells]
    except csv.Error:
        return 0.0, 0
    if not widths or widths[0] < 2:
        return 0.0, 0
    alike = widths.count(widths[0]) / len(widths)
    return alike, widths[0]
