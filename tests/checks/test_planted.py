"""What the drawn coins had planted in them is found, by the real finders on real features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tellapart.checking import check
from tellapart.checks import DataReport
from tellapart.images.samples import Sample, draw_sample

N_PER_CLASS = 200  # as `tellapart sample coins` draws
# What a planted fault is found as. A mixed label may be named as a wrong one too, and so may whatever does not belong.
FOUND_AS = {
    "copy": ("copies",),
    "copy_other_label": ("mixed_labels",),
    "off_topic": ("off_topic",),
    "wrong_label": ("wrong_label",),
    "truncated": ("broken",),
    "empty": ("broken",),
    "text": ("broken",),
    "html": ("broken",),
}
ALSO = {"wrong_label": ("copy_other_label", "off_topic"), "off_topic": ("wrong_label",)}


@pytest.fixture(scope="module")
def coins(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[tuple[Sample, DataReport]]:
    sample = draw_sample("coins", tmp_path_factory.mktemp("planted") / "coins", n_per_class=N_PER_CLASS, side_px=256)
    return sample, check(sample.root)


def planted_paths(sample: Sample, kinds: tuple[str, ...]) -> set[str]:
    return {str(sample.root / one.path) for one in sample.planted if one.kind in kinds}


def found_paths(report: DataReport, kind: str) -> set[str]:
    return {path for finding in report.findings if finding.kind == kind for path in finding.paths}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FOUND_AS)
def test_planted_faults_are_found(coins: tuple[Sample, DataReport], fault: str) -> None:
    sample, report = coins
    planted = planted_paths(sample, (fault,))
    found = set().union(*(found_paths(report, kind) for kind in FOUND_AS[fault]))
    assert planted
    assert len(planted & found) >= 0.85 * len(planted), planted - found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["broken", "copies", "mixed_labels", "off_topic", "wrong_label"])
def test_little_else_is_found(coins: tuple[Sample, DataReport], kind: str) -> None:
    """Of each finding at least one picture was planted; a quarter of the findings may be mistaken."""
    sample, report = coins
    faults = tuple(fault for fault, kinds in FOUND_AS.items() if kind in kinds) + ALSO.get(kind, ())
    planted = planted_paths(sample, faults)
    findings = [finding for finding in report.findings if finding.kind == kind]
    mistaken = [finding for finding in findings if planted.isdisjoint(finding.paths)]
    assert len(mistaken) <= 0.25 * len(findings), mistaken


@pytest.mark.slow
def test_wrong_labels_get_the_right_one(coins: tuple[Sample, DataReport]) -> None:
    sample, report = coins
    true_label = {str(sample.root / one.path): one.true_label for one in sample.planted if one.kind == "wrong_label"}
    proposed = {
        proposal.path: proposal.value
        for finding in report.findings
        if finding.kind == "wrong_label"
        for proposal in finding.proposals
    }
    named = proposed.keys() & true_label.keys()
    assert sum(proposed[path] == true_label[path] for path in named) >= 0.9 * len(named)


@pytest.mark.slow
def test_the_pictures_themselves_are_not_accused(coins: tuple[Sample, DataReport]) -> None:
    _, report = coins
    assert not {"leak", "shortcut", "imbalance", "dark", "bright", "blank", "tiny", "odd_aspect"} & set(report.counts)


@pytest.mark.slow
def test_the_account_holds_every_file(coins: tuple[Sample, DataReport]) -> None:
    sample, report = coins
    assert len(report.table) + len(report.table.skipped) - 1 == sample.n_pictures  # planted.json lies beside the classes
    assert report.counts["broken"] == len(planted_paths(sample, ("truncated", "empty", "text", "html")))
