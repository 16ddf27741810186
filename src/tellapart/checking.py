"""Checking pictures before they are trained on: read, look, embed, compare, report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.checks import DataReport, Evidence, inspect
from tellapart.checks.copies import exact_copies
from tellapart.data import ImageTable, edited, fold_numbers, tie
from tellapart.data.plans import plan_of
from tellapart.errors import CallError
from tellapart.files import write_atomically
from tellapart.grouping import near_copies
from tellapart.inference.glances import scan
from tellapart.progress import Progress, silent
from tellapart.sources import GUESSED, Columns, read
from tellapart.training import Embedded, Recipe, embed_table
from tellapart.training.head import fit_head

N_FOLDS = 5


def check(
    source: Any,
    *,
    columns: Columns = GUESSED,
    edits: str | Path | None = None,
    only: Collection[str] = (),
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> DataReport:
    """What is wrong with the pictures of a source (whatever `read` takes, or a table), the gravest first.

    `only` names kinds of findings to report. The journal of edits is honoured as in training. The backbone of the `recipe`
    says what looks alike; its features are cached, so that a training afterwards costs seconds.
    Raises CallError for an unknown kind and DataError where there are no pictures to check.
    """
    table = (
        source
        if isinstance(source, ImageTable)
        else edited(read(source, columns=columns, progress=progress), source, edits=edits)
    )
    title = Path(source).resolve().name if isinstance(source, str | Path) else "pictures"
    evidence = gather(table, recipe or Recipe(), progress=progress)
    return DataReport(title, evidence.table, inspect(evidence, only=only), evidence.table.notes)


def write(
    report: DataReport, *, out: Path | None = None, plan: Path | None = None, progress: Progress = silent
) -> dict[str, str]:
    """Write the page, by default to runs/check-<data>.html, and the plan where one is asked for; what was written where.

    Raises CallError where one would take the place of something else than such a page or plan.
    """
    page = out or Path("runs") / f"check-{report.title}.html"
    written = {"report": page, **({"plan": plan} if plan else {})}
    for path, suffix in zip(written.values(), (".html", ".csv"), strict=False):
        if path.suffix.lower() != suffix:
            raise CallError(f"{path} does not end in {suffix}; nothing is overwritten by mistake. Choose another name.")
    report.write_html(page, progress=progress)
    if plan:
        write_atomically(plan, plan_of(report.findings).to_csv().encode(errors="surrogateescape"))
    return {name: str(path) for name, path in written.items()}


def gather(table: ImageTable, recipe: Recipe, *, progress: Progress = silent) -> Evidence:
    """All that the finders look at. Raises DataError where no picture can be read."""
    embedded = embed_table(table, recipe, progress=progress)
    glances = scan(embedded.table, progress=progress)
    embedded = replace(embedded, table=embedded.table.without(glances.failures))  # what broke in between
    copies = near_copies(embedded.table, embedded, glances)
    tied = tie(embedded.table, ((pair.first, pair.second) for pair in copies))
    features = embedded.features.of(tied)
    return Evidence(
        table=embedded.table,
        glances=glances.of(tied),
        features=features,
        n_embedding=embedded.backbone.blocks[0],
        copies=tuple(sorted((*exact_copies(tied), *copies), key=lambda pair: (pair.first, pair.second))),
        fold_probabilities=_fold_probabilities(tied, features, embedded, recipe),
        split_probabilities=_split_probabilities(tied, features, embedded, recipe),
    )


def _fold_probabilities(table: ImageTable, features: np.ndarray, embedded: Embedded, recipe: Recipe) -> np.ndarray | None:
    """(N, K) from heads that had seen neither the picture nor its copies; None where there is nothing to tell apart."""
    if table.multi_label or len(table.classes) < 2:
        return None
    folds = fold_numbers(table, n_folds=N_FOLDS, seed=recipe.seed)
    if len(np.unique(folds)) < 2:
        return None
    head = fit_head(features, table.codes, folds, n_classes=len(table.classes), blocks=embedded.backbone.blocks, seed=recipe.seed)
    return head.fold_probabilities


def _split_probabilities(table: ImageTable, features: np.ndarray, embedded: Embedded, recipe: Recipe) -> np.ndarray | None:
    """(N, K) for the held-back rows, from a head fitted on the training part as it is given; None without such parts."""
    is_train = np.array([name in ("", "train") for name in table.splits])
    if is_train.all() or table.multi_label or len(set(table.codes[is_train])) < 2:
        return None
    folds = fold_numbers(table.take(np.flatnonzero(is_train)), n_folds=N_FOLDS, seed=recipe.seed)
    if len(np.unique(folds)) < 2:
        return None
    n_classes = len(table.classes)
    head = fit_head(
        features[is_train], table.codes[is_train], folds, n_classes=n_classes, blocks=embedded.backbone.blocks, seed=recipe.seed
    )
    probabilities = np.full((len(table), n_classes), np.nan, np.float32)
    probabilities[~is_train] = head.probabilities(features[~is_train].astype(np.float32))
    return probabilities
