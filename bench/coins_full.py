"""Accuracy on coins/test of a head trained on all of coins/train; prints one JSON object.

    python bench/coins_full.py COINS

The command `tellapart train` holds a part of train/ back as validation. Here the test pictures take that place:
nothing is chosen on them, since the head's regularisation is cross-validated inside the training part.
"""

from __future__ import annotations

import json
import sys
import tempfile

import tellapart


def main(folder: str) -> None:
    table = tellapart.read(folder)
    splits = tuple("valid" if split == "test" else "train" for split in table.splits)
    with tempfile.TemporaryDirectory() as scratch:
        run = tellapart.train(table.with_splits(splits), tellapart.Recipe(), out=f"{scratch}/run")
        report = run.report
    print(json.dumps({"accuracy": report.accuracy, "interval": report.interval, "n": report.n}))


if __name__ == "__main__":
    main(*sys.argv[1:])
