"""Which backbone suits some pictures best: a head on each one's features, cross-validated on the same folds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from tellapart.data import ImageTable
from tellapart.errors import BundleError, CallError, MissingExtraError, TellapartError
from tellapart.evaluation.metrics import log_loss, wilson_interval
from tellapart.evaluation.report import percent, percent_range
from tellapart.evaluation.significance import Difference, holm, paired_difference
from tellapart.files import printable
from tellapart.grouping import with_copies_tied
from tellapart.inference.features import Backbone
from tellapart.inference.runtimes import BATCH, load_runtime
from tellapart.inference.streaming import run_pictures
from tellapart.progress import Progress, silent
from tellapart.training import Embedded, Recipe, embed_table, fit_classifier
from tellapart.training.backbones import get_backbone
from tellapart.words import counted

N_TIMED = (
    64  # pictures, after a warm-up: 0.2 s of the bundled backbone, some seconds of a large one; a guess at how many steady it
)
NOTE = (
    "Cross-validated on the training pictures alone. The best was chosen on them, and so was each head's penalty: "
    "what is held back tells how good it is."
)


@dataclass(frozen=True)
class Contender:
    """One backbone's head: its right answers and log-loss on folds that it had not seen, of `n` pictures.

    `pictures_per_s` is its speed as `predict` runs it, decoding included; `seconds` is what this shoot-out spent on it, in which
    the features of `n_cached` pictures were at hand. `to_best` is None for the best itself.
    """

    arch: str
    weights: str
    n_features: int
    n: int
    n_right: int
    log_loss: float
    pictures_per_s: float
    seconds: float
    n_cached: int
    to_best: Difference | None = None

    @property
    def accuracy(self) -> float:
        """The share of right answers, 0 to 1."""
        return self.n_right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval (lo, hi) of the accuracy."""
        return wilson_interval(self.n_right, self.n)

    def to_json(self) -> dict[str, Any]:
        difference = self.to_best and asdict(self.to_best) | {"is_noise": self.to_best.is_noise}
        return asdict(self) | {"accuracy": self.accuracy, "accuracy_interval": list(self.interval), "to_best": difference}


@dataclass(frozen=True)
class Shootout:
    """Backbones by cross-validated accuracy, the best first, and (name, reason) of those that could not take part."""

    contenders: tuple[Contender, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = (NOTE,)

    @property
    def best(self) -> Contender:
        return self.contenders[0]

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "best": self.best.arch,
            "backbones": [one.to_json() for one in self.contenders],
            "skipped": [{"arch": arch, "reason": reason} for arch, reason in self.skipped],
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The table for a terminal, and what a reader must know of it."""
        head = ("backbone", "right", "95 % interval", "log-loss", "pictures/s", "seconds", "against the best")
        rows = [head, *map(_cells, self.contenders)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        skipped = [f"left out: {printable(arch)}: {printable(reason)}" for arch, reason in self.skipped]
        return "\n".join(
            [f"{counted(self.best.n, 'training picture')}", *lines, *skipped, *(f"note: {note}" for note in self.notes)]
        )


@dataclass(frozen=True)
class _Result:
    contender: Contender
    is_right: np.ndarray  # (N,) bool


def shootout(table: ImageTable, recipe: Recipe, archs: Sequence[str], *, progress: Progress = silent) -> Shootout:
    """The recipe's backbones `archs` compared on the training pictures of a table (all of it, where it is not split).

    What is held back is neither embedded nor looked at. Features come through the cache; each head is fitted and judged on the
    same folds, near copies tied by the first backbone. The recipe's own `arch` plays no part.
    Raises CallError for an unknown backbone and for several labels a picture, and where none can be had the error that says why.
    """
    if table.multi_label:
        raise CallError("backbones are compared on one label a picture, but these have several: name one alone, --arch NAME")
    backbones, failed = _backbones(recipe, archs)
    training = table.in_split("train") if "train" in table.splits else table
    tied: ImageTable | None = None
    results = list[_Result]()
    for arch, backbone in backbones.items():
        start = time.perf_counter()
        embedded = embed_table(tied or training, replace(recipe, arch=arch), progress=progress)
        tied = tied or with_copies_tied(embedded.table, embedded, progress=progress)
        results.append(_result(embedded, tied, backbone, replace(recipe, arch=arch), start))
    results.sort(key=lambda one: (-one.contender.n_right, one.contender.log_loss))
    failures = tuple((arch, str(error)) for arch, error in failed.items())
    return Shootout(_with_differences(results, seed=recipe.seed), failures)


def _backbones(recipe: Recipe, archs: Sequence[str]) -> tuple[dict[str, Backbone], dict[str, TellapartError]]:
    """The backbones by name, and why the others cannot be had; what is wrong with a name is said before anything is computed."""
    if not archs:
        raise CallError("no backbone is named; give some: --arch efficientnet_lite0,resnet18")
    found, failed = dict[str, Backbone](), dict[str, TellapartError]()
    for arch in dict.fromkeys(archs):
        try:
            found[arch] = get_backbone(replace(recipe, arch=arch))
        except (BundleError, MissingExtraError) as error:
            failed[arch] = error
    if not found:
        raise next(iter(failed.values()))
    return found, failed


def _result(embedded: Embedded, table: ImageTable, backbone: Backbone, recipe: Recipe, start: float) -> _Result:
    n_cached, features = embedded.features.n_cached, embedded.features.floats(table)
    head = fit_classifier(features, table, backbone, recipe).head
    spent = time.perf_counter() - start
    is_right = head.fold_probabilities.argmax(1) == table.codes
    loss = log_loss(head.fold_probabilities, table.codes) or 0.0
    contender = Contender(
        arch=recipe.arch,
        weights=backbone.weights,
        n_features=backbone.n_features,
        n=len(table),
        n_right=int(is_right.sum()),
        log_loss=loss,
        pictures_per_s=_pictures_per_s(backbone, table.paths),
        seconds=spent,
        n_cached=n_cached,
    )
    return _Result(contender, is_right)


def _pictures_per_s(backbone: Backbone, paths: Sequence[str]) -> float:
    runtime = load_runtime(backbone.path)
    list(run_pictures(runtime, paths[:BATCH], backbone.fit))  # compiles it
    timed = list(islice(paths, N_TIMED))
    start = time.perf_counter()
    list(run_pictures(runtime, timed, backbone.fit))
    return len(timed) / (time.perf_counter() - start)


def _with_differences(results: Sequence[_Result], *, seed: int) -> tuple[Contender, ...]:
    """Each but the first compared with the first, picture by picture, the p-values raised for each other."""
    best, *others = results
    found = [_difference(one.is_right, best.is_right, seed=seed) for one in others]
    raised = holm([one.p_value for one in found])
    compared = [
        replace(one.contender, to_best=replace(difference, p_value=p))
        for one, difference, p in zip(others, found, raised, strict=True)
    ]
    return best.contender, *compared


def _difference(is_right: np.ndarray, best: np.ndarray, *, seed: int) -> Difference:
    return paired_difference(int((is_right & ~best).sum()), int((~is_right & best).sum()), len(best), seed=seed)


def _cells(one: Contender) -> tuple[str, ...]:
    return (
        printable(one.arch),
        percent(one.accuracy),
        percent_range(one.interval),
        f"{one.log_loss:.3f}",
        f"{one.pictures_per_s:,.0f}",
        f"{one.seconds:,.1f}",
        one.to_best.verdict if one.to_best else "is the best",
    )
