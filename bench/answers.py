"""What a load generator is answered, and the tally it keeps."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What came back, and whether the connection can take another request."""

    status: int
    body: bytes
    keeps: bool


def answer_in(received: bytes) -> Answer | None:
    """The answer that these bytes are, once it is here in full: just as much HTTP as answers with a Content-Length need."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r")[0] or 0)
    if len(received) < end + 4 + length:
        return None
    return Answer(int(head[9:12]), received[end + 4 :], b"connection: close" not in head)


@dataclass
class Tally:
    """What became of requests: milliseconds and moments of those answered with 200, the statuses of all, what broke."""

    ms: list[float] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)

    def add(self, since: float, answer: Answer | OSError) -> None:
        """Note what became of a request that was meant to be sent at this moment."""
        now = time.perf_counter()
        if isinstance(answer, OSError):
            self.broken[type(answer).__name__] += 1
            return
        self.statuses[answer.status] += 1
        if answer.status == 200:
            self.ms.append(1000 * (now - since))
            self.at_s.append(now)
        else:
            self.refused_ms.append(1000 * (now - since))

    def merge(self, other: Tally) -> None:
        for mine, more in ((self.ms, other.ms), (self.at_s, other.at_s), (self.refused_ms, other.refused_ms)):
            mine.extend(more)
        self.statuses += other.statuses
        self.broken += other.broken

    def per_second(self) -> list[int]:
        """How many were answered with 200 in each second since the first."""
        first = min(self.at_s, default=0.0)
        counts = Counter(int(moment - first) for moment in self.at_s)
        return [counts[second] for second in range(max(counts, default=-1) + 1)]

    def to_json(self, *, seconds: float) -> dict[str, Any]:
        return {
            "n": sum(self.statuses.values()),
            "seconds": round(seconds, 3),
            "ok_per_s": round(len(self.ms) / seconds, 2),
            "statuses": dict(self.statuses),
            "broken": dict(self.broken),
            "ms": quantiles(self.ms),
            "refused_ms": quantiles(self.refused_ms),
        }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum; empty for fewer than two values."""
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {name: round(value, 2) for name, value in (("p50", cuts[49]), ("p99", cuts[98]), ("max", max(values)))}
