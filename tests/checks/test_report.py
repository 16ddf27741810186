from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tellapart.checks import CHECKS, KIND_NAMES, DataReport, Evidence, Finding, Need, inspect, needed
from tellapart.checks.inspection import Check
from tellapart.errors import CallError
from tellapart.images.glimpses import GLIMPSE


@pytest.fixture
def evidence(make_evidence) -> Evidence:
    """Copies, a leak, a blurred picture, and too few of everything."""
    return make_evidence(
        ["rose"] * 6 + ["tulip"] * 6,
        contents=[0, 0, *range(2, 12)],
        pairs=[(0, 1, 1.0), (2, 3, 0.9)],
        splits=["train"] * 3 + ["valid"] + ["train"] * 8,
        sharpness=[900.0] * 11 + [1.0],
    )


@pytest.fixture
def report(evidence: Evidence) -> DataReport:
    return DataReport("garden", evidence.table, inspect(evidence), notes=("the label column was guessed: kind",))


def test_the_gravest_come_first(evidence: Evidence) -> None:
    kinds = [finding.kind for finding in inspect(evidence)]
    assert kinds == ["leak", "copies", "near_copies", "too_few", "too_few", "blurred"]
    assert kinds == sorted(kinds, key=KIND_NAMES.index)


def test_only_some_kinds(evidence: Evidence) -> None:
    assert {finding.kind for finding in inspect(evidence, only=("copies", "leak"))} == {"copies", "leak"}
    with pytest.raises(CallError, match="unknown kind of finding 'copie'; did you mean 'copies'"):
        inspect(evidence, only=("copie",))


def test_every_kind_has_a_finder() -> None:
    assert [check.kind for check in CHECKS].count("leak") == 1
    assert {check.kind for check in CHECKS} == set(KIND_NAMES)
    assert len(CHECKS) == 18


def test_what_findings_need() -> None:
    assert needed() == Need.ALL
    assert needed(["broken", "copies"]) == Need.NOTHING
    assert needed(["near_copies", "dark"]) == Need.COPIES | Need.GLANCES
    with pytest.raises(CallError, match="unknown kind of finding 'dork'; did you mean 'dark'"):
        needed(["dork"])


def test_glimpses_do_for_whoever_needs_no_glances(evidence: Evidence) -> None:
    glimpses = np.zeros(len(evidence.glances), GLIMPSE)
    for name in ("width", "height", "n_bytes", "format"):
        glimpses[name] = evidence.glances[name]
    poorer = replace(evidence, glances=glimpses, features=evidence.features[:, :0], gathered=Need.COPIES)
    expected = [finding for finding in inspect(evidence) if finding.kind != "blurred"]
    assert list(inspect(poorer)) == expected


def test_who_needs_more_than_was_gathered_is_not_asked(evidence: Evidence) -> None:
    poorer = replace(evidence, features=evidence.features[:, :0], gathered=Need.COPIES)
    assert [finding.kind for finding in inspect(poorer)] == ["leak", "copies", "near_copies", "too_few", "too_few"]
    assert [finding.kind for finding in inspect(replace(poorer, gathered=Need.NOTHING))] == ["copies"]


def test_findings_are_whole(evidence: Evidence) -> None:
    for finding in inspect(evidence):
        assert finding.kind in KIND_NAMES
        assert 0 <= finding.score <= 1
        assert finding.text.endswith(".")
        assert finding.suggestion.endswith(("NAME.", "."))
        assert len(finding.suggestion) > 5
        assert "\n" not in finding.text
        assert set(finding.paths) <= set(evidence.table.paths)


def test_no_pictures(make_evidence) -> None:
    found = inspect(make_evidence([]))
    assert [finding.kind for finding in found] == ["too_few"]
    assert DataReport("void", make_evidence([]).table, found).summary == "1 finding of 1 kind in 0 pictures of 0 classes"


