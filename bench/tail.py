"""Accuracy and time of the fine-tuned tail beside the frozen head; a JSON object a run, then their means.

    python bench/tail.py [--data DIR] [--sets NAME ...] [--seeds 0 1 2] [--budget S] [field=value ...]

The clock runs from reading the folder to the written bundle; importing is not in it. On `coins` a part of train/ is held back to
choose by, and test/ is judged once, at the end; on `flowers`, which has no test part, val/ is both. `coins-granite` and
`coins-white` are coins/train alone: judged are the photographs on that ground (white, and a few on black), learned from are the
others. So choices can be made for new grounds without a look at test/. Words such as lr=0.002 or augment=strong set fields of
the recipe.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from run import default_data
from tellapart.bars import bars
from tellapart.data import ImageTable, split
from tellapart.inference import Classifier
from tellapart.sources import read
from tellapart.training import Recipe, embed_table, fit_classifier
from tellapart.training.augment.policies import POLICIES
from tellapart.training.bundles import write_bundle
from tellapart.training.tails.tuning import BOUNDARY, fine_tune

BUDGETS_S = {"coins": 300.0, "flowers": 210.0}  # what the figures are asked for within
GROUNDS = {"coins-granite": {*range(31, 41)}, "coins-white": {20, 21, 22, 23, 29, 30}}  # numbers of the photographs


@dataclass(frozen=True)
class Judged:
    """One run."""

    data: str
    seed: int
    n_train: int
    n_judged: int
    frozen: float  # accuracy of the head on the judged pictures
    tuned: float
    tta: float  # of the tuned network's mean over views
    epochs: int
    pictures_per_s: float  # learned from
    seconds: float
    notes: tuple[str, ...]


def main() -> None:
    args = parse()
    runs = []
    for name in args.sets:
        for seed in args.seeds:
            recipe = Recipe(seed=seed, valid_frac=args.valid, **dict(map(field, args.fields)))
            run = judged(name, recipe, args)
            print(json.dumps(vars(run)), flush=True)
            runs.append(run)
    for name in args.sets:
        print(json.dumps({"data": name, **means(run for run in runs if run.data == name)}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=default_data(), help="holds coins/ and flowers/ (default: %(default)s)")
    parser.add_argument("--sets", nargs="+", default=list(BUDGETS_S), choices=[*BUDGETS_S, *GROUNDS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budget", type=float, help="seconds of a run (default: what the set's figure is asked for within)")
    parser.add_argument("--valid", type=float, default=0.1, help="part of coins/train that is held back (default: 0.1)")
    parser.add_argument("--boundary", type=int, default=BOUNDARY, help="stages that stay frozen (default: %(default)s)")
    parser.add_argument("--policy", nargs="+", default=[], metavar="field=value", help="change the default policy, unchecked")
    parser.add_argument("fields", nargs="*", metavar="field=value", help="of the recipe")
    return parser.parse_args()


def field(word: str) -> tuple[str, Any]:
    name, _, value = word.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def parted(name: str, data: Path, recipe: Recipe) -> ImageTable:
    """The set in its parts; what is judged at the end is "test", or "valid" where there is none."""
    table = read(data / name.partition("-")[0])
    if grounds := GROUNDS.get(name):
        table = table.in_split("train")
        table = table.with_splits(["test" if photograph(path) in grounds else "" for path in table.paths])
    return split(table, valid_frac=recipe.valid_frac, seed=recipe.seed)


def photograph(path: str) -> int:
    """The number of the photograph that a coin was cut from: 31 of train_31_7.jpg."""
    return int(re.findall(r"\d+", Path(path).stem)[0])


def judged(name: str, recipe: Recipe, args: argparse.Namespace) -> Judged:
    start = time.monotonic()
    deadline = start + (args.budget or BUDGETS_S[name.partition("-")[0]])
    table = parted(name, args.data, recipe)
    embedded = embed_table(table, recipe)
    training, held = (embedded.table.in_split(name) for name in ("train", "valid"))
    fitted = fit_classifier(embedded.features.floats(training), training, embedded.backbone, recipe)
    policy = replace(POLICIES[recipe.settled.augment], **dict(map(field, args.policy))) if args.policy else None
    with tempfile.TemporaryDirectory() as scratch:
        with bars() as progress:
            tuned = fine_tune(
                fitted,
                training,
                held,
                recipe,
                deadline=None if recipe.epochs else deadline,
                policy=policy,
                boundary=args.boundary,
                progress=progress,
            )
        classifier = write_bundle(tuned.fitted, Path(scratch) / "tuned")
        seconds = time.monotonic() - start
        judged_part = embedded.table.in_split("test" if "test" in table.splits else "valid")
        frozen = write_bundle(fitted, Path(scratch) / "frozen")
        for epoch in tuned.history:
            print(vars(epoch), file=sys.stderr)
        last = tuned.history[-1] if tuned.history else None
        return Judged(
            name,
            recipe.seed,
            len(training),
            len(judged_part),
            accuracy(frozen, judged_part),
            accuracy(classifier, judged_part),
            accuracy(classifier, judged_part, tta=True),
            len(tuned.history),
            round(last.n_pictures / last.seconds, 1) if last else 0.0,
            round(seconds, 1),
            tuned.notes,
        )


def accuracy(classifier: Classifier, table: ImageTable, *, tta: bool = False) -> float:
    answers = [one.label for one in classifier.predict_many(table.paths, tta=tta)]
    return round(float(np.mean([answer == label for answer, label in zip(answers, table.labels, strict=True)])), 4)


def means(runs: Iterable[Judged]) -> dict[str, float]:
    found = list(runs)
    names = ("frozen", "tuned", "tta", "epochs", "pictures_per_s", "seconds")
    return {name: round(float(np.mean([getattr(run, name) for run in found])), 4) for name in names}


if __name__ == "__main__":
    main()
