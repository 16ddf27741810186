"""The last stages of EfficientNet-Lite0 as matrix products, and the linear layer on their features.

A convolution of one pixel is a product of its kernel with a matrix (channels, pictures x positions). So that the data stay in
this order, a depthwise convolution on the small maps of the last stages is a product too: of each channel's maps (pictures,
positions) with a matrix (positions, positions) that its kernel spans. PyTorch's own convolutions spend two thirds of a step in
their backward pass: 47 pictures/s a core in float32 (an AMD EPYC of Zen 4), in bfloat16 26; these products 45 and 104.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tellapart.training.head import Head
from tellapart.training.lite0 import BN_EPSILON, MIDDLE_STAGE, SHRINKING, STAGES, folded, side_before, stage_blocks
from tellapart.training.loop.examples import Network

SMALLEST_VARIANCE = 1e-12  # below it nothing can be told; the slope of a root at 0 is infinite


class Pointwise(nn.Module):
    """A convolution of one pixel: (in, n, positions) -> (out, n, positions)."""

    def __init__(self, weights: Mapping[str, np.ndarray], conv: str, norm: str) -> None:
        super().__init__()
        kernel, bias = folded(weights, conv, norm)
        self.names = conv, norm
        self.kernel, self.bias = _parameter(kernel[:, :, 0, 0]), _parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias[:, None], self.kernel, x.flatten(1)).view(-1, *x.shape[1:])


class Depthwise(nn.Module):
    """A convolution of each channel by itself: (channels, n, positions in) -> (channels, n, positions out)."""

    taps: Tensor

    def __init__(self, weights: Mapping[str, np.ndarray], conv: str, norm: str, *, side: int, stride: int) -> None:
        super().__init__()
        kernel, bias = folded(weights, conv, norm)
        self.names = conv, norm
        self.kernel, self.bias = _parameter(kernel.reshape(len(kernel), -1)), _parameter(bias)
        self.register_buffer("taps", taps(kernel.shape[-1], side, stride), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        spanned = (self.kernel @ self.taps.flatten(1)).view(-1, *self.taps.shape[1:])  # (channels, positions in, out)
        return torch.baddbmm(self.bias[:, None, None], x, spanned)


class Block(nn.Module):
    """An inverted residual: widen, filter each channel, narrow; the input is added where the shape stays."""

    def __init__(self, weights: Mapping[str, np.ndarray], name: str, *, side: int, stride: int) -> None:
        super().__init__()
        self.widen = Pointwise(weights, f"{name}._expand_conv", f"{name}._bn0")
        self.filter = Depthwise(weights, f"{name}._depthwise_conv", f"{name}._bn1", side=side, stride=stride)
        self.narrow = Pointwise(weights, f"{name}._project_conv", f"{name}._bn2")
        self.is_residual = stride == 1 and self.widen.kernel.shape[1] == self.narrow.kernel.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.narrow(functional.relu6(self.filter(functional.relu6(self.widen(x)))))
        return x + h if self.is_residual else h


class Tail(Network):
    """Activations at a boundary (n, C, side, side) float16 -> logits (n, K) float32.

    `boundary` counts the frozen stages before it. The stages begin with the checkpoint's `weights`, their batch normalisation
    folded into the kernels, and the linear layer with a fitted head: so the first logits are the head's. `side_px` is the
    network's input.
    """

    def __init__(
        self, weights: Mapping[str, np.ndarray], head: Head, *, boundary: int, side_px: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.boundary, self.dropout, self.side = boundary, dropout, -(-side_px // SHRINKING)
        self.stages = nn.ModuleList(_stage(weights, number, side_px) for number in range(boundary, len(STAGES)))
        self.last = Pointwise(weights, "_conv_head", "_bn1")
        self.head = nn.Linear(*head.weights.shape)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.weights.T))
            self.head.bias.copy_(torch.from_numpy(head.bias))

    def forward(self, inputs: Tensor) -> Tensor:
        features = functional.dropout(self.features(inputs), self.dropout, self.training)
        logits: Tensor = self.head(features).float()
        return logits

    def features(self, inputs: Tensor) -> Tensor:
        """(n, D) float32, in the order of `lite0_graph`."""
        x = inputs.flatten(2).transpose(0, 1).float().contiguous()  # (channels, n, positions)
        middle = x
        for number, stage in enumerate(self.stages, start=self.boundary):
            x = stage(x)
            middle = x if number == MIDDLE_STAGE else middle
        last, middle = functional.relu6(self.last(x)).float(), middle.float()
        margin = (self.side - 1) // 3
        inner = slice(margin, self.side - margin)
        innermost = middle.view(*middle.shape[:2], self.side, self.side)[:, :, inner, inner].mean((2, 3))
        deviation = (middle.var(2, correction=0) + SMALLEST_VARIANCE).sqrt()
        return torch.cat([last.mean(2), last.amax(2), middle.mean(2), deviation, innermost]).T

    def layer_groups(self) -> list[list[nn.Module]]:
        return [*([stage] for stage in self.stages[:-1]), [self.stages[-1], self.last], [self.head]]

    def as_checkpoint(self) -> dict[str, np.ndarray]:
        """The tensors that take the place of the checkpoint's: folded kernels, beside batch normalisations that do nothing."""
        tensors: dict[str, np.ndarray] = {}
        for layer in self.modules():
            if isinstance(layer, Pointwise | Depthwise):
                conv, norm = layer.names
                kernel, bias = (tensor.detach().float().numpy() for tensor in (layer.kernel, layer.bias))
                n_out = len(bias)
                side = 1 if isinstance(layer, Pointwise) else round(kernel.shape[1] ** 0.5)
                tensors[f"{conv}.weight"] = kernel.reshape(n_out, -1, side, side)
                tensors |= {f"{norm}.bias": bias, f"{norm}.weight": np.ones(n_out, np.float32)}
                tensors |= {f"{norm}.running_mean": np.zeros(n_out, np.float32)}
                tensors |= {f"{norm}.running_var": np.full(n_out, 1 - BN_EPSILON, np.float32)}
        return tensors


def _stage(weights: Mapping[str, np.ndarray], number: int, side_px: int) -> nn.Sequential:
    stride = STAGES[number].stride
    blocks = (
        Block(weights, name, side=side_before(number, repeat, side_px), stride=stride if repeat == 0 else 1)
        for repeat, name in enumerate(stage_blocks(number))
    )
    return nn.Sequential(*blocks)


def taps(kernel: int, side: int, stride: int) -> Tensor:
    """(kernel², positions in, positions out) of 0 and 1: which pixel each tap of a kernel takes, padded as TensorFlow does."""
    out = -(-side // stride)
    before = max((out - 1) * stride + kernel - side, 0) // 2
    along = torch.zeros(kernel, side, out)  # of one axis
    for tap in range(kernel):
        for place in range(out):
            if 0 <= (source := place * stride + tap - before) < side:
                along[tap, source, place] = 1
    return torch.einsum("aip,bjq->abijpq", along, along).reshape(kernel * kernel, side * side, out * out)


def _parameter(values: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values.astype(np.float32)))
