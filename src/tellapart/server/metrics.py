"""Figures of a running server, in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

Labels = tuple[tuple[str, str], ...]
LATENCY_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
BATCH_PICTURES = (1, 2, 3, 4)


class Counter:
    """A number by labels that only grows."""

    def __init__(self, name: str, meaning: str) -> None:
        self.name = name
        self.meaning = meaning
        self._values: dict[Labels, float] = defaultdict(float)

    def add(self, amount: float = 1, **labels: str) -> None:
        """Count `amount` more under these labels."""
        self._values[tuple(labels.items())] += amount

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.meaning, "counter")
        for labels, value in self._values.items():
            yield f"{self.name}{_written(labels)} {_number(value)}"


class Histogram:
    """How often a measure came to at most each of `bounds`."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.meaning = meaning
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one measure."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.meaning, "histogram")
        n = 0
        for bound, count in zip((*map(_number, self._bounds), "+Inf"), self._counts, strict=True):
            n += count
            yield f'{self.name}_bucket{{le="{bound}"}} {n}'
        yield f"{self.name}_sum {_number(self._sum)}"
        yield f"{self.name}_count {n}"


class Gauge:
    """A number by labels that is asked for when it is read."""

    def __init__(self, name: str, meaning: str, read: Callable[[], Mapping[Labels, float]]) -> None:
        self.name = name
        self.meaning = meaning
        self._read = read

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.meaning, "gauge")
        for labels, value in self._read().items():
            yield f"{self.name}{_written(labels)} {_number(value)}"


class Metrics:
    """All that the server counts."""

    def __init__(self) -> None:
        self.requests = Counter("tellapart_requests_total", "Requests answered, by route and status.")
        self.refusals = Counter("tellapart_refusals_total", "Requests refused, by the kind of reason.")
        self.pictures = Counter("tellapart_pictures_total", "Pictures by outcome.")
        self.loads = Counter("tellapart_model_loads_total", "Models loaded, by name and outcome.")
        self.request_seconds = Histogram("tellapart_request_seconds", "From a request to the answer to its pictures.", LATENCY_S)
        self.batch_pictures = Histogram("tellapart_batch_pictures", "Pictures computed together.", BATCH_PICTURES)
        self._gauges: list[Gauge] = []

    def measure(self, name: str, meaning: str, read: Callable[[], Mapping[Labels, float]]) -> None:
        """Add a gauge, which is read whenever the page is."""
        self._gauges.append(Gauge(name, meaning, read))

    def text(self) -> str:
        """The page that Prometheus reads."""
        counters = (self.requests, self.refusals, self.pictures, self.loads)
        measures: list[Counter | Histogram | Gauge] = [*counters, self.request_seconds, self.batch_pictures, *self._gauges]
        return "".join(f"{line}\n" for measure in measures for line in measure.lines())


def _head(name: str, meaning: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _written(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return f"{value:.10g}"
