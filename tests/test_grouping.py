from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart import grouping
from tellapart.grouping import near_copies, with_copies_tied
from tellapart.inference.glances import scan
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
    embedded, glances = embed_table(table, RECIPE), scan(table)
    found = near_copies(table, embedded, glances)
    assert len(found) == 2
    monkeypatch.setattr(grouping, "find_copies", None)
    assert near_copies(table, embedded, glances) == found
    turned = table.take(reversed(range(len(table))))
    paths = [{turned.paths[pair.first], turned.paths[pair.second]} for pair in near_copies(turned, embedded, glances)]
    assert sorted(map(sorted, paths)) == sorted([table.paths[pair.first], table.paths[pair.second]] for pair in found)


def test_a_damaged_note_of_them_is_made_again(scenes: Path, cache: Path) -> None:
    table = read(scenes)
    embedded, glances = embed_table(table, RECIPE), scan(table)
    found = near_copies(table, embedded, glances)
    for content in (b"", b"{}", b'{"pairs": [1]}', b'{"pairs": [["a", "b", "near", null]]}'):
        for path in (cache / "copies").iterdir():
            path.write_bytes(content)
        assert near_copies(table, embedded, glances) == found


def test_a_picture_that_is_not_embedded_is_compared_by_a_glance(scenes: Path) -> None:
    """A locked test part is tied to its copies, though no network has seen it."""
    for part in ("train", "test"):
        shutil.copytree(scenes, scenes.parent / "split" / part)
    table = read(scenes.parent / "split")
    embedded = embed_table(table.in_split("train"), RECIPE)
    for path in (scenes.parent / "split" / "test").glob("*/*.png"):
        with Image.open(path) as image:
            image.resize((200, 150)).save(path)
    table = read(scenes.parent / "split")
    tied = with_copies_tied(table, embedded)
    held = {group for group, part in zip(tied.groups, tied.splits, strict=True) if part == "test"}
    assert "" not in held
    assert held == {group for group, part in zip(tied.groups, tied.splits, strict=True) if part == "train"}
