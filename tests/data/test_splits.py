"""The split: what must stay together does, the same pictures are held back each time, and the classes stay in proportion."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data import ImageTable, Skipped, find_split_leaks, split, split_like, tie
from tellapart.errors import CallError, DataError

MakeTable = Callable[..., ImageTable]


def held_back(table: ImageTable, name: str = "valid") -> set[str]:
    """The contents in that part."""
    return set(table.in_split(name).sha256)


# Fractions -----------------------------------------------------------------------------------------------------------


def test_a_fifth_of_each_class_is_held_back(make_table: MakeTable) -> None:
    table = split(make_table({"a": 100, "b": 10, "c": 55}))
    assert Counter(table.splits) == {"train": 132, "valid": 33}
    assert table.in_split("valid").counts == {"a": 20, "b": 2, "c": 11}
    assert table.skipped == ()


@pytest.mark.parametrize("valid_frac", [0.05, 0.1, 0.25, 0.5, 0.9])
def test_any_fraction(valid_frac: float, make_table: MakeTable) -> None:
    assert split(make_table({"a": 40, "b": 200}), valid_frac=valid_frac).in_split("valid").counts == {
        "a": round(40 * valid_frac),
        "b": round(200 * valid_frac),
    }


def test_of_two_pictures_one_is_held_back_whatever_the_fraction(make_table: MakeTable) -> None:
    for valid_frac in (0.01, 0.5, 0.99):
        table = split(make_table({"a": 2, "b": 2}), valid_frac=valid_frac)
        assert table.in_split("valid").counts == table.in_split("train").counts == {"a": 1, "b": 1}


def test_nothing_is_held_back_where_nothing_is_asked_for(make_table: MakeTable) -> None:
    assert set(split(make_table({"a": 1, "b": 5}), valid_frac=0.0).splits) == {"train"}


def test_a_test_part_beside_the_validation_part(make_table: MakeTable) -> None:
    table = split(make_table({"a": 100, "b": 100}), test_frac=0.2)
    assert table.in_split("test").counts == {"a": 20, "b": 20}
    assert not held_back(table, "test") & held_back(table, "valid")


def test_both_fractions_are_of_the_whole(make_table: MakeTable) -> None:
    table = split(make_table({"a": 100, "b": 100}), valid_frac=0.4, test_frac=0.5)
    assert Counter(table.splits) == {"test": 100, "valid": 80, "train": 20}


@pytest.mark.parametrize(
    ("valid_frac", "test_frac"), [(1.0, 0.0), (-0.1, 0.0), (0.0, 1.0), (0.5, 0.5), (0.2, -1.0), (float("nan"), 0.0), (20, 0.0)]
)
def test_impossible_fractions_are_refused(valid_frac: float, test_frac: float, make_table: MakeTable) -> None:
    with pytest.raises(CallError) as caught:
        split(make_table({"a": 9, "b": 9}), valid_frac=valid_frac, test_frac=test_frac)
    assert str(caught.value) == (
        f"valid {valid_frac} and test {test_frac}: each is a part from 0 to 1, and both leave some to train on"
    )


# Together ------------------------------------------------------------------------------------------------------------


def test_copies_stay_together(make_table: MakeTable) -> None:
    table = split(make_table({"a": 60, "b": 60}, contents=[*(row // 3 for row in range(60)), *range(100, 160)]))
    assert not held_back(table, "train") & held_back(table, "valid")
    assert table.in_split("valid").counts == {"a": 12, "b": 12}


def test_groups_stay_together(make_table: MakeTable) -> None:
    groups = [f"burst {row // 4}" if row < 40 else "" for row in range(80)]
    table = split(make_table({"a": 40, "b": 40}, groups=groups))
    assert not set(table.in_split("train").groups) & set(table.in_split("valid").groups) - {""}
    assert table.in_split("valid").counts == {"a": 8, "b": 8}


CONTENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 15), st.sampled_from(["", "", "g", "h"])), min_size=1, max_size=60
)


@given(CONTENTS, st.floats(0, 0.7), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_no_row_is_lost_and_nothing_is_parted(rows: list[tuple[str, int, str]], valid_frac: float, seed: int) -> None:
    table = ImageTable(
        paths=tuple(str(place) for place in range(len(rows))),
        sha256=tuple(str(content) for _, content, _ in rows),
        labels=tuple(label for label, _, _ in rows),
        groups=tuple(group for _, _, group in rows),
        splits=("",) * len(rows),
        sources=("list",) * len(rows),
    )
    try:
        done = split(table, valid_frac=valid_frac, seed=seed)
    except DataError:
        return
    assert replace(done, splits=table.splits) == table
    parts = defaultdict[str, set[str]](set)
    for group, digest, name in zip(done.groups, done.sha256, done.splits, strict=True):
        parts[group or digest].add(name)
    assert all(len(names) == 1 for names in parts.values())
    assert done.in_split("train").classes == done.classes


# The same each time --------------------------------------------------------------------------------------------------


def test_the_same_seed_holds_back_the_same_and_another_seed_others(make_table: MakeTable) -> None:
    table = make_table({"a": 50, "b": 50})
    assert split(table).splits == split(table).splits
    assert held_back(split(table)) != held_back(split(table, seed=1))


def test_neither_names_nor_order_change_what_is_held_back(make_table: MakeTable) -> None:
    table = make_table({"a": 50, "b": 50})
    renamed = replace(table, paths=tuple(f"elsewhere/{row}.png" for row in range(len(table))))
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)).tolist())
    assert held_back(split(table)) == held_back(split(renamed)) == held_back(split(shuffled))


def test_the_order_changes_nothing_where_copies_lie_in_two_classes(make_table: MakeTable) -> None:
    contents = [*range(50), *range(20), *range(100, 130)]
    table = make_table({"a": 50, "b": 50}, contents=contents)
    assert held_back(split(table)) == held_back(split(table.take(reversed(range(len(table))))))


def test_adding_pictures_leaves_most_where_they_were(make_table: MakeTable) -> None:
    few = make_table({"a": 200, "b": 200})
    many = make_table({"a": 220, "b": 220}, contents=[*range(200), *range(1000, 1020), *range(200, 400), *range(1020, 1040)])
    before = dict(zip(few.sha256, split(few).splits, strict=True))
    after = dict(zip(many.sha256, split(many).splits, strict=True))
    moved = sum(before[digest] != after[digest] for digest in before)
    assert moved <= 12  # of 400; drawn anew, about 128 would move


# Splits that the table brings ----------------------------------------------------------------------------------------


def test_splits_that_are_there_are_kept(make_table: MakeTable) -> None:
    splits = ["train", "train", "valid", "test"] * 2
    table = make_table({"a": 4, "b": 4}, splits=splits)
    assert split(table, valid_frac=0.5, test_frac=0.3) == table


def test_a_missing_part_is_drawn_from_the_training_rows(make_table: MakeTable) -> None:
    table = split(make_table({"a": 12, "b": 12}, splits=(["train"] * 10 + ["test"] * 2) * 2))
    assert Counter(table.splits) == {"train": 16, "valid": 4, "test": 4}
    assert table.in_split("valid").counts == {"a": 2, "b": 2}
    assert [name == "test" for name in table.splits] == ([False] * 10 + [True] * 2) * 2


def test_copies_of_held_back_pictures_leave_the_training_part(make_table: MakeTable) -> None:
    table = make_table(
        {"a": 4, "b": 4},
        contents=[0, 1, 2, 0, 4, 5, 6, 4],
        splits=["train", "train", "valid", "test", "train", "train", "test", "valid"],
    )
    done = split(table)
    assert done.paths == ("a/1.jpg", "a/2.jpg", "a/3.jpg", "b/5.jpg", "b/6.jpg", "b/7.jpg")
    assert done.skipped == tuple(Skipped(path, "a copy of a held-back picture") for path in ("a/0.jpg", "b/4.jpg"))
    assert done.account() == "8 files = 6 kept + 2 a copy of a held-back picture"


def test_a_group_that_is_held_back_leaves_the_training_part(make_table: MakeTable) -> None:
    table = make_table(
        {"a": 3, "b": 2}, groups=["burst", "", "burst", "", ""], splits=["train", "train", "test", "train", "train"]
    )
    done = split(table, valid_frac=0.0)
    assert done.paths == ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg")
    assert [skip.path for skip in done.skipped] == ["a/0.jpg"]


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "drop"), [("owl", "owl"), ("snowy owl", "'snowy owl'"), ("--help", "--help"), ("-x", "-x")])
def test_a_class_of_one_names_itself_and_the_way_out(label: str, drop: str, make_table: MakeTable) -> None:
    with pytest.raises(DataError) as caught:
        split(make_table({"ant": 5, label: 1}))
    assert str(caught.value) == (
        f"class {label!r} has 1 picture; at least 2 are needed to hold one back. Add pictures, or leave it out: --drop {drop}"
    )


@pytest.mark.parametrize("label", ["a&b", "$HOME", 'it\'s "two"', "a;b", "*", "two\nlines"])
def test_the_way_out_can_be_pasted_into_a_shell(label: str, make_table: MakeTable) -> None:
    with pytest.raises(DataError) as caught:
        split(make_table({"ant": 5, label: 1}))
    assert str(caught.value).endswith(f"leave it out: --drop {shlex.quote(label)}")


def test_copies_of_one_picture_are_one_picture(make_table: MakeTable) -> None:
    with pytest.raises(DataError, match=re.escape("class 'b' has 1 picture (3 copies of it); at least 2 are needed")):
        split(make_table({"a": 3, "b": 3}, contents=[0, 1, 2, 9, 9, 9]))


def test_many_classes_of_one_are_one_message(make_table: MakeTable) -> None:
    with pytest.raises(DataError) as caught:
        split(make_table({"z": 4, **{f"c{number}": 1 for number in range(8)}}))
    assert str(caught.value) == (
        "class 'c0' has 1 picture; at least 2 are needed to hold one back. "
        "So do 7 more classes: 'c1', 'c2', 'c3', 'c4'. "
        "Add pictures, or leave it out: --drop c0 --drop c1 --drop c2 --drop c3 --drop c4"
    )


@pytest.mark.parametrize(("counts", "found"), [({"cat": 9}, "one class, 'cat'"), ({}, "no class")])
def test_fewer_than_two_classes(counts: dict[str, int], found: str, make_table: MakeTable) -> None:
    with pytest.raises(DataError) as caught:
        split(make_table(counts))
    assert str(caught.value) == (
        f"{found} has pictures to train on; telling apart needs at least 2. Add a folder of pictures for another class."
    )


def test_a_class_with_nothing_to_train_on(make_table: MakeTable) -> None:
    with pytest.raises(DataError) as caught:
        split(make_table({"a": 2, "b": 2, "c": 2}, splits=["train"] * 4 + ["valid"] * 2))
    assert str(caught.value).startswith("1 class has held-back pictures but none to train on: 'c'. ")


# Groups --------------------------------------------------------------------------------------------------------------


def test_groups_tie_contents_together_across_rows(make_table: MakeTable) -> None:
    """A copy that one row counts to a group brings the other rows of its content along."""
    table = make_table({"ant": 12, "bee": 12})
    digests, groups = list(table.sha256), [""] * 24
    digests[1] = digests[0]
    groups[1] = groups[2] = "burst"  # row 0 is a copy of row 1, which is of one group with row 2
    for seed in range(20):
        splits = split(replace(table, sha256=tuple(digests), groups=tuple(groups)), seed=seed).splits
        assert len({splits[0], splits[1], splits[2]}) == 1


def test_a_class_in_one_group_names_itself(make_table: MakeTable) -> None:
    with pytest.raises(DataError) as caught:
        split(make_table({"ant": 5, "bee": 4}, groups=[""] * 5 + ["burst"] * 4))
    assert str(caught.value) == (
        "class 'bee' has 4 pictures, all near copies or of one group; at least 2 that may be parted are needed to hold one back. "
        "Add pictures, or leave it out: --drop bee"
    )


def test_groups_of_several_classes_stay_in_proportion(make_table: MakeTable) -> None:
    """100 patients with 1 to 9 pictures each, of both classes."""
    random = np.random.default_rng(0)
    groups = [f"patient {place}" for place, size in enumerate(random.integers(1, 10, 100)) for _ in range(size)]
    n_ill = len(groups) // 4
    table = make_table({"ill": n_ill, "well": len(groups) - n_ill}, groups=random.permutation(groups).tolist())
    for seed in range(5):
        done = split(table, seed=seed)
        for label, n_rows in done.in_split("valid").counts.items():
            assert n_rows / table.counts[label] == pytest.approx(0.2, abs=0.03)
        assert not set(done.in_split("train").groups) & set(done.in_split("valid").groups)


def test_a_large_group_is_not_drawn_where_small_ones_fit(make_table: MakeTable) -> None:
    table = make_table({"ant": 100, "bee": 100}, groups=["film"] * 60 + [""] * 140)
    for seed in range(10):
        assert split(table, seed=seed).in_split("valid").counts == {"ant": 20, "bee": 20}


# Like an earlier table -----------------------------------------------------------------------------------------------


def numbered(make_table: MakeTable, ants: range, bees: range, **columns: object) -> ImageTable:
    return make_table({"ant": len(ants), "bee": len(bees)}, contents=[*ants, *bees], **columns)


def parts_of(table: ImageTable) -> dict[str, str]:
    return dict(zip(table.sha256, table.splits, strict=True))


def test_pictures_that_were_there_keep_their_part(make_table: MakeTable) -> None:
    earlier = split(numbered(make_table, range(50), range(100, 150)), test_frac=0.1)
    many = numbered(make_table, range(80), range(100, 180))
    done = split_like(many, earlier, test_frac=0.1)
    assert {digest: part for digest, part in parts_of(done).items() if digest in parts_of(earlier)} == parts_of(earlier)
    assert done.in_split("valid").counts == {"ant": 16, "bee": 16}
    assert done.in_split("test").counts == {"ant": 8, "bee": 8}


def test_nothing_new_is_nothing_changed(make_table: MakeTable) -> None:
    earlier = split(numbered(make_table, range(50), range(100, 150)))
    unsplit = earlier.with_splits([""] * 100)
    done = split_like(unsplit, earlier, valid_frac=0.5, seed=9)
    assert replace(done, notes=()) == earlier
    assert done.notes == ("split like an earlier run: 100 pictures kept their part, 0 drawn anew",)
    assert parts_of(split_like(unsplit.take(range(40, 70)), earlier)).items() <= parts_of(earlier).items()


def test_a_run_that_shares_no_picture_decides_nothing_and_that_is_said(make_table: MakeTable) -> None:
    earlier = split(numbered(make_table, range(50), range(100, 150)))
    done = split_like(numbered(make_table, range(200, 250), range(300, 350)), earlier)
    assert done.notes == ("split like an earlier run: 0 of these pictures are in it, so it decides nothing; 100 drawn anew",)


def test_kept_and_drawn_pictures_are_counted(make_table: MakeTable) -> None:
    earlier = split(numbered(make_table, range(50), range(100, 150)))
    done = split_like(numbered(make_table, range(30, 80), range(130, 180)), earlier)
    assert done.notes == ("split like an earlier run: 40 pictures kept their part, 60 drawn anew",)


def test_a_new_class_is_drawn_from(make_table: MakeTable) -> None:
    earlier = split(numbered(make_table, range(50), range(100, 150)))
    many = make_table({"ant": 50, "bee": 50, "cat": 10}, contents=[*range(50), *range(100, 150), *range(200, 210)])
    assert split_like(many, earlier).in_split("valid").counts == {"ant": 10, "bee": 10, "cat": 2}


def test_what_is_tied_to_an_earlier_picture_joins_it(make_table: MakeTable) -> None:
    groups = [f"patient {row % 10}" for row in range(100)]
    earlier = split(numbered(make_table, range(50), range(100, 150), groups=groups))
    new = numbered(make_table, range(300, 330), range(400, 430), groups=[f"patient {row % 20}" for row in range(60)])
    of_group = dict(zip(earlier.groups, earlier.splits, strict=True))
    done = split_like(new, earlier)  # none of the contents, but half of the patients
    for group, part in zip(done.groups, done.splits, strict=True):
        assert part == of_group.get(group, part)


def test_a_new_copy_that_ties_two_parts_takes_the_training_picture_out(make_table: MakeTable) -> None:
    earlier = numbered(make_table, range(4), range(100, 104), splits=["train", "train", "valid", "test"] * 2)
    table = tie(numbered(make_table, range(5), range(100, 104)), [(0, 4), (3, 4)])  # the new one is a near copy of both
    done = split_like(table, earlier)
    assert parts_of(done)[table.sha256[4]] == "test"
    assert [skip.path for skip in done.skipped] == ["ant/0.jpg"]
    assert "1 training picture is a copy of 2 test pictures (0 exact, 1 near or of one group)" in done.notes[1]


def test_a_part_that_the_table_brings_goes_before_the_earlier_one(make_table: MakeTable) -> None:
    earlier = numbered(make_table, range(4), range(100, 104), splits=["train", "train", "valid", "test"] * 2)
    table = numbered(make_table, range(6), range(100, 106), splits=["train", "test", "train", "train", "train", "train"] * 2)
    done = split_like(table, earlier)
    assert done.splits[:4] == ("train", "test", "valid", "train")


@given(CONTENTS, CONTENTS, st.floats(0, 0.5), st.floats(0, 0.4), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_added_pictures_move_none(
    before: list[tuple[str, int, str]], added: list[tuple[str, int, str]], valid_frac: float, test_frac: float, seed: int
) -> None:
    def table_of_rows(rows: list[tuple[str, int, str]]) -> ImageTable:
        labels, contents, groups = zip(*rows, strict=True)
        n = len(rows)
        return ImageTable(tuple(map(str, range(n))), tuple(map(str, contents)), labels, groups, ("",) * n, ("list",) * n)

    try:
        earlier = split(table_of_rows(before), valid_frac=valid_frac, test_frac=test_frac, seed=seed)
        done = split_like(table_of_rows(before + added), earlier, valid_frac=valid_frac, test_frac=test_frac, seed=seed)
    except DataError:
        return
    was = parts_of(earlier)
    assert all(was.get(digest, part) == part for digest, part in zip(done.sha256, done.splits, strict=True))
    assert len(done) + len(done.skipped) == len(before) + len(added)
    assert find_split_leaks(done) == ()
    assert done.in_split("train").classes == done.classes
