"""Checking pictures before they are trained on: read, look, embed, compare, report."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.checks import CHECKS, DataReport, Evidence, Need, inspect, needed
from tellapart.checks.copies import CopyPair, exact_copies, find_copies
from tellapart.data import ImageTable, edited, fold_numbers, tie
from tellapart.data.looks import n_channels_of
from tellapart.data.plans import COLUMNS as PLAN_COLUMNS
from tellapart.data.plans import plan_of
from tellapart.errors import CallError, DataError, StorageError
from tellapart.grouping import hashed_copies, near_copies
from tellapart.images.decoding import shown_channels
from tellapart.images.limits import RGB_CHANNELS
from tellapart.inference.glances import scan, skim
from tellapart.progress import Progress, silent
from tellapart.sources import GUESSED, Columns, read
from tellapart.training import Embedded, Recipe, embed_table
from tellapart.training.head import fit_head

N_FOLDS = 5
SHOWN = 3  # reasons in a message
UNTOLD = tuple(check.kind for check in CHECKS if Need.NETWORK in check.needs)  # by a quick check
PAGE_MARK = b'<meta name="generator" content="tellapart">'
PLAN_MARK = ",".join(PLAN_COLUMNS).encode()
MARK_WITHIN = 1024  # bytes from the start


def check(
    source: Any,
    *,
    columns: Columns = GUESSED,
    edits: str | Path | None = None,
    only: Collection[str] = (),
    quick: bool = False,
    recipe: Recipe | None = None,
    progress: Progress = silent,
) -> DataReport:
    """What is wrong with the pictures of a source (whatever `read` takes, or a table), the gravest first.

    `only` names kinds of findings to report; nothing is computed that they do not need. The journal of edits is honoured as in
    training. The backbone of the `recipe` says what looks alike; its features are cached, so that a training afterwards costs
    seconds. `quick` runs no network: wrong labels and pictures that do not belong are not looked for, and copies are those that
    perceptual hashes propose, which misses most crops and captions.
    Raises CallError for an unknown kind, or one that `quick` cannot tell, and DataError where there are no pictures to check.
    """
    needs = _needs(only, quick=quick)
    table = source if isinstance(source, ImageTable) else read(source, columns=columns, progress=progress)
    table = edited(table, source, edits=edits)
    title = Path(source).resolve().name if isinstance(source, str | Path) else "pictures"
    evidence = gather(table, recipe or Recipe(), needs=needs, progress=progress)
    findings, notes = inspect(evidence, only=only), evidence.table.notes
    if shown := shown_channels(n_channels_of(table.paths)):
        notes = (*notes, f"looked at and shown: {shown}")
    if only:
        title, notes = f"{title}-{'-'.join(only)}", (*notes, f"looked for {', '.join(only)} alone")
    if quick:
        title, notes = f"{title}-quick", (*notes, *_quick_notes(needs, only))
    return DataReport(title, evidence.table, findings, notes)


def _needs(only: Collection[str], *, quick: bool) -> Need:
    """What to gather for these kinds of findings, or all."""
    needs = needed(only)
    if not quick:
        return needs | Need.NETWORK if Need.COPIES in needs else needs  # which proposes most crops and captions
    if slow := [kind for kind in only if Need.NETWORK in needed([kind])]:
        raise CallError(f"{' and '.join(slow)} cannot be told quickly: a network must look at the pictures. Leave --quick out.")
    return needs & ~Need.NETWORK


def _quick_notes(needs: Need, only: Collection[str]) -> list[str]:
    """What a reader must know of a quick check."""
    untold = [f"not looked for, as that takes a network: {' and '.join(UNTOLD)}"] if not only else []
    missed = ["copies are those that hashes propose: most crops and captions are missed"] if Need.COPIES in needs else []
    return [f"quick: {note}" for note in (*untold, *missed)]


def write(
    report: DataReport, *, out: Path | None = None, plan: Path | None = None, progress: Progress = silent
) -> dict[str, str]:
    """Write the page, by default to runs/check-<data>.html, and the plan where one is asked for; what was written where.

    Raises CallError where one would take the place of something else than such a page or plan.
    """
    page = out or Path("runs") / f"check-{report.title}.html"
    _refuse_other(page, ".html", PAGE_MARK)
    if plan:
        _refuse_other(plan, ".csv", PLAN_MARK)
        plan_of(report.findings).write(plan)
    report.write_html(page, progress=progress)
    return {"report": str(page), **({"plan": str(plan)} if plan else {})}


def _refuse_other(path: Path, suffix: str, mark: bytes) -> None:
    """Raise CallError where `path` has another suffix, or holds something that is not an earlier one of ours."""
    if path.suffix.lower() != suffix:
        raise CallError(f"{path} does not end in {suffix}. Choose another name.")
    try:
        with path.open("rb") as file:
            start = file.read(MARK_WITHIN)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}. Choose another place.") from error
    if mark not in start:
        raise CallError(f"{path} is there already and is not ours; nothing is overwritten. Choose another name.")


def gather(table: ImageTable, recipe: Recipe, *, needs: Need = Need.ALL, progress: Progress = silent) -> Evidence:
    """What the finders look at, and no more than it `needs`. Raises DataError where no picture can be read."""
    if Need.NETWORK in needs:
        return _judged(table, recipe, progress)
    seen = (scan if Need.GLANCES in needs else skim)(table, progress=progress)
    readable = table.without(seen.failures)
    if not len(readable):
        reasons = sorted(set(seen.failures.values()))
        raise DataError(f"none of the {len(table)} files can be read as a picture: {'; '.join(reasons[:SHOWN])}")
    rows, copies = seen.of(readable), tuple[CopyPair, ...]()
    if Need.COPIES in needs and Need.GLANCES in needs:
        copies = find_copies(readable, rows, None, n_embedding=0, progress=progress)
    elif Need.COPIES in needs:
        copies = _in_order([*exact_copies(readable), *hashed_copies(readable, rows, progress=progress)])
    return Evidence(readable, rows, np.empty((len(readable), 0), np.float16), 0, copies, gathered=needs)


def _in_order(pairs: Iterable[CopyPair]) -> tuple[CopyPair, ...]:
    return tuple(sorted(pairs, key=lambda pair: (pair.first, pair.second)))


def _judged(table: ImageTable, recipe: Recipe, progress: Progress) -> Evidence:
    """All that can be known, by what the network says."""
    embedded = embed_table(table, recipe, shown=n_channels_of(table.paths) != RGB_CHANNELS, progress=progress)
    glances = scan(embedded.table, progress=progress)
    embedded = replace(embedded, table=embedded.table.without(glances.failures))  # what broke in between
    copies = near_copies(embedded.table, embedded, progress=progress)
    tied = tie(embedded.table, ((pair.first, pair.second) for pair in copies))
    features = embedded.features.of(tied)
    folds = None if tied.multi_label or len(tied.classes) < 2 else fold_numbers(tied, n_folds=N_FOLDS, seed=recipe.seed)
    return Evidence(
        table=embedded.table,
        glances=glances.of(tied),
        features=features,
        n_embedding=embedded.backbone.blocks[0],
        copies=_in_order([*exact_copies(tied), *copies]),
        fold_probabilities=_fold_probabilities(tied, folds, features, embedded, recipe),
        split_probabilities=_split_probabilities(tied, features, embedded, recipe),
        folds=folds,
    )


def _fold_probabilities(
    table: ImageTable, folds: np.ndarray | None, features: np.ndarray, embedded: Embedded, recipe: Recipe
) -> np.ndarray | None:
    """(N, K) from heads that had seen neither the picture nor its copies; None where there is nothing to tell apart."""
    if folds is None or len(np.unique(folds)) < 2:
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
