"""What the loop takes: batches of examples, and a network that knows its groups of layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import nn


class Batch(NamedTuple):
    """Some examples, on the CPU."""

    inputs: torch.Tensor  # what the network takes, (n, ...)
    targets: torch.Tensor  # (n,) int64 labels, or (n, K) float32: parts of each class (MixUp), or 0 and 1 of several labels
    weights: torch.Tensor | None = None  # (n,) how much each counts, 1 in the mean of all examples; None: all alike

    def of(self, share: tuple[int, int]) -> Batch:
        """Of a whole batch the rows of one of several processes: (rank, processes)."""
        own = slice(share[0], None, share[1])
        return Batch(self.inputs[own], self.targets[own], None if self.weights is None else self.weights[own])


class Examples(Protocol):
    """Pictures to learn from or to judge on.

    The order of a pass depends on the seed and the epoch alone, and batch i holds its rows from i * size on: after a halved
    `size` a pass goes on where it was. All else that a batch draws (variation, mixing) depends on its seed, epoch and number:
    `batches(3, 32, first=7)` gives what `batches(3, 32)` gives from its eighth batch on. So a resumed run sees the same
    batches without any kept random state.
    """

    @property
    def n(self) -> int:
        """How many examples one pass holds."""

    def batches(self, epoch: int, size: int, *, first: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """The batches of one pass, from number `first` on; the last may be smaller than `size`.

        Training examples come shuffled and varied; held-back ones in order, as they are, whole. `share` is (rank, processes):
        of each batch only the rows `rank::processes`, so that several processes share the work; it is given only where there
        are several.
        """


class Network(nn.Module, ABC):
    """A network that the loop can train: (n, ...) inputs to (n, K) float32 logits."""

    # Its body comes with weights. Where it does not, the recipe's `body_lr`, `unfreeze` and `norms` mean nothing: all learns
    # alike from the start.
    pretrained: bool = True

    @abstractmethod
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, K), float32."""

    @abstractmethod
    def layer_groups(self) -> list[list[nn.Module]]:
        """Every layer that may learn in one group, from the deepest (at the input) to the head; any other stays as it is."""
