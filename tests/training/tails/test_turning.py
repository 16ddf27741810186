from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tellapart.sources import read
from tellapart.training import Recipe, embed_table, fit_classifier
from tellapart.training.augment.policies import POLICIES, Policy
from tellapart.training.tails.turning import BLUR, GLARE, TINT, suited_policy
from tellapart.training.trainer import Fitted

DEFAULT = POLICIES["default"]
TINTED = replace(DEFAULT, tint=TINT)
SIDE_PX = 96


def draw(folder: Path, *, tells_up: bool, n_per_class: int = 24) -> None:
    """Two classes: which end of a bar is thick (up or down), or whether a ring is filled, which no turn changes."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(n_per_class):
            image = Image.new("RGB", (SIDE_PX, SIDE_PX), tuple(int(level) for level in rng.integers(170, 230, 3)))
            pen, (x, y) = ImageDraw.Draw(image), rng.integers(-6, 7, 2) + SIDE_PX // 2
            if tells_up:
                end = -1 if name == "a" else 1
                pen.line((x, y - 30, x, y + 30), fill=(20, 20, 60), width=6)
                pen.ellipse((x - 16, y + 24 * end - 14, x + 16, y + 24 * end + 14), fill=(20, 20, 60))
            else:
                fill = (160, 40, 40) if name == "a" else None
                pen.ellipse((x - 24, y - 24, x + 24, y + 24), fill=fill, outline=(20, 20, 60), width=5)
            image.save(folder / name / f"{number}.png")


def draw_sizes(folder: Path, n_per_class: int = 40) -> None:
    """Two classes of rings, one a little larger than the other."""
    rng = np.random.default_rng(0)
    for name, radius in (("large", 34), ("small", 31)):
        (folder / name).mkdir(parents=True)
        for number in range(n_per_class):
            image = Image.new("RGB", (SIDE_PX, SIDE_PX), tuple(int(level) for level in rng.integers(190, 210, 3)))
            box = (SIDE_PX // 2 - radius, SIDE_PX // 2 - radius, SIDE_PX // 2 + radius, SIDE_PX // 2 + radius)
            ImageDraw.Draw(image).ellipse(box, fill=(160, 120, 40), outline=(20, 20, 60), width=4)
            image.save(folder / name / f"{number}.png")


def fit(folder: Path) -> Fitted:
    embedded = embed_table(read(folder), Recipe(size=SIDE_PX))
    return fit_classifier(embedded.features.floats(embedded.table), embedded.table, embedded.backbone, Recipe(size=SIDE_PX))


def suited(policy: Policy, fitted: Fitted) -> tuple[Policy, tuple[str, ...]]:
    checked = suited_policy(policy, fitted)
    return checked.policy, checked.notes


def test_pictures_without_a_top_are_turned_by_any_angle(tmp_path: Path) -> None:
    draw(tmp_path, tells_up=False)
    policy, sentences = suited(DEFAULT, fit(tmp_path))
    assert policy == replace(TINTED, degrees=180.0)
    assert sentences == ("Pictures are turned by any angle: quarter turns keep 100% of the answers.",)


def test_pictures_whose_class_is_which_way_is_up_are_not(tmp_path: Path) -> None:
    draw(tmp_path, tells_up=True)
    assert suited(DEFAULT, fit(tmp_path)) == (TINTED, ())


def test_too_few_pictures_tell_nothing(tmp_path: Path) -> None:
    draw(tmp_path, tells_up=False, n_per_class=5)
    assert suited(DEFAULT, fit(tmp_path)) == (TINTED, ())


def test_a_policy_that_does_not_turn_stays_so(tmp_path: Path) -> None:
    draw(tmp_path, tells_up=False)
    assert suited(POLICIES["light"], fit(tmp_path)) == (POLICIES["light"], ())


def test_where_size_tells_pictures_are_neither_zoomed_nor_warped(tmp_path: Path) -> None:
    draw_sizes(tmp_path)
    fitted = fit(tmp_path)
    policy, sentences = suited(DEFAULT, fitted)
    assert (policy.zoom, policy.warp, policy.blur) == (1.0, 0.0, BLUR)
    assert (policy.light, policy.glare) == (DEFAULT.light, GLARE)
    assert sentences[0].startswith("Pictures are neither zoomed nor warped: size tells, crops keep only ")
    assert sentences[0].endswith("30% are shown at half their resolution instead, 40% up to 60% brighter.")
    unlit, sentences = suited(replace(DEFAULT, light=0.0), fitted)
    assert (unlit.blur, unlit.glare) == (BLUR, 0.0)
    assert sentences[0].endswith("30% are shown at half their resolution instead.")
