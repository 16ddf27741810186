"""`ImageTable`: what is known of many pictures, a row each. A value: changing it makes another one."""

from __future__ import annotations

import csv
import io
import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from tellapart.errors import DataError, unknown_name
from tellapart.files import sha256_of
from tellapart.progress import Progress, silent

if TYPE_CHECKING:
    import pandas

SPLITS = ("train", "valid", "test")
COLUMNS = ("path", "sha256", "label", "group", "split", "source")
HASH_THREADS = 8  # hashing waits for the disk more than for a core
HASH_CHUNK = 64


@dataclass(frozen=True)
class Skipped:
    """A file that did not become a row, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ImageTable:
    """Rows of labelled pictures, in columns of equal length.

    `sha256` is the content and so the picture's identity; `groups` are pictures that must not be parted by a split ("" where
    the content alone decides); `splits` holds "train", "valid", "test" or "" (not split yet).
    """

    paths: tuple[str, ...]
    sha256: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted(set(self.labels)))

    @cached_property
    def codes(self) -> np.ndarray:
        """(len(self),) each row's place in `classes`."""
        place = {label: code for code, label in enumerate(self.classes)}
        return np.array([place[label] for label in self.labels], np.int64)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Pictures per class, in the order of `classes`."""
        found = Counter(self.labels)
        return {label: found[label] for label in self.classes}

    def take(self, rows: Iterable[int]) -> ImageTable:
        """A table of these rows, in this order."""
        index = list(rows)
        columns = {name: tuple(getattr(self, name)[row] for row in index) for name in _FIELDS}
        return replace(self, **columns)

    def in_split(self, name: str) -> ImageTable:
        """The rows of one split: "train", "valid" or "test"."""
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
        return self.take(row for row, split in enumerate(self.splits) if split == name)

    def with_splits(self, splits: Sequence[str]) -> ImageTable:
        return replace(self, splits=tuple(splits))

    def without_classes(self, labels: Iterable[str]) -> ImageTable:
        """The table without these classes; raises CallError for one that does not occur."""
        dropped = set(labels)
        for label in dropped - set(self.classes):
            raise unknown_name("class", label, self.classes)
        kept = self.take(row for row, label in enumerate(self.labels) if label not in dropped)
        left_out = [path for path, label in zip(self.paths, self.labels, strict=True) if label in dropped]
        return replace(kept, skipped=self.skipped + tuple(Skipped(path, "of a class that was left out") for path in left_out))

    def without(self, failures: dict[str, str]) -> ImageTable:
        """The table without the contents that could not be read (`sha256` -> reason); they go to `skipped`."""
        bad = [row for row, digest in enumerate(self.sha256) if digest in failures]
        skipped = tuple(Skipped(self.paths[row], failures[self.sha256[row]]) for row in bad)
        dropped = set(bad)
        kept = self.take(row for row in range(len(self)) if row not in dropped)
        return replace(kept, skipped=self.skipped + skipped)

    def account(self) -> str:
        """Where every file went, in one sentence: "412 files = 405 kept + 4 cannot be decoded + 3 not a picture"."""
        reasons = Counter(skip.reason.split(":")[0] for skip in self.skipped)
        parts = [f"{len(self)} kept", *(f"{n} {reason}" for reason, n in reasons.most_common())]
        return f"{len(self) + len(self.skipped)} files = {' + '.join(parts)}"

    @property
    def frame(self) -> pandas.DataFrame:
        """The rows as a pandas data frame with the columns of `COLUMNS`."""
        import pandas

        return pandas.DataFrame(dict(zip(COLUMNS, self._columns(), strict=True)))

    def to_csv(self) -> str:
        """The rows as CSV with a header line: the manifest that a run keeps."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        writer.writerows(zip(*self._columns(), strict=True))
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> ImageTable:
        """The table that `to_csv` wrote. Raises DataError where the text is something else."""
        try:
            rows = list(csv.reader(io.StringIO(text, newline="")))
        except csv.Error:
            rows = []
        if not rows or tuple(rows[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
            raise DataError(f"not a table of pictures: the first line must be {','.join(COLUMNS)}")
        return cls(*(zip(*rows[1:], strict=True) if len(rows) > 1 else ((),) * len(COLUMNS)))

    def _columns(self) -> tuple[tuple[str, ...], ...]:
        return tuple(getattr(self, name) for name in _FIELDS)


_FIELDS = ("paths", "sha256", "labels", "groups", "splits", "sources")


def table_of(
    paths: Sequence[str],
    labels: Sequence[str],
    *,
    splits: Sequence[str] | None = None,
    source: str = "list",
    skipped: tuple[Skipped, ...] = (),
    progress: Progress = silent,
) -> ImageTable:
    """A table of these pictures, each hashed; a file that cannot be read goes to `skipped`."""
    if len(paths) != len(labels):
        raise DataError(f"{len(paths)} paths but {len(labels)} labels; each picture needs one")
    digests, failed = [], []
    for path, (digest, reason) in zip(paths, _hash_all(paths, progress), strict=True):
        digests.append(digest)
        if reason:
            failed.append(Skipped(path, reason))
    kept = [row for row, digest in enumerate(digests) if digest]
    return ImageTable(
        paths=tuple(paths[row] for row in kept),
        sha256=tuple(digests[row] for row in kept),
        labels=tuple(labels[row] for row in kept),
        groups=("",) * len(kept),
        splits=tuple(splits[row] for row in kept) if splits else ("",) * len(kept),
        sources=(source,) * len(kept),
        skipped=skipped + tuple(failed),
    )


def _hash_all(paths: Sequence[str], progress: Progress) -> list[tuple[str, str]]:
    """(sha256, "") or ("", reason) for each path."""
    rest, results = iter(paths), list[tuple[str, str]]()
    chunks = iter(lambda: list(islice(rest, HASH_CHUNK)), [])
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        for hashed in pool.map(_hash_chunk, chunks):
            results += hashed
            progress("reading", len(results), len(paths))
    return results


def _hash_chunk(paths: list[str]) -> list[tuple[str, str]]:
    return [_hash(path) for path in paths]


def _hash(path: str) -> tuple[str, str]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a FIFO or a device would be read for ever
            return "", "not a regular file"
        return sha256_of(path), ""
    except OSError as error:
        return "", f"cannot be read: {error.strerror}"
    except ValueError as error:  # a NUL in the name
        return "", f"cannot be read: {error}"
