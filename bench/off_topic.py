"""Other pictures mixed into a data set: how many of them are found, and what else is.

    python bench/off_topic.py [--data DIR] [--seeds N] [--json FILE]

Photographs of other things (off-topic/) or dogs (dogs-one-per-breed/) are spread over the classes of flowers and coins as 1 and
3 % of them. The thresholds were chosen on these sets. Markdown goes to stdout.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from results import Figure, Result, markdown
from run import default_data, positive, told, write
from setting import machine_facts
from tellapart.checks import Evidence
from tellapart.checks.outliers import find_off_topic
from tellapart.data import ImageTable, table_of
from tellapart.images import GLANCE
from tellapart.sources import list_pictures, read
from tellapart.training import Recipe, embed_table

SETS = ("flowers", "coins")
STRANGERS = ("off-topic", "dogs-one-per-breed")
RATES = (0.01, 0.03)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=default_data(), help="holds the pictures (default: %(default)s)")
    parser.add_argument("--seeds", type=positive, default=3, help="times that strangers are drawn (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result as a JSON line")
    args = parser.parse_args()
    machine = machine_facts(None)
    with args.json.open("w") if args.json else nullcontext() as lines:
        write(lines, {"kind": "machine", **machine})
        results = (result for name in SETS for result in measure(args.data, name, args.seeds))
        print(markdown(machine, list(told(results, lines))))


def measure(data: Path, name: str, n_seeds: int) -> Iterator[Result]:
    own = read(data / name)
    yield figures(f"{name} as it is", [found(own, ())])[0]
    for folder in STRANGERS:
        paths, _ = list_pictures(data / folder)
        for rate in RATES:
            n = min(round(rate * len(own)), len(paths))
            draws = [np.random.default_rng(seed).choice(len(paths), n, replace=False) for seed in range(n_seeds)]
            trials = [found(own, tuple(paths[i] for i in draw)) for draw in draws]
            yield from figures(f"{name} and {n} of {folder} ({rate:.0%})", trials)


def found(own: ImageTable, strangers: tuple[str, ...]) -> tuple[int, int]:
    """How many pictures are found off topic, and how many of them are strangers."""
    labels = [own.classes[i % len(own.classes)] for i in range(len(strangers))]
    table = table_of([*own.paths, *strangers], [*own.labels, *labels])
    embedded = embed_table(table, Recipe())
    features = embedded.features.of(embedded.table)
    glances = np.zeros(len(embedded.table), GLANCE)  # not looked at here
    findings = find_off_topic(Evidence(embedded.table, glances, features, embedded.backbone.blocks[0]))
    return len(findings), sum(finding.paths[0] in strangers for finding in findings)


def figures(what: str, trials: list[tuple[int, int]]) -> list[Result]:
    return [
        Figure("off topic", f"{what}: found", tuple(float(n) for n, _ in trials), "pictures"),
        Figure("off topic", f"{what}: of these strangers", tuple(float(n) for _, n in trials), "pictures"),
    ]


if __name__ == "__main__":
    main()
