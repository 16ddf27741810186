"""Five measurements of the head on frozen features. Each yields what it measured and, beside it, what it had to reach.

Two sides of a ratio are always run in the same rounds on the same pictures, so that a slow minute of the machine meets both.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from processes import Finished, run_process
from results import Figure, Goal, Result
from setting import BENCH, Setting, picture_paths, twice

START_REPEATS = 15  # a start takes a fraction of a second
PEERS = BENCH / "peers"


def flowers(setting: Setting) -> Iterator[Result]:
    """Training on flowers: cold, warm, the floor, fastai."""
    pictures = setting.pictures("flowers")
    read_all(pictures)
    cold, warm, floors, peers = [], [], [], []
    for number in range(max(setting.repeats, setting.peer_repeats)):
        if number < setting.repeats:
            cache = setting.fresh("cache")
            cold.append(train(setting, pictures, cache))
            warm.append(train(setting, pictures, cache))
            floors.append(floor(run_of(cold[-1]), pictures))
        if number < setting.peer_repeats:
            peers.append(run_process([str(setting.peer_python), str(PEERS / "fastai_train.py"), str(pictures)]))
    yield from _flowers_ours(setting, cold, warm)
    yield from _flowers_floor(setting, cold, floors)
    if peers:
        yield from _flowers_peer(setting, cold, peers)


def _flowers_ours(setting: Setting, cold: Sequence[Finished], warm: Sequence[Finished]) -> Iterator[Result]:
    accuracies = [answer(run)["accuracy"] for run in cold]
    yield wall("flowers", "train, empty cache", cold, setting)
    yield wall("flowers", "train, filled cache", warm, setting)
    yield Figure("flowers", f"validation accuracy (n = {answer(cold[0])['n_valid']})", tuple(accuracies), "")
    yield Goal("flowers", "filled cache / empty cache", median_wall(warm) / median_wall(cold), "at most", 1 / 3)
    yield Goal("flowers", "validation accuracy", statistics.median(accuracies), "at least", 0.935)


def _flowers_floor(setting: Setting, cold: Sequence[Finished], runs: Sequence[Finished]) -> Iterator[Result]:
    floors = [answer(run) for run in runs]
    command, reached_by = setting.shown(runs[0].command), floors[0]["rate_by"]
    for key, name, scale, unit in (
        ("operations_per_picture", "backbone, a picture", 1e-9, "G operations"),
        ("operations_per_s", f"bf16 matrix rate ({reached_by})", 1e-9, "G operations/s"),
        ("compute_s", "floor: the backbone's operations at that rate", 1, "s"),
        ("decode_s", "floor: open and fit all pictures, all cores", 1, "s"),
        ("floor_s", "floor", 1, "s"),
    ):
        yield Figure("flowers", name, tuple(scale * each[key] for each in floors), unit, command)
    median_floor_s = statistics.median(each["floor_s"] for each in floors)
    yield Goal("flowers", "train, empty cache / floor", median_wall(cold) / median_floor_s, "at most", 2.5)


def _flowers_peer(setting: Setting, cold: Sequence[Finished], peers: Sequence[Finished]) -> Iterator[Result]:
    accuracies = tuple(answer(run)["accuracy"] for run in peers)
    yield wall("flowers", "fastai vision_learner, frozen, 3 epochs", peers, setting)
    yield Figure("flowers", "fastai: validation accuracy", accuracies, "")
    yield Goal("flowers", "fastai / train, empty cache", median_wall(peers) / median_wall(cold), "at least", 40)


def coins(setting: Setting) -> Iterator[Result]:
    """Accuracy on coins/test, as the commands do it and with all of coins/train."""
    pictures, cache = setting.pictures("coins"), setting.fresh("cache")
    trained = train(setting, pictures, cache)
    evaluate = [setting.tellapart, "evaluate", str(run_of(trained)), "--json"]
    evaluated = run_process(evaluate, env=cached_in(cache))
    whole = run_process([sys.executable, str(BENCH / "coins_full.py"), str(pictures)], env=cached_in(cache))
    yield wall("coins", "train, empty cache", [trained], setting)
    for name, run in (("a part of train/ held back as validation", evaluated), ("all of train/", whole)):
        accuracy = answer(run)["accuracy"]
        yield Figure("coins", f"test accuracy (n = {answer(run)['n']}), {name}", (accuracy,), "", setting.shown(run.command))
        yield Goal("coins", f"test accuracy, {name}", accuracy, "at least", 0.89)


def predict(setting: Setting) -> Iterator[Result]:
    """Predicting all flowers: ours, timm's loop with our head, fastai's get_preds."""
    pictures = setting.pictures("flowers")
    read_all(pictures)
    run, ours_csv, timm_csv = setting.fresh("run"), setting.fresh("preds.csv"), setting.fresh("timm.csv")
    train(setting, pictures, setting.fresh("cache"), out=run)
    peer = str(setting.peer_python)
    ours, timm, fastai = _take_turns(
        setting,
        [setting.tellapart, "predict", str(run), str(pictures), "--out", str(ours_csv)],
        [peer, str(PEERS / "timm_predict.py"), str(pictures), str(bundle_of(run)), str(timm_csv)],
        [peer, str(PEERS / "fastai_predict.py"), str(pictures)],
    )
    n_pictures = len(picture_paths(pictures))
    yield (our_rate := _rate("tellapart predict", ours, n_pictures, setting))
    for name, runs, asked in (("timm, eager float32 loop", timm, 5), ("fastai get_preds", fastai, 10)):
        if runs:
            yield (rate := _rate(name, runs, n_pictures, setting))
            loops = tuple(n_pictures / answer(run)["loop_s"] for run in runs)
            yield Figure("predict", f"{name}, its start left out", loops, "pictures/s")
            yield Goal("predict", f"tellapart predict / {name}", our_rate.median / rate.median, "at least", asked)
    if timm:
        yield from _agreement(ours_csv, timm_csv)


def _take_turns(setting: Setting, ours: list[str], *peers: list[str]) -> list[list[Finished]]:
    """The runs of each command, ours first, interleaved."""
    sides = [(ours, setting.repeats), *((peer, setting.peer_repeats) for peer in peers)]
    runs: list[list[Finished]] = [[] for _ in sides]
    for number in range(max(repeats for _, repeats in sides)):
        for done, (command, repeats) in zip(runs, sides, strict=True):
            if number < repeats:
                # A cache that knows these pictures would answer without looking at them: each run gets an empty one.
                done.append(run_process(command, env=cached_in(setting.fresh("cache"))))
    return runs


def _rate(name: str, runs: Sequence[Finished], n_pictures: int, setting: Setting) -> Figure:
    """Pictures/s of whole processes."""
    return Figure("predict", name, tuple(n_pictures / run.wall_s for run in runs), "pictures/s", setting.shown(runs[0].command))


def _agreement(ours_csv: Path, timm_csv: Path) -> Iterator[Result]:
    """How often both sides are right and how often they say the same."""
    ours, timm = labels_in(ours_csv), labels_in(timm_csv)
    if ours.keys() != timm.keys():
        raise RuntimeError(f"{ours_csv} and {timm_csv} do not name the same pictures")
    right = [100 * statistics.mean(label == path.parent.name for path, label in side.items()) for side in (ours, timm)]
    same = 100 * statistics.mean(label == timm[path] for path, label in ours.items())
    yield Figure("predict", f"tellapart: top-1 right (n = {len(ours)})", (right[0],), "%")
    yield Figure("predict", f"timm loop with the same head: top-1 right (n = {len(timm)})", (right[1],), "%")
    yield Figure("predict", "pictures with the same top-1 on both sides", (same,), "%")
    yield Goal("predict", "top-1 right, tellapart against timm, points apart", abs(right[0] - right[1]), "at most", 0.1)


def start(setting: Setting) -> Iterator[Result]:
    """How long a user waits before anything happens."""
    commands = {
        "tellapart --help": [setting.tellapart, "--help"],
        "import tellapart": [sys.executable, "-c", "import tellapart"],
        "Python alone, for comparison": [sys.executable, "-c", "pass"],
    }
    for command in commands.values():
        run_process(command)  # the first start compiles and fills the page cache
    rounds = [[run_process(command) for command in commands.values()] for _ in range(START_REPEATS)]
    by_command = zip(commands, zip(*rounds, strict=True), strict=True)
    help_, import_, python = (wall("start", name, runs, setting) for name, runs in by_command)
    yield from (help_, import_, python)
    yield Goal("start", "tellapart --help, s", help_.median, "at most", 0.3)
    yield Goal("start", "import tellapart, s, interpreter included", import_.median, "at most", 0.2)


def memory(setting: Setting) -> Iterator[Result]:
    """Peak memory of training on flowers, and on twice as many pictures."""
    once = setting.pictures("flowers")
    double = twice(once, setting.scratch / "twice" / "flowers")
    rounds = [[train(setting, pictures, setting.fresh("cache")) for pictures in (once, double)] for _ in range(setting.repeats)]
    small, large = (
        Figure("memory", name, tuple(run.peak_mb for run in runs), "MB", setting.shown(runs[0].command))
        for name, runs in zip(("train, empty cache", "the same with every picture twice"), zip(*rounds, strict=True), strict=True)
    )
    yield from (small, large)
    yield Goal("memory", "peak, MB", small.median, "at most", 1200)
    # "No higher": the features themselves and the spread from run to run are given 5 %.
    yield Goal("memory", "peak with every picture twice / once", large.median / small.median, "at most", 1.05)


FROZEN = (flowers, coins, predict, start, memory)


def train(setting: Setting, pictures: Path, cache: Path, *options: str, out: Path | None = None) -> Finished:
    """`tellapart train`, into a new run folder unless `out` names one."""
    command = [setting.tellapart, "train", str(pictures), "--out", str(out or setting.fresh("run")), *options, "--json"]
    return run_process(command, env=cached_in(cache))


def cached_in(cache: Path) -> dict[str, str]:
    return {"TELLAPART_CACHE": str(cache)}


def floor(run: Path, pictures: Path) -> Finished:
    """The floor for the backbone inside a run's model."""
    return run_process([sys.executable, str(BENCH / "floor.py"), str(bundle_of(run) / "model.onnx"), str(pictures)])


def answer(run: Finished) -> dict[str, Any]:
    """The JSON object that a process printed."""
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def run_of(trained: Finished) -> Path:
    """The run folder that a training wrote."""
    return Path(answer(trained)["run"])


def bundle_of(run: Path) -> Path:
    """The folder of a run that holds its model.onnx."""
    return next(run.rglob("model.onnx")).parent


def wall(measure: str, name: str, runs: Sequence[Finished], setting: Setting) -> Figure:
    return Figure(measure, name, tuple(run.wall_s for run in runs), "s", setting.shown(runs[0].command))


def median_wall(runs: Sequence[Finished]) -> float:
    return statistics.median(run.wall_s for run in runs)


def labels_in(path: Path) -> dict[Path, str]:
    """Path -> label of a CSV of predictions."""
    with path.open(newline="") as file:
        return {Path(row["path"]).resolve(): row["label"] for row in csv.DictReader(file)}


def read_all(folder: Path) -> None:
    """Bring all pictures into the page cache: the first side must not pay the disk for the others."""
    for path in picture_paths(folder):
        path.read_bytes()
