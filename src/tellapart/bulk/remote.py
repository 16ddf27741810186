"""Pictures in object storage and alike, through fsspec and whatever driver of it is installed."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from tellapart.data import Skipped
from tellapart.errors import CallError, MissingExtraError, PictureError, StorageError, unknown_name
from tellapart.images import PICTURE_SUFFIXES
from tellapart.images.limits import MAX_BYTES
from tellapart.inference import Classifier, Prediction
from tellapart.sources.walking import NO_PICTURE, Skip, is_hidden

URL = re.compile(r"([a-z][a-z0-9+.-]*)://(?!.*::)", re.IGNORECASE | re.DOTALL)
LINKS = ("http", "https")
READERS = 16  # threads: an object's first byte takes some 50 ms, its decoding 3; a guess
TRIES_AFTER_S = (0.0, 0.5, 2.0)
OF_ONE_PICTURE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
Value = TypeVar("Value")


def is_url(text: str) -> bool:
    """Whether a text means a place in a store: s3://bucket/folder. A file or folder that is called so is one."""
    return URL.match(text) is not None and not os.path.lexists(text)


def open_store(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises CallError for a link, an unknown kind of store and one whose driver is not installed, and MissingExtraError without
    fsspec.
    """
    protocol = url.partition("://")[0].lower()
    if protocol in LINKS:
        raise CallError(f"{url} is a link; nothing is fetched by predict. Download first: tellapart collect")
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError(f"{protocol}://", "cluster") from error
    try:
        store, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise CallError(f"{url} needs a driver of fsspec that is not installed: {error}") from error
    except ValueError as error:
        if protocol not in fsspec.available_protocols():
            raise unknown_name("kind of store", protocol, fsspec.available_protocols()) from error
        raise CallError(f"{url} is no place in a store: {error}") from error
    except Exception as error:  # a driver may raise anything: no credentials, no such host
        raise _unreachable(url, error) from error
    return store, path


def answer(url: str, ask: Callable[[], Value], *, passing: tuple[type[Exception], ...] = ()) -> Value:
    """What `ask` returns, tried thrice. Raises StorageError where the store fails, and errors that are `passing` as such."""
    problem: Exception | None = None
    for wait_s in TRIES_AFTER_S:
        time.sleep(wait_s)
        try:
            return ask()
        except passing:
            raise
        except (FileNotFoundError, PermissionError) as error:  # asking again helps nothing
            raise _unreachable(url, error) from error
        except Exception as error:  # drivers raise what their libraries do
            problem = error
    assert problem is not None
    raise _unreachable(url, problem) from problem


def pictures_at(url: str, skip: Skip) -> Iterator[str]:
    """The pictures below a URL by name, or the picture that it is. A folder's names are in memory, a folder at a time."""
    store, path = open_store(url)
    try:
        is_folder = answer(url, lambda: store.info(path), passing=(FileNotFoundError,))["type"] == "directory"
    except FileNotFoundError:
        if url.endswith("/") or not os.path.splitext(path)[1]:
            raise CallError(f"there is nothing at {url}") from None
        is_folder = False  # a picture that is not there: its prediction will say so
    yield from _below(store, path, url.rstrip("/"), skip) if is_folder else [url]


def _below(store: Any, path: str, url: str, skip: Skip) -> Iterator[str]:
    listed = answer(url, lambda: store.ls(path, detail=True))
    named = {one["name"].rstrip("/").rpartition("/")[2]: one for one in listed if one["name"].strip("/") != path.strip("/")}
    for name in sorted(name for name in named if name and not is_hidden(name)):
        below = f"{url}/{name}"
        if named[name]["type"] == "directory":
            yield from _below(store, named[name]["name"], below, skip)
        elif os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES:
            yield below
        else:
            skip(Skipped(below, NO_PICTURE))


def read(url: str) -> bytes:
    """A picture's file. Raises PictureError where it is not there or too large, and StorageError where the store fails."""
    store, path = open_store(url)
    try:
        n_bytes = answer(url, lambda: store.info(path), passing=OF_ONE_PICTURE)["size"]
        if n_bytes is not None and n_bytes > MAX_BYTES:
            raise PictureError("too_large", f"{n_bytes / 2**20:.0f} MiB; at most {MAX_BYTES // 2**20} are read")
        return bytes(answer(url, lambda: store.cat_file(path), passing=OF_ONE_PICTURE))
    except OF_ONE_PICTURE as error:
        reason = "no such object" if isinstance(error, FileNotFoundError) else str(error) or type(error).__name__
        raise PictureError("unreadable", f"cannot be read: {reason}") from error


def predict_any(classifier: Classifier, paths: Iterable[str], *, tta: bool | Sequence[str] = False) -> Iterator[Prediction]:
    """`classifier.predict_many` of paths and URLs: objects are read ahead in threads. Raises StorageError where a store fails."""
    told = deque[tuple[str, str | None]]()

    def contents() -> Iterator[str | bytes]:
        for path, content in _read_ahead(paths):
            problem = isinstance(content, PictureError)
            told.append((path, str(content) if problem else None))
            yield b"" if isinstance(content, PictureError) else content  # keeps the place in its batch

    for one in classifier.predict_many(contents(), tta=tta):
        path, problem = told.popleft()
        yield replace(one, path=path, error=problem or one.error)


def _read_ahead(paths: Iterable[str]) -> Iterator[tuple[str, str | bytes | PictureError]]:
    rest, ahead = iter(paths), deque[Future[tuple[str, str | bytes | PictureError]]]()
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    try:
        ahead.extend(pool.submit(_content, path) for path in islice(rest, READERS))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(_content, path) for path in islice(rest, 1))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _content(path: str) -> tuple[str, str | bytes | PictureError]:
    """A local path as it is; of a URL what lies there, or why it cannot be read."""
    if not is_url(path):
        return path, path
    try:
        return path, read(path)
    except PictureError as error:
        return path, error


def _unreachable(url: str, error: Exception) -> StorageError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, FileNotFoundError):
        reason = "there is nothing"
    return StorageError(f"{url} cannot be reached: {reason}.")
