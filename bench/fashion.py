"""One training of a network of ours on Fashion-MNIST, from scratch; prints one JSON object. `run.py training` calls it.

    python bench/fashion.py tutorial FOLDER [--seed 0] [--held] [--set FIELD=VALUE]
    python bench/fashion.py compact  FOLDER --budget 300 ...

FOLDER holds the four IDX files. 57,000 of the training pictures are learned from and the best epoch is chosen on the other 3,000;
the test pictures are judged once, through the ONNX file that is served. --held judges 6,000 more pictures taken out of the
training part in their place: so everything was chosen. `--set` changes the recipe. The budget is for the whole process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from peers.fashion_pictures import BATCH, EPOCHS, parted

N_HELD = 6_000  # pictures of the training part
STARTING_S = 1.0  # of a budget, for the interpreter's start and its end; a guess
RECIPES = {"tutorial": {"arch": "tutorial_cnn", "epochs": EPOCHS, "batch": BATCH}, "compact": {"arch": "compact"}}


def main() -> None:
    args = parse()
    values = {**RECIPES[args.network], **dict(map(parsed, args.set)), "seed": args.seed}
    print(json.dumps(trained(args.folder, values, args.budget, limit=args.limit, held=args.held)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("network", choices=list(RECIPES))
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="holds the four IDX files")
    parser.add_argument("--budget", type=float, metavar="S", help="seconds of the whole process")
    parser.add_argument("--seed", type=int, default=0, help="of the split too (default: 0)")
    parser.add_argument("--limit", type=int, metavar="N", help="pictures of each part at most, for a trial")
    parser.add_argument("--held", action="store_true", help="judge pictures of the training part instead of the test part")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the recipe")
    return parser.parse_args()


def parsed(change: str) -> tuple[str, Any]:
    name, _, value = change.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def trained(folder: Path, values: dict[str, Any], budget_s: float | None, *, limit: int | None, held: bool) -> dict[str, Any]:
    """What a training gave: accuracy on the judged pictures, seconds of each epoch and of the stages."""
    start = time.monotonic()
    from tellapart import Recipe  # within the budget: a user waits for the imports, too
    from tellapart.training.scratch import train_network

    recipe = Recipe.from_json(values)
    training, valid, judged = parts(folder, recipe.seed, limit=limit, held=held)
    read_s = time.monotonic() - start
    deadline = None if budget_s is None else start + budget_s - STARTING_S - judging_s(len(judged))
    with tempfile.TemporaryDirectory() as scratch:
        tuned = train_network(training, valid, recipe, deadline=deadline, folder=Path(scratch))
        trained_s = time.monotonic() - start
        accuracy = accuracy_of(tuned.fitted, judged)
    return {
        "accuracy": accuracy,
        "valid_accuracy": max(epoch.valid_accuracy for epoch in tuned.history),
        "epoch_s": [later - earlier for earlier, later in pairwise([0.0, *(epoch.seconds for epoch in tuned.history)])],
        "n_train": len(training),
        "n_judged": len(judged),
        "judged_on": "held" if held else "test",
        "read_s": read_s,
        "trained_s": trained_s,  # since the start, as the next
        "judged_s": time.monotonic() - start,
        "recipe": values,
        "notes": tuned.notes,
    }


def parts(folder: Path, seed: int, *, limit: int | None, held: bool) -> tuple[Any, Any, Any]:
    """The tables to learn from, to choose by and to judge on."""
    from tellapart import read

    table = read(folder)
    rows, valid_rows = parted(seed=seed)  # the training part comes first in the table
    judged = table.in_split("test")
    if held:
        fixed = np.random.default_rng(99).permutation(np.sort(rows))[:N_HELD]
        judged, rows = table.take(fixed), rows[~np.isin(rows, fixed)]
    return table.take(rows[:limit]), table.take(valid_rows[:limit]), judged.take(range(len(judged))[:limit])


def judging_s(n: int) -> float:
    """Seconds that are set apart for judging `n` pictures; 1,000 a second is a slow core."""
    return 2 + n / 1000


def accuracy_of(fitted: Any, table: Any) -> float:
    """Through the backbone's ONNX file and the runtime that serves it."""
    from tellapart.inference.runtimes import load_runtime
    from tellapart.inference.streaming import run_pictures

    results = run_pictures(load_runtime(fitted.backbone.path), table.paths, fitted.backbone.fit)
    features = np.stack([result.outputs["features"] for result in results])
    place = {label: code for code, label in enumerate(fitted.table.classes)}
    labels = np.array([place[label] for label in table.labels])
    return float((fitted.head.probabilities(features).argmax(1) == labels).mean())


if __name__ == "__main__":
    main()
