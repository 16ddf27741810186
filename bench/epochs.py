"""Epochs of fine-tuning on flowers: ours of the tail and of the whole network beside one of fastai's unfrozen network.

All have the same weights and pictures of 224 px. Ratios are of seconds a picture, since the sides do not learn from quite
as many: Tellapart leaves out copies of held-back pictures, fastai the last, smaller batch.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from measures import PEERS, answer, read_all, run_of, train, wall
from processes import Finished, run_process
from results import Figure, Goal, Result
from setting import Setting

# `fine_tune`'s own defaults, stated so that the ninth epoch is known to be the one that looks at kept views.
TAIL = ("--tune", "tail", "--epochs", "10", "--set", "views=8")
KEPT = 9
# With a rate: the search for one, up to 100 steps, would learn from five times as many pictures and is no part of the epoch.
WHOLE = ("--tune", "all", "--epochs", "1", "--lr", "0.001")


@dataclass(frozen=True)
class Epochs:
    """Epochs of one kind."""

    name: str
    seconds: tuple[float, ...]
    n_pictures: int  # of one epoch
    command: str

    @property
    def figure(self) -> Figure:
        return Figure("epochs", f"{self.name} ({self.n_pictures:,} pictures)", self.seconds, "s", self.command)

    @property
    def picture_s(self) -> float:
        return statistics.median(self.seconds) / self.n_pictures


def epochs(setting: Setting) -> Iterator[Result]:
    """Seconds of our epochs, judging included, and of fastai's, with and without."""
    pictures = setting.pictures("flowers")
    read_all(pictures)
    tails, wholes, peers = [], [], []
    for number in range(max(setting.repeats, setting.peer_repeats)):
        if number < setting.repeats:
            tails.append(train(setting, pictures, setting.fresh("cache"), *TAIL))
            wholes.append(train(setting, pictures, setting.fresh("cache"), *WHOLE))
        if number < setting.peer_repeats:
            peers.append(run_process([str(setting.peer_python), str(PEERS / "fastai_epoch.py"), str(pictures)]))
    tail = _of_tails(tails, setting)
    whole = _logged("tellapart, whole network: the epoch", [seconds_of(run)[0] for run in wholes], wholes, setting)
    yield from (each.figure for each in (*tail, whole))
    yield wall("epochs", "tellapart, tail: whole process of 10 epochs", tails, setting)
    yield wall("epochs", "tellapart, whole network: whole process of 1 epoch", wholes, setting)
    if peers:
        yield from _beside_fastai(tail, whole, peers, setting)


def _of_tails(runs: Sequence[Finished], setting: Setting) -> tuple[Epochs, Epochs, Epochs]:
    """Of the tail: the mean of a run's epochs, those with new views and those that look at kept ones."""
    by_run = [seconds_of(run) for run in runs]
    means = [statistics.mean(seconds) for seconds in by_run]
    new = [value for seconds in by_run for number, value in enumerate(seconds, start=1) if number != KEPT]
    kept = [seconds[KEPT - 1] for seconds in by_run]
    return (
        _logged("tellapart, tail: mean of a run's 10 epochs", means, runs, setting),
        _logged("tellapart, tail: epochs with new views", new, runs, setting),
        _logged("tellapart, tail: epochs with kept views", kept, runs, setting),
    )


def _logged(name: str, seconds: Sequence[float], runs: Sequence[Finished], setting: Setting) -> Epochs:
    lines = log_of(runs[0])
    return Epochs(name, tuple(seconds), lines[-1]["n_pictures"] // len(lines), setting.shown(runs[0].command))


def seconds_of(run: Finished) -> list[float]:
    """Of each epoch of a training of ours."""
    return [later - earlier for earlier, later in pairwise([0.0, *(line["seconds"] for line in log_of(run))])]


def log_of(run: Finished) -> list[dict[str, Any]]:
    """What the run's log.jsonl says of each epoch."""
    return [json.loads(line) for line in (run_of(run) / "log.jsonl").read_text().splitlines()]


def _beside_fastai(
    tail: tuple[Epochs, Epochs, Epochs], whole: Epochs, peers: Sequence[Finished], setting: Setting
) -> Iterator[Result]:
    command, n_pictures = setting.shown(peers[0].command), answer(peers[0])["n_train"]
    alone, judged = (
        Epochs(f"fastai, unfrozen: {name}", tuple(answer(run)[key] for run in peers), n_pictures, command)
        for name, key in (("the training part of an epoch", "train_s"), ("an epoch with its validation", "epoch_s"))
    )
    yield from (alone.figure, judged.figure)
    mean, *kinds = tail
    for theirs, ours in (*((judged, ours) for ours in (*tail, whole)), *((alone, ours) for ours in kinds)):
        yield Figure("epochs", _beside(theirs, ours), (theirs.picture_s / ours.picture_s,), "")
    # Asked of the harder way: ours judge within the epoch, fastai's training part does not.
    for ours, asked in ((mean, 15), (whole, 2)):
        yield Goal("epochs", _beside(alone, ours), alone.picture_s / ours.picture_s, "at least", asked)


def _beside(theirs: Epochs, ours: Epochs) -> str:
    return f"a picture: {theirs.name} / {ours.name}"
