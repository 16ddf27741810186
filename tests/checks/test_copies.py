"""Near copies: each kind of change to drawn pictures is found and named, and pictures that only resemble are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from tellapart.checks.copies import N_NEIGHBOURS, CopyPair, copy_groups, find_copies
from tellapart.data import ImageTable
from tellapart.data.table import table_of
from tellapart.images import GLANCE
from tellapart.images.decoding import open_described
from tellapart.images.glances import glance

REAL = Path(os.environ.get("TELLAPART_DATA") or Path(__file__).parents[3] / "shared" / "data")
Change = Callable[[Image.Image], Image.Image]


def scene(seed: int) -> Image.Image:
    """A picture of 160 x 120 px with 40 shapes, like no other."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (160, 120), tuple(rng.integers(90, 170, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        left, top = rng.integers(-10, 150), rng.integers(-10, 110)
        box = (left, top, left + rng.integers(8, 40), top + rng.integers(8, 40))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape(tuple(map(int, box)), fill=tuple(rng.integers(40, 216, 3).tolist()))
    return image


def recompressed(image: Image.Image) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=20)
    return Image.open(file)


def captioned(image: Image.Image) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 98, 160, 120), fill="white")
    draw.text((8, 102), "WHEN YOU SEE IT", fill="black")
    return image


CHANGES: dict[str, tuple[str, Change]] = {
    "half the size": ("resized", lambda image: image.resize((80, 60), Image.Resampling.LANCZOS)),
    "JPEG of quality 20": ("near", recompressed),
    "cropped": ("cropped", lambda image: image.crop((20, 3, 150, 102))),
    "mirrored": ("mirrored", ImageOps.mirror),
    "grey": ("recoloured", lambda image: ImageOps.grayscale(image).convert("RGB")),
    "darker": ("recoloured", lambda image: ImageEnhance.Brightness(image).enhance(0.6)),
    "captioned": ("captioned", captioned),
}


