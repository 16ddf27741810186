"""Where output is kept: on a disk, or in a store that fsspec reaches. Whatever is written is whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from tellapart.bulk.remote import answer, is_url, open_store
from tellapart.errors import StorageError
from tellapart.files import atomic_file, write_atomically, write_error

LOCAL = "file://"


class Folder(Protocol):
    """A folder of small files. Every method raises StorageError where the place does not let it."""

    def names(self) -> list[str]:
        """What lies in it; nothing where it is not there."""

    def read(self, name: str) -> bytes:
        """A file's content."""

    def write(self, name: str, content: bytes) -> None:
        """Keep a file, in place of an older one."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and the folder where it is empty then."""


def folder_at(place: str) -> Folder:
    """The folder at a path or URL."""
    place = without_scheme(place)
    return RemoteFolder(place) if is_url(place) else LocalFolder(place)


def exists(place: str) -> bool:
    """Whether a file is at a path or URL. Raises StorageError where a store does not answer."""
    place = without_scheme(place)
    if not is_url(place):
        return os.path.lexists(place)
    store, path = open_store(place)
    return bool(answer(place, lambda: store.exists(path)))


def publish(place: str, chunks: Iterable[bytes]) -> None:
    """Write a file from its parts, so that a reader finds all of it or the older one. Raises StorageError."""
    place = without_scheme(place)
    if not is_url(place):
        with atomic_file(Path(place)) as file:
            file.writelines(chunks)
        return
    store, path = open_store(place)
    with tempfile.TemporaryDirectory() as folder:  # a store takes a whole file or none of it
        whole = Path(folder) / "whole"
        with atomic_file(whole) as file:
            file.writelines(chunks)
        answer(place, lambda: store.put_file(str(whole), path))


def without_scheme(place: str) -> str:
    """A path in place of a file:// URL."""
    return place[len(LOCAL) :] if place.startswith(LOCAL) else place


class LocalFolder:
    """A folder on a disk."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def names(self) -> list[str]:
        try:
            return os.listdir(self._path)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise write_error(self._path, error) from error

    def read(self, name: str) -> bytes:
        try:
            return (self._path / name).read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read {self._path / name}: {error.strerror}") from error

    def write(self, name: str, content: bytes) -> None:
        write_atomically(self._path / name, content)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                (self._path / name).unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"cannot remove {self._path / name}: {error.strerror}") from error
        with suppress(OSError):  # what others have put there
            self._path.rmdir()


class RemoteFolder:
    """A folder in a store, by fsspec."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store, self._path = open_store(url)

    def names(self) -> list[str]:
        try:
            listed: list[dict[str, Any]] = answer(
                self._url, lambda: self._store.ls(self._path, detail=True), passing=(FileNotFoundError,)
            )
        except FileNotFoundError:
            return []
        return [one["name"].rpartition("/")[2] for one in listed if one["type"] == "file"]

    def read(self, name: str) -> bytes:
        return bytes(answer(f"{self._url}/{name}", lambda: self._store.cat_file(f"{self._path}/{name}")))

    def write(self, name: str, content: bytes) -> None:
        answer(f"{self._url}/{name}", lambda: self._store.pipe_file(f"{self._path}/{name}", content))

    def remove(self, names: Iterable[str]) -> None:
        doomed = [f"{self._path}/{name}" for name in names]
        if doomed:
            answer(self._url, lambda: self._store.rm(doomed))
        with suppress(Exception):  # most stores have no folders
            self._store.rmdir(self._path)
