"""Leaks: pictures that stand in two parts of a split, and what the score would be without them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from tellapart.checks.evidence import Evidence
from tellapart.checks.findings import Finding, counted
from tellapart.data.edits import Proposal
from tellapart.data.table import SPLITS

PART = {"train": "training", "valid": "validation", "test": "test"}


def find_leaks(evidence: Evidence) -> list[Finding]:
    """A finding for each two parts of the split that the data bring which share copies or near copies.

    Its paths are pairs: the held-back picture, then its copy in the other part.
    """
    found = []
    for source, held in combinations(SPLITS, 2):
        pairs = _pairs(evidence, source, held)
        if pairs:
            found.append(_leak(evidence, pairs, source, held))
    return found


def _pairs(evidence: Evidence, source: str, held: str) -> list[tuple[int, int]]:
    """(row of the held-back part, row of a copy in the source part), each held-back row once; an exact copy before a near one."""
    splits, digests = evidence.table.splits, evidence.table.sha256
    first_of = {digests[row]: row for row in reversed(range(len(digests))) if splits[row] == source}
    alike = defaultdict[str, list[str]](list)  # contents that are near copies, the most similar first
    for pair in sorted(evidence.copies, key=lambda pair: -pair.score):
        alike[digests[pair.first]].append(digests[pair.second])
        alike[digests[pair.second]].append(digests[pair.first])
    pairs = []
    for row in (row for row, split in enumerate(splits) if split == held):
        other = next((digest for digest in (digests[row], *alike[digests[row]]) if digest in first_of), None)
        if other is not None:
            pairs.append((row, first_of[other]))
    return pairs


def _leak(evidence: Evidence, pairs: Sequence[tuple[int, int]], source: str, held: str) -> Finding:
    table = evidence.table
    n_held, n_exact = table.splits.count(held), sum(table.sha256[a] == table.sha256[b] for a, b in pairs)
    text = (
        f"{len(pairs):,} of {counted(n_held, f'{PART[held]} picture')} ({len(pairs) / n_held:.1%}) are copies of "
        f"{PART[source]} pictures: {n_exact} exact, {len(pairs) - n_exact} near.{_effect(evidence, pairs, source, held)}"
    )
    paths = tuple(table.paths[row] for pair in pairs for row in pair)
    near = dict.fromkeys(other for row, other in pairs if table.sha256[other] != table.sha256[row])
    drops = tuple(Proposal(table.paths[row], table.sha256[row], "drop") for row in near)
    suggestion = f"Leave the copies out of the {PART[source]} part; `tellapart train` does so unless told --allow-leaks."
    return Finding("leak", paths, min(1.0, 0.5 + len(pairs) / n_held), text, suggestion, drops)


def _effect(evidence: Evidence, pairs: Sequence[tuple[int, int]], source: str, held: str) -> str:
    """What the accuracy on the held-back part is, and what it would be without the copies."""
    if source != "train" or evidence.split_probabilities is None:
        return ""
    is_held = np.array([name == held for name in evidence.table.splits])
    right = evidence.split_probabilities.argmax(1) == evidence.table.codes
    clean = is_held.copy()
    clean[[row for row, _ in pairs]] = False
    if not clean.any():
        return " Without them nothing is left to judge on."
    return f" Your score without them would be about {right[clean].mean():.1%} instead of {right[is_held].mean():.1%}."
