"""What a format keeps of its bundle: how far the probabilities differ, how many answers are right, how large and fast it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data import ImageTable
from tellapart.errors import CallError
from tellapart.evaluation.judged import Judgement, percent, percent_range
from tellapart.evaluation.judging import judge
from tellapart.images.containers import exists
from tellapart.inference import Classifier
from tellapart.inference.runtimes import BATCH
from tellapart.progress import Progress
from tellapart.runs.run import TABLE_FILE, Run
from tellapart.sources import read

MAX_JUDGED = 2_000  # pictures: an accuracy of 90 % is then known to 1.3 points, and two networks answer in minutes
MAX_CALIBRATION = 128  # pictures; 32 flowers gave as small differences as 240, but odd pictures are rare
USUAL = 0.95  # of the pictures: the largest difference of all grows with their number, and says nothing of the rest
TIMED_BATCHES = 16
TIMED_ROUNDS = 3


@dataclass(frozen=True)
class Pictures:
    """What a format is judged on, and what int8 is calibrated on; no picture is in both, and none of a test part."""

    judged: ImageTable | None
    calibration: tuple[str, ...]
    subject: str  # of those that are judged, in words; without the path, which is no one's business but the exporter's


@dataclass(frozen=True)
class Row:
    """One network in one runtime. What needs pictures is None where there are none."""

    network: str
    runtime: str
    megabytes: float
    ms_per_picture: float  # of the network alone, in batches of 4, on the machine that exported
    n: int
    accuracy: float | None
    interval: tuple[float, float] | None
    difference: float | None  # the largest of any probability of any picture from the bundle's
    usual_difference: float | None  # what a picture's largest difference stays below for 19 pictures of 20


@dataclass(frozen=True)
class Comparison:
    """A bundle and its formats, the bundle first."""

    rows: tuple[Row, ...]
    subject: str

    def to_json(self) -> dict[str, Any]:
        return {"subject": self.subject, "rows": [asdict(row) for row in self.rows]}

    def table(self) -> str:
        """In Markdown, for a file and a terminal."""
        heads = ("network", "runtime", "right", "largest difference (of 19 in 20 pictures)", "MB", "ms a picture")
        lines = [heads, tuple("-" * len(head) for head in heads), *map(_cells, self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
        return "\n".join(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
        )


def pictures_of(path: Path, classifier: Classifier, data: str | Path | None, *, progress: Progress) -> Pictures:
    """The labelled pictures of `data`, else those that the run at `path` held back to validate on, as far as they are there.

    Of `data` those are left out that the run was trained on, or locked away. Calibration takes training pictures of the run;
    without a run, every other picture of `data`, which is then not judged on.
    Raises CallError and DataError for `data` that cannot be read.
    """
    table = Run.load(path).table if (path / TABLE_FILE).is_file() else None
    calibration = [] if table is None else _spread(_there(table.in_split("train")).paths, MAX_CALIBRATION)
    if data is None:
        held_back = None if table is None else _there(table.in_split("valid"))
        return Pictures(_some(held_back), tuple(calibration), "pictures that the run held back")
    given = read(data, progress=progress)
    if table is not None:
        closed = {digest for digest, split in zip(table.sha256, table.splits, strict=True) if split != "valid"}
        given = given.take(row for row, digest in enumerate(given.sha256) if digest not in closed)
    if not calibration:
        calibration = _spread(given.paths[1::2], MAX_CALIBRATION)
        given = given.take(range(0, len(given), 2))
    return Pictures(
        _some(given), tuple(calibration), f"pictures of {Path(data).resolve().name} that were neither trained on nor locked away"
    )


class Yardstick:
    """A bundle's own answers to the pictures, which its formats are held against; `row` tells of the bundle itself."""

    def __init__(self, classifier: Classifier, pictures: Pictures, *, progress: Progress) -> None:
        self.pictures = pictures
        self._progress = progress
        self._judgement: Judgement | None = None
        self.row, self._judgement = self._measured(classifier, "the bundle's", [classifier.folder / "model.onnx"])

    def row_of(self, classifier: Classifier, network: str, files: Sequence[Path]) -> Row:
        """How a format's classifier does; `files` are its network's."""
        return self._measured(classifier, network, files)[0]

    def _measured(self, classifier: Classifier, network: str, files: Sequence[Path]) -> tuple[Row, Judgement | None]:
        judgement, pictures = None, self.pictures
        if pictures.judged is not None:
            judgement = judge(classifier, pictures.judged, title=network, subject=pictures.subject, progress=self._progress)
        differences = self._differences(judgement)
        row = Row(
            network=network,
            runtime=classifier.runtime.name,
            megabytes=sum(file.stat().st_size for file in files) / 1e6,
            ms_per_picture=_ms_per_picture(classifier),
            n=judgement.n if judgement else 0,
            accuracy=judgement.accuracy if judgement else None,
            interval=judgement.interval if judgement else None,
            difference=None if differences is None else float(differences.max()),
            usual_difference=None if differences is None else float(np.quantile(differences, USUAL)),
        )
        return row, judgement

    def _differences(self, judgement: Judgement | None) -> np.ndarray | None:
        """(N,): each picture's largest difference of a probability from the bundle's; None where there is nothing to compare."""
        if judgement is None or self._judgement is None or not judgement.n:
            return None
        found: np.ndarray = np.abs(judgement.probabilities - self._judgement.probabilities).max(1)
        return found


def refuse_unjudged(yardstick: Yardstick) -> None:
    """Raise CallError where there is nothing to calibrate on, or nothing was judged."""
    if not yardstick.row.n or not yardstick.pictures.calibration:
        raise CallError(
            "int8 is calibrated and judged on pictures that can be read, and there are none: those of the run are not in their "
            "place, or --data has only such as were trained on or locked away. Give labelled ones: --data FOLDER"
        )


def _cells(row: Row) -> tuple[str, ...]:
    right = f"{percent(row.accuracy)} ({percent_range(row.interval)}), n = {row.n:,}" if row.interval else "not judged"
    difference = "–" if row.difference is None else f"{row.difference:.4f} ({row.usual_difference:.4f})"
    return (row.network, row.runtime, right, difference, f"{row.megabytes:.1f}", f"{row.ms_per_picture:.1f}")


def _there(table: ImageTable) -> ImageTable:
    return table.take(row for row, path in enumerate(table.paths) if exists(path))


def _some(table: ImageTable | None) -> ImageTable | None:
    """At most `MAX_JUDGED` pictures, spread over the table; None of an empty one."""
    return table.take(_spread(range(len(table)), MAX_JUDGED)) if table else None


def _spread(items: Any, n: int) -> list[Any]:
    return [items[place] for place in np.linspace(0, len(items) - 1, min(n, len(items))).astype(int)]


def _ms_per_picture(classifier: Classifier) -> float:
    """The best of some rounds, as others' work on the machine only ever adds. What is on the pictures does not matter."""
    fit, stream = classifier.manifest.fit, classifier.runtime.stream
    batch = np.zeros((BATCH, fit.side_px, fit.side_px, fit.n_channels), np.uint8)
    list(stream([batch, batch]))  # compiles it
    rounds = []
    for _ in range(TIMED_ROUNDS):
        begun = time.perf_counter()
        list(stream([batch] * TIMED_BATCHES))
        rounds.append(time.perf_counter() - begun)
    return min(rounds) * 1e3 / (TIMED_BATCHES * BATCH)
