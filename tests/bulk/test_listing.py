"""Which pictures are meant, and whose they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.bulk.listing import PassedOver, Shard, find_pictures
from tellapart.errors import CallError

MakeFiles = Callable[[Path, Iterable[str]], None]


def found(*patterns: str | Path, shard: Shard | None = None) -> list[str]:
    return list(find_pictures([str(one) for one in patterns], PassedOver(), shard=shard))


def test_each_picture_comes_once_in_the_order_given(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "a/2.png", "b/1.png"])
    one, two, other = (str(tmp_path / name) for name in ("a/1.png", "a/2.png", "b/1.png"))
    assert found(tmp_path / "b", tmp_path / "a", other, str(tmp_path / "*" / "1.png")) == [other, one, two]
    assert found(str(tmp_path / "**" / "*.png")) == [one, two, other]


def test_what_is_not_there_is_kept_and_what_is_empty_is_said_at_once(tmp_path: Path) -> None:
    assert found(tmp_path / "absent.png") == [str(tmp_path / "absent.png")]
    for pattern in (tmp_path, tmp_path / "*.png"):
        with pytest.raises(CallError, match="holds no pictures"):
            find_pictures([str(tmp_path / "absent.png"), str(pattern)], PassedOver())


def test_what_is_passed_over_is_counted_and_what_is_lost_is_kept(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["1.png", "2.png"])
    (tmp_path / "notes.txt").touch()
    (tmp_path / "list.csv").write_text(f"file\n{tmp_path / '1.png'}\ngone.png\n")
    passed = PassedOver()
    assert len(list(find_pictures([str(tmp_path), str(tmp_path / "list.csv")], passed))) == 2
    assert passed.n == 3  # the table and the notes in the folder, and the file that is gone
    assert [(Path(one.path).name, one.reason) for one in passed.unreadable] == [("gone.png", "no such file: row 3")]


@given(st.lists(st.text(st.characters(exclude_categories=())), unique=True, max_size=30), st.integers(1, 20))
def test_every_path_is_one_shards(paths: list[str], n_shards: int) -> None:
    shards = [Shard(number, n_shards) for number in range(1, n_shards + 1)]
    assert all(sum(shard.holds(path) for shard in shards) == 1 for path in paths)


def test_a_path_stays_in_its_shard() -> None:
    """Written down: another version on another machine of a cluster must say the same."""
    shards = [Shard(number, 16) for number in range(1, 17)]
    assert [one.number for one in shards if one.holds("a.jpg")] == [11]
    assert [one.number for one in shards if one.holds("b.jpg")] == [3]


def test_shards_are_of_like_size(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, [f"{number:04d}.png" for number in range(400)])
    parts = [found(tmp_path, shard=Shard(number, 4)) for number in (1, 2, 3, 4)]
    assert sorted(path for part in parts for path in part) == found(tmp_path)
    assert all(70 <= len(part) <= 130 for part in parts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("17/16", "there is no shard 17; they are numbered from 1 to 16"),
        ("0/16", "With Slurm: --array=1-16"),
        ("1/0", "there can be 1 to 1,000,000 shards"),
        ("3", "'3' is no shard; give its number and how many there are: --shard 3/16"),
        ("-1/4", "is no shard"),
        ("1/4/2", "is no shard"),
        ("", "'' is no shard"),
    ],
)
def test_a_shard_that_there_is_not_is_said(text: str, said: str) -> None:
    with pytest.raises(CallError, match=said):
        Shard.parse(text)


def test_files_are_named_by_their_shard() -> None:
    shard = Shard.parse("3/16")
    assert str(shard) == "3/16"
    assert shard.named("out/preds.csv") == "out/preds-03-of-16.csv"
    assert shard.named("s3://bucket/preds.jsonl") == "s3://bucket/preds-03-of-16.jsonl"
