"""A running mean of a network's weights, which validates more steadily than the weights of the moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """The exponential mean of all weights and statistics of `network`; at first it forgets faster: the start weighs little."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._live = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
        self._names = [name for name, tensor in network.state_dict().items() if tensor.is_floating_point()]
        self._decay = decay
        self.mean = [tensor.detach().clone() for tensor in self._live]
        self.n_steps = 0

    def update(self) -> None:
        """Take in the weights of the moment."""
        self.n_steps += 1
        decay = min(self._decay, self.n_steps / (self.n_steps + 10))  # TensorFlow's ExponentialMovingAverage warms up so
        torch._foreach_lerp_(self.mean, self._live, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network holds the mean inside, its own weights again after."""
        kept = [tensor.clone() for tensor in self._live]
        self._write(self.mean)
        try:
            yield
        finally:
            self._write(kept)

    def state(self) -> dict[str, torch.Tensor]:
        return dict(zip(self._names, self.mean, strict=True))

    def restore(self, tensors: dict[str, torch.Tensor], n_steps: int) -> None:
        for name, mean in self.state().items():
            mean.copy_(tensors[name])
        self.n_steps = n_steps

    @torch.no_grad()
    def _write(self, tensors: list[torch.Tensor]) -> None:
        for live, tensor in zip(self._live, tensors, strict=True):
            live.copy_(tensor)
