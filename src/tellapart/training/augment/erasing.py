"""Random erasing (arXiv:1708.04896): a rectangle of a picture is filled, so that no single detail decides."""

from __future__ import annotations

import math

import torch

from tellapart.training.augment.parts import Part

AREA = (0.02, 0.33)  # of the picture; the paper's
LOG_ASPECT = (math.log(0.3), math.log(1 / 0.3))


def erase(
    pictures: torch.Tensor, share: float, fill: torch.Tensor, generator: torch.Generator, part: Part | None = None
) -> torch.Tensor:
    """The pictures (n, c, h, w) with a rectangle of `share` of them filled with `fill` (c,), in the pictures' units."""
    part = part or Part.whole(pictures)
    inside = rectangles(part.n, pictures.shape[2], pictures.shape[3], generator)[part.rows]
    chosen = (torch.rand(part.n, generator=generator) < share)[part.rows]
    inside = (inside & chosen[:, None, None]).to(pictures.device)[:, None]
    return torch.where(inside, fill.to(pictures)[:, None, None], pictures)


def rectangles(n: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """(n, h, w) bool: a rectangle each, cut off at the edges where it is too long for them."""
    draws = torch.rand(n, 4, generator=generator)
    area = AREA[0] + draws[:, 0] * (AREA[1] - AREA[0])
    aspect = torch.exp(LOG_ASPECT[0] + draws[:, 1] * (LOG_ASPECT[1] - LOG_ASPECT[0]))  # height / width
    long_y, long_x = ((area * ratio).sqrt().clamp(max=1) for ratio in (aspect, 1 / aspect))  # parts of the sides
    rows = _between(draws[:, 2] * (1 - long_y), long_y, height)
    columns = _between(draws[:, 3] * (1 - long_x), long_x, width)
    return rows[:, :, None] & columns[:, None, :]


def _between(starts: torch.Tensor, lengths: torch.Tensor, side: int) -> torch.Tensor:
    places = (torch.arange(side) + 0.5) / side
    return (places >= starts[:, None]) & (places < (starts + lengths)[:, None])
