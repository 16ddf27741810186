from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tellapart import read
from tellapart.training import Recipe, embed_table, fit_classifier
from tellapart.training.augment.checked import check_policy, judge_of
from tellapart.training.augment.policies import POLICIES
from tellapart.training.trainer import Fitted


@pytest.fixture(scope="module")
def fitted(shoes: Path) -> Fitted:
    """A head that tells left shoes from right ones, and the features of their pictures."""
    recipe = Recipe(size=96)
    embedded = embed_table(read(shoes), recipe)
    return fit_classifier(embedded.features.floats(embedded.table), embedded.table, embedded.backbone, recipe)


def test_the_judge_is_the_head(fitted: Fitted) -> None:
    judge, paths = judge_of(fitted), list(fitted.witnesses)
    pixels = np.stack([fitted.backbone.fit.read(path) for path in paths])
    assert judge(pixels) == pytest.approx(np.stack(list(fitted.witnesses.values())), abs=0.05)
    assert judge(pixels[:3]).shape == (3, 2)
    assert judge(pixels[:0]).shape == (0, 2)


def test_what_changes_labels_is_left_out_and_said(fitted: Fitted) -> None:
    checked = check_policy(POLICIES["default"], fitted)
    assert "flip" in checked.left_out
    assert checked.policy.flip == 0
    assert checked.policy.zoom == POLICIES["default"].zoom
    assert checked.notes[0].startswith("mirroring is left out: it makes '")
    assert {one.transform: one.is_safe for one in checked.survivals}["flip"] is False


def test_a_policy_without_it_hears_nothing_but_the_bundle_is_told(fitted: Fitted) -> None:
    checked = check_policy(POLICIES["none"], fitted)
    assert checked.policy == POLICIES["none"]
    assert checked.notes == ()
    assert "flip" in checked.left_out  # so that predictions are not mirrored either


def test_pictures_that_are_gone_are_passed_over(fitted: Fitted) -> None:
    gone = replace(fitted.table, paths=tuple(f"{path}.gone" for path in fitted.table.paths))
    nothing = check_policy(POLICIES["default"], replace(fitted, table=gone))
    assert (nothing.policy, nothing.left_out, nothing.notes) == (POLICIES["default"], (), ())
    half = tuple(path if place % 4 < 2 else f"{path}.gone" for place, path in enumerate(fitted.table.paths))
    assert "flip" in check_policy(POLICIES["default"], replace(fitted, table=replace(fitted.table, paths=half))).left_out
