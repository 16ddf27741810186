from __future__ import annotations

import numpy as np

from tellapart.checks.repeats import find_copies, find_mixed_labels, find_near_copies
from tellapart.data.edits import KEEP_ONE


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
    probabilities = np.array([[0.1, 0.9], [0.1, 0.9]], np.float32)
    evidence = make_evidence(["rose", "tulip"], contents=[7, 7], pairs=[(0, 1, 1.0)], folds=probabilities)
    (finding,) = find_mixed_labels(evidence)
    assert finding.text == (
        "rose/0.jpg and tulip/1.jpg are one file under 2 labels: rose, tulip. Judged by the other pictures it is tulip (0.90)."
    )
    assert [(one.action, one.value) for one in finding.proposals] == [("relabel", "tulip")]  # an edit concerns both rows
    assert find_copies(evidence) == []


def test_where_the_model_is_unsure_a_person_decides(make_evidence) -> None:
    evidence = make_evidence(["rose", "tulip"], contents=[7, 7], pairs=[(0, 1, 1.0)], folds=np.full((2, 2), 0.5, np.float32))
    (finding,) = find_mixed_labels(evidence)
    assert finding.suggestion == "Look at it and give all of them one label."
    assert finding.proposals == ()
    without = make_evidence(["rose", "tulip"], contents=[7, 7], pairs=[(0, 1, 1.0)])
    assert find_mixed_labels(without)[0].proposals == ()


def test_a_chain_parts_into_what_is_mixed_and_what_is_not(make_evidence) -> None:
    """Rows 0 and 1 are versions of a rose, and 1 was also taken for a tulip."""
    evidence = make_evidence(["rose", "rose", "tulip"], pairs=[(0, 1, 0.9), (1, 2, 0.8)])
    assert [finding.paths for finding in find_near_copies(evidence)] == [("rose/0.jpg", "rose/1.jpg")]
    assert [finding.paths for finding in find_mixed_labels(evidence)] == [("rose/1.jpg", "tulip/2.jpg")]


def test_all_rows_of_a_mixed_content_are_named(make_evidence) -> None:
    evidence = make_evidence(["rose", "rose", "tulip"], contents=[7, 7, 7], pairs=[(0, 1, 1.0), (0, 2, 1.0)])
    assert find_mixed_labels(evidence)[0].paths == ("rose/0.jpg", "rose/1.jpg", "tulip/2.jpg")
    assert len(find_copies(evidence)) == 1
