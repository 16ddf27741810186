from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from tellapart.inference.runtimes import BATCH, load_runtime
from tellapart.training.lite0 import lite0_graph, stem_graph
from tellapart.training.tails.networks import Depthwise, Tail, taps

Weights = Mapping[str, np.ndarray]
PARITY = 1e-4


def run(graph: bytes, pixels: np.ndarray, output: str) -> np.ndarray:
    return next(iter(load_runtime(graph, library="onnxruntime").stream([pixels])))[output]


@pytest.mark.parametrize("boundary", [4, 5, 6])
@pytest.mark.parametrize("side_px", [64, 97])
def test_features_are_the_first_of_the_whole_graph(weights: Weights, side_px: int, boundary: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, side_px, side_px, 3), np.uint8)
    expected = run(lite0_graph(weights, side_px).SerializeToString(), pixels, "features")[:, :1280]
    activations = run(stem_graph(weights, side_px, boundary=boundary).SerializeToString(), pixels, "activations")

    tail = Tail(weights, 3, boundary=boundary, side_px=side_px)
    with torch.inference_mode():
        found = tail.features(torch.from_numpy(activations)).numpy()
    assert found.shape == (BATCH, 1280)
    assert np.abs(found - expected).max() < PARITY * np.abs(expected).max()


def test_the_head_on_all_features_gives_the_tails_logits(weights: Weights) -> None:
    tail = Tail(weights, 3, boundary=6, side_px=64).eval()
    inputs = torch.rand(2, 192, 2, 2)
    with torch.inference_mode():
        torch.nn.init.normal_(tail.head.weight)
        tail.head.bias.fill_(0.5)
        means, logits = tail.features(inputs).numpy(), tail(inputs).numpy()
    of_all, bias = tail.head_on(3136)
    features = np.concatenate([means, np.random.default_rng(0).random((2, 1856), np.float32)], 1)
    assert np.allclose(logits, features @ of_all + bias, atol=1e-3)


@pytest.mark.parametrize(("kernel", "side", "stride"), [(3, 7, 1), (5, 14, 2), (5, 7, 2), (3, 2, 1), (5, 3, 1)])
def test_a_depthwise_product_is_a_convolution(kernel: int, side: int, stride: int) -> None:
    """Padded as TensorFlow does: the odd pixel goes below and to the right."""
    drawn = np.random.default_rng(0).standard_normal((6, 1, kernel, kernel)).astype(np.float32)
    norm = {"b.weight": np.ones(6), "b.bias": np.zeros(6), "b.running_mean": np.zeros(6), "b.running_var": np.ones(6) - 1e-3}
    layer = Depthwise({"c.weight": drawn, **norm}, "c", "b", side=side, stride=stride)
    maps = torch.rand(2, 6, side, side)
    with torch.inference_mode():
        found = layer(maps.flatten(2).transpose(0, 1)).transpose(0, 1)
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    padded = torch.nn.functional.pad(maps, (total // 2, total - total // 2) * 2)
    expected = torch.nn.functional.conv2d(padded, torch.from_numpy(drawn), stride=stride, groups=6)
    assert torch.allclose(found, expected.flatten(2), atol=1e-5)


def test_each_tap_takes_a_pixel_once() -> None:
    found = taps(3, 4, 1)
    assert found.shape == (9, 16, 16)
    assert found.sum(1).max() == 1
    assert torch.equal(found[4], torch.eye(16)), "the middle tap takes the pixel itself"


def test_groups_go_from_the_input_to_the_head_and_hold_every_weight_once(weights: Weights) -> None:
    tail = Tail(weights, 3, boundary=5, side_px=64)
    groups = tail.layer_groups()
    assert [len(group) for group in groups] == [3, 1]
    held = [parameter for group in groups for layer in group for parameter in layer.parameters()]
    assert len(held) == len(set(held)) == len(list(tail.parameters()))
