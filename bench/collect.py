"""Time `tellapart collect` against img2dataset on the same links of a local server, and account for links that fail.

    python bench/collect.py [--data DIR] [--links N] [--repeats N] [--peer-python PYTHON] [--peer-threads N ...]
                            [--json FILE]

PYTHON is that of an environment with img2dataset (pip install img2dataset); without it only our side runs.
Pictures per second per core are pictures by seconds of processor time, the whole process with its imports and its children.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picture_server import FAILURES
from results import Figure, Goal, Result, markdown
from run import default_data, positive, said, write
from setting import BENCH, machine_facts

PEER = BENCH / "peers" / "collect_img2dataset.py"
PEER_THREADS = (16, 64)  # its default and, in trials, its quickest; the better one counts
FAILING_FRAC = 0.2
Command = Callable[[str], list[str]]  # what to start for an output folder
# How the account calls the server's ten ways to fail.
STATUSES = {
    "missing": "http_404",
    "error": "http_500",
    "circle": "redirect_loop",
    "silence": "timeout",
    "reset": "reset",
    "truncated": "truncated",
    "page": "not_a_picture",
    "oversize": "too_large",
    "length": "bad_reply",
    "drip": "slow",
}


@dataclass(frozen=True)
class Timed:
    """One process that ended well."""

    wall_s: float
    cpu_s: float  # of the process and its children
    told: dict[str, Any]  # the last line of its output


def main() -> None:
    args = parse()
    lines = args.json.open("w") if args.json else None
    machine = machine_facts(None)
    if args.peer_python:
        code = "import importlib.metadata as m; print('img2dataset', m.version('img2dataset'))"
        machine["the peer's environment"] = subprocess.check_output([args.peer_python, "-c", code], text=True).strip()
    write(lines, {"kind": "machine", **machine})
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="tellapart-bench-") as scratch, served(args.data / "flowers") as port:
        for result in measure(Path(scratch), port, args):
            results.append(result)
            write(lines, result.to_json())
            print(said(result), file=sys.stderr, flush=True)
    print(markdown(machine, results))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=default_data(), help="holds flowers/ (default: %(default)s)")
    parser.add_argument("--links", type=positive, default=10_000, help="links a run (default: 10,000)")
    parser.add_argument("--repeats", type=positive, default=1, help="runs of each side, taking turns (default: 1)")
    parser.add_argument("--peer-python", help="a Python that has img2dataset")
    parser.add_argument("--peer-threads", type=positive, nargs="+", default=PEER_THREADS, help="(default: 16 64)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result as a JSON line")
    return parser.parse_args()


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """The port of a picture server in a process of its own."""
    command = [sys.executable, str(BENCH / "picture_server.py"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def measure(scratch: Path, port: int, args: argparse.Namespace) -> Iterator[Result]:
    links = [f"http://127.0.0.1:{port}/ok/{number}.jpg" for number in range(args.links)]
    yield from compare(scratch, listed(scratch / "flowers.txt", links), args)
    yield from fail(scratch, port, args.links)


def compare(scratch: Path, links: Path, args: argparse.Namespace) -> Iterator[Result]:
    """Both sides on the same links, in turns."""
    sides: dict[str, Command] = {"tellapart collect": lambda out: ours(links, out)}
    if args.peer_python:
        for n in args.peer_threads:
            sides[f"img2dataset, {n} threads"] = lambda out, n=n: [args.peer_python, str(PEER), str(links), out, str(n)]
    runs: dict[str, list[Timed]] = {name: [] for name in sides}
    for number in range(args.repeats):
        for name, command in sides.items():
            run = timed(command(str(scratch / f"{name}-{number}")))
            if run.told["n_kept"] < 0.99 * args.links:  # a few flowers are in the set twice
                raise SystemExit(f"{name} kept too few of {args.links} links: {run.told}")
            runs[name].append(run)
    for name, done in runs.items():
        yield Figure("collect", name, tuple(args.links / run.cpu_s for run in done), "links/s per core")
        yield Figure("collect", f"{name}, by the clock", tuple(args.links / run.wall_s for run in done), "links/s")
    if args.peer_python:
        cpu, *peers = (statistics.median(run.cpu_s for run in done) for done in runs.values())
        yield Goal("collect", "tellapart / the better img2dataset, per core", min(peers) / cpu, "at least", 1.5)


def ours(links: Path, out: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "tellapart", "collect", str(links), "--out", out, "--allow-private", "--json", *more]


def fail(scratch: Path, port: int, n_links: int) -> Iterator[Result]:
    """A fifth of the links fail, in ten ways; each must be told as what it is."""
    n_each = round(n_links * FAILING_FRAC / len(FAILURES))
    links = [f"http://127.0.0.1:{port}/ok/{number}.jpg" for number in range(n_links - n_each * len(FAILURES))]
    links += [f"http://127.0.0.1:{port}/{kind}/{number}.jpg" for kind in FAILURES for number in range(1, n_each + 1)]
    limits = ["--timeout", "3", "--retries", "1", "--retry-wait", "0.1", "--max-bytes", "1000000", "--per-host", "100"]
    run = timed(ours(listed(scratch / "failing.txt", links), str(scratch / "failing"), *limits))
    print(run.told["account"], file=sys.stderr)
    wanted = Counter({STATUSES[kind]: n_each for kind in FAILURES})
    found = Counter(run.told["counts"])
    n_right = sum((wanted & found).values()) + found["kept"] + found["copy"]
    yield Figure("collect", "a fifth failing in ten ways, by the clock", (run.wall_s,), "s")
    yield Goal("collect", "links with one outcome each", sum(run.told["counts"].values()) / n_links, "at least", 1.0)
    yield Goal("collect", "links with the right outcome", n_right / n_links, "at least", 1.0)


def listed(path: Path, links: Sequence[str]) -> Path:
    path.write_text("".join(f"{link}\n" for link in links))
    return path


def timed(command: Sequence[str]) -> Timed:
    """Run a process to its end. Raises SystemExit with what it said where it fails."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"})
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            stderr.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {stderr.read()[-2000:].decode()}")
        stdout.seek(0)
        return Timed(wall_s, usage.ru_utime + usage.ru_stime, json.loads(stdout.read().splitlines()[-1]))


if __name__ == "__main__":
    main()