SMALL = {
    "one picture": {"labels": ["rose"]},
    "one class": {"labels": ["rose"] * 80},
    "a picture of each class": {"labels": ["rose", "tulip"]},
    "one file under two labels": {"labels": ["rose", "tulip"] * 40, "contents": [0] * 80},
    "one group": {"labels": ["rose", "tulip"] * 40, "groups": ["bush"] * 80},
    "a class in one group": {"labels": ["rose", "tulip"] * 40, "groups": ["bush", ""] * 40},
    "all alike": {"labels": ["rose", "tulip"] * 40, "features": np.ones((80, 8), np.float16), "thumbnail": 0},
    "nothing to train on": {"labels": ["rose", "tulip"] * 40, "splits": ["valid", "test"] * 40, "groups": ["bush"] * 80},
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.kind)
@pytest.mark.parametrize("name", SMALL)
def test_no_finder_fails_on_little(make_evidence, name: str, check: Check) -> None:
    given = SMALL[name]
    labels, contents = given["labels"], given.get("contents", range(80))
    pairs = [(0, row, 1.0) for row in range(1, len(labels)) if contents[row] == contents[0]]
    n_classes = len(set(labels))
    uniform = np.full((len(labels), n_classes), 1 / n_classes, np.float32)
    for probabilities in (None, uniform):
        evidence = make_evidence(pairs=pairs, folds=probabilities, held_out=probabilities, **given)
        assert all(finding.kind == check.kind and 0 <= finding.score <= 1 for finding in check.find(evidence))


def test_json_holds_everything(report: DataReport) -> None:
    value = json.loads(json.dumps(report.to_json()))
    assert value["n_images"] == 12
    assert value["counts"] == {"leak": 1, "copies": 1, "near_copies": 1, "too_few": 2, "blurred": 1}
    assert sum(value["counts"].values()) == len(value["findings"])
    assert set(value["findings"][0]) == {"kind", "paths", "score", "text", "suggestion"}
    assert value["files"] == "12 files = 12 kept"
    assert value["classes"] == {"rose": 6, "tulip": 6}
    assert value["notes"] == ["the label column was guessed: kind"]


def test_text_for_a_terminal(report: DataReport) -> None:
    lines = report.text().splitlines()
    assert lines[:3] == [
        "6 findings of 5 kinds in 12 pictures of 2 classes.",
        "12 files = 12 kept.",
        "the label column was guessed: kind",
    ]
    assert "Exact copies: 1. The same file again adds weight, not knowledge." in lines
    assert "  rose/0.jpg and rose/1.jpg are one file, 2 times." in lines
    assert "  -> Keep rose/0.jpg and drop the rest." in lines
    assert lines[-1] == (
        "`tellapart clean DATA --apply KINDS` takes what is proposed, after a look at it: leak, copies, near_copies, blurred."
    )


def test_long_lists_are_cut_and_counted(make_evidence) -> None:
    evidence = make_evidence(["rose"] * 30, sharpness=[1.0] * 9 + [900.0] * 21)
    text = DataReport("t", evidence.table, inspect(evidence)).text()
    assert "Blurred pictures: 9. " in text
    assert "  ... and 6 more" in text


def test_hostile_names_stay_on_their_line(make_evidence) -> None:
    evidence = make_evidence(["rose"] * 3, paths=["r/a\n\x1b[31m.jpg", "r/b.jpg", "r/c.jpg"], sharpness=[1.0, 900.0, 900.0])
    text = DataReport("t", evidence.table, inspect(evidence)).text()
    assert "r/a\\n\\x1b[31m.jpg is blurred" in text


def test_proposals_are_edits_of_what_is_there(evidence: Evidence) -> None:
    known = {*zip(evidence.table.paths, evidence.table.sha256, strict=True)}
    for finding in inspect(evidence):
        for proposal in finding.proposals:
            assert (proposal.path, proposal.sha256) in known
            assert proposal.action in ("drop", "relabel", "group")


def test_findings_are_values() -> None:
    assert Finding("dark", ("a",), 1.0, "t.", "s.") == Finding("dark", ("a",), 1.0, "t.", "s.")


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_each_kind_has_a_page(kind: str) -> None:
    folder = Path(__file__).parents[2] / "docs" / "findings"
    text = (folder / f"{kind}.md").read_text()
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings[:4] == ["What it finds", "Why it is bad", "An example", "What to do"]
    assert f"[`{kind}`]({kind}.md)" in (folder / "README.md").read_text()


def test_pictures_with_several_labels(make_evidence) -> None:
    """What rests on one label a picture is silent; the rest is not."""
    one = make_evidence(["rose|red", "tulip", "rose"] * 30, sharpness=[1.0] + [900.0] * 89, pairs=[(0, 3, 0.9)])
    table = replace(one.table, multi_label=True)
    assert [finding.kind for finding in inspect(replace(one, table=table))] == ["near_copies", "too_few", "blurred"]
