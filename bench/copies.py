"""How many changed pictures of flowers are found again, by Tellapart and by others, and how quickly. docs/near-copies.md tells.

    python bench/copies.py [--data DIR] [--seed 1] [--n 300] [--peer-python PYTHON]

Changes a sample of flowers in six ways each, puts them beside all flowers, and asks for the pairs of an original and what was
made of it. The constants of tellapart.checks were chosen with seed 0. The peers need a Python with imagededup and cleanvision.

    python bench/copies.py --speed-only --peer-python PYTHON [--n-times 1]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from run import default_data
from tellapart.checking import gather
from tellapart.checks import Need
from tellapart.checks.copies import find_copies
from tellapart.data import ImageTable
from tellapart.data.table import table_of
from tellapart.images.decoding import open_described
from tellapart.images.glances import glance
from tellapart.inference.features import embed
from tellapart.inference.glances import skim
from tellapart.training.backbones import get_backbone
from tellapart.training.recipe import Recipe

PEERS = Path(__file__).parent / "peers"
KNOWN = Path(__file__).parent / "copies_known.json"  # pairs that flowers itself holds, looked at by eye: not false
MIN_SIDE_PX = 96  # of the reduced decoding, for the speed of looking at pictures without a network
PRECISION = 0.99
TURNS = 3
DEFAULTS = {"phash": 10, "dhash": 10, "cnn": 0.9}  # imagededup's own thresholds

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def resized(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    scale = np.exp(rng.uniform(np.log(0.3), np.log(2)))
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling(int(rng.integers(1, 4))))


def recompressed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image  # by `save`, at a quality of 10 to 50


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """0.8 to 0.95 of each side, on its own."""
    width, height = rng.uniform(0.8, 0.95, 2) * image.size
    left, top = rng.uniform(0, 1, 2) * (image.width - width, image.height - height)
    return image.crop((round(left), round(top), round(left + width), round(top + height)))


def flipped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(image)


def recoloured(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A quarter grey; the others with 0.3 to 1.8 of their saturation; brightness 0.6 to 1.4, contrast 0.6 to 1.5."""
    is_grey = rng.random() < 0.25
    image = ImageEnhance.Color(image).enhance(0 if is_grey else rng.uniform(0.3, 1.8))
    return ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(rng.uniform(0.6, 1.4))).enhance(rng.uniform(0.6, 1.5))


