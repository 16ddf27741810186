from __future__ import annotations

import pytest

from tellapart.errors import CallError
from tellapart.launch import is_helper, launch_rank, n_launched, refuse_several


@pytest.mark.parametrize(
    ("world", "rank", "found"),
    [(None, None, (1, 0, False)), ("1", "0", (1, 0, False)), ("4", "0", (4, 0, False)), ("4", "3", (4, 3, True))],
)
def test_who_a_process_is(
    monkeypatch: pytest.MonkeyPatch, world: str | None, rank: str | None, found: tuple[int, int, bool]
) -> None:
    for name, value in (("WORLD_SIZE", world), ("RANK", rank)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert (n_launched(), launch_rank(), is_helper()) == found


def test_a_rank_alone_makes_no_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters set RANK, or nonsense, for programs of their own."""
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert not is_helper()
    monkeypatch.setenv("WORLD_SIZE", "all")
    assert n_launched() == 1
    refuse_several("this")


def test_the_work_of_one_is_refused_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(CallError, match=r"2 processes were started together \(WORLD_SIZE\), but this is the work of one"):
        refuse_several("this")
