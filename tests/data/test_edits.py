"""Edits: which of them hold, and what they make of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tellapart.data import ImageTable, Skipped
from tellapart.data.edits import KEEP_ONE, Edit, standing, with_edits

MakeTable = Callable[..., ImageTable]


def edit(number: int, action: str, sha256: str = "", value: str = "", why: str = "") -> Edit:
    return Edit(f"e{number}", "2026-05-17T09:30:00Z", "ada", why, action, sha256, value)


# Which hold ----------------------------------------------------------------------------------------------------------


def test_of_one_picture_the_last_drop_or_relabel_holds() -> None:
    edits = [edit(1, "drop", "a"), edit(2, "relabel", "a", "cat"), edit(3, "relabel", "b", "dog"), edit(4, "drop", "b")]
    assert [one.id for one in standing(edits)] == ["e2", "e4"]


def test_groups_and_spare_copies_are_matters_of_their_own() -> None:
    edits = [edit(1, "group", "a", "g"), edit(2, "drop", "a", KEEP_ONE), edit(3, "relabel", "a", "x"), edit(4, "group", "a", "h")]
    assert [one.id for one in standing(edits)] == ["e2", "e3", "e4"]


def test_an_undo_brings_back_what_was_overruled() -> None:
    edits = [edit(1, "relabel", "a", "cat"), edit(2, "drop", "a"), edit(3, "undo", value="e2")]
    assert [one.id for one in standing(edits)] == ["e1"]


def test_an_undo_can_be_undone() -> None:
    edits = [edit(1, "drop", "a"), edit(2, "undo", value="e1"), edit(3, "undo", value="e2")]
    assert [one.id for one in standing(edits)] == ["e1"]
    assert standing([*edits, edit(4, "undo", value="e3")]) == ()


@given(st.lists(st.tuples(st.sampled_from(["drop", "relabel", "group", "undo"]), st.integers(0, 9)), max_size=12))
def test_undoing_everything_from_the_end_leaves_nothing(choices: list[tuple[str, int]]) -> None:
    """Each undo takes back the edit before it, whatever that was."""
    edits = []
    for number, (action, target) in enumerate(choices):
        value = f"e{target % number}" if action == "undo" and number else "x"
        edits.append(edit(number, action if number else "drop", "abc"[target % 3], value))
    undos = [edit(100 + number, "undo", value=one.id) for number, one in enumerate(reversed(edits))]
    assert standing(edits + undos) == ()
    assert {one.id for one in standing(edits)} <= {one.id for one in edits}


# On a table ----------------------------------------------------------------------------------------------------------


def test_edits_change_a_table_and_counts_reconcile(make_table: MakeTable) -> None:
    table = make_table({"ant": 3, "bee": 3})
    edits = [
        edit(1, "drop", table.sha256[0], why="off topic: a chair"),
        edit(2, "relabel", table.sha256[1], "bee"),
        edit(3, "group", table.sha256[4], "burst"),
        edit(4, "drop", "f" * 64),
    ]
    done = table.with_edits(edits)
    assert done.paths == table.paths[1:]
    assert done.labels == ("bee", "ant", "bee", "bee", "bee")
    assert done.groups == ("", "", "", "burst", "")
    assert done.skipped == (Skipped("ant/0.jpg", "dropped by an edit: off topic: a chair"),)
    assert done.account() == "6 files = 5 kept + 1 dropped by an edit"
    assert done.notes == (
        "edits: 1 dropped, 1 relabelled, 1 put into a group",
        "edits: 1 for pictures that are not here, kept and without effect",
    )
    assert table == make_table({"ant": 3, "bee": 3})


def test_an_edit_of_a_file_that_is_no_picture_is_not_one_of_an_absent_picture(make_table: MakeTable) -> None:
    table = replace(make_table({"ant": 2}), skipped=(Skipped("ant/9.jpg", "the file is empty", "e" * 64),))
    assert with_edits(table, [edit(1, "drop", "e" * 64)]) == table


def test_every_row_of_a_content_is_meant(make_table: MakeTable) -> None:
    table = make_table({"ant": 3}, contents=[7, 7, 8])
    assert with_edits(table, [edit(1, "drop", table.sha256[0])]).paths == ("ant/2.jpg",)
    assert with_edits(table, [edit(1, "relabel", table.sha256[0], "bee")]).labels == ("bee", "bee", "ant")


def test_of_copies_one_is_kept_under_each_label(make_table: MakeTable) -> None:
    table = make_table({"ant": 3, "bee": 2}, contents=[7, 7, 7, 7, 8])
    assert with_edits(table, [edit(1, "drop", table.sha256[0], KEEP_ONE)]).paths == ("ant/0.jpg", "bee/3.jpg", "bee/4.jpg")
    both = [edit(1, "drop", table.sha256[0], KEEP_ONE), edit(2, "relabel", table.sha256[0], "bee")]
    assert with_edits(table, both).paths == ("ant/0.jpg", "bee/4.jpg")


def test_of_copies_the_held_back_one_is_kept(make_table: MakeTable) -> None:
    table = make_table({"ant": 3}, contents=[7, 7, 8], splits=["train", "test", "train"])
    assert with_edits(table, [edit(1, "drop", table.sha256[0], KEEP_ONE)]).paths == ("ant/1.jpg", "ant/2.jpg")


def test_new_and_emptied_classes_are_said(make_table: MakeTable) -> None:
    table = make_table({"ant": 1, "bee": 2})
    done = with_edits(table, [edit(1, "relabel", table.sha256[0], "wasp")])
    assert done.classes == ("bee", "wasp")
    assert done.notes == (
        "edits: 1 relabelled",
        "edits: 'wasp' is a new class (1 relabelled to it)",
        "edits: no picture of 'ant' is left",
    )


def test_without_edits_a_table_is_what_it_was(make_table: MakeTable) -> None:
    table = replace(make_table({"ant": 2, "bee": 2}), notes=("read as a folder",))
    assert with_edits(table, []) == table
