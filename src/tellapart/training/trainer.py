"""The way from split pictures to a fitted head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tellapart.data import ImageTable, fold_numbers
from tellapart.data.looks import n_channels_of
from tellapart.errors import CallError, DataError
from tellapart.images.limits import RGB_CHANNELS
from tellapart.inference.classifiers import LEFT_OUT, TURNED_FREELY
from tellapart.inference.features import Backbone, Features, embed
from tellapart.progress import Progress, silent
from tellapart.training.backbones import get_backbone
from tellapart.training.head import Head, fit_head
from tellapart.training.recipe import Recipe

SHOWN = 5
UNKNOWN_QUANTILE = 0.01  # of the training pictures' own familiarity: one in a hundred of their kind is called unknown
N_WITNESSES = 16


@dataclass(frozen=True)
class Embedded:
    """Pictures whose features are known: the table without those that cannot be read."""

    table: ImageTable
    features: Features
    backbone: Backbone


@dataclass(frozen=True)
class Fitted:
    """A head with all that its bundle needs, so that the features need not be held any longer."""

    head: Head
    table: ImageTable  # the training pictures
    backbone: Backbone
    recipe: Recipe
    centres: np.ndarray  # (K, C) unit vectors: the classes' means in the first block of features
    unknown_below: float  # cosine to the nearest centre below which a picture is like none of them
    witnesses: dict[str, np.ndarray]  # path -> (K,) probabilities, for the check that the bundle computes the same
    thresholds: tuple[float, ...] | None = None  # (K,) of several labels a picture: the probability from which each is said
    left_out: tuple[str, ...] = ()  # the transforms that change what the pictures show ("flip", ...), as far as that was asked
    turned_freely: bool = False  # whether the network learned from pictures turned by any angle

    @property
    def figures(self) -> dict[str, Any]:
        """What the bundle's manifest tells of the training."""
        head = self.head
        figures = {
            "n_train": len(self.table),
            "counts": self.table.counts,
            "penalty": head.penalty,
            "temperature": head.temperature,
            LEFT_OUT: list(self.left_out),
            TURNED_FREELY: self.turned_freely,
        }
        if not head.penalty:  # the last layer of a trained network, which no folds were held out from
            return figures
        return figures | {"cross_validated_accuracy": float(self._is_right(head.fold_probabilities).mean())}

    def _is_right(self, probabilities: np.ndarray) -> np.ndarray:
        """(N,) bool: whether each training picture's class is right; of several labels, whether all of them are."""
        targets = self.table.targets
        if targets.ndim == 1:
            return np.asarray(probabilities.argmax(1) == targets)
        return np.asarray(((probabilities >= np.array(self.thresholds)) == targets).all(1))


def refuse_channels(table: ImageTable, recipe: Recipe) -> None:
    """Raise CallError where the pictures have other channels than the recipe's frozen backbone knows."""
    n_channels = n_channels_of(table.paths)
    if n_channels != RGB_CHANNELS:
        raise CallError(
            f"these pictures have {n_channels} channels, and the frozen backbone {recipe.arch!r} knows 3 (red, green and blue). "
            "A network from scratch learns from all of them: --arch compact, or a name of timm's with --weights none --epochs 20"
        )


def embed_table(table: ImageTable, recipe: Recipe, *, shown: bool = False, progress: Progress = silent) -> Embedded:
    """The table's readable pictures with their features; the unreadable ones go to `table.skipped`.

    With `shown` pictures of other channels than RGB are embedded as they are shown, to be looked at and not learned from.
    Raises DataError where none can be read, and CallError where they have other channels.
    """
    if not shown:
        refuse_channels(table, recipe)
    backbone = get_backbone(recipe)
    features = embed(table, backbone, shown=shown, progress=progress)
    readable = table.without(features.failures)
    if not len(readable):
        reasons = sorted(set(features.failures.values()))
        raise DataError(f"none of the {len(table)} files can be read as a picture: {'; '.join(reasons[:SHOWN])}")
    return Embedded(readable, features, backbone)


def fit_classifier(features: np.ndarray, table: ImageTable, backbone: Backbone, recipe: Recipe) -> Fitted:
    """Train a head on the pictures of a table and their features (N, D) float32, which are overwritten.

    Raises DataError where nothing can be held out.
    """
    folds = fold_numbers(table, n_folds=recipe.folds, seed=recipe.seed)
    if len(np.unique(folds)) < 2:
        raise DataError(
            f"the {len(table)} training pictures are copies of one, or one group; at least 2 different ones are needed"
        )
    n_classes, blocks = len(table.classes), backbone.blocks
    centres, familiarity = class_centres(features, table.targets, n_classes=n_classes, width=blocks[0])
    rows = np.linspace(0, len(table) - 1, min(N_WITNESSES, len(table))).astype(int)
    of_witnesses = features[rows]
    head = fit_head(
        features,
        table.targets,
        folds,
        n_classes=n_classes,
        blocks=blocks,
        balance=recipe.balance,
        sample_weights=np.array(table.weights),
        seed=recipe.seed,
        overwrite=True,
    )
    witnesses = dict(zip((table.paths[row] for row in rows), head.probabilities(of_witnesses), strict=True))
    return Fitted(head, table, backbone, recipe, centres, float(np.quantile(familiarity, UNKNOWN_QUANTILE)), witnesses)


def class_centres(features: np.ndarray, labels: np.ndarray, *, n_classes: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit centres (K, width) of the classes in the first `width` features, and each picture's cosine to the nearest (N,).

    `labels` are (N,) places among the classes, or (N, K) bool, several a picture.
    """
    part = features[:, :width]
    lengths = np.maximum(np.sqrt(np.einsum("nd,nd->n", part, part)), 1e-12)
    is_of = labels.T if labels.ndim == 2 else labels == np.arange(n_classes)[:, None]  # (K, N)
    centres = (is_of / lengths).astype(features.dtype) @ part  # their sums: divided by a length, the number falls out
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return centres, (part @ centres.T).max(1) / lengths
