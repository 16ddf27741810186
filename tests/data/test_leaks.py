"""A split that was given and leaks: the figures, and what becomes of the rows."""

from __future__ import annotations

from collections.abc import Callable

from tellapart.data import ImageTable, find_split_leaks, split, tie
from tellapart.data.leaks import SplitLeak

MakeTable = Callable[..., ImageTable]


def leaking(make_table: MakeTable) -> ImageTable:
    """Row 0 of train is in valid (row 5), row 1 is a near copy of a test row (8), row 6 of valid is in test (row 9)."""
    table = make_table(
        {"ant": 6, "bee": 6},
        contents=[0, 1, 2, 3, 4, 0, 6, 7, 8, 6, 10, 11],
        splits=["train"] * 5 + ["valid"] * 3 + ["test"] * 2 + ["train"] * 2,
    )
    return tie(table, [(1, 8)])


def test_leaks_are_counted_for_each_two_parts(make_table: MakeTable) -> None:
    assert find_split_leaks(leaking(make_table)) == (
        SplitLeak("train", "valid", n_exact=1, n_near=0, n_held=1, rows=(0,)),
        SplitLeak("train", "test", n_exact=0, n_near=1, n_held=1, rows=(1,)),
        SplitLeak("valid", "test", n_exact=1, n_near=0, n_held=1, rows=(6,)),
    )
    assert find_split_leaks(make_table({"ant": 4}, splits=["train", "valid", "test", ""])) == ()


def test_leaking_rows_are_left_out_and_the_note_has_the_figures(make_table: MakeTable) -> None:
    done = split(leaking(make_table))
    assert [skip.path for skip in done.skipped] == ["ant/0.jpg", "ant/1.jpg", "bee/6.jpg"]
    assert done.account() == "12 files = 9 kept + 3 a copy of a held-back picture"
    assert done.notes == (
        "the given split leaks: 1 training picture is a copy of 1 validation picture (1 exact, 0 near or of one group); "
        "1 training picture is a copy of 1 test picture (0 exact, 1 near or of one group); "
        "1 validation picture is a copy of 1 test picture (1 exact, 0 near or of one group). "
        "3 are left out; to keep them: --allow-leaks",
    )
    assert find_split_leaks(done) == ()


def test_a_leaking_split_stays_as_asked(make_table: MakeTable) -> None:
    table = leaking(make_table)
    done = split(table, allow_leaks=True)
    assert (done.paths, done.splits, done.skipped) == (table.paths, table.splits, ())
    assert done.notes[0].endswith("They stay, as asked: the score is better than the truth.")


def test_a_part_that_is_drawn_does_not_leak(make_table: MakeTable) -> None:
    table = tie(make_table({"ant": 30, "bee": 30}, contents=[row // 2 for row in range(60)]), [(0, 59), (4, 9), (10, 31)])
    assert find_split_leaks(split(table, test_frac=0.2)) == ()
