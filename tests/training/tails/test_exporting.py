from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from tellapart.inference.runtimes import BATCH, load_runtime
from tellapart.training.lite0 import stem_graph
from tellapart.training.tails.exporting import export_tail
from tellapart.training.tails.networks import Tail
from tellapart.training.trainer import Fitted

PARITY = 1e-4


def test_the_graph_computes_what_the_trained_tail_does(weights: Mapping[str, np.ndarray], fitted: Fitted, tmp_path: Path) -> None:
    side_px = fitted.backbone.fit.side_px
    tail = Tail(weights, 4, boundary=5, side_px=side_px)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in tail.parameters():
            parameter.add_(0.02 * parameter.std() * torch.randn(parameter.shape, generator=generator))

    backbone = export_tail(tail, weights, fitted.backbone, folder=tmp_path)
    assert backbone.path == tmp_path / "backbone.onnx"
    assert backbone.weights_sha256 != fitted.backbone.weights_sha256
    assert backbone.weights.endswith("stages 5 and on fine-tuned")
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, side_px, side_px, 3), np.uint8)
    found = next(iter(load_runtime(backbone.path, library="onnxruntime").stream([pixels])))["features"][:, :1280]
    stem = load_runtime(stem_graph(weights, side_px, boundary=5).SerializeToString(), library="onnxruntime")
    activations = next(iter(stem.stream([pixels])))["activations"]
    with torch.inference_mode():
        expected = tail.features(torch.from_numpy(activations)).numpy()
    assert np.abs(found - expected).max() < PARITY * np.abs(expected).max()

    before = next(iter(load_runtime(fitted.backbone.path, library="onnxruntime").stream([pixels])))["features"][:, :1280]
    assert np.abs(found - before).max() > 0.01 * np.abs(before).max(), "the trained weights are in the graph"


def test_without_a_folder_it_lies_in_the_cache_by_its_content(
    weights: Mapping[str, np.ndarray], fitted: Fitted, cache: Path
) -> None:
    tail = Tail(weights, 4, boundary=6, side_px=fitted.backbone.fit.side_px)
    backbone = export_tail(tail, weights, fitted.backbone, folder=None)
    assert backbone.path.parent.parent == cache / "trained"
    assert backbone.weights_sha256.startswith(backbone.path.parent.name)
