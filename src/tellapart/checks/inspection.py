"""All finders, and what they find in the order in which a person should look at it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import reduce
from operator import or_

from tellapart.checks.balance import find_imbalance, find_too_few
from tellapart.checks.evidence import Evidence, Need
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


@dataclass(frozen=True)
class Check:
    """A finder of one kind of findings, and the evidence without which it cannot be asked; more may make it say more."""

    kind: str
    find: Callable[[Evidence], list[Finding]]
    needs: Need


CHECKS = (
    Check("leak", find_leaks, Need.COPIES),
    Check("mixed_labels", find_mixed_labels, Need.COPIES),
    Check("wrong_label", find_wrong_labels, Need.NETWORK),
    Check("shortcut", find_shortcuts, Need.GLANCES),
    Check("off_topic", find_off_topic, Need.NETWORK),
    Check("broken", find_broken, Need.NOTHING),
    Check("copies", find_copies, Need.NOTHING),
    Check("near_copies", find_near_copies, Need.COPIES),
    Check("imbalance", find_imbalance, Need.NOTHING),
    Check("too_few", find_too_few, Need.COPIES),
    Check("blank", find_blank, Need.GLANCES),
    Check("blurred", find_blurred, Need.GLANCES),
    Check("dark", find_dark, Need.GLANCES),
    Check("bright", find_bright, Need.GLANCES),
    Check("low_information", find_low_information, Need.GLANCES),
    Check("tiny", find_tiny, Need.NOTHING),
    Check("odd_aspect", find_odd_aspect, Need.NOTHING),
    Check("wrong_extension", find_wrong_extension, Need.NOTHING),
)

OVERRULING = ("mixed_labels", "off_topic")  # of 9 planted coins with a mistaken new label 6 were strangers or copies


def needed(only: Collection[str] = ()) -> Need:
    """What must be gathered for findings of these kinds, or of all. Raises CallError for a kind that does not exist."""
    for kind in only:
        if kind not in KIND_NAMES:
            raise unknown_name("kind of finding", kind, KIND_NAMES)
    return reduce(or_, (check.needs for check in CHECKS if not only or check.kind in only), Need.NOTHING)


def inspect(evidence: Evidence, *, only: Collection[str] = ()) -> tuple[Finding, ...]:
    """What the finders find: the gravest kind first, within a kind the highest score first.

    A finder that needs more than was gathered is not asked. What is one of two copies with two labels, or like no class at
    all, is not also said to be of another class. With `only`, findings of these kinds alone; raises CallError for one that
    does not exist.
    """
    needed(only)
    asked = [check for check in CHECKS if check.needs in evidence.gathered]
    found = _without_contradictions([finding for check in asked for finding in check.find(evidence)])
    wanted = (finding for finding in found if not only or finding.kind in only)
    return tuple(sorted(wanted, key=lambda finding: (KIND_NAMES.index(finding.kind), -finding.score)))


def _without_contradictions(findings: list[Finding]) -> list[Finding]:
    """The findings without the relabelling of pictures of which another finding says better what to do."""
    settled = {path for finding in findings if finding.kind in OVERRULING for path in finding.paths}
    return [finding for finding in findings if finding.kind != "wrong_label" or settled.isdisjoint(finding.paths)]
