"""`LabelsReport`: how a classifier of several labels a picture did, with every figure's n."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.data.table import LABEL_MARK
from tellapart.errors import DataError
from tellapart.evaluation import metrics
from tellapart.evaluation.cards import card
from tellapart.evaluation.judged import N_LISTED, Judged, Judgement, paired, percent, percent_range, refuse_unknown_labels
from tellapart.evaluation.metrics import Bools, Floats, LabelScore, ReliabilityBin

if TYPE_CHECKING:
    from tellapart.inference import Prediction

N_OF_LABEL = 5  # wrong pictures of each label in the JSON


@dataclass(frozen=True)
class LabelMistake:
    """One label of one picture that was said wrongly, or not said though the picture `has` it; `probability` is the label's."""

    path: str
    label: str
    has: bool
    probability: float

    @property
    def certainty(self) -> float:
        """The probability of the wrong answer, yes or no."""
        return 1 - self.probability if self.has else self.probability


@dataclass(frozen=True, eq=False)
class LabelsReport(Judgement):
    """How a classifier of several labels a picture did: a picture is answered rightly where all its labels are, and no others.

    `thresholds` (K,) say from which probability each of `classes` is said.
    """

    thresholds: tuple[float, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.thresholds) != len(self.classes):
            raise DataError(f"a report on {len(self.classes)} labels needs as many thresholds, not {len(self.thresholds)}")

    @classmethod
    def from_predictions(
        cls,
        predictions: Iterable[Prediction],
        label_sets: Sequence[Sequence[str]],
        thresholds: Mapping[str, float],
        *,
        title: str,
        subject: str,
        facts: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> LabelsReport:
        """Judge each prediction by the labels at the same place; one with an error becomes a failure. `thresholds` name the
        classes, in their order.

        Raises DataError where a label is none of them, CallError where there are not as many sets as predictions.
        """
        classes = tuple(thresholds)
        refuse_unknown_labels((label for labels in label_sets for label in labels), classes)
        pairs = paired(predictions, label_sets)
        answered = [(prediction, labels) for prediction, labels in pairs if prediction.error is None]
        rows = [[prediction.probabilities[name] for name in classes] for prediction, _ in answered]
        probabilities = np.asarray(rows, np.float64).reshape(len(rows), len(classes))  # (N, K)
        said = probabilities >= np.array([*thresholds.values()])
        has = np.array([[name in labels for name in classes] for _, labels in answered], bool).reshape(said.shape)
        return cls(
            title=title,
            subject=subject,
            classes=classes,
            judged=_judge([prediction.path for prediction, _ in answered], classes, probabilities, said, has),
            probabilities=probabilities,
            failures=tuple((p.path, p.error) for p, _ in pairs if p.error is not None),
            facts=dict(facts or {}),
            notes=tuple(notes),
            thresholds=tuple(thresholds.values()),
        )

    @cached_property
    def has_label(self) -> Bools:
        """(N, K): which labels each picture has."""
        return self._sets([one.label for one in self.judged])

    @cached_property
    def said(self) -> Bools:
        """(N, K): which labels were said of each picture."""
        return self._sets([one.predicted for one in self.judged])

    @cached_property
    def per_class(self) -> dict[str, LabelScore]:
        """The scores of every label, in the order of `classes`."""
        scores = metrics.label_scores(self.probabilities, self.has_label, np.array(self.thresholds))
        return dict(zip(self.classes, scores, strict=True))

    @property
    def micro_f1(self) -> float | None:
        """F1 of all yes and no at once: frequent labels count for more."""
        return metrics.micro_f1(self.said, self.has_label)

    @property
    def macro_f1(self) -> float | None:
        """The mean F1 of the labels that occur or were said."""
        return metrics.mean_known(score.f1 for score in self.per_class.values())

    @property
    def mean_average_precision(self) -> float | None:
        """The mean average precision of the labels that occur: how well pictures are ranked, whatever the thresholds."""
        return metrics.mean_known(score.average_precision for score in self.per_class.values())

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean recall of the labels that have pictures."""
        return metrics.mean_known(score.recall for score in self.per_class.values())

    @cached_property
    def commonest(self) -> tuple[str, float] | None:
        """The commonest set of labels, and the share of pictures that always answering it would be right for."""
        labels = [one.label for one in self.judged]
        found = max(sorted(set(labels)), key=labels.count, default=None)
        return None if found is None else (found, labels.count(found) / self.n)

    @property
    def log_loss(self) -> float | None:
        """The mean negative natural logarithm of the probability given to each right yes and no."""
        return metrics.binary_log_loss(self.probabilities, self.has_label)

    @cached_property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """Each label's stated probability against the share of pictures that have it, in 15 bins, over all labels."""
        return metrics.reliability_bins(self.probabilities.ravel(), self.has_label.ravel())

    @cached_property
    def calibration_error(self) -> float | None:
        """The expected calibration error over `reliability`, 0 to 1."""
        return metrics.expected_calibration_error(self.reliability)

    def mistakes(self, label: str, n: int | None = None) -> tuple[LabelMistake, ...]:
        """The pictures for which this label was wrongly said, or wrongly not, the most certain first."""
        place = self.classes.index(label)
        rows = np.flatnonzero(self.said[:, place] != self.has_label[:, place])
        found = [
            LabelMistake(self.judged[row].path, label, bool(self.has_label[row, place]), float(self.probabilities[row, place]))
            for row in rows
        ]
        return tuple(sorted(found, key=lambda one: -one.certainty)[:n])

    def least_certain(self, n: int = N_LISTED) -> tuple[Judged, ...]:
        """The answers, right or wrong, that the classifier itself holds for the least likely."""
        return tuple(sorted(self.judged, key=lambda one: one.probability)[:n])

    def summary(self) -> str:
        """The result in one line."""
        if self.accuracy is None or self.interval is None:
            return f"no accuracy: no picture was judged ({self.counts})"
        others = f"micro F1 {percent(self.micro_f1)}, macro F1 {percent(self.macro_f1)}"
        right = f"{percent(self.accuracy)} with all labels right (95 % interval {percent_range(self.interval)}), n = {self.n}"
        return f"{right}; {others}, mean average precision {percent(self.mean_average_precision)}"

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON; `accuracy` is the share of pictures with all labels right, and no others.

        Pictures are named, not held, and the lists stop at 20, those of a label at 5.
        """
        return {
            **self.main_facts(),
            "summary": self.summary(),
            "balanced_accuracy": self.balanced_accuracy,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "mean_average_precision": self.mean_average_precision,
            "log_loss": self.log_loss,
            "calibration_error": self.calibration_error,
            "classes": list(self.classes),
            "per_class": {name: asdict(score) for name, score in self.per_class.items()},
            "mistakes": {name: [asdict(one) for one in self.mistakes(name, N_OF_LABEL)] for name in self.classes},
            "most_wrong": [asdict(one) for one in self.most_wrong()],
            "most_right": [asdict(one) for one in self.most_right()],
            "least_certain": [asdict(one) for one in self.least_certain()],
            "failures": [{"path": path, "reason": reason} for path, reason in self.failures],
            "facts": dict(self.facts),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """A card for notebooks: the result, its interval as a bar, the labels."""
        return card(self, self.summary(), self.per_class)

    def _sets(self, cells: Sequence[str]) -> Bools:
        """(N, K): the labels of cells that hold several."""
        sets = [set(cell.split(LABEL_MARK)) for cell in cells]
        return np.array([[name in labels for name in self.classes] for labels in sets], bool).reshape(self.probabilities.shape)


def _judge(paths: Sequence[str], classes: Sequence[str], probabilities: Floats, said: Bools, has: Bools) -> tuple[Judged, ...]:
    of_said, of_true = (np.where(is_so, probabilities, 1 - probabilities).prod(1) for is_so in (said, has))

    def joined(is_so: Bools) -> str:
        return LABEL_MARK.join(name for name, one in zip(classes, is_so, strict=True) if one)

    return tuple(
        Judged(path, joined(true), joined(answered), float(probability), float(label_probability))
        for path, true, answered, probability, label_probability in zip(paths, has, said, of_said, of_true, strict=True)
    )
