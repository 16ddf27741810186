from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tellapart.checks.copies import confirm, find_copies
from tellapart.checks.proposals import propose
from tellapart.data import ImageTable
from tellapart.data.table import table_of
from tellapart.images.glances import THUMBNAIL_PX
from tellapart.inference.glances import scan, skim


@pytest.fixture
def table(tmp_path: Path) -> ImageTable:
    """Six pictures; 0 again smaller (6), mirrored (7), and as the same file (8), 1 again but tiny (9)."""
    rng = np.random.default_rng(0)
    blots = [
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((320, 240), Image.Resampling.BICUBIC) for _ in range(6)
    ]
    pictures = [*blots, blots[0].resize((160, 120)), ImageOps.mirror(blots[0]), blots[0]]
    pictures.append(blots[1].resize((60, THUMBNAIL_PX - 1)))
    paths = [str(tmp_path / f"{number}.png") for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    return table_of(paths, ["a"] * len(paths))


def test_what_is_proposed_and_confirmed_is_what_all_glances_give(table: ImageTable, tmp_path: Path) -> None:
    proposed = propose(table, skim(table, cache_folder=tmp_path).of(table))
    assert {(0, 6), (0, 7)} <= set(map(tuple, proposed.tolist()))
    glances = scan(table, cache_folder=tmp_path).of(table)
    found = sorted(confirm(glances, proposed), key=lambda pair: (pair.first, pair.second))
    expected = [pair for pair in find_copies(table, glances, None, n_embedding=0) if pair.kind != "exact"]
    assert found == expected
    assert {(pair.first, pair.second): pair.kind for pair in found}[0, 7] == "mirrored"


def test_nothing_to_propose_or_confirm(table: ImageTable, tmp_path: Path) -> None:
    glimpses = skim(table, cache_folder=tmp_path).of(table)
    for rows in ([], [0], [1, 9], [0, 8], [1, 2, 3]):
        proposed = propose(table.take(rows), glimpses[rows])
        assert proposed.shape == (0, 2)
        assert confirm(scan(table, cache_folder=tmp_path).of(table), proposed) == []
