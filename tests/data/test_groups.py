"""Ties: what near copies and groups bring together, and what they do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data import ImageTable, tie
from tellapart.data.groups import Ties, units

MakeTable = Callable[..., ImageTable]


def test_the_least_of_those_that_are_tied_leads() -> None:
    ties = Ties[int]()
    for pair in ((7, 5), (9, 10), (5, 10)):
        ties.tie(*pair)
    assert [ties.leader(number) for number in range(5, 11)] == [5, 6, 5, 8, 5, 5]


def test_near_copies_become_a_group(make_table: MakeTable) -> None:
    table = tie(make_table({"ant": 5}), [(0, 3), (3, 4)])
    name = f"copies of {min(table.sha256[row] for row in (0, 3, 4))[:12]}"
    assert table.groups == (name, "", "", name, name)
    assert tie(table, []) == table


def test_a_group_of_the_user_keeps_its_name(make_table: MakeTable) -> None:
    table = make_table({"ant": 4}, groups=["burst 2", "", "burst 1", ""])
    assert tie(table, [(0, 1)]).groups == ("burst 2", "burst 2", "burst 1", "")
    assert tie(table, [(0, 2)]).groups == ("burst 1", "", "burst 1", "")


def test_copies_of_one_content_need_no_group(make_table: MakeTable) -> None:
    table = make_table({"ant": 3}, contents=[7, 7, 8])
    assert tie(table, [(0, 1)]) == table
    assert len(set(units(table))) == 2


def test_a_long_chain_is_one_group(make_table: MakeTable) -> None:
    n = 20_000
    table = tie(make_table({"ant": n}), [(row, row + 1) for row in range(n - 1)])
    assert len(set(table.groups)) == 1


ROWS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["", "", "g", "h"])), min_size=1, max_size=25)


@given(ROWS, st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), max_size=10))
@settings(deadline=None)
def test_units_are_the_connected_components(rows: list[tuple[int, str]], pairs: list[tuple[int, int]]) -> None:
    n = len(rows)
    pairs = [(a % n, b % n) for a, b in pairs]
    contents, groups = tuple(str(content) for content, _ in rows), tuple(group for _, group in rows)
    table = ImageTable(tuple(map(str, range(n))), contents, ("x",) * n, groups, ("",) * n, ("list",) * n)
    near = defaultdict[int, set[int]](set)
    for a in range(n):
        for b in range(n):
            if contents[a] == contents[b] or (groups[a] and groups[a] == groups[b]) or (a, b) in pairs or (b, a) in pairs:
                near[a].add(b)
    found = units(tie(table, pairs))
    for start in range(n):
        reached, edge = set(), {start}
        while edge:
            reached |= edge
            edge = {b for a in edge for b in near[a]} - reached
        assert {row for row in range(n) if found[row] == found[start]} == reached
