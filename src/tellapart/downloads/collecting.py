"""From lists of links to a folder of pictures: every link has an outcome, and nothing that is done is asked for again."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tellapart.downloads.downloading import download
from tellapart.downloads.fetching import Limits
from tellapart.downloads.guards import Guard
from tellapart.downloads.lists import Entry
from tellapart.downloads.naming import class_folders
from tellapart.downloads.provenance import (
    JOURNAL,
    TABLE,
    Journal,
    Key,
    Outcome,
    Row,
    account,
    failures,
    key_of,
    read_journal,
    read_table,
    with_copies,
    write_table,
)
from tellapart.downloads.queues import Job
from tellapart.downloads.storing import PARTS, work_folder
from tellapart.errors import LinkError
from tellapart.progress import Progress, silent
from tellapart.words import counted

TOLD_EVERY = 20  # links between two steps of the bar
DONE = ("kept", "copy")
NOT_ASKED = Outcome("interrupted", "the run was stopped before this link was asked; run the same command again")


@dataclass(frozen=True)
class Collection:
    """What a run of `collect` made."""

    folder: Path
    rows: tuple[Row, ...]  # one for every entry of the lists
    n_earlier: int  # links that an earlier run had kept, which were not asked again
    notes: tuple[str, ...]
    seconds: float

    @property
    def counts(self) -> Counter[str]:
        """Links by status."""
        return Counter(outcome.status for _, outcome in self.rows)

    def account(self) -> str:
        """Where every link went, in one sentence."""
        return account(self.counts)

    def text(self) -> str:
        """The account, and where to look further."""
        earlier = f" ({self.n_earlier:,} of them were here already)" if self.n_earlier else ""
        n_failed = sum(n for status, n in self.counts.items() if status not in (*DONE, "duplicate"))
        again = "; run the same command again to try the failed ones once more" if n_failed else ""
        return f"{self.account()}{earlier}\nwhat became of each link: {self.folder / TABLE}{again}"

    def to_json(self) -> dict[str, Any]:
        """What `tellapart collect --json` prints."""
        classes = Counter(outcome.path.partition("/")[0] for _, outcome in self.rows if outcome.status == "kept")
        return {
            "out": str(self.folder),
            "n_links": len(self.rows),
            "n_kept": self.counts["kept"],
            "n_earlier": self.n_earlier,
            "counts": dict(self.counts.most_common()),
            "classes": dict(sorted(classes.items())),
            "account": self.account(),
            "provenance": str(self.folder / TABLE),
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }


def collect(
    entries: Sequence[Entry],
    out: Path,
    *,
    limits: Limits | None = None,
    guard: Guard | None = None,
    seed: int = 0,
    notes: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Collection:
    """Download the entries' pictures into a folder per class below `out`, and write `out/provenance.csv`.

    What an earlier run has kept there stays and is not asked for again; what failed is. The journal of a run that was killed
    is taken up. `notes` are passed on to the collection. Raises CallError where `out` is a file or in use, DataError where its
    provenance.csv is another's, StorageError where the disk is full, MissingExtraError without aiohttp.
    """
    start, limits = time.perf_counter(), limits or Limits()
    guard = (guard or Guard()).naming(entry.link for entry in entries)
    with work_folder(out) as work:
        earlier = _by_key(read_table(out / TABLE) + read_journal(work / JOURNAL))
        folders = class_folders([label for _, label in earlier] + [entry.label for entry in entries])
        outcomes = _known(entries, earlier, out)
        n_earlier = sum(outcome.status in DONE for outcome in outcomes.values())
        jobs = _plan(entries, outcomes, {label: out / folder for label, folder in folders.items()}, guard)
        book = _Book(entries, outcomes, Journal(work / JOURNAL), progress)
        try:
            download(jobs, work / PARTS, limits=limits, guard=guard, seed=seed, take=book.take)
        finally:  # also after Ctrl-C: what is done is in the table
            book.close()
            rows = [(entry, outcomes.get(number, NOT_ASKED)) for number, entry in enumerate(entries)]
            asked = {key_of(entry) for entry in entries}
            others = [row for key, row in earlier.items() if key not in asked]  # of lists that are not among these
            all_rows = with_copies([*others, *rows])
            write_table(out / TABLE, all_rows)
            (work / JOURNAL).unlink(missing_ok=True)
    notes += _renamed(dict.fromkeys(entry.label for entry in entries), folders)
    return Collection(out, tuple(all_rows[len(others) :]), n_earlier, notes, time.perf_counter() - start)


def _by_key(rows: Iterable[Row]) -> dict[Key, Row]:
    """The last row of each link; one that stood there twice has its outcome in another row."""
    return {key_of(entry): (entry, outcome) for entry, outcome in rows if outcome.status != "duplicate"}


def _known(entries: Sequence[Entry], earlier: Mapping[Key, Row], out: Path) -> dict[int, Outcome]:
    """The outcomes that need no request: links that stand there twice, and pictures that an earlier run has kept."""
    outcomes: dict[int, Outcome] = {}
    first: dict[Key, Entry] = {}
    for number, entry in enumerate(entries):
        key = key_of(entry)
        if (same := first.setdefault(key, entry)) is not entry:
            outcomes[number] = Outcome("duplicate", f"the same link as {same.source}, row {same.row}")
        elif key in earlier and (found := earlier[key][1]).status in DONE and _is_there(out / found.path, found.bytes):
            outcomes[number] = found
    return outcomes


def _is_there(path: Path, n_bytes: int) -> bool:
    try:
        return os.stat(path).st_size == n_bytes
    except (OSError, ValueError):  # ValueError: a NUL in the name, in a table edited by hand
        return False


def _plan(entries: Sequence[Entry], outcomes: dict[int, Outcome], folders: Mapping[str, Path], guard: Guard) -> list[Job]:
    """A job for each entry without an outcome; a link that must not be asked gets its outcome here."""
    jobs = []
    for number, entry in enumerate(entries):
        if number not in outcomes:
            try:
                jobs.append(Job(number, guard.check(entry.link), folders[entry.label]))
            except LinkError as error:
                outcomes[number] = Outcome(error.kind, str(error))
    return jobs


class _Book:
    """Takes the outcomes as they come: into the journal, and to the bar with the failures by reason."""

    def __init__(self, entries: Sequence[Entry], outcomes: dict[int, Outcome], journal: Journal, progress: Progress) -> None:
        self._entries, self._outcomes, self._journal, self._progress = entries, outcomes, journal, progress
        self._counts = Counter(outcome.status for outcome in outcomes.values())
        self._tell()

    def take(self, job: Job, outcome: Outcome) -> None:
        outcome = replace(outcome, final_link=job.link, seconds=job.seconds)
        self._journal.add((self._entries[job.number], outcome))
        self._outcomes[job.number] = outcome
        self._counts[outcome.status] += 1
        if len(self._outcomes) % TOLD_EVERY == 0:
            self._tell()

    def close(self) -> None:
        self._journal.close()
        self._tell()

    def _tell(self) -> None:
        failed = ", ".join(failures(self._counts))
        self._progress(f"collecting: {failed}" if failed else "collecting", len(self._outcomes), len(self._entries))


def _renamed(labels: Mapping[str, None], folders: Mapping[str, str]) -> tuple[str, ...]:
    """What to say of classes whose folders cannot be called as they are."""
    said = [f"class {label!r} lies in the folder {folders[label]!r}" for label in labels if folders[label] != label]
    if len(said) <= 5:
        return tuple(said)
    return (*said[:5], f"and {counted(len(said) - 5, 'more class', 'more classes')} in folders of other names")
