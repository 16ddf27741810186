"""Files that are whole or not there: written beside their place, flushed, and renamed over it. And files that only grow."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from tellapart.errors import BundleError, CallError, StorageError

if TYPE_CHECKING:
    from _csv import Writer as CsvWriter

REMEDIES = {  # what is wrong with a disk or a folder, and what a person does about it
    errno.ENOSPC: "Free space",
    errno.EDQUOT: "Free space",
    errno.EFBIG: "Free space",  # or raise the limit on files (ulimit -f), which has the same number
    errno.EACCES: "Allow writing there",
    errno.EPERM: "Allow writing there",
    errno.EROFS: "Allow writing there",
}
FORMULA_MARKS = "=+-@'"  # a cell that begins so is computed by spreadsheets; the last is how text is marked


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` so that a reader finds the old file or the new one, never a part of it.

    Raises StorageError (disk full, no permission) and then leaves nothing behind.
    """
    # A file name that is no valid Unicode holds lone surrogates; as escapes they are valid in JSON and legible elsewhere.
    payload = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    with atomic_file(path) as file:
        file.write(payload)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its place at `path` when all is written, and leaves nothing behind where that fails.

    Raises StorageError (disk full, no permission).
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise write_error(path, error) from error
    finally:
        with suppress(OSError, ValueError):
            beside.unlink(missing_ok=True)


def write_error(path: object, error: OSError | ValueError, *, then: str = "or choose another place") -> StorageError:
    """The error for what could not be written to `path`, with the remedy that fits; `then` is what to do besides it."""
    mend = REMEDIES.get(getattr(error, "errno", None) or 0)
    remedy = f"{mend} {then}" if mend else "Choose another place"
    return StorageError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}. {remedy}.")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises BundleError where it is missing, damaged or not an object."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is damaged (not JSON: {error}). Write it again: train or export once more.") from error
    if not isinstance(value, dict):
        raise BundleError(f"{path} is damaged: it holds a {type(value).__name__}, not an object.")
    return value


def refuse_used(folder: Path, *, option: str = "--out") -> None:
    """Raise CallError where `folder` is a file or holds anything that is not hidden: nothing of the user's is overwritten.

    `option` is how the user named it.
    """
    try:
        if os.path.exists(folder) and not folder.is_dir():
            raise CallError(f"{folder} is a file; nothing is overwritten. Choose another {option}.")
        if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise CallError(f"{folder} is not empty; nothing is overwritten. Choose another {option}.")
    except OSError as error:
        raise StorageError(f"cannot look into {folder}: {error.strerror}. Choose another {option}.") from error


def printable(text: str) -> str:
    """Text on one line, fit for a terminal: newlines and control characters as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cell_text(text: str) -> str:
    """A cell of a table that no spreadsheet takes for a formula: folders of strangers may be called =HYPERLINK(...)."""
    return f"'{text}" if text and text[0] in FORMULA_MARKS else text


class _LineFeeds:
    """Takes the rows of a csv.writer, each in one piece."""

    def __init__(self, text: TextIO) -> None:
        self._text = text

    def write(self, row: str) -> int:
        return self._text.write(row.removesuffix("\r\n") + "\n")


def table_writer(text: TextIO) -> CsvWriter:
    """A writer of CSV whose rows end with a line feed.

    `csv` quotes a carriage return only where its own rows end with one; bare, it would begin a row within a file's name.
    """
    return csv.writer(_LineFeeds(text), lineterminator="\r\n")


def text_of_cell(cell: str) -> str:
    """What `cell_text` made the cell of; any other cell as it is."""
    return cell[1:] if cell[:1] == "'" and cell[1:] and cell[1] in FORMULA_MARKS else cell


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_dir() -> Path:
    """Where computed features and exported backbones are kept: $TELLAPART_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("TELLAPART_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "tellapart"


class GrowingFile:
    """A file that only grows, locked against other processes; `content` is what it held when it was opened."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        file.seek(0)
        self.content = file.readall()

    def append(self, content: bytes) -> None:
        """Write `content` to the end and flush it to the disk. Where that fails the file is as it was."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(len(self.content))
            raise
        self.content += content


@contextmanager
def growing_file(path: Path) -> Iterator[GrowingFile]:
    """A file to append to, made where it is not there; another process that opens it so waits until this one is done.

    Raises StorageError (disk full, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            _lock(file.fileno())  # until the file is closed
            yield GrowingFile(file)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise write_error(path, error) from error


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 40, os.SEEK_SET)  # behind the content: what is locked there cannot be read by others
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
