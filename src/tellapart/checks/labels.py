"""Labels that are likely wrong: confident learning (Northcutt, Jiang & Chuang 2021, doi:10.1613/jair.1.12125) in NumPy.

A picture counts as one of class j where its probability of j reaches what pictures labelled j have on average. One that
counts as another class than its label's, judged by a model that had not seen it, is likely mislabelled. The same pictures
and ranking as cleanlab's `filter_by="confident_learning"`, without its import of some seconds.
"""

from __future__ import annotations

import numpy as np

from tellapart.checks.evidence import Evidence
from tellapart.checks.findings import Finding, short_name
from tellapart.data.edits import Proposal

TOLERANCE = 1e-6  # cleanlab's; a class of one picture reaches its own mean


def find_wrong_labels(evidence: Evidence) -> list[Finding]:
    """Pictures that held-out probabilities confidently place in another class, the surest first.

    A class that lies in one fold is passed over: the head that judged its pictures had never seen it.
    """
    if evidence.fold_probabilities is None or not len(evidence.fold_probabilities):
        return []
    codes = evidence.table.codes
    probabilities = np.where(evidence.judged, evidence.fold_probabilities, 0)
    own = self_confidence(codes, probabilities)
    known = np.flatnonzero(self_confidence(codes, evidence.judged))
    rows = known[confident_errors(codes[known], probabilities[known])]
    return [_wrong_label(evidence, row, probabilities[row], own[row]) for row in rows[np.argsort(own[rows], kind="stable")]]


def self_confidence(codes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(N,) the probability that each picture's own label gets; the lower, the likelier is the label wrong."""
    own: np.ndarray = probabilities[np.arange(len(codes)), codes]
    return own


def confident_errors(codes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Rows that lie off the diagonal of the confident joint and whose most probable class is not their label.

    `codes` (N,) are labels as 0..K-1, `probabilities` (N, K) held-out ones.
    """
    confident = probabilities >= class_thresholds(codes, probabilities) - TOLERANCE  # (N, K)
    likeliest, n_confident = probabilities.argmax(1), confident.sum(1)
    counted_as = np.where(n_confident == 1, confident.argmax(1), likeliest)
    return np.flatnonzero((n_confident > 0) & (counted_as != codes) & (likeliest != codes))


def class_thresholds(codes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(K,) mean probability of each class among the pictures labelled so; infinite for a class without pictures."""
    n_classes = probabilities.shape[1]
    totals = np.bincount(codes, weights=self_confidence(codes, probabilities), minlength=n_classes)
    counts = np.bincount(codes, minlength=n_classes)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.inf)


def _wrong_label(evidence: Evidence, row: np.intp, probabilities: np.ndarray, own: float) -> Finding:
    table = evidence.table
    path, label, likely = table.paths[row], table.labels[row], table.classes[int(probabilities.argmax())]
    text = f"{short_name(path)} looks like {likely} ({probabilities.max():.2f}) and little like {label} ({own:.2f})."
    relabel = Proposal(path, table.sha256[row], "relabel", likely)
    return Finding("wrong_label", (path,), 1 - float(own), text, f"Look at it; if you agree, relabel it to {likely}.", (relabel,))
