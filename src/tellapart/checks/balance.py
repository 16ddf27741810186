"""Findings about numbers: classes that are too unequal, parts that are too small for a claim."""

from __future__ import annotations

import math
from collections import defaultdict

from tellapart.checks.evidence import Evidence
from tellapart.checks.findings import Finding
from tellapart.data import ImageTable
from tellapart.data.groups import units
from tellapart.words import counted

IMBALANCED = 3.0  # the largest class over a small one; a guess at where a reader should be told
FEW_OF_CLASS = 20  # pictures; a guess: a fifth of them held back is a class judged on four
FEW_JUDGED = 50  # pictures; below, the 95 % interval of an accuracy of 90 % is wider than +-8 points
DEFAULT_VALID_FRAC = 0.2  # what `train` holds back where the data bring no validation part
ASSUMED_ACCURACY = 0.9  # for the width that the sentence names
N_NAMED = 5


def find_imbalance(evidence: Evidence) -> list[Finding]:
    """One finding where a class has a third of the largest's pictures or less."""
    counts = evidence.table.counts
    if len(counts) < 2:
        return []
    largest = max(counts, key=counts.__getitem__)
    small = sorted((name for name in counts if counts[name] * IMBALANCED <= counts[largest]), key=counts.__getitem__)
    if not small:
        return []
    ratio = counts[largest] / counts[small[0]]
    text = (
        f"{largest} has {counted(counts[largest], 'picture')}, {ratio:.1f} times as many as {small[0]}. "
        f"Classes with a third of that or less: {_named(small, counts)}."
    )
    remedy = "" if evidence.table.multi_label else ", or train with --balance 0.5"
    suggestion = f"Add pictures of {small[0]}{remedy}; judge by each class's recall, not by the accuracy."
    return [Finding("imbalance", (), 1 - 1 / ratio, text, suggestion)]


def find_too_few(evidence: Evidence) -> list[Finding]:
    """Findings where classes, or the pictures to judge on, are too few for a claim."""
    table = evidence.table
    found = []
    few = sorted((name for name, n in table.counts.items() if n < FEW_OF_CLASS), key=table.counts.__getitem__)
    if few:
        text = f"{counted(len(few), 'class', 'classes')} with fewer than {FEW_OF_CLASS} pictures: "
        text += f"{_named(few, table.counts)}. What is said of them rests on a handful."
        score = 1 - table.counts[few[0]] / FEW_OF_CLASS
        found.append(Finding("too_few", (), score, text, "Add pictures, or leave the class out: --drop NAME."))
    if whole := _unparted(evidence):
        found.append(_cannot_judge(whole, table.counts))
    n_judged, part = _judged(table)
    if n_judged < FEW_JUDGED:
        found.append(_few_judged(n_judged, part))
    return found


def training_warnings(table: ImageTable) -> list[str]:
    """What a person should know of a split table before they trust the figures of a training."""
    counts, found = table.in_split("train").counts, list[str]()
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] >= IMBALANCED * counts[least]:
        ratio = counts[most] / counts[least]
        remedy = "" if table.multi_label else ", or try --balance 0.5"  # which weighs a picture by its one class
        found.append(
            f"unbalanced: {ratio:.0f} times as many pictures of {most!r} as of {least!r}; look at each class's recall{remedy}"
        )
    if (n_valid := table.splits.count("valid")) < FEW_JUDGED:
        found.append(f"only {counted(n_valid, 'picture')} to judge on: the accuracy is uncertain, see its interval")
    return found


def _unparted(evidence: Evidence) -> list[str]:
    """The classes of several pictures that no split can part."""
    units_of = defaultdict[str, set[str]](set)
    for unit, labels in zip(units(evidence.tied), evidence.table.label_sets, strict=True):
        for label in labels:
            units_of[label].add(unit)
    return [name for name, n in evidence.table.counts.items() if n > 1 and len(units_of[name]) == 1]


def _cannot_judge(names: list[str], counts: dict[str, int]) -> Finding:
    text = (
        f"{counted(len(names), 'class', 'classes')} that cannot be judged: {_named(names, counts)}. "
        f"All pictures of one are copies of one picture or of one group, so that none can be held back."
    )
    return Finding("too_few", (), 1.0, text, "Add other pictures, or leave the class out: --drop NAME.")


def _judged(table: ImageTable) -> tuple[int, str]:
    """How many pictures an accuracy would rest on, and which these are."""
    for name in ("test", "valid"):
        if n := table.splits.count(name):
            return n, f"The {'validation' if name == 'valid' else name} part has {counted(n, 'picture')}"
    n = round(DEFAULT_VALID_FRAC * len(table))
    return n, f"A fifth held back to judge on would be {counted(n, 'picture')}"


def _few_judged(n: int, part: str) -> Finding:
    half_width = 1.96 * math.sqrt(ASSUMED_ACCURACY * (1 - ASSUMED_ACCURACY) / max(n, 1))
    text = f"{part}: an accuracy of {ASSUMED_ACCURACY:.0%} would be known to about +-{100 * half_width:.0f} points."
    suggestion = f"Add pictures until at least {FEW_JUDGED} are held back, or report the cross-validated accuracy instead."
    return Finding("too_few", (), 1 - n / FEW_JUDGED, text, suggestion)


def _named(names: list[str], counts: dict[str, int]) -> str:
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return ", ".join(f"{name} ({counts[name]})" for name in names[:N_NAMED]) + more
