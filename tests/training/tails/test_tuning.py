from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tellapart.data import ImageTable
from tellapart.errors import CallError, DataError
from tellapart.images import Fit
from tellapart.inference.tta import MIRRORED, TURNS
from tellapart.training import Recipe
from tellapart.training.augment.policies import LEVEL_DEGREES, POLICIES
from tellapart.training.bundles import write_bundle
from tellapart.training.head import scores
from tellapart.training.loop.planning import Plan
from tellapart.training.tails.summary import summarize_tail
from tellapart.training.tails.tuning import _Outcome, fine_tune, prepare, tail_settings, wider
from tellapart.training.tails.turning import ANY
from tellapart.training.trainer import Fitted


def test_a_tuned_network_is_served_as_it_was_trained(fitted: Fitted, table: ImageTable, recipe: Recipe, tmp_path: Path) -> None:
    training, held = table.in_split("train"), table.in_split("valid")
    tuned = fine_tune(fitted, training, held, recipe, folder=tmp_path / "tuning", policy=POLICIES["light"])
    assert [epoch.number for epoch in tuned.history] == [1, 2]
    assert {path.name for path in (tmp_path / "tuning").iterdir()} >= {"log.csv", "log.jsonl", "checkpoint.safetensors"}
    assert tuned.fitted.head.weights.shape == fitted.head.weights.shape
    classifier = write_bundle(tuned.fitted, tmp_path / "bundle")  # checks that the file computes what the training did
    answers = [one.label for one in classifier.predict_many(held.paths)]
    accuracy = np.mean([answer == label for answer, label in zip(answers, held.labels, strict=True)])
    frozen = write_bundle(fitted, tmp_path / "frozen")
    before = np.mean([one.label == label for one, label in zip(frozen.predict_many(held.paths), held.labels, strict=True)])
    assert accuracy >= before
    assert "held-back pictures" in tuned.notes[-1]


@pytest.mark.parametrize("degrees", [LEVEL_DEGREES, ANY])
def test_a_tail_knows_how_far_its_pictures_were_turned(
    fitted: Fitted, table: ImageTable, recipe: Recipe, tmp_path: Path, degrees: float
) -> None:
    policy = replace(POLICIES["light"], degrees=degrees)
    prepared = prepare(fitted, table.in_split("train"), table.in_split("valid"), recipe, policy=policy)
    outcome = _Outcome.of(prepared.work, fitted.backbone, fitted)
    assert outcome.fitted.turned_freely == (degrees == ANY)
    views = write_bundle(outcome.fitted, tmp_path / "bundle").views(True)
    assert views == (TURNS if degrees == ANY else MIRRORED)


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_to_the_same_network(
    fitted: Fitted, table: ImageTable, recipe: Recipe, tmp_path: Path
) -> None:
    """Stopped in the second epoch, with views of the first kept in memory alone that a third epoch looks at again."""
    longer, parts = replace(recipe, epochs=3, views=2, lr=1e-4), (table.in_split("train"), table.in_split("valid"))
    whole = fine_tune(fitted, *parts, longer, folder=tmp_path / "whole", policy=POLICIES["light"])

    def stop(what: str, done: int, total: int) -> None:
        if what == "training" and done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(fitted, *parts, longer, folder=tmp_path / "stopped", policy=POLICIES["light"], progress=stop)
    resumed = fine_tune(fitted, *parts, longer, folder=tmp_path / "stopped", policy=POLICIES["light"])
    assert [epoch.train_loss for epoch in resumed.history] == [epoch.train_loss for epoch in whole.history]
    found = [(tmp_path / name / "checkpoint.safetensors").read_bytes()[-1000:] for name in ("whole", "stopped")]
    assert found[0] == found[1]


