"""`Report`: how a classifier did on labelled pictures, with every figure's n and interval."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tellapart.errors import CallError, DataError
from tellapart.evaluation import metrics
from tellapart.evaluation.metrics import ClassScore, Floats, Ints, ReliabilityBin
from tellapart.words import counted

if TYPE_CHECKING:
    from tellapart.inference import Prediction

N_LISTED = 20  # pictures in each list of the JSON
N_CARD_ROWS = 12  # classes in a notebook's table; the weakest come first
UNKNOWN_LABELS_NAMED = 5
FIGURE_STYLE = "text-align:right;padding:0 .5em;white-space:nowrap"


@dataclass(frozen=True)
class Judged:
    """One picture that was judged.

    `probability` belongs to `predicted`, the most probable class; `label_probability` to `label`, the true one.
    `second` is the runner-up, None where there is only one class.
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


@dataclass(frozen=True)
class Confused:
    """How many pictures of `label` were taken for `predicted`, and their share of all the pictures of `label`."""

    label: str
    predicted: str
    n: int
    share: float


@dataclass(frozen=True, eq=False)
class Report:
    """How a classifier did on labelled pictures. Figures that need pictures are None where none was judged.

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

    @classmethod
    def from_predictions(
        cls,
        predictions: Iterable[Prediction],
        labels: Sequence[str],
        classes: Sequence[str],
        *,
        title: str,
        subject: str,
        facts: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> Report:
        """Judge each prediction by the label at the same place; one with an error becomes a failure.

        Raises DataError where a label is not one of `classes`, CallError where there are not as many labels as predictions.
        """
        _refuse_unknown_labels(labels, classes)
        pairs = _paired(predictions, labels)
        answered = [(prediction, label) for prediction, label in pairs if prediction.error is None]
        rows = [[prediction.probabilities[name] for name in classes] for prediction, _ in answered]
        probabilities = np.asarray(rows, np.float64).reshape(len(rows), len(classes))  # (N, K)
        paths = [prediction.path for prediction, _ in answered]
        return cls(
            title=title,
            subject=subject,
            classes=tuple(classes),
            judged=_judge(paths, [label for _, label in answered], classes, probabilities),
            probabilities=probabilities,
            failures=tuple((p.path, p.error) for p, _ in pairs if p.error is not None),
            facts=dict(facts or {}),
            notes=tuple(notes),
        )

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

    @cached_property
    def confusion(self) -> Ints:
        """Counts (K, K): the row is the true class, the column the predicted one."""
        return metrics.confusion_matrix(self._true_idx, self._pred_idx, len(self.classes))

    @cached_property
    def per_class(self) -> dict[str, ClassScore]:
        """The scores of every class, in the order of `classes`."""
        return dict(zip(self.classes, metrics.class_scores(self.confusion), strict=True))

    @cached_property
    def balanced_accuracy(self) -> float | None:
        """The mean recall of the classes that have pictures."""
        return metrics.balanced_accuracy(self.confusion)

    @cached_property
    def commonest_share(self) -> float | None:
        """The accuracy of always answering the commonest class: what any classifier must beat."""
        return int(self.confusion.sum(axis=1).max()) / self.n if self.n else None

    @cached_property
    def log_loss(self) -> float | None:
        """The mean negative natural logarithm of the probability given to the true class."""
        return metrics.log_loss(self.probabilities, self._true_idx)

    @cached_property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """Stated probability against share right, in 15 bins."""
        stated = np.array([one.probability for one in self.judged])
        return metrics.reliability_bins(stated, [one.right for one in self.judged])

    @cached_property
    def calibration_error(self) -> float | None:
        """The expected calibration error over `reliability`, 0 to 1."""
        return metrics.expected_calibration_error(self.reliability)

    @property
    def counts(self) -> str:
        """What came in and what became of it, in one sentence."""
        return f"{counted(self.n + len(self.failures), 'picture')} = {self.n} judged + {len(self.failures)} unreadable"

    def most_wrong(self, n: int = N_LISTED) -> tuple[Judged, ...]:
        """The wrong answers, the most certain first."""
        wrong = (one for one in self.judged if not one.right)
        return tuple(sorted(wrong, key=lambda one: -one.probability)[:n])

    def most_right(self, n: int = N_LISTED) -> tuple[Judged, ...]:
        """The right answers, the most certain first."""
        right = (one for one in self.judged if one.right)
        return tuple(sorted(right, key=lambda one: -one.probability)[:n])

    def least_certain(self, n: int = N_LISTED) -> tuple[Judged, ...]:
        """The answers, right or wrong, whose two most probable classes lie closest together."""
        floor = np.zeros((self.n, 1))  # a runner-up for the case of a single class
        top = np.sort(np.hstack([self.probabilities, floor]), axis=1)[:, -2:]  # (N, 2): second, first
        nearest = np.argsort(top[:, 1] - top[:, 0], kind="stable")[:n]
        return tuple(self.judged[i] for i in nearest)

    def confused_pairs(self, n: int | None = None) -> tuple[Confused, ...]:
        """Which class was taken for which other, the most frequent first."""
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        n_true = self.confusion.sum(axis=1)
        pairs = [
            Confused(self.classes[i], self.classes[j], int(wrong[i, j]), float(wrong[i, j] / n_true[i]))
            for i, j in np.argwhere(wrong)
        ]
        return tuple(sorted(pairs, key=lambda pair: (-pair.n, -pair.share))[:n])

    def summary(self) -> str:
        """The result in one line."""
        if self.accuracy is None or self.interval is None:
            return f"no accuracy: no picture was judged ({self.counts})"
        return f"{percent(self.accuracy)} right (95 % interval {percent_range(self.interval)}), n = {self.n}"

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON; pictures are named, not held, and the lists stop at 20."""
        return {
            "title": self.title,
            "subject": self.subject,
            "summary": self.summary(),
            "counts": self.counts,
            "n": self.n,
            "n_right": self.n_right,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.interval) if self.interval else None,
            "error_rate": self.error_rate,
            "balanced_accuracy": self.balanced_accuracy,
            "log_loss": self.log_loss,
            "calibration_error": self.calibration_error,
            "classes": list(self.classes),
            "per_class": {name: asdict(score) for name, score in self.per_class.items()},
            "confusion": self.confusion.tolist(),
            "most_wrong": [asdict(one) for one in self.most_wrong()],
            "most_right": [asdict(one) for one in self.most_right()],
            "least_certain": [asdict(one) for one in self.least_certain()],
            "failures": [{"path": path, "reason": reason} for path, reason in self.failures],
            "facts": dict(self.facts),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """A card for notebooks: the result, its interval as a bar, the classes."""
        return _card(self)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.classes)}

    @cached_property
    def _true_idx(self) -> npt.NDArray[np.int64]:
        return np.array([self._place[one.label] for one in self.judged], np.int64)

    @cached_property
    def _pred_idx(self) -> npt.NDArray[np.int64]:
        return np.array([self._place[one.predicted] for one in self.judged], np.int64)


