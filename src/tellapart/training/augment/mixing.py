"""MixUp (arXiv:1710.09412) and CutMix (arXiv:1905.04899): pairs of pictures, and their labels in the same parts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import one_hot

from tellapart.training.recipe import Recipe


class Mixed(NamedTuple):
    """Mixed pictures of the type that came in, their soft targets (n, K) float32, and their weights (n,) if there were any."""

    pictures: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None


def mix(
    pictures: torch.Tensor,
    targets: torch.Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    n_classes: int,
    weights: torch.Tensor | None = None,
) -> Mixed:
    """Each picture (n, c, h, w) mixed with another of the batch, as `recipe.mixup` and `recipe.cutmix` say.

    `targets` are (n,) int64 labels or (n, K) float32. Where both are asked for, a coin decides for the whole batch. Labels come
    back in the parts that are truly seen: of a rectangle, its pixels. With neither asked for, all comes back as it is, but the
    targets are (n, K).
    """
    soft = soften(targets, n_classes)
    if not recipe.mixup and not recipe.cutmix:
        return Mixed(pictures, soft, weights)
    heads = bool(torch.rand((), generator=generator) < 0.5)
    is_cut = recipe.cutmix > 0 and (heads or not recipe.mixup)
    other = torch.randperm(len(pictures), generator=generator)
    alpha = recipe.cutmix if is_cut else recipe.mixup
    shares = draw_shares(len(pictures), alpha, generator)
    if is_cut:
        mixed, shares = _cut(pictures, other, shares, generator)
    else:
        mixed = _blend(pictures, other, shares)
    of_each = shares.to(soft)
    weighed = None if weights is None else of_each * weights + (1 - of_each) * weights[other]
    return Mixed(mixed, of_each[:, None] * soft + (1 - of_each)[:, None] * soft[other], weighed)


def soften(targets: torch.Tensor, n_classes: int) -> torch.Tensor:
    """(n, K) float32: labels as ones and zeros; what is soft already as it is."""
    return targets if targets.is_floating_point() else one_hot(targets, n_classes).float()


def draw_shares(n: int, alpha: float, generator: torch.Generator) -> torch.Tensor:
    """(n,) float32 from Beta(alpha, alpha): the first picture's part of each pair."""
    seed = int(torch.randint(2**62, (), generator=generator))  # torch's own Beta takes no generator
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n).astype(np.float32))


def _blend(pictures: torch.Tensor, other: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    parts = shares.to(pictures.device)[:, None, None, None]
    mixed = torch.lerp(pictures[other].float(), pictures.float(), parts)
    return mixed if pictures.is_floating_point() else mixed.round_().to(pictures.dtype)


def _cut(
    pictures: torch.Tensor, other: torch.Tensor, shares: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A rectangle of the other picture in each, of the picture's aspect; and the shares that are left of the first (n,)."""
    height, width = pictures.shape[2:]
    middles = torch.rand(len(pictures), 2, generator=generator)
    half = (1 - shares).sqrt() / 2  # of a side; the rectangle is cut off at the edges
    rows = _near(middles[:, 0], half, height)
    columns = _near(middles[:, 1], half, width)
    inside = rows[:, :, None] & columns[:, None, :]  # (n, h, w)
    mixed = torch.where(inside.to(pictures.device)[:, None], pictures[other], pictures)
    return mixed, 1 - inside.float().mean((1, 2))


def _near(middles: torch.Tensor, half: torch.Tensor, side: int) -> torch.Tensor:
    places = (torch.arange(side) + 0.5) / side
    return (places - middles[:, None]).abs() < half[:, None]
