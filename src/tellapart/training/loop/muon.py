"""Muon: the matrices inside a network move by their momentum made orthogonal, so that every direction of it counts alike.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon. PyTorch has its own from 2.9 on, for matrices alone, not kernels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from tellapart.training.loop.devices import multiplies_bfloat16

STEPS = 5  # of the iteration; after them all singular values lie between 0.7 and 1.2
QUINTIC = (3.4445, -4.7750, 2.0315)  # its coefficients: the steepest at 0 that end there
NORM_EPSILON = 1e-7
FEWEST_INPUTS = 8  # a kernel on fewer channels, as of pictures or a depthwise one, has too few directions
PART = 4.0  # of the rate of the others: 0.04 beside 0.01; on Fashion-MNIST 2 to 8 did as well, to 0.1 points


class Muon(torch.optim.AdamW):
    """AdamW but for the groups with `orthogonal` set: those are matrices or kernels (out, in, ...), taken as (out, the rest)."""

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(groups, lr=lr)
        self._momentum = momentum

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move all weights that have a gradient."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["orthogonal"]]
        try:
            super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["orthogonal"]:
                self._turn(group)

    def _turn(self, group: dict[str, Any]) -> None:
        rate = PART * group["lr"]
        for weight in group["params"]:
            if weight.grad is None:
                continue
            memory = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
            memory.lerp_(weight.grad, 1 - self._momentum)
            ahead = weight.grad.lerp(memory, self._momentum).flatten(1)  # Nesterov's
            n_out, n_in = ahead.shape
            weight.mul_(1 - rate * group["weight_decay"])
            weight.sub_(orthogonalised(ahead).view_as(weight), alpha=rate * max(1.0, n_out / n_in) ** 0.5)


def suits_muon(weight: torch.Tensor) -> bool:
    """Whether a weight of a layer between the first and the last is a matrix with directions to speak of."""
    return weight.ndim > 1 and weight.shape[1] >= FEWEST_INPUTS


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """(m, n) float32 -> about U V^T of its singular value decomposition, by a Newton-Schulz iteration of products alone.

    In bfloat16 where the device multiplies that itself: the values need only be near 1.
    """
    a, b, c = QUINTIC
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + NORM_EPSILON)
    x = x.bfloat16() if multiplies_bfloat16(matrix.device) else x
    for _ in range(STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).float()
