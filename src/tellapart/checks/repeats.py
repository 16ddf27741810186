"""Findings about repeated pictures: exact copies, near copies, and either under two labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from tellapart.checks.copies import CopyPair, copy_groups
from tellapart.checks.evidence import Evidence
from tellapart.checks.findings import Finding, named, short_name
from tellapart.data.edits import KEEP_ONE, Proposal, held_back_first

SURE_OF_LABEL = 0.8  # held-out probability from which one of two labels is proposed; a guess


def find_copies(evidence: Evidence) -> list[Finding]:
    """The same content several times under one label: a finding for each content."""
    table = evidence.table
    places = defaultdict[tuple[str, str], list[int]](list)
    for row, content in enumerate(zip(table.sha256, table.labels, strict=True)):
        places[content].append(row)
    return [_copies(evidence, held_back_first(table, rows)) for rows in places.values() if len(rows) > 1]


def find_near_copies(evidence: Evidence) -> list[Finding]:
    """Pictures that differ by size, compression, crop or the like, under one label: a finding for each group."""
    labels, digests = evidence.table.labels, evidence.table.sha256
    alike = [pair for pair in evidence.copies if labels[pair.first] == labels[pair.second]]
    near = [pair for pair in alike if digests[pair.first] != digests[pair.second]]
    held = _held_contents(evidence)
    return [_near_copies(evidence, rows, score, held) for rows, score in _tied(evidence, near)]


def find_mixed_labels(evidence: Evidence) -> list[Finding]:
    """Copies and near copies that carry different labels: a finding for each group."""
    labels, digests = evidence.table.labels, evidence.table.sha256
    mixed = [pair for pair in evidence.copies if labels[pair.first] != labels[pair.second]]
    groups = _tied(evidence, mixed)
    contents = {digests[row] for rows, _ in groups for row in rows}
    rows_of = defaultdict[str, list[int]](list)
    for row, digest in enumerate(digests):
        if digest in contents:
            rows_of[digest].append(row)
    whole = [(sorted({other for row in rows for other in rows_of[digests[row]]}), score) for rows, score in groups]
    return [_mixed_labels(evidence, rows, score) for rows, score in whole]


def _tied(evidence: Evidence, pairs: Sequence[CopyPair]) -> list[tuple[list[int], float]]:
    """Rows that these pairs tie together, ascending, and the least similarity among the pairs."""
    groups = copy_groups(len(evidence.table), pairs).tolist()
    rows_of, scores = defaultdict[int, set[int]](set), dict[int, float]()
    for pair in pairs:
        group = groups[pair.first]
        rows_of[group] |= {pair.first, pair.second}
        scores[group] = min(scores.get(group, 1.0), pair.score)
    return [(sorted(rows), scores[group]) for group, rows in rows_of.items()]


def largest_first(evidence: Evidence, rows: Sequence[int]) -> list[int]:
    """Rows by their pixels, then by their bytes; equals stay in order."""
    g = evidence.glances
    return sorted(rows, key=lambda row: (-int(g["width"][row]) * int(g["height"][row]), -int(g["n_bytes"][row])))


def _held_contents(evidence: Evidence) -> dict[str, int]:
    """The contents that stand in a held-back part, and its rank: a test picture is kept before a validation picture."""
    table = evidence.table
    ranks = {digest: -1 for digest, split in zip(table.sha256, table.splits, strict=True) if split == "valid"}
    return ranks | {digest: -2 for digest, split in zip(table.sha256, table.splits, strict=True) if split == "test"}


def _one_row_per_content(evidence: Evidence, rows: Sequence[int]) -> list[int]:
    return list({evidence.table.sha256[row]: row for row in reversed(rows)}.values())[::-1]


def _labels(evidence: Evidence, rows: Sequence[int]) -> list[str]:
    return sorted({evidence.table.labels[row] for row in rows})


def _copies(evidence: Evidence, rows: Sequence[int]) -> Finding:
    paths = evidence.paths(rows)
    text = f"{named(paths)} are one file, {len(paths)} times."
    drops = (Proposal(paths[0], evidence.table.sha256[rows[0]], "drop", KEEP_ONE),)
    return Finding("copies", paths, 1.0, text, f"Keep {short_name(paths[0])} and drop the rest.", drops)


def _near_copies(evidence: Evidence, rows: Sequence[int], score: float, held: Mapping[str, int]) -> Finding:
    digests = evidence.table.sha256
    ordered = sorted(largest_first(evidence, rows), key=lambda row: held.get(digests[row], 0))
    paths = evidence.paths(ordered)
    text = f"{named(paths)} are {len(paths)} versions of one picture (similarity {score:.2f})."
    drops = tuple(Proposal(evidence.table.paths[row], digests[row], "drop") for row in ordered[1:])
    what = "the one held back" if digests[ordered[0]] in held else "the largest"
    return Finding("near_copies", paths, score, text, f"Keep {short_name(paths[0])}, {what}, and drop the rest.", drops)


def _mixed_labels(evidence: Evidence, rows: Sequence[int], score: float) -> Finding:
    ordered = largest_first(evidence, rows)
    n_contents = len({evidence.table.sha256[row] for row in rows})
    what = "are one file" if n_contents == 1 else f"are versions of one picture (similarity {score:.2f})"
    labels = _labels(evidence, rows)
    text = f"{named(evidence.paths(ordered))} {what} under {len(labels)} labels: {', '.join(labels)}."
    likely, probability = _likely_label(evidence, rows, labels)
    if probability < SURE_OF_LABEL:
        return Finding("mixed_labels", evidence.paths(ordered), score, text, "Look at it and give all of them one label.")
    relabels = tuple(
        Proposal(evidence.table.paths[row], evidence.table.sha256[row], "relabel", likely)
        for row in _one_row_per_content(evidence, rows)
    )
    text = f"{text} Judged by the other pictures it is {likely} ({probability:.2f})."
    return Finding("mixed_labels", evidence.paths(ordered), score, text, f"Relabel all of them to {likely}.", relabels)


def _likely_label(evidence: Evidence, rows: Sequence[int], labels: Sequence[str]) -> tuple[str, float]:
    """Which of the labels the held-out probabilities favour, and the mean probability that they give it.

    0 where there are none, or one of the labels was unknown to who judged.
    """
    columns = [evidence.table.classes.index(label) for label in labels]
    if evidence.fold_probabilities is None or not evidence.judged[np.ix_(rows, columns)].all():
        return labels[0], 0.0
    means = evidence.fold_probabilities[list(rows)].mean(0)[columns]
    return labels[int(means.argmax())], float(means.max())
