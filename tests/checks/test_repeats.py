from __future__ import annotations

import numpy as np
import pytest

from tellapart.checks.repeats import find_copies, find_mixed_labels, find_near_copies
from tellapart.data.edits import KEEP_ONE, Edit


def test_exact_copies_of_one_class(make_evidence) -> None:
    evidence = make_evidence(["rose"] * 4, contents=[7, 8, 7, 7], pairs=[(0, 2, 1.0), (0, 3, 1.0)])
    (finding,) = find_copies(evidence)
    assert finding.paths == ("rose/0.jpg", "rose/2.jpg", "rose/3.jpg")
    assert finding.text == "rose/0.jpg, rose/2.jpg and rose/3.jpg are one file, 3 times."
    assert finding.suggestion == "Keep rose/0.jpg and drop the rest."
    assert [(one.action, one.value, one.sha256) for one in finding.proposals] == [("drop", KEEP_ONE, evidence.table.sha256[0])]
    assert find_near_copies(evidence) == find_mixed_labels(evidence) == []


def test_near_copies_keep_the_largest(make_evidence) -> None:
    evidence = make_evidence(["rose"] * 3, pairs=[(0, 1, 0.9), (1, 2, 0.8)], width=[100, 400, 200], height=[100, 400, 200])
    (finding,) = find_near_copies(evidence)
    assert finding.paths == ("rose/1.jpg", "rose/2.jpg", "rose/0.jpg")
    assert finding.score == 0.8
    assert finding.text.endswith("are 3 versions of one picture (similarity 0.80).")
    assert [one.path for one in finding.proposals] == ["rose/2.jpg", "rose/0.jpg"]
    assert find_copies(evidence) == []


def test_one_file_under_two_labels(make_evidence) -> None:
    probabilities = np.full((4, 2), (0.1, 0.9), np.float32)
    evidence = make_evidence(["rose", "tulip"] * 2, contents=[7, 7, 8, 9], pairs=[(0, 1, 1.0)], folds=probabilities)
    (finding,) = find_mixed_labels(evidence)
    assert finding.text == (
        "rose/0.jpg and tulip/1.jpg are one file under 2 labels: rose, tulip. Judged by the other pictures it is tulip (0.90)."
    )
    assert [(one.action, one.value) for one in finding.proposals] == [("relabel", "tulip")]  # an edit concerns both rows
    assert find_copies(evidence) == []


def test_where_the_model_is_unsure_a_person_decides(make_evidence) -> None:
    unsure = np.full((4, 2), 0.5, np.float32)
    evidence = make_evidence(["rose", "tulip"] * 2, contents=[7, 7, 8, 9], pairs=[(0, 1, 1.0)], folds=unsure)
    (finding,) = find_mixed_labels(evidence)
    assert finding.suggestion == "Look at it and give all of them one label."
    assert finding.proposals == ()
    without = make_evidence(["rose", "tulip"], contents=[7, 7], pairs=[(0, 1, 1.0)])
    assert find_mixed_labels(without)[0].proposals == ()


def test_a_label_that_the_judge_had_never_seen_is_left_to_a_person(make_evidence) -> None:
    """All roses are this one picture, so what judged it knew tulips alone."""
    probabilities = np.full((4, 2), (0.0, 1.0), np.float32)
    labels, contents = ["rose", "tulip", "tulip", "tulip"], [7, 7, 8, 9]
    for folds in (None, np.array([0, 0, 1, 2])):
        evidence = make_evidence(labels, contents=contents, pairs=[(0, 1, 1.0)], folds=probabilities, fold_numbers=folds)
        assert find_mixed_labels(evidence)[0].proposals == ()


@pytest.mark.parametrize(
    ("splits", "kept"), [(["", "", ""], 0), (["train", "test", "valid"], 1), (["train", "train", "valid"], 2)]
)
def test_the_copy_that_is_named_is_the_one_that_stays(make_evidence, splits: list[str], kept: int) -> None:
    evidence = make_evidence(["rose"] * 3, contents=[7] * 3, splits=splits, pairs=[(0, 1, 1.0), (0, 2, 1.0)])
    (finding,) = find_copies(evidence)
    (proposal,) = finding.proposals
    edit = Edit("1", "", "", "", proposal.action, proposal.sha256, proposal.value)
    assert finding.paths[0] == evidence.table.paths[kept]
    assert finding.suggestion == f"Keep rose/{kept}.jpg and drop the rest."
    assert evidence.table.with_edits([edit]).paths == (finding.paths[0],)


def test_near_copies_keep_what_is_held_back(make_evidence) -> None:
    """Row 3 is row 0 again, in the test part: a drop of either would take both."""
    evidence = make_evidence(
        ["rose"] * 4,
        contents=[0, 1, 2, 0],
        splits=["train", "train", "valid", "test"],
        pairs=[(0, 1, 0.9), (0, 2, 0.9), (0, 3, 1.0)],
        width=[100, 400, 200, 100],
    )
    (finding,) = find_near_copies(evidence)
    assert finding.paths == ("rose/0.jpg", "rose/2.jpg", "rose/1.jpg")
    assert finding.suggestion == "Keep rose/0.jpg, the one held back, and drop the rest."
    assert [one.path for one in finding.proposals] == ["rose/2.jpg", "rose/1.jpg"]


def test_a_chain_parts_into_what_is_mixed_and_what_is_not(make_evidence) -> None:
    """Rows 0 and 1 are versions of a rose, and 1 was also taken for a tulip."""
    evidence = make_evidence(["rose", "rose", "tulip"], pairs=[(0, 1, 0.9), (1, 2, 0.8)])
    assert [finding.paths for finding in find_near_copies(evidence)] == [("rose/0.jpg", "rose/1.jpg")]
    assert [finding.paths for finding in find_mixed_labels(evidence)] == [("rose/1.jpg", "tulip/2.jpg")]


def test_all_rows_of_a_mixed_content_are_named(make_evidence) -> None:
    evidence = make_evidence(["rose", "rose", "tulip"], contents=[7, 7, 7], pairs=[(0, 1, 1.0), (0, 2, 1.0)])
    assert find_mixed_labels(evidence)[0].paths == ("rose/0.jpg", "rose/1.jpg", "tulip/2.jpg")
    assert len(find_copies(evidence)) == 1