def evidence(images: list[Image.Image], *, contents: list[int] | None = None) -> tuple[ImageTable, np.ndarray]:
    """A table of these pictures and their glances; `contents` gives rows of one number one content."""
    numbers, empty = contents or list(range(len(images))), ("",) * len(images)
    names = tuple(f"{row}.png" for row in range(len(images)))
    table = ImageTable(names, tuple(f"{number:064x}" for number in numbers), empty, empty, empty, empty)
    files = [BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        image.save(file, "PNG")
    return table, np.array([glance(open_described(file.getvalue())) for file in files], GLANCE)


def alike(n: int) -> np.ndarray:
    """Features by which every picture is near to every other: thumbnails alone decide."""
    return np.ones((n, 4), np.float16)


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_picture_is_found_and_named(name: str) -> None:
    kind, change = CHANGES[name]
    images = [scene(seed) for seed in range(4)]
    table, glances = evidence([*images, *map(change, images)])
    found = find_copies(table, glances, alike(8), n_embedding=4)
    assert [(pair.first, pair.second, pair.kind) for pair in found] == [(row, row + 4, kind) for row in range(4)]
    assert all(0.75 <= pair.score <= 1 for pair in found)


def test_without_features_the_hash_proposes() -> None:
    images = [scene(seed) for seed in range(4)]
    table, glances = evidence([*images, *map(ImageOps.mirror, images)])
    found = find_copies(table, glances, None, n_embedding=0)
    assert [(pair.first, pair.second, pair.kind) for pair in found] == [(row, row + 4, "mirrored") for row in range(4)]


def test_pictures_that_resemble_are_no_copies() -> None:
    """Discs of one size at one place, each with a relief of its own: coins of one denomination."""
    images = []
    for seed in range(8):
        image = Image.new("RGB", (120, 120), (150, 150, 150))
        mask = Image.new("L", (120, 120))
        ImageDraw.Draw(mask).ellipse((15, 15, 105, 105), fill=255)
        image.paste(ImageEnhance.Contrast(scene(seed).resize((120, 120))).enhance(0.4), mask=mask)
        images.append(image)
    table, glances = evidence(images)
    assert find_copies(table, glances, alike(8), n_embedding=4) == ()


def test_exact_copies_are_linked_to_the_first_and_near_ones_found_once() -> None:
    image = scene(0)
    table, glances = evidence([image, scene(1), image, image, recompressed(image)], contents=[0, 1, 0, 0, 2])
    found = find_copies(table, glances, alike(5), n_embedding=4)
    assert [(pair.first, pair.second, pair.kind) for pair in found] == [(0, 2, "exact"), (0, 3, "exact"), (0, 4, "near")]
    assert found[0].score == 1
    assert copy_groups(5, found).tolist() == [0, 1, 0, 0, 0]


def test_blank_pictures_are_no_copies_unless_exact() -> None:
    table, glances = evidence([Image.new("RGB", (40, 40), (level, 0, 0)) for level in range(0, 200, 10)])
    assert find_copies(table, glances, alike(20), n_embedding=4) == ()


def test_pictures_of_low_contrast_do_not_make_all_pairs() -> None:
    """Fog with noise: 43,475 pairs of the 600 have hashes that are near. And among them stand copies of something."""
    rng = np.random.default_rng(0)
    fog = np.zeros(600, GLANCE)
    fog["width"], fog["height"] = 300, 200
    fog["thumbnail"] = np.clip(110 + rng.normal(0, 8, (600, 48, 48, 1)), 0, 255)
    _, scenes = evidence([change(scene(seed)) for seed in range(4) for change in (Image.Image.copy, recompressed)])
    glances = np.concatenate([fog, scenes])
    names, empty = tuple(f"{row:064x}" for row in range(len(glances))), ("",) * len(glances)
    table = ImageTable(names, names, empty, empty, empty, empty)
    told: list[tuple[str, int, int]] = []
    found = find_copies(table, glances, None, n_embedding=0, progress=lambda *words: told.append(words))
    assert [(pair.first, pair.second) for pair in found] == [(row, row + 1) for row in range(600, 608, 2)]
    what, done, n_compared = told[-1]
    assert (what, done) == ("comparing", n_compared)
    assert 600 < n_compared <= N_NEIGHBOURS * len(glances)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pictures_for_a_copy(n: int) -> None:
    table, glances = evidence([scene(0)] * n)
    assert find_copies(table, glances, alike(n), n_embedding=4) == ()
    assert copy_groups(n, ()).tolist() == list(range(n))


def test_the_order_of_rows_does_not_matter() -> None:
    images = [scene(0), scene(1), scene(0).crop((0, 0, 140, 110)), ImageOps.mirror(scene(1))]
    table, glances = evidence(images)
    found = find_copies(table, glances, alike(4), n_embedding=4)
    order = [3, 1, 0, 2]
    shuffled = find_copies(table.take(order), glances[order], alike(4), n_embedding=4)
    back = [(*sorted((order[pair.first], order[pair.second])), pair.kind, pair.score) for pair in shuffled]
    assert sorted(back) == [(pair.first, pair.second, pair.kind, pair.score) for pair in found]
    assert len(found) == 2


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_groups_are_what_is_connected(links: list[tuple[int, int]]) -> None:
    pairs = [CopyPair(min(link), max(link), "near", 1.0) for link in links if link[0] != link[1]]
    groups = copy_groups(20, pairs)
    connected = np.eye(20, dtype=bool)
    for pair in pairs:
        connected[pair.first, pair.second] = connected[pair.second, pair.first] = True
    for _ in range(5):  # paths of up to 32 links
        connected = connected @ connected
    assert groups.tolist() == connected.argmax(1).tolist()


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "flowers").is_dir(), reason="no real pictures: set TELLAPART_DATA")
def test_the_recoloured_tulips_in_flowers_are_found_by_hash_alone() -> None:
    paths = sorted(str(path) for path in (REAL / "flowers").glob("*/tulips/*"))
    table = table_of(paths, ["tulips"] * len(paths))
    glances = np.array([glance(open_described(path, min_side_px=96)) for path in paths], GLANCE)
    found = find_copies(table, glances, None, n_embedding=0)
    assert 1 <= len(found) <= 6
