"""The way from split pictures to a written bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tellapart.data import ImageTable, fold_numbers
from tellapart.errors import DataError
from tellapart.inference.classifiers import Classifier
from tellapart.inference.features import Backbone, Features, embed
from tellapart.progress import Progress, silent
from tellapart.training.backbones import get_backbone
from tellapart.training.bundles import write_bundle
from tellapart.training.head import fit_head
from tellapart.training.recipe import Recipe

SHOWN = 5


@dataclass(frozen=True)
class Embedded:
    """Pictures whose features are known: the table without those that cannot be read."""

    table: ImageTable
    features: Features
    backbone: Backbone


@dataclass(frozen=True)
class Training:
    """What a training leaves besides the bundle on disk."""

    classifier: Classifier
    fold_probabilities: np.ndarray  # (N, K), aligned with the training pictures; each from a fit that had not seen its fold


def embed_table(table: ImageTable, recipe: Recipe, *, progress: Progress = silent) -> Embedded:
    """The table's readable pictures with their features; the unreadable ones go to `table.skipped`.

    Raises DataError where none can be read.
    """
    backbone = get_backbone(recipe)
    features = embed(table, backbone, progress=progress)
    readable = table.without(features.failures)
    if not len(readable):
        reasons = sorted(set(features.failures.values()))
        raise DataError(f"none of the {len(table)} files can be read as a picture: {'; '.join(reasons[:SHOWN])}")
    return Embedded(readable, features, backbone)


def fit_classifier(embedded: Embedded, table: ImageTable, recipe: Recipe, folder: Path) -> Training:
    """Train a head on `table`, the training pictures among the embedded ones, and write it as a bundle to `folder`."""
    features = embedded.features.of(table)
    folds = fold_numbers(table, n_folds=recipe.folds, seed=recipe.seed)
    if len(np.unique(folds)) < 2:
        raise DataError(
            f"the {len(table)} training pictures are copies of one, or one group; at least 2 different ones are needed"
        )
    head = fit_head(
        features,
        table.codes,
        folds,
        n_classes=len(table.classes),
        blocks=embedded.backbone.blocks,
        balance=recipe.balance,
        seed=recipe.seed,
    )
    figures = {
        "n_train": len(table),
        "counts": table.counts,
        "penalty": head.penalty,
        "temperature": head.temperature,
        "cross_validated_accuracy": float((head.fold_probabilities.argmax(1) == table.codes).mean()),
    }
    classifier = write_bundle(
        folder, head=head, features=features, table=table, backbone=embedded.backbone, recipe=recipe, figures=figures
    )
    return Training(classifier, head.fold_probabilities)
