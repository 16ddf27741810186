"""Our server beside LitServe: requests at once, latency under load, one request alone; the same network, pictures and labels.

Each side is started anew in every round, and held while another is asked. All are asked by the same generator (load.py) for the
same times, at saturation in short windows by turns: a machine's speed may change by a third within minutes.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from load import BODIES
from measures import PEERS, bundle_of, train
from processes import run_process
from results import Figure, Goal, Result
from servers import Running, litserve, predict_labels, tellapart_serve
from setting import BENCH, Setting, picture_paths

SIZE = (500, 375)  # of the pictures
QUALITY = 90
CLIENTS = 32  # enough that no batch waits for one
TURNS = 4  # windows at saturation of each side in a round
WARM_UP_S, CLOSED_S, OPEN_S, ALONE_S = 2.0, 5.0, 40.0, 6.0
TRIAL_S = 6.0  # of each of the fair peer's settings, the best of which is measured
TRIAL_SCALE = 0.5  # of all times where the pictures are limited
LOAD = 0.8  # of a side's own capacity
FAIR_SETTINGS = ((1, 1), (1, 4), (2, 1), (2, 4))  # workers and pictures a batch of LitServe with our network


@dataclass
class Side:
    """A server that can be started, how it is asked, and what each round found."""

    name: str
    start: Callable[[], AbstractContextManager[Running]]
    body: str
    path: str
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def figures(self, *keys: str) -> tuple[float, ...]:
        """A figure of each round, or of each of its turns, by its keys in what was found."""
        values = []
        for found in self.rounds:
            for key in keys:
                found = found[key]
            values += found if isinstance(found, list) else [float(found)]
        return tuple(values)

    def median(self, *keys: str) -> float:
        return statistics.median(self.figures(*keys))


def serving(setting: Setting) -> Iterator[Result]:
    """Requests/s at saturation, latency at 80 % of a side's own capacity, one request alone, labels."""
    run, pictures = setting.fresh("run"), enlarged(setting)
    train(setting, setting.pictures("flowers"), setting.fresh("cache"), out=run)
    ours = [Side("tellapart serve", partial(tellapart_serve, run), "raw", "/v1/predict"), *in_int8(setting, run)]
    theirs = litserve_sides(setting, bundle_of(run), pictures) if setting.peer_repeats else []
    sides = ours + theirs
    labels: list[list[str]] = []
    for _ in range(setting.repeats):
        with ExitStack() as started:
            running = [started.enter_context(held(side.start)) for side in sides]
            ask_all(sides, running, pictures, scale=1.0 if setting.limit is None else TRIAL_SCALE)
            labels = labels or [labels_of(side, one, pictures) for side, one in zip(sides, running, strict=True)]
    yield from _labels(sides, labels, pictures)
    for side in sides:
        yield from _side_figures(side)
    yield from _goals(ours[0])
    if theirs:
        yield from _ratios(ours, *theirs)


