"""The small CNN of the Fashion-MNIST tutorials."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tellapart.training.loop.dropping import quick_dropout
from tellapart.training.networks.pictures import PictureNetwork

CHANNELS, HIDDEN = 32, 128
KERNEL = 3


class TutorialCnn(PictureNetwork):
    """Batch-norm, twice (3 x 3 convolution of 32, max-pool, dropout), dense 128, dropout, dense.

    `dropout` is that before the last layer; after the convolutions it is half as much, as .5 and .25 in the tutorials.
    """

    pretrained = False

    def __init__(self, *, side_px: int, **shared: Any) -> None:
        super().__init__(n_features=HIDDEN, **shared)
        inner = ((side_px - KERNEL + 1) // 2 - KERNEL + 1) // 2  # unpadded, as in Keras: 5 of 28
        self.norm = nn.BatchNorm2d(self.n_channels)
        self.first = nn.Conv2d(self.n_channels, CHANNELS, KERNEL)
        self.second = nn.Conv2d(CHANNELS, CHANNELS, KERNEL)
        self.dense = nn.Linear(CHANNELS * inner * inner, HIDDEN)
        for layer in (
            self.first,
            self.second,
            self.dense,
        ):  # He's; PyTorch's own are made for no ReLU and a sixth of the variance
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # they have one

    def body(self, x: torch.Tensor) -> torch.Tensor:
        x = self._pooled(self._quick_first(x) if self.training else self.first(self.norm(x)))
        x = self._pooled(self.second(x))
        return functional.relu(self.dense(x.flatten(1)))

    def layer_groups(self) -> list[list[nn.Module]]:
        return [[self.norm, self.first], [self.second, self.dense], [self.head]]

    def _quick_first(self, x: torch.Tensor) -> torch.Tensor:
        """first(norm(x)) with the norm's gain and bias inside the kernel: exact, as nothing is padded.

        So no gradient goes to the pictures, which took an eighth of a step.
        """
        norm, kernel, bias = self.norm, self.first.weight, self.first.bias
        assert bias is not None  # for the type checker
        x = functional.batch_norm(x, norm.running_mean, norm.running_var, training=norm.training, eps=norm.eps)
        return functional.conv2d(
            x, kernel * norm.weight[:, None, None], bias + (kernel * norm.bias[:, None, None]).sum((1, 2, 3))
        )

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        pooled = functional.relu(functional.max_pool2d(x, 2))  # the same as after a ReLU, of a quarter of the numbers
        return quick_dropout(pooled, self.dropout / 2, training=self.training)
