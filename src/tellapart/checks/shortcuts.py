"""Shortcuts: classes that brightness, size, shape, file format or camera alone predict.

For each property a classifier that sees nothing else is judged on held-out folds. Many values are cut into bins of equally
many pictures; a bin votes for the class that is most over-represented in it, so that chance is 1/K however the classes
are sized.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tellapart.checks.evidence import Evidence
from tellapart.checks.findings import Finding
from tellapart.data import fold_numbers
from tellapart.words import counted

N_FOLDS = 5
N_BINS = 16  # of a measured property; a guess: fine enough for two peaks, coarse enough for 100 pictures
MIN_OF_CLASS = 10  # pictures; below, a recall is not worth its name
SMOOTHING = 1.0  # pictures added to each bin and class
SURE_SIGMAS = 3.0  # by which the balanced accuracy must lie above `BARELY`
BARELY = 0.6  # of balanced accuracy, where chance is 0.5
N_NAMED = 3
N_EXAMPLES = 12


@dataclass(frozen=True)
class Property:
    """Something about a picture that is not what it shows. `told_above` is the balanced accuracy from which it is told."""

    name: str
    values: Callable[[Evidence], np.ndarray]  # (N,) numbers, or bytes where the property is a name
    told_above: float


PROPERTIES = (
    # What is in the picture may rightly make it bright; its size in pixels says nothing of what it shows. Not 0.75: that is
    # what one class of three reaches where another has a value for itself.
    Property("brightness", lambda evidence: evidence.appearance.brightness, 0.85),
    Property("size in pixels", lambda evidence: evidence.glances["width"].astype(float) * evidence.glances["height"], 0.8),
    Property("aspect ratio", lambda evidence: evidence.glances["width"] / np.maximum(evidence.glances["height"], 1), 0.8),
    Property("file format", lambda evidence: evidence.glances["format"], 0.8),
    Property("colour mode", lambda evidence: evidence.glances["mode"], 0.8),
    Property("camera", lambda evidence: evidence.glances["camera"], 0.8),
)


def find_shortcuts(evidence: Evidence) -> list[Finding]:
    """A finding for each property that alone tells a class from the rest; none for pictures of several labels or one group."""
    if evidence.table.multi_label or len(evidence.table.classes) < 2:
        return []
    folds = fold_numbers(evidence.table, n_folds=N_FOLDS)
    if len(np.unique(folds)) < 2:
        return []
    found = []
    for one in PROPERTIES:
        votes = held_out_votes(one.values(evidence), evidence.table.codes, folds)
        accuracies = {name: told_apart(votes[:, code], evidence.table.codes == code) for name, code in _large_classes(evidence)}
        told = {name: accuracy for name, (accuracy, sigma) in accuracies.items() if _is_told(accuracy, sigma, one)}
        if told:
            found.append(_shortcut(evidence, one, told))
    return found


def held_out_votes(values: np.ndarray, codes: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(N, K) whether each picture's value speaks for each class against the rest, learnt on the other folds."""
    n_classes = int(codes.max()) + 1
    votes = np.zeros((len(codes), n_classes), bool)
    for fold in np.unique(folds):
        seen = folds != fold
        bins, n_bins = _binned(values, seen)
        places = np.bincount(bins[seen] * n_classes + codes[seen], minlength=n_bins * n_classes)
        counts = places.reshape(n_bins, n_classes).astype(float)
        totals = counts.sum(0)
        rest, rest_totals = counts.sum(1, keepdims=True) - counts, counts.sum() - totals
        share = (counts + SMOOTHING) / (totals + SMOOTHING * n_bins)
        rest_share = (rest + SMOOTHING) / (rest_totals + SMOOTHING * n_bins)
        speaks = (share > rest_share) & (counts > 0)  # (n_bins, K)
        votes[~seen] = speaks[bins[~seen]]
    return votes


def _binned(values: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, int]:
    """Each value's bin (N,), and how many there are; the edges are those of the seen values."""
    if values.dtype.kind == "S":
        names, bins = np.unique(values, return_inverse=True)
        return bins, len(names)
    edges = np.unique(np.quantile(values[seen], np.linspace(0, 1, N_BINS + 1)[1:-1]))
    # Twice as many bins as edges: a value that many pictures share is a bin of its own.
    return np.searchsorted(edges, values, "left") + np.searchsorted(edges, values, "right"), 2 * len(edges) + 1


def told_apart(votes: np.ndarray, is_class: np.ndarray) -> tuple[float, float]:
    """Balanced accuracy of a class against the rest, 0.5 by chance, and its standard error."""
    shares = ((votes[is_class].mean(), is_class.sum()), (1 - votes[~is_class].mean(), (~is_class).sum()))
    variance = sum(max(share * (1 - share), 1 / (4 * n)) / n for share, n in shares)  # never quite 0, as Wilson's is not
    return float(shares[0][0] + shares[1][0]) / 2, float(np.sqrt(variance)) / 2


def _large_classes(evidence: Evidence) -> list[tuple[str, int]]:
    table = evidence.table
    return [(name, code) for code, name in enumerate(table.classes) if table.counts[name] >= MIN_OF_CLASS]


def _is_told(accuracy: float, sigma: float, one: Property) -> bool:
    return accuracy >= one.told_above and accuracy - SURE_SIGMAS * sigma > BARELY


def _shortcut(evidence: Evidence, one: Property, told: Mapping[str, float]) -> Finding:
    ordered = sorted(told, key=lambda name: -told[name])
    named = ", ".join(f"{name} ({told[name]:.2f})" for name in ordered[:N_NAMED])
    more = f" and {counted(len(ordered) - N_NAMED, 'more class', 'more classes')}" if len(ordered) > N_NAMED else ""
    text = f"The {one.name} alone tells {named}{more} from the rest (balanced accuracy; 0.50 is chance)."
    suggestion = f"Collect pictures of {ordered[0]} and of the others from the same sources, so that the {one.name} says nothing."
    rows = np.flatnonzero(evidence.table.codes == evidence.table.classes.index(ordered[0]))[:N_EXAMPLES]
    return Finding("shortcut", evidence.paths(rows.tolist()), 2 * told[ordered[0]] - 1, text, suggestion)
