"""A file of predictions that is kept piece by piece, so that whatever ends the work, it goes on where it was.

A piece is a file of its own beside the output, written whole or not at all. Its name says which files it is of (the hash of
all paths up to its last), the hash of its content, and how many pictures in it could not be read:
00000012-3f9a1c27d0be5b0c-9c1f2a7e4d53b0aa-3. When all are there they become the output, in order.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tellapart.bulk.listing import Shard
from tellapart.bulk.remote import is_url
from tellapart.bulk.rows import FAILURE_COLUMNS, RowFormat, failure_row, format_of, table
from tellapart.bulk.stores import exists, folder_at, publish, without_scheme
from tellapart.data import Skipped
from tellapart.errors import CallError, StorageError, TellapartError
from tellapart.files import write_error
from tellapart.inference import Classifier, Prediction
from tellapart.spilling import encoded

PIECE_ROWS = 512  # a kill costs their time, some seconds; a multiple of the batch, so that each picture keeps its place in one
NAME = re.compile(r"(\d{8})-([0-9a-f]{16})-([0-9a-f]{16})-(\d+)")
BEGUN, FINISHED = "begun.json", "finished.json"
Predictor = Callable[[Iterable[str]], Iterator[Prediction]]  # a prediction for each path, in order


@dataclass(frozen=True)
class Piece:
    """Some of the files, in order."""

    number: int
    n_paths: int
    digest: str  # of all paths up to its last


@dataclass(frozen=True)
class Kept:
    """A piece whose predictions are written."""

    name: str
    digest: str
    sha256: str
    n_failed: int


class Output:
    """Predictions on their way to a file: `begin`, go through `write`, `finish`; then the counts are right."""

    def __init__(self, out: str, rows: RowFormat, made_by: dict[str, str], *, resume: bool) -> None:
        self.n_pictures = self.n_failed = 0
        self.n_kept = 0  # pictures that an earlier call has predicted
        self._out, self._rows, self._made_by, self._resume = out, rows, made_by, resume
        self._folder_name = _beside(out)
        self._folder = folder_at(self._folder_name)
        self._kept: dict[int, Kept] = {}
        self._finished: dict[str, Any] | None = None  # what is said of an output that was whole before this call

    def begin(self) -> None:
        """Look for what an earlier call has left, and make sure that this one can write. Raises CallError and StorageError."""
        names = set(self._folder.names())
        self._kept = dict(map(_kept, sorted(filter(NAME.fullmatch, names))))
        is_finished = self._resume and FINISHED in names and exists(self._out)
        if self._resume and (self._kept or is_finished):
            self._compare(self._facts(BEGUN))
            self._finished = self._facts(FINISHED) if is_finished else None
            return
        if self._resume and BEGUN not in names and exists(self._out):
            raise CallError(
                f"{self._out} is there, and nothing beside it says what made it. "
                "Leave --resume out to replace it, or choose another --out."
            )
        if self._kept:
            raise CallError(
                f"{self._out} was begun by an earlier call, and about {PIECE_ROWS * len(self._kept):,} pictures are predicted. "
                f"Go on with --resume, or remove {self._folder_name} to start anew."
            )
        with self._said_what_is_kept():
            self._folder.remove(names & {FINISHED})
            self._keep(BEGUN, json.dumps(self._made_by, indent=1).encode())

    def write(self, paths: Iterable[str], predict: Predictor) -> Iterator[Prediction]:
        """Predict what is not kept yet, keep it piece by piece, and pass it on.

        Raises CallError where these are other files than those that the output was begun with, and StorageError.
        """
        todo, rows = deque[Piece](), list[Prediction]()
        with self._said_what_is_kept():
            for one in predict(self._missing(paths, todo)):
                rows.append(one)
                yield one
                if len(rows) == todo[0].n_paths:
                    self._keep_piece(todo.popleft(), rows)
                    rows = []

    def finish(self, *, failures: str | None = None, lost: Iterable[Skipped] = ()) -> None:
        """Put the pieces together, and write the table of `failures`: the pictures that cannot be read, then what else is `lost`.

        Raises StorageError; the pieces are still there then.
        """
        if self._finished:
            self.n_failed = self._finished["n_failed"]
            if failures and not exists(failures):
                raise CallError(f"{self._out} is finished; what failed are its rows with an error. Leave --failures out.")
            self._tidy()
            return
        kept = [one for _, one in sorted(self._kept.items())]
        self.n_failed = sum(one.n_failed for one in kept)
        with self._said_what_is_kept():
            publish(self._out, chain([self._rows.header], map(self._content, kept)))
            if failures:
                publish(failures, self._failures(kept, lost))
            facts = {"n_pictures": self.n_pictures, "n_failed": self.n_failed, "digest": kept[-1].digest if kept else ""}
            self._keep(FINISHED, json.dumps(facts).encode())
            self._tidy()

    def _tidy(self) -> None:
        """Remove the pieces of a whole output; with --resume what says how it was made stays, for the next such call."""
        self._folder.remove(set(self._folder.names()) - ({BEGUN, FINISHED} if self._resume else set()))

    def _missing(self, paths: Iterable[str], todo: deque[Piece]) -> Iterator[str]:
        """The paths of the pieces that are not kept; each such piece is put into `todo` before its paths come."""
        digest, last, number, rest = hashlib.sha256(), "", -1, iter(paths)
        while some := list(islice(rest, PIECE_ROWS)):
            number += 1
            self.n_pictures += len(some)
            for path in some:
                digest.update(encoded(path) + b"\0")
            piece = Piece(number, len(some), digest.hexdigest()[:16])
            last = piece.digest
            if self._finished or self._is_kept(piece):
                self.n_kept += len(some)
            else:
                todo.append(piece)
                yield from some
        if max(self._kept, default=-1) > number or (self._finished and self._finished["digest"] != last):
            raise self._other_files(f"{self.n_pictures:,} are found now")

    def _is_kept(self, piece: Piece) -> bool:
        kept = self._kept.get(piece.number)
        if kept and kept.digest != piece.digest:
            first = piece.number * PIECE_ROWS
            raise self._other_files(f"the difference is among files {first + 1:,} to {first + PIECE_ROWS:,}")
        return kept is not None

    def _keep_piece(self, piece: Piece, rows: list[Prediction]) -> None:
        content, n_failed = self._rows.rows(rows), sum(one.error is not None for one in rows)
        name = f"{piece.number:08d}-{piece.digest}-{_sha256(content)}-{n_failed}"
        self._keep(name, content)
        self._kept |= [_kept(name)]

    def _keep(self, name: str, content: bytes) -> None:
        try:
            self._folder.write(name, content)
        except StorageError as error:
            if isinstance(error.__cause__, OSError):
                raise write_error(self._out, error.__cause__, then="or choose another --out") from error
            raise

    def _content(self, kept: Kept) -> bytes:
        content = self._folder.read(kept.name)
        if _sha256(content) != kept.sha256:
            self._folder.remove([kept.name])
            raise StorageError(f"a piece of {self._out} was damaged where it was kept, and is removed.")
        return content

    def _failures(self, kept: Iterable[Kept], lost: Iterable[Skipped]) -> Iterator[bytes]:
        yield table([FAILURE_COLUMNS])
        for one in kept:
            if one.n_failed:
                yield table(self._rows.failures(self._content(one)))
        yield table(failure_row(one.path, one.reason) for one in lost)

    @contextmanager
    def _said_what_is_kept(self) -> Iterator[None]:
        """Where the work ends early, errors say that it can go on; where nothing is kept, nothing is left behind."""
        try:
            yield
        except BaseException as error:
            if not self._kept and not self._finished:
                with suppress(TellapartError, OSError):
                    self._folder.remove(self._folder.names())
            elif isinstance(error, StorageError):
                raise StorageError(f"{error} What is done is kept: go on with --resume.") from error
            raise

    def _facts(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self._folder.read(name)))
        except (ValueError, TypeError) as error:
            raise StorageError(f"{self._folder_name}/{name} is damaged. Remove that folder to start anew.") from error

    def _compare(self, begun: dict[str, Any]) -> None:
        """Raise CallError where an output was begun otherwise than this call would go on."""
        for what, ours in self._made_by.items():
            if begun.get(what) != ours:
                raise CallError(
                    f"{self._out} was begun with another {what}: {begun.get(what)}, now {ours}. "
                    f"Go on as it was begun, choose another --out, or remove {self._folder_name} to start anew."
                )

    def _other_files(self, detail: str) -> CallError:
        return CallError(
            f"{self._out} was begun with other files; {detail}. "
            f"Give those that it was begun with, choose another --out, or remove {self._folder_name} to start anew."
        )


def open_output(out: str, classifier: Classifier, *, views: Sequence[str], shard: Shard | None, resume: bool) -> Output:
    """The output at a path or URL, begun. Raises CallError where what is there was made otherwise, and StorageError."""
    rows = format_of(out, classifier.classes, several=classifier.several)
    made_by = {
        "model": _sha256(json.dumps(classifier.manifest.to_json(), sort_keys=True).encode()),
        "runtime": classifier.runtime.name,
        "view": ", ".join(views),
        "shard": str(shard or "none"),
        "format": rows.name,
    }
    output = Output(out, rows, made_by, resume=resume)
    output.begin()
    return output


def _kept(name: str) -> tuple[int, Kept]:
    number, digest, sha256, n_failed = name.split("-")
    return int(number), Kept(name, digest, sha256, int(n_failed))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _beside(out: str) -> str:
    """The folder of an output's pieces."""
    place = without_scheme(out)
    folder, slash, name = place.rpartition("/") if is_url(place) else ("", "", "")
    return f"{folder}{slash}.{name}.pieces" if slash else str(Path(place).with_name(f".{Path(place).name}.pieces"))
