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
from tellapart.training.loop.processes import put_together

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
            generator = generator_of(self._seed, epoch, SALT + number)
            if bool(torch.rand((), generator=generator) < MIXED_PART):
                size_here = min(size, self.n - number * size)
                yield batch._replace(inputs=mix_styles(batch.inputs, self._alpha, generator, n=size_here, share=share))
            else:
                yield batch


def mix_styles(
    activations: Tensor, alpha: float, generator: torch.Generator, *, n: int, share: tuple[int, int] = (0, 1)
) -> Tensor:
    """Each picture's channels with mean and deviation between its own and those of another of the batch of `n` pictures.

    `activations` (n, C, s, s), or of several processes this one's rows of them, `share` being (rank, processes); float32 comes
    back. All processes draw alike, and tell one another their levels.
    """
    values, own = activations.float(), slice(share[0], None, share[1])
    deviation, mean = torch.std_mean(values, dim=(2, 3), correction=0)
    levels = torch.zeros(n, 2, values.shape[1])
    levels[own] = torch.stack([deviation + SMALLEST, mean], 1)
    levels = put_together(levels)
    shares, other = draw_shares(n, alpha, generator)[:, None, None], torch.randperm(n, generator=generator)
    before, after = (each[own].unbind(1) for each in (levels, torch.lerp(levels[other], levels, shares)))
    (deviation, mean), (mixed_deviation, mixed_mean) = ([x[:, :, None, None] for x in pair] for pair in (before, after))
    return (values - mean) / deviation * mixed_deviation + mixed_mean