def test_what_is_no_better_than_the_head_is_not_kept(fitted: Fitted, table: ImageTable, recipe: Recipe) -> None:
    """A rate that ruins the network from its first steps."""
    ruinous = replace(recipe, lr=0.5, epochs=1, weight_decay=0.0)
    tuned = fine_tune(fitted, table.in_split("train"), table.in_split("valid"), ruinous, policy=POLICIES["none"])
    assert tuned.fitted is fitted
    assert "frozen head" in tuned.notes[-1]


@pytest.mark.filterwarnings("error")
def test_a_rate_beyond_all_measure_is_said_and_the_frozen_head_kept(fitted: Fitted, table: ImageTable, recipe: Recipe) -> None:
    absurd, plans = replace(recipe, lr=100.0), list[Plan]()
    parts = table.in_split("train"), table.in_split("valid")
    tuned = fine_tune(fitted, *parts, absurd, policy=POLICIES["none"], planned=plans.append)
    assert tuned.fitted is fitted
    assert "The training diverged in epoch 1" in tuned.notes[0]
    assert tuned.notes[-1] == "No epoch was finished; the frozen head is kept."
    assert [tuned.plan] == plans
    assert (plans[0].part, plans[0].lr, plans[0].batch) == ("tail", 100.0, 8)


def test_the_summary_of_a_tail_is_that_of_the_whole_network(recipe: Recipe) -> None:
    """timm counts 3,371,008 parameters in the body; 21,008 channels have lost one of the two of their batch-norm, folded away."""
    summary = summarize_tail(recipe, n_classes=3)
    first, *_, last = summary.layers
    assert (first.kind, first.shape, first.n_trainable) == ("frozen", (112, 6, 6), 0)
    assert (last.name, last.shape) == ("head", (3,))
    assert sum(layer.n_trainable for layer in summary.layers) == summary.n_trainable
    assert first.n_frozen == summary.n_frozen
    assert summary.n_trainable + summary.n_frozen == 3_371_008 - 21_008 + 1280 * 3 + 3
    assert summary.n_multiplications < 100e6  # 385 million at 224 px
    with pytest.raises(CallError, match="--tune all"):
        summarize_tail(replace(recipe, arch="resnet18"), n_classes=3)


def test_without_time_the_frozen_head_comes_back(fitted: Fitted, table: ImageTable, recipe: Recipe) -> None:
    tuned = fine_tune(
        fitted, table.in_split("train"), table.in_split("valid"), recipe, deadline=time.monotonic(), policy=POLICIES["none"]
    )
    assert tuned.fitted is fitted


def test_other_backbones_are_refused_with_the_remedy(fitted: Fitted, table: ImageTable) -> None:
    with pytest.raises(CallError, match="--tune all"):
        fine_tune(fitted, table, table, Recipe(arch="resnet18"))


def test_held_back_pictures_of_other_classes_alone_are_refused(fitted: Fitted, table: ImageTable, recipe: Recipe) -> None:
    held = table.in_split("valid")
    training = table.in_split("train").take(row for row, label in enumerate(table.in_split("train").labels) if label != "circle")
    others = held.take(row for row, label in enumerate(held.labels) if label not in set(training.labels))
    with pytest.raises(DataError, match="Hold back others"):
        fine_tune(fitted, training, others, recipe)


def test_open_choices_are_made_and_made_ones_stay() -> None:
    assert tail_settings(Recipe()).batch == 32
    chosen = tail_settings(Recipe(batch=4, precision="float32"))
    assert (chosen.batch, chosen.precision) == (4, "float32")


def test_the_wider_fit_has_the_scale_of_the_narrow_one() -> None:
    assert wider(Fit(224, "crop", 0.875)) == Fit(256, "crop", 1.0)
    assert wider(Fit(224, "pad")) == Fit(224, "pad")


def test_accuracy_decides_and_then_the_loss() -> None:
    labels = np.array([0, 1])
    right, sure, wrong = (np.array(rows, float) for rows in ([[2, 0], [0, 2]], [[9, 0], [0, 9]], [[9, 0], [9, 0]]))
    assert scores(sure, labels) > scores(right, labels) > scores(wrong, labels)
