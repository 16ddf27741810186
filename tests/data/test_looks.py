from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.data.looks import COUNTED_IN, LOOKED_AT, Looks, look, n_channels_of
from tellapart.images import Fit


def drawn(folder: Path, sizes: list[tuple[int, int]]) -> list[str]:
    paths = [folder / f"{number:02}.png" for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        Image.new("RGB", size).save(path)
    return [str(path) for path in paths]


def test_sizes_and_the_median_of_the_shorter_sides(tmp_path: Path) -> None:
    looks = look(drawn(tmp_path, [(30, 40), (64, 28), (100, 90)]))
    assert (looks.sizes, looks.sides_px) == (((30, 40), (64, 28), (100, 90)), (28, 30, 90))
    assert (looks.side_px, looks.n_channels) == (30, 3)


def test_a_few_stand_for_all(tmp_path: Path) -> None:
    paths = drawn(tmp_path, [(9, 9)] * 3) * 100
    assert len(look(paths).sizes) == LOOKED_AT
    assert len(look(paths, n=COUNTED_IN).sizes) == COUNTED_IN


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    assert look([str(tmp_path / "absent.png"), *drawn(tmp_path, [(9, 8)])]).sizes == ((9, 8),)
    nothing = look([str(tmp_path / "absent.png")])
    assert (nothing.side_px, nothing.n_channels) == (0, 3)
    assert look([]).sizes == ()


def test_the_channels_that_most_have(tmp_path: Path) -> None:
    np.save(tmp_path / "bands.npy", np.zeros((3, 8, 8, 5), np.uint8))
    paths = [f"{tmp_path / 'bands.npy'}#{row}" for row in range(3)]
    assert n_channels_of(paths) == 5
    assert n_channels_of([*drawn(tmp_path, [(8, 8)]), *paths]) == 5
    assert n_channels_of(drawn(tmp_path, [(8, 8)])) == 3


@pytest.mark.parametrize(
    ("sizes", "side_px", "note"),
    [
        ([(28, 28)] * 2, 28, "The network takes pictures of 28 px, their own side."),
        ([(500, 500)], 64, "The network takes pictures of 64 px; they are of 500 x 500 px. Another side: --size."),
        (
            [(60, 40)] * 2,
            40,
            "The network takes pictures of 40 px; they are of 60 x 40 px. What is not square: --fit crop. Another side: --size.",
        ),
        (
            [(28, 28), (40, 40), (64, 64)],
            40,
            "The network takes pictures of 40 px; their shorter sides are 28 to 64 px, the median 40. Another side: --size.",
        ),
    ],
)
def test_how_the_chosen_side_compares_is_said(sizes: list[tuple[int, int]], side_px: int, note: str) -> None:
    assert Looks(tuple(sizes), 3).side_note(Fit(side_px)) == note
