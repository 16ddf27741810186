from __future__ import annotations

import numpy as np

from tellapart.checks.leaks import find_leaks

LABELS = ["rose", "tulip"] * 5
SPLITS = ["train"] * 4 + ["valid"] * 6


def test_copies_across_the_split_and_the_score_without_them(make_evidence) -> None:
    held_out = np.full((10, 2), np.nan, np.float32)
    for row in range(4, 10):  # right on both copies and on two of the four others
        right = row % 2 if row < 8 else 1 - row % 2
        held_out[row] = np.eye(2)[right]
    evidence = make_evidence(
        LABELS, splits=SPLITS, contents=[0, 1, 2, 3, 0, 5, 6, 7, 8, 9], pairs=[(0, 4, 1.0), (1, 5, 0.9)], held_out=held_out
    )
    (finding,) = find_leaks(evidence)
    assert finding.text == (
        "2 of 6 validation pictures (33.3%) are copies of training pictures: 1 exact, 1 near. "
        "Your score without them would be about 50.0% instead of 66.7%."
    )
    assert finding.paths == ("rose/4.jpg", "rose/0.jpg", "tulip/5.jpg", "tulip/1.jpg")
    assert [one.path for one in finding.proposals] == ["tulip/1.jpg"]  # a drop of the exact copy would drop both


def test_each_two_parts_have_their_finding(make_evidence) -> None:
    evidence = make_evidence(
        ["rose"] * 3, splits=["train", "valid", "test"], contents=[7, 7, 7], pairs=[(0, 1, 1.0), (0, 2, 1.0)]
    )
    assert [finding.text.split(" (")[0] for finding in find_leaks(evidence)] == [
        "1 of 1 validation picture", "1 of 1 test picture", "1 of 1 test picture",
    ]  # fmt: skip
    assert "copies of validation pictures" in find_leaks(evidence)[2].text


def test_where_all_are_copies_no_score_is_left(make_evidence) -> None:
    held_out = np.array([[np.nan, np.nan], [0, 1]], np.float32)
    evidence = make_evidence(
        ["rose", "tulip"], splits=["train", "valid"], contents=[7, 7], pairs=[(0, 1, 1.0)], held_out=held_out
    )
    assert find_leaks(evidence)[0].text.endswith("Without them nothing is left to judge on.")


def test_copies_within_a_part_do_not_leak(make_evidence) -> None:
    evidence = make_evidence(["rose"] * 4, splits=["train", "train", "valid", "valid"], pairs=[(0, 1, 0.9), (2, 3, 0.9)])
    assert find_leaks(evidence) == []
    assert find_leaks(make_evidence(["rose"] * 2, pairs=[(0, 1, 0.9)])) == []
