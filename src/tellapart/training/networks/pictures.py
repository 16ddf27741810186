"""What all our networks of pictures share: uint8 in, features, and one linear layer on them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from tellapart.training.loop.examples import Network


class PictureNetwork(Network):
    """Pictures (n, C, h, w) uint8 to logits (n, K), by features (n, D) and a linear head, as a bundle wants them."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, *, n_features: int, n_classes: int, mean: Sequence[float], std: Sequence[float], dropout: float = 0.0
    ) -> None:
        """`mean` and `std` (C,) of 0 to 255 are those of the training's channels."""
        super().__init__()
        self.head = nn.Linear(n_features, n_classes)
        self.dropout = dropout
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32)[:, None, None])

    @property
    def n_channels(self) -> int:
        """Of the pictures that it takes: 1 of grey ones, 3 of coloured ones, else all that they have."""
        return len(self.mean)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """(n, C, h, w) uint8 -> (n, D) float32."""
        return self.body((pictures.float() - self.mean) / self.std).float()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = functional.dropout(self.features(inputs), self.dropout, self.training)
        logits: torch.Tensor = self.head(features).float()
        return logits

    @abstractmethod
    def body(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised pictures (n, C, h, w) float32 to features (n, D)."""
