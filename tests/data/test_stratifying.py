from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data import ImageTable, fold_numbers, split
from tellapart.data.groups import units
from tellapart.errors import DataError


def table_of_sets(sets: list[str], groups: list[str] | None = None) -> ImageTable:
    n = len(sets)
    digests = tuple(f"{number:04d}" for number in range(n))
    return ImageTable(digests, digests, tuple(sets), tuple(groups or [""] * n), ("",) * n, ("list",) * n, multi_label=True)


def test_every_label_gets_its_share_of_each_part() -> None:
    rng = np.random.default_rng(0)
    chances = {"common": 0.6, "usual": 0.3, "rare": 0.05}
    sets = ["|".join(name for name, chance in chances.items() if rng.random() < chance) for _ in range(400)]
    done = split(table_of_sets(sets), valid_frac=0.25)
    for label, n in done.counts.items():
        assert abs(done.in_split("valid").counts[label] - n / 4) <= 2, label
    n_none = sets.count("")
    assert abs(done.in_split("valid").labels.count("") - n_none / 4) <= 2


def test_a_label_of_two_pictures_comes_into_both_parts_and_one_of_one_is_trained_on() -> None:
    table = table_of_sets(["a|b"] * 2 + ["a|c", "c", "d"] + ["a"] * 20 + [""] * 10)
    for seed in range(10):
        done = split(table, valid_frac=0.1, seed=seed)
        assert done.in_split("train").classes == ("a", "b", "c", "d")
        assert done.in_split("valid").classes == ("a", "b", "c")


def test_folds_spread_every_label_and_pictures_without_any() -> None:
    sets = (["a|b"] * 10 + ["b"] * 20 + ["a|c"] * 5 + [""] * 15) * 2
    numbers = fold_numbers(table_of_sets(sets), n_folds=5)
    for label in "abc":
        found = Counter(int(fold) for fold, cell in zip(numbers, sets, strict=True) if label in cell.split("|"))
        assert max(found.values()) - min(found.get(fold, 0) for fold in range(5)) <= 1, label
    assert set(Counter(numbers[np.array(sets) == ""].tolist()).values()) == {6}


ROWS = st.lists(st.tuples(st.sets(st.sampled_from("abcd")), st.sampled_from(["", "g", "h"])), min_size=4, max_size=40)


@settings(deadline=None)
@given(ROWS, st.integers(0, 5))
def test_nothing_is_parted_and_every_label_that_can_be_trained_on_is(rows: list[tuple[set[str], str]], seed: int) -> None:
    sets = ["|".join(sorted(labels)) for labels, _ in rows]
    table = table_of_sets([*sets, "a", "b"], [*(group for _, group in rows), "", ""])
    try:
        done = split(table, valid_frac=0.3, seed=seed)
    except DataError:  # a label that all the training pictures have
        return
    assert done.in_split("train").classes == done.classes
    parts = {(unit, part) for unit, part in zip(units(done), done.splits, strict=True)}
    assert len(parts) == len(set(units(done)))
