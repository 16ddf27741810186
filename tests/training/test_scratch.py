from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from tellapart.data import ImageTable, split
from tellapart.errors import DataError, TellapartError
from tellapart.files import read_json
from tellapart.inference.runtimes import load_runtime
from tellapart.inference.streaming import run_pictures
from tellapart.sources import read
from tellapart.training import Recipe
from tellapart.training.loop.teaching import RATES_FILE
from tellapart.training.scratch import train_network
from tellapart.training.tuned import Tuned

SIDE_PX, N_PER_CLASS = 32, 32
EPOCHS = 5
STRIPES = {"columns": (1, 0), "rows": (0, 1), "slanted": (1, 1)}


def draw_stripes(root: Path) -> None:
    """Coloured stripes in three directions, 8 px apart, under noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    for label, (along_x, along_y) in STRIPES.items():
        (root / label).mkdir(parents=True)
        for i in range(N_PER_CLASS):
            waves = np.sin(2 * np.pi * (along_x * x + along_y * y) / 8 + rng.uniform(0, 6))
            levels = 128 + 60 * waves[..., None] * rng.uniform(0.3, 1, 3) + rng.normal(0, 25, (SIDE_PX, SIDE_PX, 3))
            Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(root / label / f"{i:02}.png")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ImageTable:
    root = tmp_path_factory.mktemp("stripes")
    draw_stripes(root)
    return split(read(root), valid_frac=0.25, seed=0)


@pytest.fixture(scope="module")
def tuned(table: ImageTable, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    recipe = Recipe(arch="compact", epochs=EPOCHS, batch=16)
    folder = tmp_path_factory.mktemp("run")
    return train_network(table.in_split("train"), table.in_split("valid"), recipe, folder=folder)


def probabilities_of(tuned: Tuned, table: ImageTable) -> np.ndarray:
    """Through the file that would be served."""
    backbone = tuned.fitted.backbone
    results = run_pictures(load_runtime(backbone.path), table.paths, backbone.fit)
    return tuned.fitted.head.probabilities(np.stack([result.outputs["features"] for result in results]))


def test_a_network_trained_from_scratch_tells_stripes_apart(tuned: Tuned, table: ImageTable) -> None:
    valid = table.in_split("valid")
    right = probabilities_of(tuned, valid).argmax(1) == valid.codes
    assert right.mean() > 0.8
    assert len(tuned.history) == EPOCHS
    assert tuned.fitted.backbone.fit.side_px == SIDE_PX


def test_what_is_served_is_what_was_trained(tuned: Tuned, table: ImageTable) -> None:
    fitted = tuned.fitted
    rows = [fitted.table.paths.index(path) for path in fitted.witnesses]
    served = probabilities_of(tuned, fitted.table.take(rows))
    assert np.abs(served - np.stack(list(fitted.witnesses.values()))).max() < 0.05
    assert fitted.centres.shape == (3, fitted.backbone.n_features)
    assert -1 <= fitted.unknown_below <= 1
    assert len(fitted.head.fold_probabilities) == 0, "nothing is known of the training pictures that they did not teach"


def test_the_recipe_says_what_was_used(tuned: Tuned) -> None:
    assert tuned.fitted.recipe.lr == 0.006
    assert tuned.fitted.recipe.augment == "light"


def test_a_held_back_class_without_training_pictures_has_no_say(table: ImageTable, tmp_path: Path) -> None:
    training, held = table.in_split("train"), table.in_split("valid")
    strange = replace(held, labels=("unheard of", *held.labels[1:]))
    tuned = train_network(training, strange, Recipe(arch="tutorial_cnn", epochs=1, batch=16), folder=tmp_path)
    assert tuned.notes == (
        f"The network takes pictures of {SIDE_PX} px, their own side.",
        "1 held-back picture of classes without a training picture had no say.",
    )
    alien = replace(held, labels=("unheard of",) * len(held))
    with pytest.raises(DataError, match="none of the held-back pictures is of a class that there are training pictures of"):
        train_network(training, alien, Recipe(arch="tutorial_cnn", epochs=1), folder=tmp_path / "other")


def test_no_time_at_all_is_said(table: ImageTable, tmp_path: Path) -> None:
    with pytest.raises(TellapartError, match=r"Nothing was learned, so that there is no network to keep\. Give it more time"):
        train_network(
            table.in_split("train"), table.in_split("valid"), Recipe(arch="compact"), deadline=time.monotonic(), folder=tmp_path
        )


@pytest.mark.parametrize("arch", ["compact", "tutorial_cnn"])
def test_a_rate_that_ruins_a_network_is_said(arch: str, table: ImageTable, tmp_path: Path) -> None:
    """In fewer steps than it takes to tell a trend."""
    recipe = Recipe(arch=arch, lr=100.0, epochs=2)
    with pytest.raises(
        TellapartError, match=r"The training diverged in epoch 1 .* The rate 100 is too high: .*no network to keep"
    ):
        train_network(table.in_split("train"), table.in_split("valid"), recipe, folder=tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_rate_that_was_found_is_kept(table: ImageTable, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    recipe = Recipe("resnet10t", "none", SIDE_PX, epochs=1, batch=16, augment="none")
    tuned = train_network(table.in_split("train"), table.in_split("valid"), recipe, folder=tmp_path)
    sweep = read_json(tmp_path / RATES_FILE)
    assert tuned.fitted.recipe.lr == sweep["valley"]
    assert len(sweep["rates"]) == len(sweep["losses"]) >= 5
    again = train_network(table.in_split("train"), table.in_split("valid"), recipe, folder=tmp_path)
    assert again.fitted.backbone.weights_sha256 == tuned.fitted.backbone.weights_sha256, "it had nothing left to do"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_pretrained_network_is_never_worse_than_its_frozen_head(table: ImageTable, tmp_path: Path) -> None:
    """With a rate that spoils it."""
    pytest.importorskip("timm")
    recipe = Recipe(size=64, epochs=1, batch=16, lr=5.0, augment="none")
    tuned = train_network(table.in_split("train"), table.in_split("valid"), recipe, folder=tmp_path)
    valid = table.in_split("valid")
    assert (probabilities_of(tuned, valid).argmax(1) == valid.codes).mean() > 0.8
    assert any("the frozen head is kept" in note for note in tuned.notes)
    assert len(tuned.fitted.head.fold_probabilities) == len(tuned.fitted.table)
