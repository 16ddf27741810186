from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tellapart.sources import read
from tellapart.training import Recipe, embed_table, fit_classifier
from tellapart.training.augment.policies import POLICIES
from tellapart.training.tails.turning import suited_policy
from tellapart.training.trainer import Fitted

DEFAULT = POLICIES["default"]
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


def fit(folder: Path) -> Fitted:
    embedded = embed_table(read(folder), Recipe(size=SIDE_PX))
    return fit_classifier(embedded.features.floats(embedded.table), embedded.table, embedded.backbone, Recipe(size=SIDE_PX))


def test_pictures_without_a_top_are_turned_by_any_angle(tmp_path: Path) -> None:
    draw(tmp_path, tells_up=False)
    policy, sentences = suited_policy(DEFAULT, fit(tmp_path))
    assert policy == replace(DEFAULT, degrees=180.0)
    assert len(sentences) == 1
    assert sentences[0].startswith(
        "Pictures are turned by any angle: turning by any angle keeps the labels: 100% of answers stay"
    )


def test_pictures_whose_class_is_which_way_is_up_are_not(tmp_path: Path) -> None:
    draw(tmp_path, tells_up=True)
    assert suited_policy(DEFAULT, fit(tmp_path)) == (DEFAULT, ())


def test_too_few_pictures_tell_nothing(tmp_path: Path) -> None:
    draw(tmp_path, tells_up=False, n_per_class=5)
    assert suited_policy(DEFAULT, fit(tmp_path)) == (DEFAULT, ())


def test_a_policy_that_does_not_turn_stays_so(tmp_path: Path) -> None:
    draw(tmp_path, tells_up=False)
    assert suited_policy(POLICIES["light"], fit(tmp_path)) == (POLICIES["light"], ())
