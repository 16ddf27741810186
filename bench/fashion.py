"""Train on Fashion-MNIST: the tutorials' CNN beside Keras', and our compact network against the clock.

    python bench/fashion.py tutorial [--seeds 3] [--peer-python PYTHON] [--held]
    python bench/fashion.py compact  [--seeds 3] [--budget 300] [--held]

Both train on 57,000 of the training pictures and choose the best epoch on the other 3,000; the test pictures are judged once a
seed, through the ONNX file that is served. --held judges 6,000 more pictures taken out of the training part in their place:
so everything was chosen. Seconds count from before the pictures are read. `--set FIELD=VALUE` changes the recipe.

Keras runs in an environment of its own: `python -m venv DIR; DIR/bin/pip install tensorflow-cpu keras`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

BENCH = Path(__file__).resolve().parent
VALID, HELD = 3_000, 6_000  # pictures of the training part
TUTORIAL_EPOCHS, TUTORIAL_BATCH = 5, 256


def main() -> None:
    args = parse()
    print(
        json.dumps({"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]})
    )
    changes = dict(parsed(change) for change in args.set)
    if args.network == "tutorial":
        recipe = {"arch": "tutorial_cnn", "epochs": TUTORIAL_EPOCHS, "batch": TUTORIAL_BATCH}
        rows = [trained(args.data, {**recipe, **changes, "seed": seed}, None, held=args.held) for seed in range(args.seeds)]
        if args.peer_python:
            peer(args, rows)
    else:
        rows = [
            trained(args.data, {"arch": "compact", **changes, "seed": s}, args.budget, held=args.held) for s in range(args.seeds)
        ]
    accuracies = [row["accuracy"] for row in rows]
    spread = statistics.stdev(accuracies) if len(rows) > 1 else 0.0
    print(f"{args.network}: accuracy {statistics.mean(accuracies):.2%} (deviation {spread:.2%}, {len(rows)} seeds)", end=", ")
    print(f"{statistics.mean(row['total_s'] for row in rows):.0f} s in all")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("network", choices=["tutorial", "compact"])
    parser.add_argument("--data", type=Path, default=BENCH.parent.parent / "shared" / "data" / "fashion-mnist")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=300, help="seconds in all of the compact network (default: 300)")
    parser.add_argument("--held", action="store_true", help="judge pictures of the training part instead of the test part")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the recipe")
    parser.add_argument("--peer-python", type=Path, help="a Python with keras and tensorflow, or jax")
    return parser.parse_args()


def parsed(change: str) -> tuple[str, Any]:
    name, _, value = change.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def trained(data: Path, values: dict[str, Any], budget_s: float | None, *, held: bool) -> dict[str, Any]:
    """One training: accuracy on the judged pictures, seconds in all and of each epoch."""
    start = time.monotonic()
    from tellapart import Recipe, read  # within the time: a user waits for the imports, too
    from tellapart.training.scratch import train_network

    recipe = Recipe.from_json(values)
    table = read(data)
    rows = np.random.default_rng([recipe.seed, 1]).permutation([row for row, name in enumerate(table.splits) if name == "train"])
    judged = table.in_split("test")
    if held:
        fixed = np.random.default_rng(99).permutation(np.sort(rows))  # the same for all seeds
        judged, rows = table.take(fixed[:HELD]), rows[~np.isin(rows, fixed[:HELD])]
    training, valid = table.take(rows[VALID:]), table.take(rows[:VALID])
    read_s = time.monotonic() - start
    deadline = None if budget_s is None else start + budget_s - judging_s(len(judged))
    with tempfile.TemporaryDirectory() as folder:
        tuned = train_network(training, valid, recipe, deadline=deadline, folder=Path(folder))
        trained_s = time.monotonic() - start
        accuracy = accuracy_of(tuned.fitted, judged)
    row = {
        "seed": recipe.seed,
        "accuracy": round(accuracy, 5),
        "valid_accuracy": round(max(epoch.valid_accuracy for epoch in tuned.history), 5),
        "epochs": len(tuned.history),
        "n_pictures": tuned.history[-1].n_pictures,
        "read_s": round(read_s, 1),
        "epoch_s": [round(b - a, 2) for a, b in pairwise([0.0, *(epoch.seconds for epoch in tuned.history)])],
        "trained_s": round(trained_s, 1),
        "total_s": round(time.monotonic() - start, 1),
        "judged_on": "held" if held else "test",
        "changed": {field.name: values[field.name] for field in fields(recipe) if field.name in values and field.name != "seed"},
        "notes": tuned.notes,
    }
    print(json.dumps(row), flush=True)
    return row


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


def peer(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Keras on the same pictures; prints how many times as long its epoch takes."""
    command = [str(args.peer_python), str(BENCH / "peers" / "keras_tutorial.py"), str(args.data), str(TUTORIAL_EPOCHS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    found = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found))
    ours = statistics.median(value for row in rows for value in row["epoch_s"][1:])  # the first warms up and compiles
    theirs = statistics.median(found["epoch_s"][1:])
    print(f"an epoch: ours {ours:.1f} s, Keras on {found['backend']} {theirs:.1f} s: {theirs / ours:.2f} times", file=sys.stdout)


if __name__ == "__main__":
    main()
