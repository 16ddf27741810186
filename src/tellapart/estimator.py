"""`ImageClassifier`: Tellapart as a scikit-learn estimator over paths or arrays of pictures."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tellapart.data import ImageTable, checked, split, table_of
from tellapart.errors import CallError, DataError, MissingExtraError
from tellapart.grouping import with_hashed_copies_tied
from tellapart.inference import Classifier
from tellapart.runs.networks import refuse_missing
from tellapart.sources.pixels import keep_pictures
from tellapart.training import Fitted, Recipe, embed_table, fit_classifier
from tellapart.training.bundles import write_bundle
from tellapart.training.recipe import DEFAULT_ARCH
from tellapart.words import counted

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise MissingExtraError("ImageClassifier", "notebook") from error

SHOWN = 5
Pictures = Sequence[str | Path] | npt.NDArray[Any]  # paths (N,), or pictures (N, H, W) or (N, H, W, C)
ONE_LABEL = "give one label a picture, (N,); several a picture are learned from tables, by tellapart.train"


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify pictures given by their paths, or as an array: `fit(X, y)`, then `predict(X)` and `predict_proba(X)`.

    Follows scikit-learn's conventions, so `clone`, `cross_val_score` and `GridSearchCV` work over arrays of paths or pictures;
    features are cached, so each further fold costs seconds. All pictures given to `fit` are trained on, but by a network from
    scratch (`arch="compact"`, or `weights="none"` with `epochs`), which chooses its best epoch on a fifth of them: it alone
    learns from pictures of other channels than RGB. An array is (N, H, W) or (N, H, W, C), 0 to 255; it is kept in the cache
    folder. The options are those of `Recipe`, its `fit` being `fit_mode` here; other networks are not fine-tuned.
    """

    def __init__(
        self,
        *,
        arch: str = DEFAULT_ARCH,
        weights: str = "auto",
        size: int | None = None,
        fit_mode: str = "crop",
        epochs: int | None = None,
        balance: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.arch = arch
        self.weights = weights
        self.size = size
        self.fit_mode = fit_mode
        self.epochs = epochs
        self.balance = balance
        self.seed = seed

    def fit(self, X: Pictures, y: Sequence[Any]) -> ImageClassifier:
        """Train on pictures `X`, their paths (N,) or an array, with labels `y`, (N,) or (N, 1), of any kind that can be sorted.

        Raises DataError where a picture cannot be read (all are named), an array holds none, labels are missing or of another
        shape, or fewer than two classes are given, and CallError for pictures of channels that a frozen backbone does not know.
        """
        self.classes_, codes = _classes(y)
        names = [f"{code:06d}" for code in range(len(self.classes_))]  # sorted as `classes_` is
        recipe = Recipe(
            self.arch, self.weights, self.size, self.fit_mode, balance=self.balance, epochs=self.epochs, seed=self.seed
        )
        if recipe.trains_network and not recipe.is_from_scratch:
            raise CallError("ImageClassifier trains a head, or a network from scratch; to fine-tune one: tellapart.train")
        table = table_of(_paths(X), [names[code] for code in codes])
        _refuse_unreadable([f"{skip.path}: {skip.reason}" for skip in table.skipped])
        with tempfile.TemporaryDirectory() as folder:
            fitted = _begun(table, recipe, Path(folder)) if recipe.is_from_scratch else _headed(table, recipe)
            self.classifier_: Classifier = write_bundle(fitted, Path(folder))
        self.n_features_in_ = 1
        return self

    def predict_proba(self, X: Pictures) -> npt.NDArray[np.float64]:
        """(N, K) probabilities in the order of `classes_`. Raises DataError where a picture cannot be read."""
        check_is_fitted(self)
        predictions = list(self.classifier_.predict_many(_paths(X)))
        _refuse_unreadable([f"{one.path}: {one.error}" for one in predictions if one.error])
        rows = [list(one.probabilities.values()) for one in predictions]
        return np.array(rows, np.float64).reshape(len(rows), len(self.classes_))

    def predict(self, X: Pictures) -> npt.NDArray[Any]:
        """(N,) labels, of the kind that `fit` was given. Raises DataError where a picture cannot be read."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(1)])


def _headed(table: ImageTable, recipe: Recipe) -> Fitted:
    """A head on the features of a frozen backbone, of all pictures."""
    embedded = embed_table(checked(table.with_splits(["train"] * len(table))), recipe)
    _refuse_unreadable([f"{skip.path}: {skip.reason}" for skip in embedded.table.skipped])
    return fit_classifier(embedded.features.floats(embedded.table), embedded.table, embedded.backbone, recipe)


def _begun(table: ImageTable, recipe: Recipe, folder: Path) -> Fitted:
    """A network from scratch, which is written to the folder; a fifth of the pictures tells which of its epochs is the best."""
    refuse_missing(recipe)
    from tellapart.training.scratch import train_network  # imports torch

    readable = with_hashed_copies_tied(table)
    _refuse_unreadable([f"{skip.path}: {skip.reason}" for skip in readable.skipped])
    whole = split(readable, valid_frac=recipe.valid_frac, seed=recipe.seed)
    fitted = train_network(whole.in_split("train"), whole.in_split("valid"), recipe, folder=folder).fitted
    _refuse_unreadable([f"{skip.path}: {skip.reason}" for skip in fitted.table.skipped])
    return fitted


def _classes(y: Sequence[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """The sorted classes (K,), and the class of each row (N,) as a place among them."""
    try:
        labels, cells = np.asarray(y), np.asarray(y, dtype=object)  # as text, a NaN would be the class "nan"
    except ValueError as error:  # rows of unequal lengths
        raise DataError(f"y is no column of labels; {ONE_LABEL}") from error
    if labels.ndim != 1 and labels.shape[1:] != (1,):
        raise DataError(f"y has the shape {labels.shape}; {ONE_LABEL}. One-hot rows: y.argmax(1)")
    missing = [row for row, cell in enumerate(cells.ravel().tolist()) if _is_missing(cell)]
    if missing:
        shown = ", ".join(map(str, missing[:SHOWN]))
        n_missing = counted(len(missing), "label is", "labels are")
        raise DataError(f"{n_missing} missing (None or NaN), such as of row {shown}. Leave out the pictures without one.")
    try:
        classes, codes = np.unique(labels.ravel(), return_inverse=True)
    except TypeError as error:
        raise DataError(f"the labels are of kinds that cannot be sorted together: {error}. Give texts or numbers.") from error
    if len(classes) < 2:
        found = f"one class, {classes.tolist()[0]!r}" if len(classes) else "no picture"
        raise DataError(f"y holds {found}; telling apart needs at least 2. Add pictures of another class.")
    return classes, codes


def _is_missing(cell: object) -> bool:
    try:
        return cell is None or bool(cell != cell)  # NaN and NaT differ from themselves
    except TypeError:  # pandas.NA will not say
        return True


def _paths(X: Pictures) -> list[str]:
    if isinstance(X, np.ndarray) and (X.ndim > 2 or X.dtype.kind in "buif"):
        return keep_pictures(X, name="X")
    return [os.fspath(path) for path in np.asarray(X, dtype=object).ravel()]


def _refuse_unreadable(problems: list[str]) -> None:
    if problems:
        shown = "; ".join(problems[:SHOWN])
        raise DataError(f"{counted(len(problems), 'picture')} cannot be read, such as {shown}. Leave out what cannot be read.")
