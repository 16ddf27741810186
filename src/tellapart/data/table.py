"""`ImageTable`: what is known of many pictures, a row each. A value: changing it makes another one."""

from __future__ import annotations

import csv
import io
import math
import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.errors import DataError, MissingExtraError, PictureError, unknown_name
from tellapart.files import cell_text, sha256_of, text_of_cell
from tellapart.images.containers import digest_of_member, locate
from tellapart.progress import Progress, silent
from tellapart.words import counted

if TYPE_CHECKING:
    import pandas

    from tellapart.data.edits import Edit

SPLITS = ("train", "valid", "test")
COLUMNS = ("path", "sha256", "label", "group", "split", "source", "weight")
N_TEXTS = 6  # of the columns, the first, hold text
OLD_COLUMNS = COLUMNS[:N_TEXTS]  # as 0.1 wrote them
LABEL_COLUMN = COLUMNS.index("label")
LABELS_COLUMN = "labels"  # what the label column is called where a cell holds several
LABEL_MARK = "|"  # between the labels of one cell
HASH_THREADS = 8  # hashing waits for the disk more than for a core
HASH_CHUNK = 64
UNREADABLE = "unreadable"  # the `kind` of what was skipped though it was meant as a picture, or holds pictures


@dataclass(frozen=True)
class Skipped:
    """A file that did not become a row, and why; `sha256` where its content was read but is no picture.

    `kind` is `UNREADABLE`, or "" for what was left out on purpose or never meant as a picture.
    """

    path: str
    reason: str
    sha256: str = ""
    kind: str = ""