def captioned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A black or white bar with text over 8 to 20 % of the height, at the top or the bottom."""
    image, height = image.copy(), int(rng.uniform(0.08, 0.2) * image.height)
    top = 0 if rng.random() < 0.5 else image.height - height
    ground, ink = ("black", "white") if rng.random() < 0.5 else ("white", "black")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, top, image.width, top + height), fill=ground)
    text, font = f"WHEN YOU SEE IT {rng.integers(1000)}", ImageFont.load_default(height * 0.6)
    draw.text((image.width * 0.05, top + height * 0.15), text, fill=ink, font=font)
    return image


CHANGES: tuple[Change, ...] = (resized, recompressed, cropped, flipped, recoloured, captioned)


def make_set(flowers: Path, folder: Path, *, n: int, seed: int) -> list[tuple[str, str, str]]:
    """All flowers and the changed ones in `folder`; returns (kind, original, changed), names within it."""
    rng = np.random.default_rng(seed)
    names = sorted(path.relative_to(flowers).as_posix() for path in flowers.rglob("*") if path.is_file())
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((flowers / name).read_bytes())
    made = []
    for change in CHANGES:
        (folder / change.__name__).mkdir()
        for number in sorted(rng.choice(len(names), n, replace=False)):
            image = Image.open(flowers / names[number]).convert("RGB")
            quality = rng.integers(10, 51) if change is recompressed else rng.integers(75, 96)
            name = f"{change.__name__}/{number}.jpg"
            change(image, rng).save(folder / name, quality=int(quality))
            made.append((change.__name__, names[number], name))
    return made


Pair = tuple[str, str]


@dataclass(frozen=True)
class Truth:
    """Which pairs are copies."""

    made: list[tuple[str, str, str]]
    family: dict[str, str]  # name -> the original, or the first of several that are copies of one another

    def is_copy(self, pair: Pair) -> bool:
        first, second = (self.family.get(name, name) for name in pair)
        return first == second

    def recall(self, found: set[Pair], kind: str | None = None) -> float:
        asked = [tuple(sorted(pair)) for each, *pair in self.made if kind in (None, each)]
        return sum(pair in found for pair in asked) / len(asked)

    def precision(self, found: set[Pair]) -> float:
        """Of the pairs found, the real copies; pairs that flowers holds by itself count neither way."""
        changed = {name for _, _, name in self.made}
        counted = [pair for pair in found if changed & set(pair) or not self.is_copy(pair)]
        return sum(map(self.is_copy, counted)) / max(len(counted), 1)


def truth_of(made: list[tuple[str, str, str]]) -> Truth:
    family = dict[str, str]()
    for first, second in json.loads(KNOWN.read_text()):
        one, other = family.get(first, first), family.get(second, second)
        family |= {name: one for name, head in family.items() if head == other} | {first: one, second: one}
    return Truth(made, family | {name: family.get(original, original) for _, original, name in made})


def main() -> None:
    args = parse()
    if args.speed_only:
        speed(args.peer_python, args.data / "flowers", n_times=args.n_times)
        return
    with tempfile.TemporaryDirectory(prefix="tellapart-copies-") as scratch:
        folder = Path(scratch) / "set"
        truth = truth_of(make_set(args.data / "flowers", folder, n=args.n, seed=args.seed))
        print(f"seed {args.seed}, {args.n} pictures of each kind", end="\n\n")
        print(row(["", *(change.__name__ for change in CHANGES), "all", "precision"]))
        print(row(["---"] * (len(CHANGES) + 3)))
        table, seconds = our_table(folder), {}
        for name, with_features in (("Tellapart", True), ("Tellapart, no features", False)):
            kinds, seconds[name] = ours(table, folder, with_features=with_features)
            print(line(name, truth, set(kinds)), flush=True)
            if with_features:
                tell_details(truth, kinds)
        print(line("Tellapart, --quick", truth, quickly(table, folder)), flush=True)
        print(
            {name: f"find_copies: {wall_s:.1f} s, {cpu_s:.1f} s of CPU" for name, (wall_s, cpu_s) in seconds.items()},
            file=sys.stderr,
        )
        if args.peer_python:
            speed(args.peer_python, args.data / "flowers", n_times=args.n_times)
            peers(args.peer_python, folder, truth)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=default_data(), help="holds flowers/ (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample and the changes (default: 1)")
    parser.add_argument("--n", type=int, default=300, help="pictures of each kind (default: 300)")
    parser.add_argument("--peer-python", type=Path, help="a Python with imagededup and cleanvision; without it, ours alone")
    parser.add_argument("--speed-only", action="store_true", help="time the hashing of flowers alone, against imagededup's")
    parser.add_argument("--n-times", type=int, default=1, help="links to each of the flowers that are timed (default: 1)")
    return parser.parse_args()


def our_table(folder: Path) -> ImageTable:
    paths = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    return table_of(paths, [""] * len(paths))


def glances_of(paths: Iterable[str]) -> np.ndarray:
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(lambda path: glance(open_described(path, min_side_px=MIN_SIDE_PX)), paths)))


def tell_details(truth: Truth, kinds: dict[Pair, str]) -> None:
    """What is no known copy, and how often a change is named rightly."""
    for pair in sorted(pair for pair in kinds if not truth.is_copy(pair)):
        print("not a known copy:", *pair, file=sys.stderr)
    named = [(made, kinds.get(tuple(sorted(pair)))) for made, *pair in truth.made]
    for kind in (change.__name__ for change in CHANGES):
        print(f"{kind} is called", dict(Counter(name for made, name in named if made == kind)), file=sys.stderr)


def ours(table: ImageTable, folder: Path, *, with_features: bool) -> tuple[dict[Pair, str], tuple[float, float]]:
    """The pairs with their kinds, and the seconds of `find_copies` alone: passed, and of CPU."""
    backbone = get_backbone(Recipe())
    features = embed(table, backbone).of(table) if with_features else None
    glances, start, cpu_start = glances_of(table.paths), time.perf_counter(), time.process_time()
    pairs = find_copies(table, glances, features, n_embedding=backbone.blocks[0])
    seconds = time.perf_counter() - start, time.process_time() - cpu_start
    names = [Path(path).relative_to(folder).as_posix() for path in table.paths]
    return {tuple(sorted((names[pair.first], names[pair.second]))): pair.kind for pair in pairs}, seconds


def peers(python: Path, folder: Path, truth: Truth) -> None:
    """imagededup with its own thresholds, and with the loosest that is still precise; cleanvision with its own."""
    found = {tuple(sorted(pair)) for *pair, _ in ask(python, "copies_cleanvision.py", str(folder))["pairs"]}
    print(line("cleanvision", truth, found), flush=True)
    for method, default in DEFAULTS.items():
        scored = ask(python, "copies_imagededup.py", method, str(folder))["pairs"]
        sign = -1 if method == "cnn" else 1

        def within(threshold: float, scored: list[tuple[str, str, float]] = scored, sign: int = sign) -> set[Pair]:
            return {tuple(sorted(pair)) for *pair, score in scored if sign * score <= sign * threshold}

        print(line(f"imagededup {method}, its threshold {default}", truth, within(default)), flush=True)
        steps = np.arange(0.8, 1, 0.01).round(2) if method == "cnn" else np.arange(16, -1, -1)
        precise = [step for step in steps if truth.precision(within(step)) >= PRECISION]
        if precise:
            print(line(f"imagededup {method}, precise at {precise[0]}", truth, within(precise[0])), flush=True)


def quickly(table: ImageTable, folder: Path) -> set[Pair]:
    """The pairs of `tellapart check --quick --only near_copies`."""
    evidence = gather(table, Recipe(), needs=Need.COPIES)
    names = [Path(path).relative_to(folder).as_posix() for path in evidence.table.paths]
    return {tuple(sorted((names[pair.first], names[pair.second]))) for pair in evidence.copies}


def speed(python: Path, flowers: Path, *, n_times: int) -> None:
    """Pictures/s and CPU of hashing pictures, decoding included, ours and imagededup's in turns.

    Ours first with all that `skim` does (a cache that is empty before each turn), then with their SHA-256 as well.
    """
    paths = sorted(path for path in flowers.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory(prefix="tellapart-speed-") as scratch:
        folder = Path(scratch) / "set"
        folder.mkdir()
        links = [folder / f"{number}-{path.name}" for number in range(n_times) for path in paths]
        for link, path in zip(links, paths * n_times, strict=True):
            link.symlink_to(path.resolve())
        for turn in range(TURNS):
            load = os.getloadavg()[0]
            theirs = ask(python, "copies_imagededup.py", "speed", str(folder))
            reading, cpu_reading = time.perf_counter(), time.process_time()
            table = table_of([str(link) for link in links], [""] * len(links))
            table = replace(table, sha256=tuple(hashlib.sha256(link.name.encode()).hexdigest() for link in links))
            start, cpu_start = time.perf_counter(), time.process_time()
            skim(table, cache_folder=Path(scratch) / f"cache-{turn}")
            end, cpu_end = time.perf_counter(), time.process_time()
            their_seconds, n = theirs["seconds"], len(links)
            print(
                f"pictures/s: skim {n / (end - start):.0f}, with SHA-256 {n / (end - reading):.0f}, "
                f"imagededup pHash {n / their_seconds:.0f}, ratios {their_seconds / (end - start):.1f} and "
                f"{their_seconds / (end - reading):.1f}; ms of CPU a picture: {1000 * (cpu_end - cpu_start) / n:.3f}, "
                f"{1000 * (cpu_end - cpu_reading) / n:.3f}, {1000 * theirs['cpu_seconds'] / n:.3f}; load before {load:.1f}",
                flush=True,
            )


def ask(python: Path, script: str, *words: str) -> dict[str, object]:
    done = subprocess.run([str(python), str(PEERS / script), *words], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def line(name: str, truth: Truth, found: set[Pair]) -> str:
    recalls = [truth.recall(found, kind) for kind in (*(change.__name__ for change in CHANGES), None)]
    return row([name, *(f"{100 * recall:.1f}" for recall in recalls), f"{100 * truth.precision(found):.1f}"])


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
