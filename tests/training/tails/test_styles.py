"""Activations that take on the levels of others."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tellapart.training.augment.augmenters import generator_of
from tellapart.training.loop.examples import Batch
from tellapart.training.tails.styles import MixedStyles, mix_styles

N, CHANNELS, SIDE = 6, 4, 5
N_BATCHES = 40


def activations(seed: int = 0) -> torch.Tensor:
    """(N, CHANNELS, SIDE, SIDE) float16, each picture's channels at levels of their own."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.rand(N, CHANNELS, 1, 1, generator=generator) * 10
    return (torch.randn(N, CHANNELS, SIDE, SIDE, generator=generator) * (1 + levels) + levels).half()


def shapes_of(x: torch.Tensor) -> torch.Tensor:
    """What is left without each channel's mean and deviation."""
    deviation, mean = torch.std_mean(x.float(), dim=(2, 3), keepdim=True, correction=0)
    return (x.float() - mean) / deviation


class Numbered:
    """Batches that are each told by their number."""

    n = N_BATCHES * N

    def batches(self, epoch: int, size: int, *, first: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        for number in range(first, N_BATCHES):
            yield Batch(activations(number), torch.full((N,), number))


def test_what_is_shown_stays_and_levels_lie_between_those_of_two() -> None:
    before = activations()
    after = mix_styles(before, 0.5, generator_of(0, 0, 0), n=N)
    assert after.dtype == torch.float32
    torch.testing.assert_close(shapes_of(after), shapes_of(before), atol=0.02, rtol=0.01)
    means, mixed = before.float().mean((2, 3)), after.mean((2, 3))
    assert bool((mixed >= means.amin(0) - 0.01).all())
    assert bool((mixed <= means.amax(0) + 0.01).all())
    assert not torch.allclose(mixed, means, atol=0.1)


def test_a_picture_alone_keeps_its_levels() -> None:
    alone = activations()[:1]
    torch.testing.assert_close(mix_styles(alone, 0.5, generator_of(0, 0, 0), n=1), alone.float(), atol=0.02, rtol=0.01)


def test_a_channel_without_contrast_gives_numbers() -> None:
    flat = torch.zeros(N, CHANNELS, SIDE, SIDE, dtype=torch.float16)
    assert bool(torch.isfinite(mix_styles(flat, 0.1, generator_of(0, 0, 0), n=N)).all())


def test_half_of_the_batches_are_mixed_and_a_resumed_pass_draws_the_same() -> None:
    styled = MixedStyles(Numbered(), alpha=0.5, seed=3)
    whole, rest = list(styled.batches(1, N)), list(styled.batches(1, N, first=4))
    is_mixed = [not torch.equal(batch.inputs.float(), activations(number).float()) for number, batch in enumerate(whole)]
    assert 10 < sum(is_mixed) < 30
    assert styled.n == N_BATCHES * N
    for one, other in zip(whole[4:], rest, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)


def test_another_seed_mixes_others() -> None:
    first, second = (next(MixedStyles(Numbered(), alpha=0.5, seed=seed).batches(0, N)).inputs for seed in (1, 2))
    assert not torch.equal(first.float(), second.float())
