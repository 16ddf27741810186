"""The probability from which each of several labels is said: the one with the best F1 on the validation pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tellapart.data import ImageTable
from tellapart.inference.features import embed
from tellapart.training.trainer import Fitted
from tellapart.words import counted

FEWEST = 5  # pictures with the label, and as many without, from which a threshold is chosen; a guess
PLAIN = 0.5  # the threshold where they are fewer
NAMED = 5


def with_thresholds(fitted: Fitted, held: ImageTable) -> tuple[Fitted, tuple[str, ...]]:
    """A classifier of several labels a picture with a threshold for each, chosen on the held-back pictures, and what is to be
    said of them. One of a single label a picture comes back as it is.
    """
    if not fitted.head.several:
        return fitted, ()
    features = embed(held, fitted.backbone)
    readable = held.without(features.failures)
    probabilities = fitted.head.probabilities(features.floats(readable))
    classes = fitted.table.classes
    has_label = readable.membership(classes)
    thresholds = tuple(best_threshold(*columns) for columns in zip(probabilities.T, has_label.T, strict=True))
    return replace(fitted, thresholds=thresholds), _notes(classes, has_label)


def best_threshold(probabilities: np.ndarray, has_label: np.ndarray) -> float:
    """The threshold with the greatest F1, half-way between two of the probabilities (N,); of several as good ones the one
    nearest to 0.5. Where fewer than `FEWEST` of the pictures have the label, or lack it, 0.5.
    """
    if min(has_label.sum(), (~has_label).sum()) < FEWEST:
        return PLAIN
    order = np.argsort(-probabilities, kind="stable")
    ranked, n_found = probabilities[order].astype(np.float64), np.cumsum(has_label[order])
    f1 = 2 * n_found / (np.arange(1, len(ranked) + 1) + has_label.sum())  # where the first 1, 2, ... N are said to have it
    cuts = (ranked + np.append(ranked[1:], 0.0)) / 2
    is_cut = np.append(ranked[:-1] > ranked[1:], True)  # equal probabilities are not to be parted
    f1, cuts = f1[is_cut], cuts[is_cut]
    best = cuts[f1 == f1.max()]
    return float(best[np.abs(best - PLAIN).argmin()])


def _notes(classes: Sequence[str], has_label: np.ndarray) -> tuple[str, ...]:
    """Which thresholds could not be chosen, if any."""
    n_with, n = has_label.sum(0), len(has_label)
    few = [name for name, count in zip(classes, n_with, strict=True) if min(count, n - count) < FEWEST]
    if not few:
        return ()
    more = f" and {len(few) - NAMED} more" if len(few) > NAMED else ""
    return (
        f"{counted(len(few), 'label has', 'labels have')} the threshold {PLAIN}, since fewer than {FEWEST} validation pictures "
        f"have the label, or lack it: {', '.join(map(repr, few[:NAMED]))}{more}.",
    )
