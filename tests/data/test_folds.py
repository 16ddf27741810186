"""Folds: in proportion, nothing that is tied is parted, and the same each time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data import ImageTable, fold_numbers, folds
from tellapart.errors import CallError, DataError

MakeTable = Callable[..., ImageTable]


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_folds_are_balanced_within_each_class(n_folds: int, make_table: MakeTable) -> None:
    table = make_table({"a": 40, "b": 17, "c": 3})
    numbers = fold_numbers(table, n_folds=n_folds)
    assert (numbers.shape, numbers.dtype) == ((60,), np.int64)
    for label, n_rows in table.counts.items():
        sizes = np.bincount(numbers[[one == label for one in table.labels]], minlength=n_folds)
        assert sizes.sum() == n_rows
        assert sizes.max() - sizes.min() <= 1


def test_a_fold_parts_neither_copies_nor_groups(make_table: MakeTable) -> None:
    table = make_table({"a": 30, "b": 30}, contents=[row // 2 for row in range(60)], groups=["g"] * 6 + [""] * 54)
    numbers = fold_numbers(table, n_folds=5)
    places = defaultdict[str, set[int]](set)
    for group, digest, fold in zip(table.groups, table.sha256, numbers.tolist(), strict=True):
        places[group or digest].add(fold)
    assert all(len(found) == 1 for found in places.values())
    assert set(numbers.tolist()) == {0, 1, 2, 3, 4}


def test_folds_follow_from_content_and_seed_alone(make_table: MakeTable) -> None:
    table = make_table({"a": 30, "b": 30})
    shuffled = table.take(np.random.default_rng(0).permutation(60).tolist())
    by_content = dict(zip(table.sha256, fold_numbers(table, n_folds=5), strict=True))
    assert by_content == dict(zip(shuffled.sha256, fold_numbers(shuffled, n_folds=5), strict=True))
    assert not np.array_equal(fold_numbers(table, n_folds=5), fold_numbers(table, n_folds=5, seed=1))


def test_large_groups_of_several_classes_stay_in_proportion(make_table: MakeTable) -> None:
    """60 patients with 1 to 9 pictures each, of both classes."""
    sizes = np.random.default_rng(0).integers(1, 10, 60)
    groups = [f"patient {place}" for place, size in enumerate(sizes) for _ in range(size)]
    n_rows = len(groups)
    table = make_table(
        {"ill": n_rows // 3, "well": n_rows - n_rows // 3}, groups=np.random.default_rng(1).permutation(groups).tolist()
    )
    numbers = fold_numbers(table, n_folds=5)
    for label in table.classes:
        shares = np.bincount(numbers[[one == label for one in table.labels]], minlength=5) / table.counts[label]
        assert shares.min() > 0.17
        assert shares.max() < 0.23


def test_each_row_is_judged_once(make_table: MakeTable) -> None:
    table = make_table({"ant": 11, "bee": 9}, groups=["g"] * 3 + [""] * 17)
    parts = list(folds(table, 4, seed=1))
    assert len(parts) == 4
    assert Counter(path for _, valid in parts for path in valid.paths) == Counter(table.paths)
    for train, valid in parts:
        assert sorted(train.paths + valid.paths) == sorted(table.paths)
        assert not set(train.sha256) & set(valid.sha256)
        assert set(valid.classes) == set(train.classes) == {"ant", "bee"}


def test_impossible_folds_are_refused(make_table: MakeTable) -> None:
    with pytest.raises(CallError, match="1 folds: at least 2 are needed"):
        next(folds(make_table({"ant": 9}), 1))
    with pytest.raises(DataError) as caught:
        next(folds(make_table({"ant": 9}, groups=["g"] * 8 + [""]), 3))
    assert str(caught.value) == (
        "9 pictures are 2 that may be parted (copies and groups stay together); 3 folds need as many. "
        "Add pictures, or take fewer folds."
    )


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 15), st.sampled_from(["", "", "g", "h"])), min_size=1, max_size=50),
    st.integers(2, 6),
)
@settings(deadline=None)
def test_no_fold_parts_what_is_tied(rows: list[tuple[str, int, str]], n_folds: int) -> None:
    n = len(rows)
    labels, contents, groups = zip(*rows, strict=True)
    table = ImageTable(tuple(map(str, range(n))), tuple(map(str, contents)), labels, groups, ("",) * n, ("list",) * n)
    numbers = fold_numbers(table, n_folds=n_folds).tolist()
    assert set(numbers) <= set(range(n_folds))
    for a in range(n):
        for b in range(a):
            if contents[a] == contents[b] or (groups[a] and groups[a] == groups[b]):
                assert numbers[a] == numbers[b]
