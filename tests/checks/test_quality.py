from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from tellapart.checks import quality
from tellapart.checks.findings import Finding
from tellapart.images import GLANCE
from tellapart.images.decoding import open_described
from tellapart.images.glances import glance

N_GOOD = 5


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Something with detail and all tones."""
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
        draw.ellipse((x, y, x + 20, y + 12), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return picture


DAMAGE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "dark": lambda image: image.point(lambda level: level // 4),
    "bright": lambda image: image.point(lambda level: 215 + level // 7),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(0.02 * image.width)),
    "blank": lambda image: Image.new("RGB", image.size, (12, 200, 90)),
    "tiny": lambda image: image.resize((32, 24)),
    "odd_aspect": lambda image: image.resize((800, 100)),
    "low_information": lambda image: _logo(image.size),
}


def _logo(size: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((100, 100, 200, 180), fill="navy")
    return picture


def findings(make_evidence, pictures: list[Image.Image], folder: Path) -> dict[str, list[Finding]]:
    rows = []
    for i, picture in enumerate(pictures):
        picture.save(folder / f"{i}.png")
        rows.append(glance(open_described(folder / f"{i}.png")))
    fields = {name: np.array(rows, GLANCE)[name] for name in GLANCE.names}
    evidence = make_evidence(["rose"] * len(pictures), **fields)
    return {kind: getattr(quality, f"find_{kind}")(evidence) for kind in DAMAGE}


def test_good_pictures_have_no_findings(make_evidence, tmp_path: Path) -> None:
    assert not any(findings(make_evidence, [scene(i) for i in range(N_GOOD)], tmp_path).values())


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_picture_among_good_ones_is_found(make_evidence, tmp_path: Path, kind: str) -> None:
    found = findings(make_evidence, [*map(scene, range(N_GOOD)), DAMAGE[kind](scene(9))], tmp_path)
    assert {name for name, some in found.items() if some} == {kind}
    (finding,) = found[kind]
    assert finding.paths == (f"rose/{N_GOOD}.jpg",)
    assert finding.kind == kind
    assert 0.5 <= finding.score <= 1
    assert finding.proposals[0].action == "drop"


@pytest.mark.parametrize("kind", sorted(set(DAMAGE) - {"blank"}))
def test_what_most_pictures_are_like_is_no_finding(make_evidence, tmp_path: Path, kind: str) -> None:
    pictures = [DAMAGE[kind](scene(i)) for i in range(4)] + [scene(9)]
    assert findings(make_evidence, pictures, tmp_path)[kind] == []


def test_blank_pictures_are_findings_however_many(make_evidence, tmp_path: Path) -> None:
    pictures = [DAMAGE["blank"](scene(0))] * 4
    found = findings(make_evidence, pictures, tmp_path)
    assert len(found["blank"]) == 4
    assert found["blurred"] == found["bright"] == found["low_information"] == []


def test_a_deep_red_is_not_dark(make_evidence, tmp_path: Path) -> None:
    red = Image.merge("RGB", (scene(1).getchannel("R"), *[Image.new("L", (320, 240))] * 2))
    assert findings(make_evidence, [*map(scene, range(N_GOOD)), red], tmp_path)["dark"] == []


def test_sentences_hold_the_figures(make_evidence) -> None:
    evidence = make_evidence(["rose"] * 3, width=[300, 300, 1000], height=[200, 200, 100], sharpness=[900.0, 900.0, 1.0])
    assert quality.find_odd_aspect(evidence)[0].text == "rose/2.jpg is 10.0 times as long as it is wide (above 3.0 is odd here)."
    assert quality.find_blurred(evidence)[0].text == "rose/2.jpg is blurred: its sharpness is 0.000 (below 0.012 is blurred)."
    small = make_evidence(["rose"] * 3, width=[300, 300, 20], height=[200, 200, 30])
    assert quality.find_tiny(small)[0].text == "rose/2.jpg is tiny: its shorter side has 20 px (below 48 is tiny here)."


def test_no_pictures_no_findings(make_evidence) -> None:
    assert not any(getattr(quality, f"find_{kind}")(make_evidence([])) for kind in DAMAGE)


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_scores_lie_between_a_half_and_one(value: float, limit: float) -> None:
    assert 0.5 <= quality.beyond(value, limit) <= 1
