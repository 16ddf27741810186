from __future__ import annotations

import numpy as np

from tellapart.checks.leaks import find_leaks
from tellapart.data import find_split_leaks, tie

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
        "2 training pictures are copies of 2 validation pictures (1 exact, 1 near or of one group), "
        "33.3% of the validation part. Your score without them would be about 50.0% instead of 66.7%."
    )
    assert finding.paths == ("rose/4.jpg", "rose/0.jpg", "tulip/5.jpg", "tulip/1.jpg")
    assert [one.path for one in finding.proposals] == ["tulip/1.jpg"]  # a drop of the exact copy would drop both


def test_each_two_parts_have_their_finding(make_evidence) -> None:
    evidence = make_evidence(
        ["rose"] * 3, splits=["train", "valid", "test"], contents=[7, 7, 7], pairs=[(0, 1, 1.0), (0, 2, 1.0)]
    )
    assert [finding.text.split(" (")[0] for finding in find_leaks(evidence)] == [
        "1 training picture is a copy of 1 validation picture",
        "1 training picture is a copy of 1 test picture",
        "1 validation picture is a copy of 1 test picture",
    ]


def test_a_group_leaks_and_every_row_of_it_is_left_out(make_evidence) -> None:
    """Rows 0 to 2 and the held-back row 4 are of one group; row 1 has no part and so is trained on."""
    groups = ["bush", "bush", "bush", "", "bush", ""]
    splits = ["train", "", "train", "train", "valid", "valid"]
    evidence = make_evidence(["rose"] * 6, groups=groups, splits=splits, pairs=[(2, 4, 0.9)])
    (finding,) = find_leaks(evidence)
    assert finding.text == (
        "3 training pictures are copies of 1 validation picture (0 exact, 3 near or of one group), 50.0% of the validation part."
    )
    assert finding.paths == ("rose/4.jpg", "rose/2.jpg")
    assert [one.path for one in finding.proposals] == ["rose/0.jpg", "rose/1.jpg", "rose/2.jpg"]


def test_figures_and_drops_are_those_of_training(make_evidence) -> None:
    evidence = make_evidence(
        ["rose"] * 8,
        contents=[0, 1, 2, 3, 0, 5, 6, 5],
        groups=["", "", "bush", "", "", "bush", "", ""],
        splits=["train"] * 4 + ["valid", "valid", "test", "test"],
        pairs=[(0, 4, 1.0), (1, 6, 0.9), (5, 7, 1.0)],
    )
    leaks = find_split_leaks(tie(evidence.table, [(1, 6)]))
    found = find_leaks(evidence)
    assert [finding.text.split("),")[0] + ")" for finding in found] == [leak.text() for leak in leaks]
    dropped = {one.sha256 for finding in found for one in finding.proposals}
    held = {evidence.table.sha256[row] for row in range(4, 8)}
    assert dropped == {evidence.table.sha256[row] for leak in leaks for row in leak.rows} - held


def test_no_drop_takes_a_picture_that_another_part_holds_back(make_evidence) -> None:
    """The training picture is a near copy of the validation picture and the test picture itself."""
    evidence = make_evidence(
        ["rose"] * 3, contents=[7, 8, 7], splits=["train", "valid", "test"], pairs=[(0, 1, 0.9), (0, 2, 1.0)]
    )
    assert [[one.path for one in finding.proposals] for finding in find_leaks(evidence)] == [[], [], ["rose/1.jpg"]]


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
