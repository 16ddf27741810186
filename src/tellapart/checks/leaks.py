"""Leaks: pictures that stand in two parts of a split, and what the score would be without them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tellapart.checks.evidence import Evidence
from tellapart.checks.findings import Finding
from tellapart.data.edits import Proposal
from tellapart.data.groups import units
from tellapart.data.leaks import WORDS, SplitLeak, find_split_leaks
from tellapart.data.table import SPLITS


def find_leaks(evidence: Evidence) -> list[Finding]:
    """A finding for each two parts of the split that the data bring which share copies, near copies or a group.

    The leaks are those that `train` mends (`find_split_leaks`). The paths of a finding are pairs: the held-back picture, then
    the one of the other part that is most like it.
    """
    leaks = find_split_leaks(evidence.tied)
    if not leaks:
        return []
    names, alike = units(evidence.tied), _near_contents(evidence)
    return [_leak(evidence, leak, _pairs(evidence, leak, names, alike)) for leak in leaks]


def _near_contents(evidence: Evidence) -> dict[str, list[str]]:
    """The contents that each content is a near copy of, the most similar first."""
    digests, alike = evidence.table.sha256, defaultdict[str, list[str]](list)
    for pair in sorted(evidence.copies, key=lambda pair: -pair.score):
        alike[digests[pair.first]].append(digests[pair.second])
        alike[digests[pair.second]].append(digests[pair.first])
    return alike


def _pairs(evidence: Evidence, leak: SplitLeak, names: Sequence[str], alike: dict[str, list[str]]) -> list[tuple[int, int]]:
    """Each held-back row that leaks, with a row that leaks it: an exact copy, else a near one, else one of its group."""
    digests = evidence.table.sha256
    row_of = {digests[row]: row for row in reversed(leak.rows)}
    of_unit = {names[row]: row for row in reversed(leak.rows)}
    pairs = []
    for row, split in enumerate(evidence.table.splits):
        if split == leak.held and names[row] in of_unit:
            likeliest = (row_of[digest] for digest in (digests[row], *alike.get(digests[row], ())) if digest in row_of)
            pairs.append((row, next(likeliest, of_unit[names[row]])))
    return pairs


def _leak(evidence: Evidence, leak: SplitLeak, pairs: Sequence[tuple[int, int]]) -> Finding:
    table, part, held = evidence.table, WORDS[leak.part], WORDS[leak.held]
    share = leak.n_held / table.splits.count(leak.held)
    text = f"{leak.text()}, {share:.1%} of the {held} part.{_effect(evidence, leak, [row for row, _ in pairs])}"
    paths = tuple(table.paths[row] for pair in pairs for row in pair)
    suggestion = f"Leave the copies out of the {part} part; `tellapart train` does so unless told --allow-leaks."
    return Finding("leak", paths, min(1.0, 0.5 + share), text, suggestion, _drops(evidence, leak))


def _drops(evidence: Evidence, leak: SplitLeak) -> tuple[Proposal, ...]:
    """A drop of each content that leaks, but for those that a part held back for it also has: an edit takes every copy."""
    table = evidence.table
    held_back = SPLITS[SPLITS.index(leak.part) + 1 :]
    kept = {digest for digest, split in zip(table.sha256, table.splits, strict=True) if split in held_back}
    row_of = {table.sha256[row]: row for row in reversed(leak.rows) if table.sha256[row] not in kept}
    return tuple(Proposal(table.paths[row], digest, "drop") for digest, row in reversed(row_of.items()))


def _effect(evidence: Evidence, leak: SplitLeak, leaked: Sequence[int]) -> str:
    """What the accuracy on the held-back part is, and what it would be without the rows that are given away."""
    if leak.part != "train" or evidence.split_probabilities is None:
        return ""
    is_held = np.array([name == leak.held for name in evidence.table.splits])
    right = evidence.split_probabilities.argmax(1) == evidence.table.codes
    clean = is_held.copy()
    clean[leaked] = False
    if not clean.any():
        return " Without them nothing is left to judge on."
    return f" Your score without them would be about {right[clean].mean():.1%} instead of {right[is_held].mean():.1%}."
