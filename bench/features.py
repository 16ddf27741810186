"""What each choice of features and head gains on coins and flowers; docs/features.md tells what came of it.

    python bench/features.py [--data DIR] [--json FILE]

Fits the head on the training folder with each choice of a short list and judges it on the held-back folder. Markdown goes to
stdout, progress to stderr, JSON lines to FILE. The embeddings of a first run stay in the temporary folder for the next.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from run import default_data, write
from setting import machine_facts
from tellapart.data import fold_numbers
from tellapart.evaluation.metrics import Z_95
from tellapart.training import head
from wide_features import Half, Pictures, load, wide_backbone

SETS = ("coins", "flowers")
SEEDS = (0, 1, 2)  # of the folds and of the solver's factorisation
N_FOLDS = 5
LAST_TWO = ("mean last", "max last")
KEPT_PARTS = (*LAST_TWO, "mean 5", "std 5", "inner 5")
REFERENCE_PENALTIES = tuple(10.0**exponent for exponent in (-3, -3.5, -4, -4.5))  # the least log-loss lies within on both sets
COLUMNS = {  # of the table, from a line's values
    "pictures": "{set}",
    "about": "{about}",
    "choice": "{choice}",
    "right": "{accuracy:.1%}",
    "against kept, points": "{gain:+.1f} ± {half_width:.1f}",
    "balanced": "{balanced_accuracy:.1%}",
    "cross-validated": "{cv_accuracy:.1%}",
    "log-loss": "{cv_log_loss:.3f}",
    "width": "{width}",
    "views": "{views}",
    "fit, s": "{fit_s:.1f}",
}

Rescale = Callable[[np.ndarray, np.ndarray], np.ndarray]  # a part (N, C), and the same part of the training pictures -> (N, C)


def as_they_are(part: np.ndarray, _: np.ndarray) -> np.ndarray:
    return part


def own_deviation(part: np.ndarray, train: np.ndarray) -> np.ndarray:
    return part / np.maximum(train.std(0), 1e-6)


def square_root(part: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Of the size; the sign stays."""
    return np.sign(part) * np.sqrt(np.abs(part))


@dataclass(frozen=True)
class Choice:
    """One line of the table: what the head is fitted on and how. The defaults are what Tellapart does."""

    about: str
    name: str
    parts: tuple[str, ...] = KEPT_PARTS
    views: tuple[str, ...] = ("crop",)  # averaged, in training and in prediction
    extra: tuple[str, ...] = ()  # views that are further training rows; prediction does without
    rescale: Rescale = as_they_are
    as_one_block: bool = False
    balance: float = 0.0
    solver: Mapping[str, Any] = field(default_factory=dict)  # names of tellapart.training.head, otherwise

    def features(self, half: Half, train: Half, views: tuple[str, ...]) -> list[np.ndarray]:
        """A block (N, C) for each part."""
        averages = ([sum(each.views[view][part] for view in views) / len(views) for each in (half, train)] for part in self.parts)
        return [self.rescale(*pair) for pair in averages]


CHOICES = (
    Choice("kept", "mean + max; mean, deviation and innermost mean of stage 5"),
    Choice("layers", "mean of the last layer alone", ("mean last",)),
    Choice("layers", "mean + max", LAST_TWO),
    Choice("layers", "mean, mean + deviation of stage 5", ("mean last", "mean 5", "std 5")),
    Choice("layers", "mean + max, mean + deviation of stage 5", (*LAST_TWO, "mean 5", "std 5")),
    Choice("layers", "mean + max + deviation of the last layer", (*LAST_TWO, "std last")),
    Choice("layers", "mean + max, stage 4 in the place of 5", (*LAST_TWO, "mean 4", "std 4", "inner 4")),
    Choice("layers", "mean + max, stage 6 in the place of 5", (*LAST_TWO, "mean 6", "std 6", "inner 6")),
    Choice("layers", "kept, and stage 4 alike", (*KEPT_PARTS, "mean 4", "std 4", "inner 4")),
    Choice("layers", "kept, and stage 6 alike", (*KEPT_PARTS, "mean 6", "std 6", "inner 6")),
    Choice("layers", "kept, and innermost mean of the last layer", (*KEPT_PARTS, "inner last")),
    Choice("layers", "kept, and maximum of stage 5", (*KEPT_PARTS, "max 5")),
    Choice("views", "whole picture instead of the crop", views=("whole",)),
    Choice("views", "flipped view averaged", views=("crop", "flipped")),
    Choice("views", "whole picture averaged", views=("crop", "whole")),
    Choice("views", "flipped view as further training rows", extra=("flipped",)),
    Choice("scaling", "all features as one block", as_one_block=True),
    Choice("scaling", "each feature by its own deviation", rescale=own_deviation),
    Choice("scaling", "square root, then by block", rescale=square_root),
    Choice("balance", "0.5", balance=0.5),
    Choice("balance", "1", balance=1.0),
    *(Choice("solver", f"RANK {rank}", solver={"RANK": rank}) for rank in (64, 256, 512)),
    *(Choice("solver", f"TOLERANCE {tolerance:g}", solver={"TOLERANCE": tolerance}) for tolerance in (3e-2, 5e-3)),
    Choice("solver", "the fit on everything alone", solver={"_averaged": lambda fits: fits.of_fit(slice(-1, None))}),
)
KEPT = CHOICES[0]


