"""Time Tellapart against others and against what it must reach. See bench/README.md.

    python bench/run.py [frozen|training|serving|all|MEASURE] [--data DIR] [--repeats N] [--peer-repeats N] [--budget S ...]
                        [--limit N] [--peer-python PYTHON] [--keras-python PYTHON] [--litserve-python PYTHON] [--json FILE]

MEASURE is one of frozen's flowers, coins, predict, start, memory, or of training's tutorial, compact, epochs.
Markdown tables go to stdout, progress to stderr, JSON lines to FILE.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from epochs import epochs
from measures import FROZEN, flowers, predict
from results import Goal, Result, markdown, number
from scratch import compact, tutorial
from serving import serving
from setting import BENCH, Setting, environment, machine_facts

TRAINING = (tutorial, compact, epochs)
GROUPS = {"frozen": FROZEN, "training": TRAINING, "serving": (serving,), "all": (*FROZEN, *TRAINING, serving)}
WITH_PEERS = (flowers, predict, tutorial, epochs)
WITH_KERAS = (tutorial,)
WITH_LITSERVE = (serving,)
DEFAULT_BUDGETS_S = (300,)


def main() -> None:
    args = parse()
    chosen = GROUPS.get(args.measure) or [measure for measure in GROUPS["all"] if measure.__name__ == args.measure]
    peer_python, keras_python, litserve_python = (
        (given or environment(name)).absolute() if args.peer_repeats > 0 and any(one in group for one in chosen) else None
        for name, given, group in (
            ("peers", args.peer_python, WITH_PEERS),
            ("keras", args.keras_python, WITH_KERAS),
            ("litserve", args.litserve_python, WITH_LITSERVE),
        )
    )
    machine = machine_facts(peer_python, keras_python, litserve_python)
    if args.limit is not None:
        machine["pictures"] = f"A TRIAL with about {args.limit} pictures a data set: its figures mean nothing"
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tellapart-bench-")))
        lines = stack.enter_context(args.json.open("w")) if args.json else None
        setting = Setting(
            args.data.resolve(),
            scratch,
            args.repeats,
            args.peer_repeats,
            args.limit,
            peer_python,
            keras_python,
            litserve_python,
            tuple(args.budget or DEFAULT_BUDGETS_S),
        )
        write(lines, {"kind": "machine", **machine})
        results: list[Result] = []
        try:
            results.extend(told((result for measure in chosen for result in measure(setting)), lines))
        finally:  # what was measured before a failure stays of use
            print(markdown(machine, results))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = list(dict.fromkeys((*GROUPS, *(measure.__name__ for measure in GROUPS["all"]))))
    parser.add_argument("measure", nargs="?", default="frozen", choices=names, help="(default: frozen)")
    parser.add_argument("--data", type=Path, default=default_data(), help="holds the folders of pictures (default: %(default)s)")
    parser.add_argument("--repeats", type=positive, default=3, help="runs of our side (default: 3)")
    parser.add_argument("--peer-repeats", type=int, default=1, help="runs of each peer; 0 leaves them out (default: 1)")
    parser.add_argument(
        "--budget", type=positive, action="append", metavar="S", help="of `compact`; may be repeated (default: 300)"
    )
    parser.add_argument("--limit", type=positive, help="about this many pictures a data set, for a trial")
    parser.add_argument("--peer-python", type=Path, help="a Python with the peers (default: bench/.peers-venv, made if missing)")
    parser.add_argument("--keras-python", type=Path, help="a Python with Keras (default: bench/.keras-venv, made if missing)")
    parser.add_argument(
        "--litserve-python", type=Path, help="a Python with LitServe (default: bench/.litserve-venv, made if missing)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result as a JSON line")
    return parser.parse_args()


def default_data() -> Path:
    """$TELLAPART_DATA, or `shared/data` beside the project's folder."""
    return Path(os.environ.get("TELLAPART_DATA") or BENCH.parent.parent / "shared" / "data")


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def told(results: Iterable[Result], lines: TextIO | None) -> Iterable[Result]:
    """The results as they come, each written down at once: a later failure loses none."""
    for result in results:
        write(lines, result.to_json())
        print(said(result), file=sys.stderr, flush=True)
        yield result


def said(result: Result) -> str:
    if isinstance(result, Goal):
        verdict = "reached" if result.reached else "NOT REACHED"
        return f"{result.measure}: {result.name}: {number(result.value)} ({result.asked} {number(result.limit)}: {verdict})"
    return f"{result.measure}: {result.name}: {number(result.median)} {result.unit} (n = {len(result.values)})"


def write(lines: TextIO | None, record: dict[str, Any]) -> None:
    if lines is not None:
        lines.write(json.dumps(record) + "\n")
        lines.flush()


if __name__ == "__main__":
    main()
