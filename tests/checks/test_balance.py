from __future__ import annotations

from pathlib import Path

import pytest

from tellapart.checks.balance import find_imbalance, find_too_few, training_warnings
from tellapart.data.table import table_of


def test_imbalance_names_the_small_classes(make_evidence) -> None:
    (finding,) = find_imbalance(make_evidence(["rose"] * 90 + ["tulip"] * 30 + ["daisy"] * 10 + ["lily"] * 60))
    assert finding.text == (
        "rose has 90 pictures, 9.0 times as many as daisy. Classes with a third of that or less: daisy (10), tulip (30)."
    )
    assert "--balance 0.5" in finding.suggestion
    assert finding.score == pytest.approx(8 / 9)
    assert finding.paths == ()


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_training_is_told_to_balance_only_where_it_can(tmp_path: Path, multi_label: bool) -> None:
    names = [str(tmp_path / str(number)) for number in range(60)]
    for name in names:
        Path(name).write_text(name)  # no two alike
    table = table_of(names, ["rose"] * 50 + ["tulip"] * 10, splits=["train"] * 60, multi_label=multi_label)
    said = training_warnings(table)[0]
    assert said.startswith("unbalanced: 5 times as many pictures of 'rose' as of 'tulip'")
    assert ("--balance" in said) is not multi_label


@pytest.mark.parametrize("labels", [[], ["rose"] * 9, ["rose"] * 29 + ["tulip"] * 10])
def test_no_imbalance(make_evidence, labels: list[str]) -> None:
    assert find_imbalance(make_evidence(labels)) == []


def test_small_classes_and_a_small_part(make_evidence) -> None:
    labels = ["rose"] * 100 + ["tulip"] * 5
    few, judged = find_too_few(make_evidence(labels))
    assert few.text == "1 class with fewer than 20 pictures: tulip (5). What is said of them rests on a handful."
    assert judged.text == (
        "A fifth held back to judge on would be 21 pictures: an accuracy of 90% would be known to about +-13 points."
    )


def test_the_part_that_the_data_bring_counts(make_evidence) -> None:
    labels = ["rose", "tulip"] * 150
    assert find_too_few(make_evidence(labels)) == []
    (finding,) = find_too_few(make_evidence(labels, splits=["train"] * 290 + ["valid"] * 10))
    assert finding.text.startswith("The validation part has 10 pictures: an accuracy of 90% would be known to about +-19 points.")
    (finding,) = find_too_few(make_evidence(labels, splits=["train"] * 230 + ["valid"] * 60 + ["test"] * 10))
    assert finding.text.startswith("The test part has 10 pictures")


def test_a_class_that_cannot_be_parted_cannot_be_judged(make_evidence) -> None:
    """The tulips are one file, the daisies of one group, the lilies near copies in a chain; two roses of a hundred are copies."""
    labels = ["rose"] * 100 + ["tulip"] * 30 + ["daisy"] * 30 + ["lily"] * 30
    evidence = make_evidence(
        labels,
        contents=[*range(100), *[100] * 30, *range(101, 161)],
        groups=[""] * 130 + ["bed"] * 30 + [""] * 30,
        pairs=[(0, 1, 0.9), *((row, row + 1, 0.9) for row in range(160, 189))],
    )
    (unjudged, judged) = find_too_few(evidence)
    assert unjudged.text == (
        "3 classes that cannot be judged: daisy (30), lily (30), tulip (30). "
        "All pictures of one are copies of one picture or of one group, so that none can be held back."
    )
    assert unjudged.score == 1
    assert judged.text.startswith("A fifth held back")


def test_many_small_classes_are_counted(make_evidence) -> None:
    (few, _) = find_too_few(make_evidence([f"c{i}" for i in range(8)] * 2))
    assert few.text.startswith("8 classes with fewer than 20 pictures: c0 (2), c1 (2), c2 (2), c3 (2), c4 (2) and 3 more.")
