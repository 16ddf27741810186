"""What cleaning does to the demo's coins: the error before and after, on held-back pictures and on new ones without faults.

    python bench/cleaning.py [--seeds N] [--json FILE]

Each draw is a `tellapart demo` of 600 coins with their planted faults; cleaning takes what it takes there, unseen. The held-back
pictures have faults of their own before cleaning; the new ones never have. Markdown goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from results import Figure, Result, markdown
from run import positive, told, write
from setting import machine_facts

WHAT = {
    "error on held-back pictures, before": lambda facts: facts["before"]["error_rate"],
    "error on held-back pictures, after": lambda facts: facts["error_rate"],
    "error on 300 new pictures, before": lambda facts: facts["fresh_error_rate"]["before"],
    "error on 300 new pictures, after": lambda facts: facts["fresh_error_rate"]["after"],
    "edits": lambda facts: facts["n_edits"],
}


def main() -> None:
    args = parse()
    machine = machine_facts(None)
    with args.json.open("w") if args.json else nullcontext() as lines:
        write(lines, {"kind": "machine", **machine})
        print(markdown(machine, list(told(measure(args.seeds), lines))))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=positive, default=5, help="demos that are drawn (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result as a JSON line")
    return parser.parse_args()


def measure(n_seeds: int) -> Iterator[Result]:
    demos = [demo(seed) for seed in range(n_seeds)]
    for name, of in WHAT.items():
        yield Figure("cleaning", name, tuple(float(of(facts)) for facts in demos), "", "tellapart demo --seed N --json")


def demo(seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        words = ["demo", "--out", f"{folder}/demo", "--seed", str(seed), "--json"]
        done = subprocess.run([sys.executable, "-m", "tellapart", *words], stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main()