def main() -> None:
    args = parse()
    machine, start = machine_facts(None), time.perf_counter()
    with ExitStack() as stack:
        lines = stack.enter_context(args.json.open("w")) if args.json else None
        write(lines, {"kind": "machine", **machine})
        backbone, widths = wide_backbone()
        rows = []
        for name in SETS:
            for row in measure(load(args.data / name, backbone, widths)):
                rows.append(row)
                write(lines, {"kind": "choice", **row})
                print(json.dumps(row), file=sys.stderr, flush=True)
    print(*(f"{key}: {value}" for key, value in machine.items()), sep="  \n", end="\n\n")
    print(markdown(rows), f"\n\n{time.perf_counter() - start:.0f} s in all.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=default_data(), help="holds coins/ and flowers/ (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every line of the table as JSON")
    return parser.parse_args()


def measure(pictures: Pictures) -> Iterator[dict[str, Any]]:
    """A line of the table for each choice and, last, one for scikit-learn's solver."""
    kept: list[Fitted] = []
    for choice in CHOICES:
        fits = [fit(pictures, choice, seed) for seed in SEEDS]
        kept = kept or fits
        yield summary(pictures, choice, fits, kept)
    yield summary(pictures, replace(KEPT, about="solver", name="scikit-learn"), [fit_reference(pictures)], kept)


@dataclass(frozen=True)
class Fitted:
    """How a head did on pictures that it had not seen."""

    is_right: np.ndarray  # (N held back,)
    seconds: float
    cv_accuracy: float = np.nan  # not measured
    cv_log_loss: float = np.nan


def fit(pictures: Pictures, choice: Choice, seed: int) -> Fitted:
    """Tellapart's head with this choice."""
    train = pictures.train
    rows = [choice.features(train, train, views) for views in (choice.views, *((view,) for view in choice.extra))]
    widths = [part.shape[1] for part in rows[0]]
    x = np.concatenate([np.concatenate(parts, 1) for parts in rows])  # extra views lie below the pictures themselves
    folds = np.tile(fold_numbers(train.table, n_folds=N_FOLDS, seed=seed), len(rows))
    blocks = [sum(widths)] if choice.as_one_block else widths
    start = time.perf_counter()
    with patch.dict(vars(head), choice.solver):
        found = head.fit_head(
            x, np.tile(train.labels, len(rows)), folds,
            n_classes=len(train.table.classes), blocks=blocks, balance=choice.balance, seed=seed,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    answers = found.probabilities(np.concatenate(choice.features(pictures.held_back, train, choice.views), 1)).argmax(1)
    held_out = found.fold_probabilities[: len(train.labels)]
    cv_accuracy = float((held_out.argmax(1) == train.labels).mean())
    return Fitted(answers == pictures.held_back.labels, seconds, cv_accuracy, head.log_loss(np.log(held_out), train.labels))


def fit_reference(pictures: Pictures) -> Fitted:
    """scikit-learn's solver on the same features, scaled alike, with the penalty that does best on the held-back pictures.

    That choice is an advantage for it; its seconds are those of one fit for each penalty, ours of one for each penalty and fold.
    """
    from sklearn.linear_model import LogisticRegression  # 4 s, which are not the fit's

    train, held_back = pictures.train, pictures.held_back
    parts = KEPT.features(train, train, KEPT.views)
    x, asked = np.concatenate(parts, 1), np.concatenate(KEPT.features(held_back, train, KEPT.views), 1)
    centre = x.mean(0)
    scale = head._block_scales(x - centre, [part.shape[1] for part in parts])
    start, answers = time.perf_counter(), []
    for penalty in REFERENCE_PENALTIES:
        found = LogisticRegression(C=1 / (penalty * len(x)), max_iter=1000).fit((x - centre) * scale, train.labels)
        answers.append(found.predict((asked - centre) * scale) == held_back.labels)
    return Fitted(max(answers, key=np.mean), time.perf_counter() - start)


def summary(pictures: Pictures, choice: Choice, fits: list[Fitted], kept: list[Fitted]) -> dict[str, Any]:
    """Means over the seeds; "gain" is the difference from what is kept and "half_width" that of its 95 % interval, in points."""
    train, labels = pictures.train, pictures.held_back.labels
    right = np.mean([each.is_right for each in fits], 0)  # (N,) how often a picture was right
    gains = right - np.mean([each.is_right for each in kept], 0)  # of the same pictures, so most are 0
    return {
        "set": pictures.name,
        "about": choice.about,
        "choice": choice.name,
        "n": len(labels),
        "n_train": len(train.labels),
        "n_seeds": len(fits),
        "accuracy": right.mean(),
        "gain": 100 * gains.mean(),
        "half_width": 100 * Z_95 * gains.std() / np.sqrt(len(labels)),
        "balanced_accuracy": np.mean([right[labels == label].mean() for label in np.unique(labels)]),
        "cv_accuracy": np.mean([each.cv_accuracy for each in fits]),
        "cv_log_loss": np.mean([each.cv_log_loss for each in fits]),
        "width": sum(train.views[KEPT.views[0]][part].shape[1] for part in choice.parts),
        "views": len(choice.views),
        "fit_s": np.mean([each.seconds for each in fits]),
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table for docs/features.md."""
    cells = [[*COLUMNS], ["---"] * len(COLUMNS), *([form.format(**row) for form in COLUMNS.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


if __name__ == "__main__":
    main()
