from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart import grouping
from tellapart.grouping import near_copies, with_copies_tied
from tellapart.sources import read
from tellapart.training import Recipe, embed_table

RECIPE = Recipe(size=96)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Six different pictures in two classes; the first of each class again, smaller."""
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "scenes" / label).mkdir(parents=True)
        for number in range(3):
            blots = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
            blots.save(tmp_path / "scenes" / label / f"{number}.png")
            if number == 0:
                blots.resize((160, 120)).save(tmp_path / "scenes" / label / "0-small.jpg")
    return tmp_path / "scenes"


def test_near_copies_share_a_group(scenes: Path) -> None:
    table = read(scenes)
    tied = with_copies_tied(table, embed_table(table, RECIPE))
    by_name = {f"{Path(path).parent.name}/{Path(path).name}": group for path, group in zip(tied.paths, tied.groups, strict=True)}
    assert by_name["a/0.png"] == by_name["a/0-small.jpg"] != ""
    assert by_name["b/0.png"] == by_name["b/0-small.jpg"] != by_name["a/0.png"]
    assert [by_name[f"{label}/{number}.png"] for label in "ab" for number in (1, 2)] == [""] * 4


def test_they_are_found_once(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(scenes)
    embedded = embed_table(table, RECIPE)
    found = near_copies(table, embedded)
    assert len(found) == 2
    monkeypatch.setattr(grouping, "find_copies", None)
    assert near_copies(table, embedded) == found
    turned = table.take(reversed(range(len(table))))
    paths = [{turned.paths[pair.first], turned.paths[pair.second]} for pair in near_copies(turned, embedded)]
    assert sorted(map(sorted, paths)) == sorted([table.paths[pair.first], table.paths[pair.second]] for pair in found)


def test_a_damaged_note_of_them_is_made_again(scenes: Path, cache: Path) -> None:
    table = read(scenes)
    embedded = embed_table(table, RECIPE)
    found = near_copies(table, embedded)
    for content in (
        b"",
        b"{}",
        b'{"pairs": [1]}',
        b'{"pairs": [["a", "b", "near", null]]}',
        b'{"pairs": [["a", "b", "near", 1]]}',
    ):
        for path in (cache / "copies").iterdir():
            path.write_bytes(content)
        assert near_copies(table, embedded) == found


def test_what_the_pairs_depend_on_is_their_name(scenes: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(scenes)
    embedded = embed_table(table, RECIPE)
    near_copies(table, embedded)
    n_kept = len(list((cache / "copies").iterdir()))
    monkeypatch.setattr("tellapart.inference.glances.GLANCES", 99)
    near_copies(table, embedded)
    assert len(list((cache / "copies").iterdir())) == n_kept + 1