@dataclass(frozen=True)
class ImageTable:
    """Rows of labelled pictures, in columns of equal length.

    A path is a file, or a member of a container: `train.csv#17`. `sha256` is the content and so the picture's identity;
    `groups` are pictures that must not be parted by a split ("" where the content alone decides); `splits` holds "train",
    "valid", "test" or "" (not split yet); `weights` say how much a picture counts in training, above 0 and usually 1.
    `notes` are what a reader understood, to be said to the user. With `multi_label` a label cell holds several, joined by "|",
    or none ("").
    """

    paths: tuple[str, ...]
    sha256: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    weights: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    multi_label: bool = False

    def __post_init__(self) -> None:
        if not self.weights:
            object.__setattr__(self, "weights", (1.0,) * len(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({label for labels in set(self.label_sets) for label in labels}))

    @cached_property
    def label_sets(self) -> tuple[tuple[str, ...], ...]:
        """Each row's labels: one, unless the table is `multi_label`: then any number, none as well."""
        if not self.multi_label:
            return tuple((label,) for label in self.labels)
        return tuple(tuple(filter(None, cell.split(LABEL_MARK))) for cell in self.labels)

    @cached_property
    def codes(self) -> np.ndarray:
        """(len(self),) each row's place in `classes`. Raises DataError where a row may have several labels."""
        if self.multi_label:
            raise DataError("these pictures have several labels each; one label a picture is needed here")
        return self.targets_in(self.classes)

    @cached_property
    def targets(self) -> np.ndarray:
        """What is to be learned: `codes` (N,), or of several labels a picture `membership` (N, K) of its own classes."""
        return self.targets_in(self.classes)

    def targets_in(self, classes: Sequence[str]) -> np.ndarray:
        """`targets` among these classes, which must be all that occur: places (N,), or bool (N, K)."""
        if self.multi_label:
            return self.membership(classes)
        place = {label: code for code, label in enumerate(classes)}
        return np.array([place[label] for label in self.labels], np.int64)

    def membership(self, classes: Sequence[str]) -> np.ndarray:
        """(len(self), len(classes)) bool: whether each row has each of these labels; others are passed over."""
        place = {label: code for code, label in enumerate(classes)}
        found = np.zeros((len(self), len(classes)), bool)
        for row, labels in enumerate(self.label_sets):
            found[row, [place[label] for label in labels if label in place]] = True
        return found

    @cached_property
    def counts(self) -> dict[str, int]:
        """Pictures per class, in the order of `classes`."""
        found = Counter(label for labels in self.label_sets for label in labels)
        return {label: found[label] for label in self.classes}

    def take(self, rows: Iterable[int]) -> ImageTable:
        """A table of these rows, in this order."""
        index = list(rows)
        columns: dict[str, Any] = {name: tuple(getattr(self, name)[row] for row in index) for name in _FIELDS}
        return replace(self, **columns)

    def in_split(self, name: str) -> ImageTable:
        """The rows of one split: "train", "valid" or "test"."""
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
        return self.take(row for row, split in enumerate(self.splits) if split == name)

    def of_classes(self, classes: Iterable[str]) -> ImageTable:
        """The rows that have no label besides these."""
        known = set(classes)
        return self.take(row for row, labels in enumerate(self.label_sets) if known.issuperset(labels))

    def with_splits(self, splits: Sequence[str]) -> ImageTable:
        return replace(self, splits=tuple(splits))

    def with_groups(self, groups: Sequence[str]) -> ImageTable:
        return replace(self, groups=tuple(groups))

    def with_notes(self, *notes: str) -> ImageTable:
        """The table with these notes after those that it has."""
        return replace(self, notes=self.notes + notes)

    def with_edits(self, edits: Sequence[Edit]) -> ImageTable:
        """The table after the edits that stand; see `tellapart.data.edits`."""
        from tellapart.data.edits import with_edits

        return with_edits(self, edits)

    def without_classes(self, labels: Iterable[str]) -> ImageTable:
        """The table without these classes; raises CallError for one that does not occur."""
        dropped = set(labels)
        for label in dropped - set(self.classes):
            raise unknown_name("class", label, self.classes)
        kept = self.take(row for row, labels in enumerate(self.label_sets) if dropped.isdisjoint(labels))
        left_out = [path for path, labels in zip(self.paths, self.label_sets, strict=True) if not dropped.isdisjoint(labels)]
        return replace(kept, skipped=self.skipped + tuple(Skipped(path, "of a class that was left out") for path in left_out))

    def without(self, failures: dict[str, str]) -> ImageTable:
        """The table without the contents that could not be read (`sha256` -> reason); they go to `skipped`."""
        bad = [row for row, digest in enumerate(self.sha256) if digest in failures]
        skipped = tuple(Skipped(self.paths[row], failures[self.sha256[row]], self.sha256[row], UNREADABLE) for row in bad)
        dropped = set(bad)
        kept = self.take(row for row in range(len(self)) if row not in dropped)
        return replace(kept, skipped=self.skipped + skipped)

    def account(self) -> str:
        """Where every file went, in one sentence: "412 files = 405 kept + 4 cannot be decoded + 3 not a picture"."""
        reasons = Counter(skip.reason.split(":")[0] for skip in self.skipped)
        parts = [f"{len(self):,} kept", *(f"{n:,} {reason}" for reason, n in reasons.most_common())]
        return f"{counted(len(self) + len(self.skipped), 'file')} = {' + '.join(parts)}"

    @property
    def frame(self) -> pandas.DataFrame:
        """The rows as a pandas data frame with the columns of `COLUMNS`. Raises MissingExtraError without pandas."""
        try:
            import pandas
        except ImportError as error:
            raise MissingExtraError("a data frame", "tables") from error
        return pandas.DataFrame(dict(zip(COLUMNS, self._columns(), strict=True)))

    def to_csv(self) -> str:
        """The rows as CSV with a header line: the manifest that a run keeps. `skipped` and `notes` are not in it."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(_header(COLUMNS, multi_label=self.multi_label))
        columns = [map(cell_text, getattr(self, name)) for name in _FIELDS[:N_TEXTS]]
        writer.writerows(zip(*columns, self.weights, strict=True))
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> ImageTable:
        """The table that `to_csv` wrote, of this version or an older one. Raises DataError where the text is something else."""
        try:
            rows = list(csv.reader(io.StringIO(text, newline="")))
        except csv.Error:
            rows = []
        header = tuple(rows[0]) if rows else ()
        multi_label = header[LABEL_COLUMN : LABEL_COLUMN + 1] == (LABELS_COLUMN,)
        known = [_header(names, multi_label=multi_label) for names in (COLUMNS, OLD_COLUMNS)]
        if header not in known or any(len(row) != len(header) for row in rows):
            raise DataError(f"not a table of pictures: the first line must be {','.join(COLUMNS)}")
        columns: list[tuple[str, ...]] = list(zip(*rows[1:], strict=True)) or [()] * len(header)
        if len(header) == len(COLUMNS):  # 0.1 wrote cells as they were
            columns[:N_TEXTS] = [tuple(map(text_of_cell, column)) for column in columns[:N_TEXTS]]
        paths, sha256, labels, groups, splits, sources = columns[: len(OLD_COLUMNS)]
        weights = _weights(columns[len(OLD_COLUMNS)]) if len(header) == len(COLUMNS) else ()
        return cls(paths, sha256, labels, groups, splits, sources, weights=weights, multi_label=multi_label)

    def _columns(self) -> tuple[tuple[object, ...], ...]:
        return tuple(getattr(self, name) for name in _FIELDS)


_FIELDS = ("paths", "sha256", "labels", "groups", "splits", "sources", "weights")


def _header(names: tuple[str, ...], *, multi_label: bool) -> tuple[str, ...]:
    return tuple(LABELS_COLUMN if multi_label and name == "label" else name for name in names)


def _weights(cells: Sequence[str]) -> tuple[float, ...]:
    try:
        weights = tuple(map(float, cells))
    except ValueError as error:
        raise DataError(f"not a table of pictures: {error} in the column 'weight'") from error
    if not all(map(is_weight, weights)):
        raise DataError("not a table of pictures: a weight that is not above 0")
    return weights


def is_weight(number: float) -> bool:
    """Whether a number can weigh a picture."""
    return 0 < number < math.inf


def table_of(
    paths: Sequence[str],
    labels: Sequence[str],
    *,
    splits: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    source: str = "list",
    skipped: tuple[Skipped, ...] = (),
    notes: tuple[str, ...] = (),
    multi_label: bool = False,
    progress: Progress = silent,
) -> ImageTable:
    """A table of these pictures, each hashed; a file that cannot be read goes to `skipped`."""
    if len(paths) != len(labels):
        raise DataError(f"{counted(len(paths), 'path')} but {counted(len(labels), 'label')}; each picture needs one")
    digests, failed = [], []
    for path, (digest, reason) in zip(paths, _hash_all(paths, progress), strict=True):
        digests.append(digest)
        if reason:
            failed.append(Skipped(path, reason, kind=UNREADABLE))
    kept = [row for row, digest in enumerate(digests) if digest]
    return ImageTable(
        paths=tuple(paths[row] for row in kept),
        sha256=tuple(digests[row] for row in kept),
        labels=tuple(labels[row] for row in kept),
        groups=tuple(groups[row] for row in kept) if groups else ("",) * len(kept),
        splits=tuple(splits[row] for row in kept) if splits else ("",) * len(kept),
        sources=(source,) * len(kept),
        skipped=skipped + tuple(failed),
        weights=tuple(weights[row] for row in kept) if weights else (),
        notes=notes,
        multi_label=multi_label,
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
        if (found := locate(path)) is None:
            if not stat.S_ISREG(os.stat(path).st_mode):  # a FIFO or a device would be read for ever
                return "", "not a regular file"
            return sha256_of(path), ""
        return digest_of_member(*found), ""
    except PictureError as error:
        return "", str(error)
    except OSError as error:
        return "", f"cannot be read: {error.strerror}"
    except ValueError as error:  # a NUL in the name
        return "", f"cannot be read: {error}"
