"""`Report`: how a classifier did on labelled pictures, with every figure's n and interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tellapart.evaluation import metrics
from tellapart.evaluation.cards import card
from tellapart.evaluation.judged import (
    N_LISTED,
    Judged,
    Judgement,
    paired,
    percent,
    percent_range,
    refuse_unknown_labels,
)
from tellapart.evaluation.metrics import ClassScore, Floats, Ints, ReliabilityBin

if TYPE_CHECKING:
    from tellapart.inference import Prediction


__all__ = ["Confused", "Judged", "Report", "percent", "percent_range"]


@dataclass(frozen=True)
class Confused:
    """How many pictures of `label` were taken for `predicted`, and their share of all the pictures of `label`."""

    label: str
    predicted: str
    n: int
    share: float


@dataclass(frozen=True, eq=False)
class Report(Judgement):
    """How a classifier did on labelled pictures, one label a picture."""

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
        refuse_unknown_labels(labels, classes)
        pairs = paired(predictions, labels)
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
            **self.main_facts(),
            "summary": self.summary(),
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
        return card(self, self.summary(), self.per_class)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.classes)}

    @cached_property
    def _true_idx(self) -> npt.NDArray[np.int64]:
        return np.array([self._place[one.label] for one in self.judged], np.int64)

    @cached_property
    def _pred_idx(self) -> npt.NDArray[np.int64]:
        return np.array([self._place[one.predicted] for one in self.judged], np.int64)


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
