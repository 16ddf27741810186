"""The last stages of EfficientNet-Lite0 as matrix products, and a linear layer on the mean of the last one.

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

from tellapart.training.lite0 import BN_EPSILON, STAGES, folded, side_before, stage_blocks
from tellapart.training.loop.examples import Network


class Folded(nn.Module):
    """A kernel (out, in) and a bias (out,) with the batch normalisation inside; so they learn quicker than apart."""

    batch_axis = 1  # of what it gives: (channels, n, positions)

    def __init__(self, weights: Mapping[str, np.ndarray], conv: str, norm: str) -> None:
        super().__init__()
        self.names = conv, norm
        kernel, bias = folded(weights, conv, norm)
        self.shape = kernel.shape
        self.kernel, self.bias = _parameter(kernel.reshape(len(kernel), -1)), _parameter(bias)

    def as_checkpoint(self) -> dict[str, np.ndarray]:
        """What was learned under the checkpoint's names, beside a batch normalisation that does nothing."""
        (conv, norm), n_out = self.names, len(self.bias)
        kernel, bias = (tensor.detach().float().numpy() for tensor in (self.kernel.view(self.shape), self.bias))
        one, nil = np.ones(n_out, np.float32), np.zeros(n_out, np.float32)
        of_norm = {"bias": bias, "weight": one, "running_mean": nil, "running_var": one - np.float32(BN_EPSILON)}
        return {f"{conv}.weight": kernel, **{f"{norm}.{name}": tensor for name, tensor in of_norm.items()}}


class Pointwise(Folded):
    """A convolution of one pixel: (in, n, positions) -> (out, n, positions)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias[:, None], self.kernel, x.flatten(1)).view(-1, *x.shape[1:])


class Depthwise(Folded):
    """A convolution of each channel by itself: (channels, n, positions in) -> (channels, n, positions out)."""

    taps: Tensor

    def __init__(self, weights: Mapping[str, np.ndarray], conv: str, norm: str, *, side: int, stride: int) -> None:
        super().__init__(weights, conv, norm)
        self.register_buffer("taps", taps(self.shape[-1], side, stride), persistent=False)

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
        self.is_residual = stride == 1 and self.widen.shape[1] == self.narrow.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.narrow(functional.relu6(self.filter(functional.relu6(self.widen(x)))))
        return x + h if self.is_residual else h


class Tail(Network):
    """Activations at a boundary (n, C, side, side) float16 -> logits (n, K) float32.

    `boundary` counts the frozen stages before it. The stages begin with the checkpoint's `weights`, the head with zeros.
    `side_px` is the network's input.
    """

    def __init__(
        self, weights: Mapping[str, np.ndarray], n_classes: int, *, boundary: int, side_px: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.boundary, self.dropout = boundary, dropout
        self.stages = nn.ModuleList(_stage(weights, number, side_px) for number in range(boundary, len(STAGES)))
        self.last = Pointwise(weights, "_conv_head", "_bn1")
        self.head = nn.Linear(self.last.shape[0], n_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        features = functional.dropout(self.features(inputs), self.dropout, self.training)
        logits: Tensor = self.head(features).float()
        return logits

    def features(self, inputs: Tensor) -> Tensor:
        """(n, 1280) float32: the mean of the last layer over its positions, the first part of the features of `lite0_graph`."""
        x = inputs.flatten(2).transpose(0, 1).float().contiguous()  # (channels, n, positions)
        for stage in self.stages:
            x = stage(x)
        return functional.relu6(self.last(x)).float().mean(2).T

    def head_on(self, n_features: int) -> tuple[np.ndarray, np.ndarray]:
        """The head's weights (D, K) and bias (K,) for all of the backbone's features: zeros for those that it leaves out."""
        of_mean = self.head.weight.detach().numpy().T
        weights = np.zeros((n_features, of_mean.shape[1]), np.float32)
        weights[: len(of_mean)] = of_mean
        return weights, self.head.bias.detach().numpy()

    def layer_groups(self) -> list[list[nn.Module]]:
        return [[*self.stages, self.last], [self.head]]

    def as_checkpoint(self) -> dict[str, np.ndarray]:
        """The tensors that take the place of the checkpoint's."""
        layers = (layer for layer in self.modules() if isinstance(layer, Folded))
        return {name: tensor for layer in layers for name, tensor in layer.as_checkpoint().items()}


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
