"""What comes before the training of a network: the pictures with their splits, and the head on frozen features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tellapart.data import ImageTable
from tellapart.errors import DataError
from tellapart.grouping import with_copies_tied, with_hashed_copies_tied
from tellapart.progress import Progress
from tellapart.runs.choices import Choices
from tellapart.runs.clock import Clock
from tellapart.training import Fitted, Recipe, embed_table, fit_classifier
from tellapart.words import counted


@dataclass(frozen=True)
class Beginning:
    """The readable pictures with their splits, and a head on the features of the frozen backbone."""

    whole: ImageTable
    fitted: Fitted | None  # None where the network begins with random weights
    embedding: dict[str, Any]  # the facts "runtime" and "n_cached"
    warnings: tuple[str, ...] = ()


def begin(table: ImageTable, recipe: Recipe, choices: Choices, clock: Clock, progress: Progress) -> Beginning:
    """What any training of these pictures begins with, whatever learns; raises DataError where too little is left."""
    if recipe.is_from_scratch:
        return _from_scratch(table, recipe, choices, clock, progress)
    return _by_transfer(table, recipe, choices, clock, progress)


def _by_transfer(table: ImageTable, recipe: Recipe, choices: Choices, clock: Clock, progress: Progress) -> Beginning:
    with clock.of("embed"):
        embedded = embed_table(table, recipe, progress=progress)  # a test part too: its copies in the training must be known
    with clock.of("split"):
        failures = embedded.features.failures
        tied = partial(with_copies_tied, table.without(failures), embedded, progress=progress)
        whole = _split(table, tied, failures, choices, recipe)
    with clock.of("head"):
        training, backbone = whole.in_split("train"), embedded.backbone
        embedding = {"runtime": embedded.features.runtime, "n_cached": embedded.features.n_cached}
        warnings = tuple(filter(None, [embedded.features.warning]))
        features = embedded.features.floats(training)
        del embedded, tied  # half precision makes room for single
        fitted = fit_classifier(features, training, backbone, recipe)
        del features  # and that for what follows
    return Beginning(whole, fitted, embedding, warnings)


def _from_scratch(table: ImageTable, recipe: Recipe, choices: Choices, clock: Clock, progress: Progress) -> Beginning:
    with clock.of("split"):
        readable = with_hashed_copies_tied(table, progress=progress)
        failures = {skip.sha256: skip.reason for skip in readable.skipped[len(table.skipped) :]}
        whole = _split(table, lambda: readable, failures, choices, recipe)
    return Beginning(whole, None, {"runtime": "", "n_cached": 0})


def _split(
    table: ImageTable, tied: Callable[[], ImageTable], failures: Mapping[str, str], choices: Choices, recipe: Recipe
) -> ImageTable:
    """The readable pictures with their splits, near copies together; raises DataError where too little is left."""
    try:
        left = choices.split(tied(), recipe)
    except DataError as error:
        unread = f" ({counted(len(failures), 'file')} cannot be read as pictures.)" if failures else ""
        raise DataError(f"{error}{unread}") from error
    if "valid" not in left.splits:
        n_held = counted(table.splits.count("valid"), "held-back file")
        raise DataError(f"none of {n_held} can be read as a picture. Put others in their place.")
    return left
