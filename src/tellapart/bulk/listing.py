"""Which pictures are meant: found one after the other, in bounded memory, in the same order each time."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from tellapart.bulk import remote
from tellapart.data import Skipped
from tellapart.data.table import UNREADABLE
from tellapart.errors import CallError
from tellapart.sources import list_members, pictures_in
from tellapart.sources.walking import Skip
from tellapart.spilling import encoded, once, sorted_texts

MAX_SHARDS = 1_000_000  # a guess: no cluster runs more jobs


@dataclass
class PassedOver:
    """What was found beside the pictures, as far as they have been listed."""

    n: int = 0
    first: Skipped | None = None
    unreadable: list[Skipped] = field(default_factory=list)  # what was meant as a picture, or may hold some

    def add(self, one: Skipped) -> None:
        """Count it, and keep it where pictures may be lost by it."""
        self.n += 1
        self.first = self.first or one
        if one.kind == UNREADABLE:
            self.unreadable.append(one)


@dataclass(frozen=True)
class Shard:
    """A part of the pictures: those whose path has a hash that falls to it, whatever else is listed and whoever else runs."""

    number: int  # from 1
    n_shards: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that "3/16" means. Raises CallError where there is none such."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None:
            raise CallError(f"{text!r} is no shard; give its number and how many there are: --shard 3/16")
        number, n_shards = int(match[1]), int(match[2])
        if not 1 <= n_shards <= MAX_SHARDS:
            raise CallError(f"--shard {text}: there can be 1 to {MAX_SHARDS:,} shards")
        if not 1 <= number <= n_shards:
            hint = f". With Slurm: --array=1-{n_shards}" if number == 0 else ""
            raise CallError(f"--shard {text}: there is no shard {number}; they are numbered from 1 to {n_shards}{hint}")
        return cls(number, n_shards)

    def __str__(self) -> str:
        return f"{self.number}/{self.n_shards}"

    def holds(self, path: str) -> bool:
        """Whether a picture is this shard's, by its path as it is given in predictions."""
        digest = hashlib.sha256(encoded(path)).digest()
        return int.from_bytes(digest[:8], "big") % self.n_shards == self.number - 1

    def named(self, file: str) -> str:
        """A file's name with the shard's in it: preds.csv becomes preds-03-of-16.csv."""
        stem, suffix = os.path.splitext(file)
        return f"{stem}-{self.number:0{len(str(self.n_shards))}d}-of-{self.n_shards}{suffix}"


def find_pictures(patterns: Sequence[str], passed: PassedOver, *, shard: Shard | None = None) -> Iterator[str]:
    """The pictures that these paths, folders, globs and URLs mean, each once, in the order given; folders by name.

    A file that holds or names pictures (a pixel CSV, an IDX file, a .npy, a tar, a table of paths) means each of them, as does
    a folder of IDX files or of tars. A path that is named but not there is kept: its prediction will say so. `passed` is told
    of all else, as the listing comes upon it.
    Raises CallError at once where a folder, file or glob holds no picture.
    """
    pictures: Iterable[str] = chain.from_iterable([_begun(pattern, passed.add) for pattern in patterns])
    if list(map(os.path.isdir, patterns)) != [True]:  # one folder means nothing twice
        pictures = once(pictures)
    return (path for path in pictures if shard is None or shard.holds(path))


def _begun(pattern: str, skip: Skip) -> Iterable[str]:
    """The pictures that a pattern means, the first of them looked for."""
    pictures = _pictures(pattern, skip)
    first = next(pictures, None)
    if first is None:
        raise CallError(f"{pattern} holds no pictures (.jpg, .png, .webp and alike)")
    return chain([first], pictures)


def _pictures(pattern: str, skip: Skip) -> Iterator[str]:
    if remote.is_url(pattern):
        yield from remote.pictures_at(pattern, skip)
    elif os.path.isdir(pattern):
        yield from pictures_in(pattern, skip)
    elif os.path.lexists(pattern) or not glob.has_magic(pattern):
        yield from _members(pattern, skip)
    else:
        for path in sorted_texts(glob.iglob(pattern, recursive=True)):
            if not os.path.isdir(path):
                yield from _members(path, skip)


def _members(file: str, skip: Skip) -> Iterator[str]:
    """A file, or in its place the pictures that it holds or names."""
    pictures, skipped = list_members(file) or ([file], [])
    for one in skipped:
        skip(one)
    yield from pictures