def enlarged(setting: Setting) -> Path:
    """The pictures of flowers/val as JPEGs of 500 x 375 px: scaled to 500, of which the middle is kept."""
    from PIL import Image

    source, target = setting.pictures("flowers") / "val", setting.scratch / "flowers-500"
    for path in picture_paths(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        side = max(SIZE)
        image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        top = (side - SIZE[1]) // 2
        image.crop((0, top, side, top + SIZE[1])).save(copy, "JPEG", quality=QUALITY)
    return target


def in_int8(setting: Setting, run: Path) -> list[Side]:
    """Our server with the run's network in 8-bit integers, as a user would serve it; none where that loses too much."""
    exported = setting.fresh("int8")
    try:
        run_process([setting.tellapart, "export", str(run), "--format", "onnx-int8", "--out", str(exported)])
    except RuntimeError as error:  # the export is refused beyond half a point, as it may be in a trial with few pictures
        print(f"serving: no side in int8: {error}", file=sys.stderr, flush=True)
        return []
    return [Side("tellapart serve, int8", partial(tellapart_serve, exported), "raw", "/v1/predict")]


def litserve_sides(setting: Setting, bundle: Path, pictures: Path) -> list[Side]:
    """Its README's way, and our network with those of its settings that answer most."""
    python = setting.litserve_python or Path(sys.executable)
    fair = []
    for settings in FAIR_SETTINGS:
        start = partial(litserve, python, PEERS / "litserve_openvino.py", bundle, *settings)
        side = Side(
            f"LitServe, our network in OpenVINO ({settings[0]} workers, batches of {settings[1]})", start, "litserve", "/predict"
        )
        with side.start() as running:
            found = asked(side, running, pictures, "closed", seconds=TRIAL_S, warm_up=WARM_UP_S, clients=CLIENTS)
        print(f"serving: {side.name}: {found['ok_per_s']:.0f} requests/s in a trial", file=sys.stderr, flush=True)
        fair.append((found["ok_per_s"], side))
    start = partial(litserve, python, PEERS / "litserve_torch.py", bundle)
    return [Side("LitServe, PyTorch as in its README", start, "litserve", "/predict"), max(fair, key=lambda one: one[0])[1]]


@contextmanager
def held(start: Callable[[], AbstractContextManager[Running]]) -> Iterator[Running]:
    """A server that was started and is on hold."""
    with start() as running:
        running.hold()
        yield running


def ask_all(sides: Sequence[Side], running: Sequence[Running], pictures: Path, *, scale: float) -> None:
    """One round, its times multiplied by `scale`: at saturation by turns, then each at a part of that and one at a time."""
    pairs = list(zip(sides, running, strict=True))
    full: list[list[dict[str, Any]]] = [[] for _ in sides]
    for turn in range(TURNS):
        for number, (side, one) in list(enumerate(pairs))[:: -1 if turn % 2 else 1]:
            with one.awake():
                found = asked(side, one, pictures, "closed", seconds=scale * CLOSED_S, warm_up=WARM_UP_S, clients=CLIENTS)
            full[number].append(found)
    for (side, one), turns in zip(pairs, full, strict=True):
        rates = [found["ok_per_s"] for found in turns]
        with one.awake():
            load = asked(side, one, pictures, "open", seconds=scale * OPEN_S, rate=LOAD * statistics.median(rates))
            alone = asked(side, one, pictures, "alone", seconds=scale * ALONE_S)
        refuse_unanswered(side, [*turns, load, alone])
        load["answered"] = 100 * load["statuses"]["200"] / load["n"]
        found = {"full": rates, "cores": [found["generator_cores"] for found in turns], "load": load, "alone": alone}
        side.rounds.append(found | {"resident_mb": one.resident_mb(), "ready_s": one.ready_s})


def refuse_unanswered(side: Side, found: Sequence[dict[str, Any]]) -> None:
    """Raise RuntimeError where a request was neither answered nor refused for want of room."""
    for part in found:
        if part["broken"] or not part["statuses"].keys() <= {"200", "429"}:
            raise RuntimeError(f"{side.name} did not answer all: {part}")


def asked(side: Side, running: Running, pictures: Path, how: str, **options: float) -> dict[str, Any]:
    """What the generator found of a side."""
    return generated(how, running.url(side.path), pictures, body=side.body, **options)


def generated(how: str, url: str, pictures: Path, **options: float | str) -> dict[str, Any]:
    """What the generator found, in a process of its own."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, str(BENCH / "load.py"), how, url, str(pictures), *words]
    answer: dict[str, Any] = json.loads(run_process(command).stdout)
    return answer


def labels_of(side: Side, running: Running, pictures: Path) -> list[str]:
    content_type, body_of = BODIES[side.body]
    bodies = [body_of(path.read_bytes()) for path in picture_paths(pictures)]
    with running.awake():
        return predict_labels(running.port, side.path, content_type, bodies)


def _labels(sides: Sequence[Side], labels: Sequence[list[str]], pictures: Path) -> Iterator[Result]:
    truth = [path.parent.name for path in picture_paths(pictures)]
    for side, found in zip(sides, labels, strict=True):
        right = 100 * statistics.mean(label == true for label, true in zip(found, truth, strict=True))
        same = 100 * statistics.mean(label == ours for label, ours in zip(found, labels[0], strict=True))
        yield Figure("serving", f"{side.name}: labels right (n = {len(truth)})", (right,), "%")
        yield Figure("serving", f"{side.name}: labels as ours", (same,), "%")


def _side_figures(side: Side) -> Iterator[Result]:
    for name, keys, unit in (
        (f"answers at saturation, {CLIENTS} clients", ("full",), "requests/s"),
        (f"median at {LOAD:.0%} of that", ("load", "ms", "p50"), "ms"),
        (f"99th percentile at {LOAD:.0%}", ("load", "ms", "p99"), "ms"),
        (f"answered at {LOAD:.0%}, the others refused", ("load", "answered"), "%"),
        ("one alone, median", ("alone", "ms", "p50"), "ms"),
        ("cores of the generator at saturation", ("cores",), ""),
        ("start of the process until ready", ("ready_s",), "s"),
        ("resident memory afterwards, first process", ("resident_mb",), "MB"),
    ):
        yield Figure("serving", f"{side.name}: {name}", side.figures(*keys), unit)


def _goals(ours: Side) -> Iterator[Result]:
    yield Goal("serving", "one request alone, ms", ours.median("alone", "ms", "p50"), "at most", 15)
    yield Goal("serving", "resident memory with one model, MB", max(ours.figures("resident_mb")), "at most", 350)
    yield Goal("serving", "ready after, s", ours.median("ready_s"), "at most", 2)


def _ratios(ours: Sequence[Side], torch: Side, fair: Side) -> Iterator[Result]:
    for side, peer, least in ((ours[0], torch, 5), *((side, fair, 1.5) for side in ours)):
        ratios = [own / other for own, other in zip(side.figures("full"), peer.figures("full"), strict=True)]
        name = f"requests/s, {side.name} / {peer.name}, median of {len(ratios)} turns"
        yield Goal("serving", name, statistics.median(ratios), "at least", least)
    tail = ours[0].median("load", "ms", "p99") / torch.median("load", "ms", "p99")
    yield Goal("serving", f"99th percentile at {LOAD:.0%}, {ours[0].name} / {torch.name}", tail, "at most", 0.25)
