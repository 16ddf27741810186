"""Texts in bounded memory, however many there are: what does not fit lies in a temporary database (SQLite deletes it)."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain, islice

from tellapart.errors import StorageError

HELD = 50_000  # texts that are sorted in memory, some 10 MB; more are sorted on disk


def encoded(text: str) -> bytes:
    """A text as bytes that sort as the text does, file names that are no valid Unicode included."""
    return text.encode(errors="surrogatepass")


def sorted_texts(texts: Iterable[str]) -> Iterator[str]:
    """The texts in order. Raises StorageError where there are many and the temporary folder is full."""
    rest = iter(texts)
    first = list(islice(rest, HELD))
    if len(first) < HELD:
        yield from sorted(first)
        return
    with _database() as database:
        database.execute("CREATE TABLE texts (text BLOB)")
        database.executemany("INSERT INTO texts VALUES (?)", ((encoded(text),) for text in chain(first, rest)))
        del first
        for (text,) in database.execute("SELECT text FROM texts ORDER BY text"):
            yield text.decode(errors="surrogatepass")


def once(texts: Iterable[str]) -> Iterator[str]:
    """Each text where it first comes. Raises StorageError where the temporary folder is full."""
    with _database() as database:
        database.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        for text in texts:
            digest = hashlib.blake2b(encoded(text), digest_size=16).digest()
            if database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,)).rowcount:
                yield text


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    try:
        # Without a name it is temporary. A generator that is let go of may be closed by another thread.
        with closing(sqlite3.connect("", isolation_level=None, check_same_thread=False)) as database:
            database.execute("PRAGMA journal_mode = OFF")
            yield database
    except sqlite3.Error as error:
        raise StorageError(
            f"cannot write to the temporary folder: {error}. Free space there, or name another: TMPDIR."
        ) from error
