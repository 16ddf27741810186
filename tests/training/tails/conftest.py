"""A frozen head on drawn pictures: what a fine-tuning begins with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tellapart.data import ImageTable, split
from tellapart.images.samples import Sample
from tellapart.sources import read
from tellapart.training import Recipe, embed_table, fit_classifier
from tellapart.training.tails.stems import lite0_weights
from tellapart.training.trainer import Fitted

SIDE_PX = 96  # maps of 3 x 3 at the end


@pytest.fixture(scope="session")
def weights() -> Mapping[str, np.ndarray]:
    return lite0_weights()


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(size=SIDE_PX, valid_frac=0.25, epochs=2, batch=8)


@pytest.fixture(scope="session")
def table(clean_sample: Sample, recipe: Recipe) -> ImageTable:
    return split(read(clean_sample.root), valid_frac=recipe.valid_frac, seed=0)


@pytest.fixture(scope="session")
def fitted(table: ImageTable, recipe: Recipe) -> Fitted:
    embedded = embed_table(table, recipe)
    training = embedded.table.in_split("train")
    return fit_classifier(embedded.features.floats(training), training, embedded.backbone, recipe)
