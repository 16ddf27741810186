"""Figures about a classifier's answers: plain functions of counts and probabilities, in numpy alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Z_95 = 1.959964  # standard normal quantile at 0.975: the two sides of a 95 % interval
N_BINS = 15  # equal-width confidence bins, as in Guo et al. 2017
SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)  # keeps the logarithm finite; scikit-learn's choice too

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ClassScore:
    """How one class fared. A score whose denominator is zero is None, never a silent 0 or 1.

    `precision` is None when the class was never answered, `recall` when it has no picture, `f1` when both hold.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    n: int


@dataclass(frozen=True)
class LabelScore(ClassScore):
    """How one of several labels a picture fared; `average_precision`, for any threshold, is None when it has no picture."""

    average_precision: float | None
    threshold: float


@dataclass(frozen=True)
class ReliabilityBin:
    """The pictures whose stated probability lies in (lo, hi]; the means are None when there are none."""

    lo: float
    hi: float
    n: int
    confidence: float | None
    accuracy: float | None


def wilson_interval(n_right: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """The interval (lo, hi) of a proportion, within 0 to 1; (0.0, 1.0) when n is 0: nothing is known.

    Wilson 1927. Unlike the normal approximation it stays sensible for few pictures and for 0 or 100 % right.
    """
    if not 0 <= n_right <= n:
        raise ValueError(f"n_right must lie between 0 and n, but n_right is {n_right} and n is {n}")
    if n == 0:
        return 0.0, 1.0
    share = n_right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    lo = 0.0 if n_right == 0 else centre - half  # exact at both ends, where rounding would leave 1e-17
    hi = 1.0 if n_right == n else centre + half
    return lo, hi


def confusion_matrix(true_idx: npt.ArrayLike, pred_idx: npt.ArrayLike, n_classes: int) -> Ints:
    """Counts (K, K): the row is the true class, the column the predicted one."""
    true, pred = np.asarray(true_idx, np.int64), np.asarray(pred_idx, np.int64)
    if true.shape != pred.shape:
        raise ValueError(f"as many true as predicted classes are needed, but there are {true.size} and {pred.size}")
    both = np.concatenate([true, pred])
    if both.size and (both.min() < 0 or both.max() >= n_classes):
        raise ValueError(f"every class index must lie between 0 and {n_classes - 1}")
    cells = np.bincount(true * n_classes + pred, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def class_scores(confusion: Ints) -> tuple[ClassScore, ...]:
    """Precision, recall, F1 and the number of pictures of each class, in the order of the rows of (K, K)."""
    right, n_true, n_pred = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return tuple(
        ClassScore(
            precision=_ratio(tp, answered),
            recall=_ratio(tp, n),
            f1=_ratio(2 * tp, n + answered),
            n=n,
        )
        for tp, n, answered in zip(right.tolist(), n_true.tolist(), n_pred.tolist(), strict=True)
    )


def balanced_accuracy(confusion: Ints) -> float | None:
    """The mean recall of the classes that have pictures; None when none has."""
    recalls = [score.recall for score in class_scores(confusion) if score.recall is not None]
    return _ratio(math.fsum(recalls), len(recalls))


def log_loss(probabilities: Floats, true_idx: npt.ArrayLike) -> float | None:
    """The mean negative log (natural) of the probability (N, K) given to the true class; None for no pictures."""
    true = np.asarray(true_idx, np.int64)
    if not true.size:
        return None
    of_true = np.asarray(probabilities, np.float64)[np.arange(true.size), true]
    return float(-np.log(np.clip(of_true, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)).mean())


def reliability_bins(confidence: Floats, right: npt.ArrayLike, n_bins: int = N_BINS) -> tuple[ReliabilityBin, ...]:
    """Stated probability against share right, in equal-width bins (lo, hi]; a confidence of 0 falls in the first."""
    confidence, hits = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    edges = np.linspace(0, 1, n_bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1)
    n, said, was = (np.bincount(place, weights, n_bins) for weights in (None, confidence, hits))
    return tuple(
        ReliabilityBin(
            lo=float(edges[i]),
            hi=float(edges[i + 1]),
            n=int(n[i]),
            confidence=_ratio(float(said[i]), int(n[i])),
            accuracy=_ratio(float(was[i]), int(n[i])),
        )
        for i in range(n_bins)
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """The mean gap between stated and reached accuracy over `reliability_bins`, weighted by their pictures.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3. None for no pictures.
    """
    gaps = (b.n * abs(b.accuracy - b.confidence) for b in bins if b.accuracy is not None and b.confidence is not None)
    return _ratio(math.fsum(gaps), sum(b.n for b in bins))


def label_scores(probabilities: Floats, has_label: Bools, thresholds: Floats) -> tuple[LabelScore, ...]:
    """The scores of each of several labels, said where its probability (N, K) reaches its threshold (K,)."""
    said = probabilities >= thresholds
    return tuple(
        LabelScore(
            precision=_ratio(right, n_said),
            recall=_ratio(right, n),
            f1=_ratio(2 * right, n + n_said),
            n=n,
            average_precision=average_precision(probabilities[:, place], has_label[:, place]),
            threshold=float(thresholds[place]),
        )
        for place, (right, n, n_said) in enumerate(
            zip((said & has_label).sum(0).tolist(), has_label.sum(0).tolist(), said.sum(0).tolist(), strict=True)
        )
    )


def micro_f1(said: Bools, has_label: Bools) -> float | None:
    """F1 of all the answers (N, K) at once; None where no label was said and none was there to say."""
    return _ratio(2 * int((said & has_label).sum()), int(said.sum() + has_label.sum()))


def mean_known(values: Iterable[float | None]) -> float | None:
    """The mean of what is not None."""
    known = [value for value in values if value is not None]
    return _ratio(math.fsum(known), len(known))


def average_precision(probabilities: Floats, has_label: Bools) -> float | None:
    """The mean precision over the recall as the threshold comes down, by steps and not by trapezia as scikit-learn has it.

    None when no picture (N,) has the label.
    """
    if not has_label.any():
        return None
    order = np.argsort(-probabilities, kind="stable")
    ranked, n_found = probabilities[order], np.cumsum(has_label[order])
    is_step = np.append(ranked[:-1] != ranked[1:], True)  # equal probabilities are one step
    n_found, n_said = n_found[is_step], (np.arange(len(ranked)) + 1)[is_step]
    return float((np.diff(n_found, prepend=0) * n_found / n_said).sum() / n_found[-1])


def binary_log_loss(probabilities: Floats, has_label: Bools) -> float | None:
    """The mean negative log (natural) of the probability given to each yes and no (N, K); None for no pictures."""
    of_true = np.where(has_label, probabilities, 1 - probabilities).astype(np.float64)
    return float(-np.log(np.clip(of_true, SMALLEST_PROBABILITY, 1)).mean()) if of_true.size else None


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