def percent(share: float | None) -> str:
    """A share of 0 to 1 as "93.8 %"; only 1 itself becomes "100.0 %" and only 0 becomes "0.0 %"."""
    if share is None:
        return "–"
    return f"{100 * share if share in (0, 1) else min(max(100 * share, 0.1), 99.9):.1f} %"


def percent_range(interval: tuple[float, float]) -> str:
    """An interval of shares as "91.5 to 95.6 %"."""
    lo, hi = interval
    return f"{percent(lo).removesuffix(' %')} to {percent(hi)}"


def _paired(predictions: Iterable[Prediction], labels: Sequence[str]) -> list[tuple[Prediction, str]]:
    found = list(predictions)
    if len(found) != len(labels):
        there = f"{counted(len(found), 'prediction')} and {counted(len(labels), 'label')}"
        raise CallError(f"each prediction needs one label, but there {'is' if len(found) == 1 else 'are'} {there}")
    return list(zip(found, labels, strict=True))


def _judge(paths: Sequence[str], labels: Sequence[str], classes: Sequence[str], probabilities: Floats) -> tuple[Judged, ...]:
    place = {name: i for i, name in enumerate(classes)}
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]  # (N, 2), or (N, 1) for one class
    return tuple(
        Judged(
            path=path,
            label=label,
            predicted=classes[best[0]],
            probability=float(row[best[0]]),
            label_probability=float(row[place[label]]),
            second=classes[best[1]] if len(best) > 1 else None,
        )
        for path, label, best, row in zip(paths, labels, ranked, probabilities, strict=True)
    )


def _refuse_unknown_labels(labels: Iterable[str], classes: Sequence[str]) -> None:
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


def _card(report: Report) -> str:
    """Inline styles and no colours for text, so that it reads on a notebook's light and dark page alike."""
    weakest = sorted(report.per_class.items(), key=lambda item: (item[1].f1 is None, item[1].f1 or 0.0))
    rows = "".join(_card_row(name, score) for name, score in weakest[:N_CARD_ROWS])
    n_more = len(weakest) - N_CARD_ROWS
    more = f"<div style='opacity:.7'>and {counted(n_more, 'more class', 'more classes')}</div>" if n_more > 0 else ""
    head = "".join(f"<th style='{FIGURE_STYLE}'>{name}</th>" for name in ("precision", "recall", "F1", "n"))
    return (
        "<div style='max-width:36em;line-height:1.4'>"
        f"<div style='opacity:.7'>{escape(report.title)} · {escape(report.subject)}</div>"
        f"<div style='font-size:1.3em;font-weight:600'>{escape(report.summary())}</div>{_card_bar(report)}"
        f"<table style='margin:.6em 0;color:inherit'><thead><tr><th style='text-align:left'>class</th>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>{more}<div style='opacity:.7'>{escape(report.counts)}</div></div>"
    )


def _card_row(name: str, score: ClassScore) -> str:
    figures = (percent(score.precision), percent(score.recall), percent(score.f1), str(score.n))
    cells = "".join(f"<td style='{FIGURE_STYLE}'>{figure}</td>" for figure in figures)
    return f"<tr><th style='text-align:left;font-weight:400'><bdi>{escape(name)}</bdi></th>{cells}</tr>"


def _card_bar(report: Report) -> str:
    """The accuracy as a bar from 0 to 100 %, its interval as a darker stretch on it."""
    if report.accuracy is None or report.interval is None:
        return ""
    lo, hi = report.interval
    return (
        "<div style='position:relative;height:10px;margin:.4em 0;border-radius:5px;background:rgba(128,128,128,.25)'>"
        f"<div style='position:absolute;inset:0 auto 0 0;width:{report.accuracy:.2%};border-radius:5px;background:#3b8f7d'></div>"
        f"<div style='position:absolute;top:-2px;bottom:-2px;left:{lo:.2%};width:{hi - lo:.2%};border-radius:3px;"
        "background:rgba(20,70,60,.45);border:1px solid currentColor'></div></div>"
    )
