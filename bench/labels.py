"""Wrong labels planted at random: how many are found, in what time, and what cleaning them does to the accuracy.

    python bench/labels.py [--data DIR] [--seeds N] [--json FILE]

Labels are changed in the training folder only, each to another class at random; the held-back folder (flowers/val,
coins/test) keeps its own and judges. Features come from the cache, which a first pass fills. Markdown goes to stdout.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from results import Figure, Goal, Result, markdown
from run import default_data, positive, told, write
from setting import machine_facts
from tellapart.checks import Evidence
from tellapart.checks.labels import find_wrong_labels, self_confidence
from tellapart.data import ImageTable, fold_numbers
from tellapart.images import GLANCE
from tellapart.sources import read
from tellapart.training import Embedded, Recipe, embed_table
from tellapart.training.head import Head, fit_head

RATES = (0.05, 0.10)
ASKED = {"flowers": 0.75, "coins": 0.60}  # of precision at the number planted
MAX_SECONDS = 5.0
N_FOLDS = 5


def main() -> None:
    args = parse()
    machine = machine_facts(None)
    with args.json.open("w") if args.json else nullcontext() as lines:
        write(lines, {"kind": "machine", **machine})
        results = (result for name in ASKED for result in measure(name, args.data / name, args.seeds))
        print(markdown(machine, list(told(results, lines))))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=default_data(), help="holds flowers/ and coins/ (default: %(default)s)")
    parser.add_argument("--seeds", type=positive, default=3, help="times that labels are drawn for each rate (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result as a JSON line")
    return parser.parse_args()


def measure(name: str, folder: Path, n_seeds: int) -> Iterator[Result]:
    embedded = embed_table(read(folder), Recipe())
    train, held = parts(embedded.table)
    clean = accuracy(embedded, train, held)
    yield Figure("labels", f"{name}: accuracy with the labels as they are", (clean,), "")
    for rate in RATES:
        trials = [trial(embedded, train, held, rate, seed) for seed in range(n_seeds)]
        what = f"{name}, {rate:.0%} planted ({round(rate * len(train))} of {len(train)})"
        for key, unit in trials[0].items():
            yield Figure("labels", f"{what}: {key}", tuple(one[key][0] for one in trials), unit[1])
        worst = min(one["precision at the number planted"][0] for one in trials)
        slowest = max(one["time on warm features"][0] for one in trials)
        yield Goal("labels", f"{what}: precision at the number planted, the worst draw", worst, "at least", ASKED[name])
        yield Goal("labels", f"{what}: seconds on warm features, the slowest draw", slowest, "at most", MAX_SECONDS)


def parts(table: ImageTable) -> tuple[ImageTable, ImageTable]:
    """The training folder without copies of held-back pictures, and the held-back one."""
    held = table.take(row for row, split in enumerate(table.splits) if split != "train")
    known = set(held.sha256)
    train = (row for row, split in enumerate(table.splits) if split == "train" and table.sha256[row] not in known)
    return table.take(train), held


def trial(embedded: Embedded, train: ImageTable, held: ImageTable, rate: float, seed: int) -> dict[str, tuple[float, str]]:
    """Figures of one draw, each with its unit."""
    noisy, planted = plant(train, rate, np.random.default_rng(seed))
    start = time.perf_counter()
    head = fit(embedded, noisy)
    features = embedded.features.of(noisy)
    glances = np.zeros(len(noisy), GLANCE)  # not looked at for labels
    found = find_wrong_labels(Evidence(noisy, glances, features, embedded.backbone.blocks[0], (), head.fold_probabilities))
    seconds = time.perf_counter() - start
    worst_first = np.argsort(self_confidence(noisy.codes, head.fold_probabilities), kind="stable")
    proposed = {finding.proposals[0].path: finding.proposals[0].value for finding in found}
    rows = [row for row, path in enumerate(noisy.paths) if path in proposed]
    relabelled = replace(
        noisy, labels=tuple(proposed.get(path, label) for path, label in zip(noisy.paths, noisy.labels, strict=True))
    )
    return {
        "precision at the number planted": (float(planted[worst_first[: planted.sum()]].mean()), ""),
        "found by `check`": (len(rows), "pictures"),
        "precision of those": (float(planted[rows].mean()), ""),
        "recall of those": (float(planted[rows].sum() / planted.sum()), ""),
        "time on warm features": (seconds, "s"),
        "accuracy with the wrong labels": (accuracy(embedded, noisy, held, head), ""),
        "accuracy after dropping what was found": (
            accuracy(embedded, noisy.take(row for row, path in enumerate(noisy.paths) if path not in proposed), held),
            "",
        ),
        "accuracy after relabelling what was found": (accuracy(embedded, relabelled, held), ""),
    }


def plant(table: ImageTable, rate: float, rng: np.random.Generator) -> tuple[ImageTable, np.ndarray]:
    """The table with wrong labels, and which rows (N,) have one."""
    n, n_classes = len(table), len(table.classes)
    rows = rng.choice(n, round(rate * n), replace=False)
    codes = table.codes.copy()
    codes[rows] = (codes[rows] + rng.integers(1, n_classes, len(rows))) % n_classes
    planted = np.zeros(n, bool)
    planted[rows] = True
    return replace(table, labels=tuple(table.classes[code] for code in codes)), planted


def fit(embedded: Embedded, table: ImageTable) -> Head:
    folds = fold_numbers(table, n_folds=N_FOLDS)
    blocks = embedded.backbone.blocks
    return fit_head(embedded.features.of(table), table.codes, folds, n_classes=len(table.classes), blocks=blocks)


def accuracy(embedded: Embedded, train: ImageTable, held: ImageTable, head: Head | None = None) -> float:
    """On the held-back part, of a head fitted on `train`; both have the same classes."""
    probabilities = (head or fit(embedded, train)).probabilities(embedded.features.of(held).astype(np.float32))
    return float((probabilities.argmax(1) == held.codes).mean())


if __name__ == "__main__":
    main()
