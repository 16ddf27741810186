"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from tellapart.errors import CallError

LINE = re.compile(r"([\w.-]{1,64})\s+([0-9a-fA-F]{64})")
MAX_CALLERS = 10_000  # whose allowance is remembered; of more, those that asked least lately are forgotten


class Keys:
    """The keys that are let in, by name; only their SHA-256 is known, so they must be long and random."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = {name: bytes.fromhex(digest) for name, digest in hashes.items()}

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Of a file with a line a key: its name, and its SHA-256 as 64 hexadecimal digits; # begins a comment.

        Raises CallError for anything else, and where there is no key.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise CallError(f"cannot read the keys in {path}: {getattr(error, 'strerror', None) or error}") from error
        hashes: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            if not (text := line.partition("#")[0].strip()):
                continue
            match = LINE.fullmatch(text)
            if match is None:
                raise CallError(f"{path}, line {number}: write a name and the SHA-256 of a key (64 hexadecimal digits)")
            if match[1] in hashes:
                raise CallError(f"{path}, line {number}: the name {match[1]!r} is there already")
            hashes[match[1]] = match[2]
        if not hashes:
            raise CallError(f"{path} holds no key; write a name and the SHA-256 of a key a line")
        return cls(hashes)

    def name_of(self, key: bytes) -> str | None:
        """The name of a key; None for one that is not let in. Takes as long whichever it is."""
        digest, found = hashlib.sha256(key).digest(), None
        for name, known in self._hashes.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


class Rates:
    """How often each caller may still ask: a bucket that fills evenly and holds two seconds' requests, at least one."""

    def __init__(self, requests_per_s: float) -> None:
        self._per_s = requests_per_s
        self._holds = max(1.0, 2 * requests_per_s)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller -> what is left, when

    def wait_s(self, caller: str) -> float:
        """Take one request; where there is none left, the seconds until there will be one, else 0."""
        if not self._per_s:
            return 0.0
        now = time.monotonic()
        left, since = self._buckets.pop(caller, (self._holds, now))
        left = min(self._holds, left + (now - since) * self._per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._per_s
        self._buckets[caller] = (left if wait_s else left - 1, now)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return wait_s
