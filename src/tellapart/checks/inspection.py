"""All finders, and what they find in the order in which a person should look at it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tellapart.checks.balance import find_imbalance, find_too_few
from tellapart.checks.evidence import Evidence
from tellapart.checks.files import find_broken, find_wrong_extension
from tellapart.checks.findings import KIND_NAMES, Finding
from tellapart.checks.labels import find_wrong_labels
from tellapart.checks.leaks import find_leaks
from tellapart.checks.outliers import find_off_topic
from tellapart.checks.quality import (
    find_blank,
    find_blurred,
    find_bright,
    find_dark,
    find_low_information,
    find_odd_aspect,
    find_tiny,
)
from tellapart.checks.repeats import find_copies, find_mixed_labels, find_near_copies
from tellapart.checks.shortcuts import find_shortcuts
from tellapart.errors import unknown_name

CHECKS: tuple[Callable[[Evidence], list[Finding]], ...] = (
    find_leaks,
    find_mixed_labels,
    find_wrong_labels,
    find_shortcuts,
    find_off_topic,
    find_broken,
    find_copies,
    find_near_copies,
    find_imbalance,
    find_too_few,
    find_blank,
    find_blurred,
    find_dark,
    find_bright,
    find_low_information,
    find_tiny,
    find_odd_aspect,
    find_wrong_extension,
)

OVERRULING = ("mixed_labels", "off_topic")  # of 9 planted coins with a mistaken new label 6 were strangers or copies


def inspect(evidence: Evidence, *, only: Collection[str] = ()) -> tuple[Finding, ...]:
    """What the finders find: the gravest kind first, within a kind the highest score first.

    What is one of two copies with two labels, or like no class at all, is not also said to be of another class.
    With `only`, findings of these kinds alone; raises CallError for one that does not exist.
    """
    for kind in only:
        if kind not in KIND_NAMES:
            raise unknown_name("kind of finding", kind, KIND_NAMES)
    found = _without_contradictions([finding for check in CHECKS for finding in check(evidence)])
    wanted = (finding for finding in found if not only or finding.kind in only)
    return tuple(sorted(wanted, key=lambda finding: (KIND_NAMES.index(finding.kind), -finding.score)))


def _without_contradictions(findings: list[Finding]) -> list[Finding]:
    """The findings without the relabelling of pictures of which another finding says better what to do."""
    settled = {path for finding in findings if finding.kind in OVERRULING for path in finding.paths}
    return [finding for finding in findings if finding.kind != "wrong_label" or settled.isdisjoint(finding.paths)]
