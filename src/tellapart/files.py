"""Files that are whole or not there: written beside their place, flushed, and renamed over it."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tellapart.errors import BundleError, StorageError


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


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_dir() -> Path:
    """Where computed features and exported backbones are kept: $TELLAPART_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("TELLAPART_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tellapart"
