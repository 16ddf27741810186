"""Files that are whole or not there: written beside their place, flushed, and renamed over it."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tellapart.errors import BundleError, CallError, StorageError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` so that a reader finds the old file or the new one, never a part of it.

    Raises StorageError (disk full, no permission) and then leaves nothing behind.
    """
    # A file name that is no valid Unicode holds lone surrogates; as escapes they are valid in JSON and legible elsewhere.
    payload = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"cannot write {path}: {reason}. Free space or choose another place.") from error
    finally:
        with suppress(OSError, ValueError):
            beside.unlink(missing_ok=True)


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


def refuse_used(folder: Path) -> None:
    """Raise CallError where `folder` is a file or holds anything that is not hidden: nothing of the user's is overwritten."""
    try:
        if os.path.exists(folder) and not folder.is_dir():
            raise CallError(f"{folder} is a file; nothing is overwritten. Choose another --out.")
        if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise CallError(f"{folder} is not empty; nothing is overwritten. Choose another --out.")
    except OSError as error:
        raise StorageError(f"cannot look into {folder}: {error.strerror}. Choose another --out.") from error


def printable(text: str) -> str:
    """Text on one line, fit for a terminal: newlines and control characters as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


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
