"""What a classifier answered, picture by picture, kept with its run so that two runs can be compared on the same pictures."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tellapart.data import ImageTable
from tellapart.errors import BundleError
from tellapart.evaluation.judged import Judgement
from tellapart.evaluation.metrics import wilson_interval
from tellapart.files import cell_text, text_of_cell, write_atomically

COLUMNS = ("sha256", "label", "predicted", "probability", "label_probability")
PARTS = ("valid", "test")  # the held-back parts whose answers a run keeps


@dataclass(frozen=True)
class Answers:
    """A row for each judged picture, in columns of equal length.

    `probability` belongs to `predicted`, `label_probability` to `label`, the true one. Copies of a picture are rows of their own.
    Of several labels a picture each cell holds all of them, as in `Judged`; only all of them at once are right.
    """

    sha256: tuple[str, ...]
    labels: tuple[str, ...]
    predicted: tuple[str, ...]
    probability: tuple[float, ...]
    label_probability: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.sha256)

    @cached_property
    def n_right(self) -> int:
        return sum(map(str.__eq__, self.labels, self.predicted))

    @property
    def accuracy(self) -> float | None:
        """The share of right answers, 0 to 1; None for no pictures."""
        return self.n_right / len(self) if len(self) else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % Wilson interval (lo, hi) of the accuracy."""
        return wilson_interval(self.n_right, len(self)) if len(self) else None

    @cached_property
    def is_right(self) -> dict[tuple[str, str], bool]:
        """(sha256, label) -> whether it was answered so. Copies of a picture are one: they are answered alike."""
        rows = zip(self.sha256, self.labels, self.predicted, strict=True)
        return {(digest, label): label == predicted for digest, label, predicted in rows}

    @classmethod
    def of(cls, report: Judgement, table: ImageTable) -> Answers:
        """The answers of a report on pictures of this table; what failed to be read has none."""
        digest_of = dict(zip(table.paths, table.sha256, strict=True))
        judged = report.judged
        return cls(
            tuple(digest_of[one.path] for one in judged),
            tuple(one.label for one in judged),
            tuple(one.predicted for one in judged),
            tuple(one.probability for one in judged),
            tuple(one.label_probability for one in judged),
        )

    def to_csv(self) -> str:
        """The rows as CSV with a header line."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # a class may be a line feed
        writer.writerow(COLUMNS)
        names = (map(cell_text, column) for column in (self.sha256, self.labels, self.predicted))
        writer.writerows(
            zip(*names, *(map(_figure, column) for column in (self.probability, self.label_probability)), strict=True)
        )
        return text.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> Answers:
        """The answers that `to_csv` wrote. Raises ValueError where the text is something else."""
        try:
            rows = list(csv.reader(io.StringIO(text, newline="")))
        except csv.Error as error:
            raise ValueError(str(error)) from error
        if not rows or tuple(rows[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
            raise ValueError(f"each line must hold {','.join(COLUMNS)}")
        columns: list[tuple[str, ...]] = list(zip(*rows[1:], strict=True)) or [()] * len(COLUMNS)
        digests, labels, predicted = (tuple(map(text_of_cell, column)) for column in columns[:3])
        probability, label_probability = (tuple(map(_share, column)) for column in columns[3:])
        return cls(digests, labels, predicted, probability, label_probability)


def answers_file(run: Path, part: str) -> Path:
    """Where a run keeps its answers on its part "valid" or "test"."""
    return run / f"answers-{part}.csv"


def write_answers(run: Path, part: str, report: Judgement, table: ImageTable) -> Answers:
    """Keep what was answered on a run's held-back part, with the table that the report judged. Raises StorageError."""
    answers = Answers.of(report, table)
    write_atomically(answers_file(run, part), answers.to_csv().encode(errors="surrogateescape"))  # a class is a folder's name
    return answers


def read_answers(run: Path, part: str) -> Answers | None:
    """The answers that a run keeps on a part; None where it keeps none. Raises BundleError where they are damaged."""
    path = answers_file(run, part)
    try:
        return Answers.from_csv(path.read_bytes().decode(errors="surrogateescape"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is damaged: {error}. Delete it: the run is then judged again.") from error


def paired(one: Answers, other: Answers) -> list[tuple[str, bool, bool]]:
    """(label, whether the one was right, whether the other was) for each picture that both answered, with the same true label."""
    return [(key[1], right, other.is_right[key]) for key, right in one.is_right.items() if key in other.is_right]


def _figure(probability: float) -> str:
    return f"{probability:.6g}"


def _share(cell: str) -> float:
    share = float(cell)
    if not (math.isfinite(share) and 0 <= share <= 1.000001):  # softmax in single precision may round to above 1
        raise ValueError(f"{cell} is no probability")
    return share
