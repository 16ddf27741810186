from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from tellapart.errors import CallError
from tellapart.training import Recipe


def test_a_recipe_survives_json() -> None:
    recipe = Recipe(size=96, fit="pad", balance=0.5, seed=7)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_a_recipe_is_a_value() -> None:
    recipe = Recipe()
    with pytest.raises(FrozenInstanceError):
        recipe.seed = 1  # type: ignore[misc]
    assert replace(recipe, seed=1) != recipe


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"valid_frac": -0.1}, r"valid_frac is -0\.1; it must lie between 0 and 0\.9"),
        ({"valid_frac": float("nan")}, r"valid_frac is nan; it must lie between 0 and 0\.9"),
        ({"test_frac": 0.95}, r"test_frac is 0\.95; it must lie between 0 and 0\.9"),
        ({"folds": 1}, "folds is 1; it must lie between 2 and 50"),
        ({"balance": 2}, "balance is 2; it must lie between 0 and 1"),
        ({"size": 4}, "the input side is 4 px; whole numbers between 8 and 4096 are possible"),
        ({"fit": "cropp"}, "unknown fit 'cropp'; did you mean 'crop'?"),
    ],
)
def test_impossible_choices_are_refused(fields: dict[str, object], text: str) -> None:
    with pytest.raises(CallError, match=text):
        Recipe(**fields)  # type: ignore[arg-type]


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(CallError, match="seed is -1"):
        Recipe(seed=-1)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"balanse": 1}, r"unknown recipe field 'balanse'; did you mean 'balance'\?"),
        ({"qqqq": 1}, "unknown recipe field 'qqqq'; known: arch, "),
        ({"valid_frac": "much"}, "valid_frac is 'much'; it must be a number"),
        ({"epochs": 2.5}, r"epochs is 2\.5; it must be a whole number"),
        ({"accumulate": True}, "accumulate is True; it must be a whole number"),
        ({"lr": float("nan")}, "lr is nan; it must lie between"),
        ({"optimizer": "adam"}, r"unknown optimizer 'adam'; did you mean 'adamw'\?"),
        ({"learning_rate": 0.1}, "unknown recipe field 'learning_rate'"),
        ({"fit": ["crop"]}, "a recipe's field has a value of the wrong kind"),
    ],
)
def test_values_that_are_no_recipe_are_refused(values: dict[str, object], text: str) -> None:
    with pytest.raises(CallError, match=text):
        Recipe.from_json(values)


def test_a_recipe_of_earlier_runs_still_loads() -> None:
    """They hold numbers and names where later ones leave open what suits the network."""
    earlier = {"arch": "efficientnet_lite0", "dropout": 0.2, "label_smoothing": 0.1, "augment": "default", "epochs": 3}
    assert Recipe.from_json(earlier).settled == Recipe(epochs=3).settled
