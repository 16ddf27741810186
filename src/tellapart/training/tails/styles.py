"""MixStyle (arXiv:2104.02008): activations that take on the levels of another picture's, and keep what they show.

Mean and deviation of a channel over a picture tell of light and ground more than of the thing on it. Where they are mixed with
those of another picture, the labels staying as they are, a network cannot read its answer off the ground.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tellapart.training.augment.augmenters import generator_of
from tellapart.training.augment.mixing import draw_shares
from tellapart.training.loop.examples import Batch, Examples

MIXED_PART = 0.5  # of the batches; the paper's
SMALLEST = 1e-3  # deviation of a channel that shows nothing; float16 holds it
SALT = 2**20  # apart from the numbers that views are drawn by


class MixedStyles:
    """Examples whose activations (n, C, s, s) have mixed levels in half of the batches; shares come from Beta(alpha, alpha)."""

    def __init__(self, examples: Examples, *, alpha: float, seed: int) -> None:
        self._examples, self._alpha, self._seed = examples, alpha, seed

    @property
    def n(self) -> int:
        return self._examples.n

    def batches(self, epoch: int, size: int, *, first: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        for number, batch in enumerate(self._examples.batches(epoch, size, first=first, share=share), start=first):
            generator = generator_of(self._seed, epoch, SALT + number * share[1] + share[0])
            is_mixed = bool(torch.rand((), generator=generator) < MIXED_PART)
            yield batch._replace(inputs=mix_styles(batch.inputs, self._alpha, generator)) if is_mixed else batch


def mix_styles(activations: Tensor, alpha: float, generator: torch.Generator) -> Tensor:
    """(n, C, s, s) float32: each picture's channels with mean and deviation between its own and those of another of the batch."""
    values = activations.float()
    deviation, mean = torch.std_mean(values, dim=(2, 3), keepdim=True, correction=0)
    deviation = deviation + SMALLEST
    shares = draw_shares(len(values), alpha, generator)[:, None, None, None]
    other = torch.randperm(len(values), generator=generator)
    mixed_deviation, mixed_mean = (torch.lerp(each[other], each, shares) for each in (deviation, mean))
    return (values - mean) / deviation * mixed_deviation + mixed_mean
