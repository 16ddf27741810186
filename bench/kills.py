"""Kill trainings of a small network at random moments, and see what becomes of them; prints one JSON object.

    python bench/kills.py [--n 200] [--seed 0]

Each run is killed (SIGKILL) and resumed until it has had `KILLS_A_RUN` or is done, then resumed to its end and compared with one
that was left alone: the exported network, byte by byte, and the losses of all epochs. Where they differ it ends with 1. Needs the
extra `train`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from run import positive

KILLS_A_RUN = 10
EARLIEST_FRAC = 0.3  # of the time that the whole takes: before that Python is still importing
WORDS = ("--arch", "compact", "--size", "32", "--epochs", "8", "--batch", "16", "--lr", "0.002", "--set", "dropout=0.2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=positive, default=200, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tellapart-bench-") as scratch:
        found = killed(Path(scratch), args.n, random.Random(args.seed))
    print(json.dumps(found))
    sys.exit(0 if found["passed"] else 1)


def killed(folder: Path, n: int, chance: random.Random) -> dict[str, Any]:
    began = time.monotonic()
    tellapart("sample", "shapes", "--out", folder / "data", "--pictures", "30", "--side", "64").wait()
    finish(folder, folder / "whole")
    before_s = time.monotonic()
    finish(folder, folder / "again")  # with all in the cache, as in those that follow
    whole_s, whole = time.monotonic() - before_s, outcome(folder / "whole")
    others = [name for name in ["again"] if outcome(folder / name) != whole]
    n_kills, n_runs = 0, 0
    while n_kills < n:
        run = folder / f"run-{n_runs}"
        n_kills += kill_often(folder, run, min(KILLS_A_RUN, n - n_kills), whole_s, chance)
        finish(folder, run)
        if outcome(run) != whole:
            others.append(run.name)
        n_runs += 1
        print(f"{n_kills} kills, {n_runs} runs, {len(others)} not as the whole one", file=sys.stderr, flush=True)
    seconds = round(time.monotonic() - began)
    return {"n_kills": n_kills, "n_runs": n_runs, "n_other": len(others), "seconds": seconds, "passed": not others}


def kill_often(folder: Path, run: Path, n: int, whole_s: float, chance: random.Random) -> int:
    """How many of n kills came before the run was done."""
    for n_kills in range(n):
        with begin(folder, run) as process:
            try:
                process.wait(chance.uniform(EARLIEST_FRAC, 1) * whole_s)
            except subprocess.TimeoutExpired:
                process.kill()
        if process.returncode >= 0:
            return n_kills
    return n


def begin(folder: Path, run: Path) -> subprocess.Popen[bytes]:
    """The training of `run`, or what is left of it."""
    if (run / "run.json").exists():
        return tellapart("train", "--resume", run)
    return tellapart("train", folder / "data", *WORDS, "--out", run)


def finish(folder: Path, run: Path) -> None:
    if begin(folder, run).wait():
        raise RuntimeError(f"the training in {run} did not end well")


def tellapart(*words: str | Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "tellapart", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)


def outcome(run: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """What must not depend on interruptions: the network, and all that is noted of its epochs but the time."""
    epochs = json.loads((run / "run.json").read_text())["epochs"]
    return (run / "bundle" / "model.onnx").read_bytes(), [{**row, "seconds": 0.0} for row in epochs]


if __name__ == "__main__":
    main()
