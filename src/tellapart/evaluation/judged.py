"""What reports share: the pictures that were judged, how many answers were right, and which were sure and wrong."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tellapart.errors import CallError, DataError
from tellapart.evaluation import metrics
from tellapart.evaluation.metrics import Floats
from tellapart.words import counted

if TYPE_CHECKING:
    from tellapart.inference import Prediction

Label = TypeVar("Label")
N_LISTED = 20  # pictures in each list of the JSON
UNKNOWN_LABELS_NAMED = 5


@dataclass(frozen=True)
class Judged:
    """One picture that was judged.

    `probability` belongs to `predicted`, the most probable class; `label_probability` to `label`, the true one.
    `second` is the runner-up, None where there is only one class. Of several labels a picture `label` and `predicted` are all
    of them, with "|" between, and their probabilities those of all their yes and no at once, as if these were independent.
    """

    path: str
    label: str
    predicted: str
    probability: float
    label_probability: float
    second: str | None = None

    @property
    def right(self) -> bool:
        return self.predicted == self.label


@dataclass(frozen=True, eq=False)
class Judgement:
    """Answers on labelled pictures, judged. Figures that need pictures are None where none was judged.

    `probabilities` is (N, K): a row for each of `judged`, a column for each of `classes`. `failures` are (path, reason) of
    pictures that could not be judged; they count in no figure. `subject` says which pictures these are; `notes` say what a
    reader must know to judge the figures fairly.
    """

    title: str
    subject: str
    classes: tuple[str, ...]
    judged: tuple[Judged, ...]
    probabilities: Floats
    failures: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = (len(self.judged), len(self.classes))
        if self.probabilities.shape != wanted:
            raise DataError(f"a report needs probabilities of shape {wanted}, but these are {self.probabilities.shape}")
        if not np.isfinite(self.probabilities).all():
            raise DataError("some probabilities are not finite numbers: the model is damaged. Train or export it again.")

    @property
    def n(self) -> int:
        """The pictures that were judged; failures are not among them."""
        return len(self.judged)

    @cached_property
    def n_right(self) -> int:
        return sum(one.right for one in self.judged)

    @property
    def accuracy(self) -> float | None:
        """The share of right answers, 0 to 1."""
        return self.n_right / self.n if self.n else None

    @property
    def error_rate(self) -> float | None:
        """The share of wrong answers, 0 to 1."""
        return (self.n - self.n_right) / self.n if self.n else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % Wilson interval (lo, hi) of the accuracy."""
        return metrics.wilson_interval(self.n_right, self.n) if self.n else None

    @property
    def counts(self) -> str:
        """What came in and what became of it, in one sentence."""
        return f"{counted(self.n + len(self.failures), 'picture')} = {self.n:,} judged + {len(self.failures):,} unreadable"

    def main_facts(self) -> dict[str, Any]:
        """What the JSON of every report begins with."""
        return {
            "title": self.title,
            "subject": self.subject,
            "counts": self.counts,
            "n": self.n,
            "n_right": self.n_right,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.interval) if self.interval else None,
            "error_rate": self.error_rate,
        }

    def most_wrong(self, n: int = N_LISTED) -> tuple[Judged, ...]:
        """The wrong answers, the most certain first."""
        wrong = (one for one in self.judged if not one.right)
        return tuple(sorted(wrong, key=lambda one: -one.probability)[:n])

    def most_right(self, n: int = N_LISTED) -> tuple[Judged, ...]:
        """The right answers, the most certain first."""
        right = (one for one in self.judged if one.right)
        return tuple(sorted(right, key=lambda one: -one.probability)[:n])


def percent(share: float | None) -> str:
    """A share of 0 to 1 as "93.8 %"; only 1 itself becomes "100.0 %" and only 0 becomes "0.0 %"."""
    if share is None:
        return "–"
    return f"{100 * share if share in (0, 1) else min(max(100 * share, 0.1), 99.9):.1f} %"


def percent_range(interval: tuple[float, float]) -> str:
    """An interval of shares as "91.5 to 95.6 %"."""
    lo, hi = interval
    return f"{percent(lo).removesuffix(' %')} to {percent(hi)}"


def paired(predictions: Iterable[Prediction], labels: Sequence[Label]) -> list[tuple[Prediction, Label]]:
    """Each prediction with the label at its place. Raises CallError where there are not as many of both."""
    found = list(predictions)
    if len(found) != len(labels):
        there = f"{counted(len(found), 'prediction')} and {counted(len(labels), 'label')}"
        raise CallError(f"each prediction needs one label, but there {'is' if len(found) == 1 else 'are'} {there}")
    return list(zip(found, labels, strict=True))


def refuse_unknown_labels(labels: Iterable[str], classes: Sequence[str]) -> None:
    """Raise one DataError for all the labels that the classifier does not know, with the nearest name of each."""
    known = set(classes)
    unknown = [(label, n) for label, n in Counter(labels).most_common() if label not in known]
    if not unknown:
        return
    named = "; ".join(_suggest(label, n, classes) for label, n in unknown[:UNKNOWN_LABELS_NAMED])
    more = f"; and {len(unknown) - UNKNOWN_LABELS_NAMED} more" if len(unknown) > UNKNOWN_LABELS_NAMED else ""
    verb = "is not a class" if len(unknown) == 1 else "are not classes"
    raise DataError(
        f"{counted(len(unknown), 'label')} of these pictures {verb} of the model: {named}{more}. "
        "Rename or leave out these pictures, or train with them."
    )


def _suggest(label: str, n: int, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(label, classes, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "nothing is named alike"
    return f"{label!r} ({counted(n, 'picture')}; {hint})"
