"""Flips, rotations, zooms and warps of a whole batch in one sampling, each picture having its own 3 x 3 matrix; and blur.

A matrix takes a place in the result to the place in the picture that it is read from, both as (x, y, 1) with x and y from -1
to 1 between the edges.
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import grid_sample, interpolate, pad

from tellapart.training.augment.parts import Part
from tellapart.training.augment.policies import Policy

APPLIED = 0.75  # of the pictures: `p_affine` and `p_lighting` of fastai's `get_transforms`
LARGE_VALUES = 4096  # of a picture, from which on copying one at a time is quicker than gathering: at 224 px 3 ms, not 15
CORNERS = ((-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0))


def draw_matrices(policy: Policy, n: int, aspect: float, generator: torch.Generator) -> torch.Tensor:
    """(n, 3, 3) float32, a variation each; `aspect` is width / height. Draws equally much whatever the policy."""
    amount = torch.rand(n, 5, generator=generator) * (torch.rand(n, 5, generator=generator) < APPLIED)
    side = torch.rand(n, 5, generator=generator) * 2 - 1  # -1 to 1
    corners = torch.rand(n, 4, generator=generator) * 2 - 1
    flipped = torch.rand(n, generator=generator) < policy.flip
    turned = rotation(amount[:, 0] * side[:, 0].sign() * math.radians(policy.degrees), aspect)
    zoomed = zoom(1 + amount[:, 1] * (policy.zoom - 1), side[:, 1:3])
    matrices = turned @ zoomed
    if policy.warp:
        matrices = perspective(corners * (amount[:, 2:3] > 0) * policy.warp) @ matrices
    return flip(flipped) @ matrices


def flip(which: torch.Tensor) -> torch.Tensor:
    """(n, 3, 3): mirrors left to right where `which` (n,) is true."""
    matrices = torch.eye(3).repeat(len(which), 1, 1)
    matrices[:, 0, 0] = torch.where(which, -1.0, 1.0)
    return matrices


def rotation(radians: torch.Tensor, aspect: float = 1.0) -> torch.Tensor:
    """(n, 3, 3): turns the picture counter-clockwise by angles (n,) around its middle."""
    matrices = torch.eye(3).repeat(len(radians), 1, 1)
    matrices[:, 0, 0] = matrices[:, 1, 1] = radians.cos()
    matrices[:, 0, 1] = -radians.sin() / aspect
    matrices[:, 1, 0] = radians.sin() * aspect
    return matrices


def zoom(factors: torch.Tensor, middles: torch.Tensor) -> torch.Tensor:
    """(n, 3, 3): shows a part of the picture `factors` (n,) times as large; `middles` (n, 2) of -1 to 1 say which part."""
    matrices = torch.eye(3).repeat(len(factors), 1, 1)
    matrices[:, 0, 0] = matrices[:, 1, 1] = 1 / factors
    matrices[:, :2, 2] = middles * (1 - 1 / factors)[:, None]
    return matrices


def perspective(moved: torch.Tensor) -> torch.Tensor:
    """(n, 3, 3): pairs of corners move by `moved` (n, 4), as parts of half the side: left, right, top, bottom.

    fastai 1's `symmetric_warp`: what a camera sees that is held askance.
    """
    left, right, top, bottom = moved.unbind(1)
    here = torch.tensor(CORNERS).expand(len(moved), 4, 2)  # (n, 4, 2) as x, y
    stretch_x, stretch_y = torch.stack([top, top, bottom, bottom], 1), torch.stack([left, right, left, right], 1)
    there = here * (1 + torch.stack([stretch_x, stretch_y], 2))
    (x, y), (to_x, to_y) = here.unbind(2), there.unbind(2)
    one, nil = torch.ones_like(x), torch.zeros_like(x)
    of_x = torch.stack([x, y, one, nil, nil, nil, -to_x * x, -to_x * y], 2)
    of_y = torch.stack([nil, nil, nil, x, y, one, -to_y * x, -to_y * y], 2)
    solved = torch.linalg.solve(torch.cat([of_x, of_y], 1), torch.cat([to_x, to_y], 1))  # (n, 8)
    return torch.cat([solved, torch.ones(len(moved), 1)], 1).reshape(-1, 3, 3)


def warp(pictures: torch.Tensor, matrices: torch.Tensor, *, padding: str = "reflection") -> torch.Tensor:
    """The pictures (n, c, h, w), float32, each read through its matrix: bilinear, not antialiased (nothing shrinks much).

    `padding` is grid_sample's: what lies outside is a reflection, "zeros" or the "border".
    """
    height, width = pictures.shape[2:]
    # Products of the two edges rather than of all places: a third of the time at 224 px.
    x = (torch.arange(width, dtype=torch.float32, device=pictures.device) * 2 + 1) / width - 1
    y = (torch.arange(height, dtype=torch.float32, device=pictures.device) * 2 + 1) / height - 1
    matrices = matrices.to(pictures.device)[:, :, None, None, :]
    places = matrices[..., 0] * x + matrices[..., 1] * y[:, None] + matrices[..., 2]  # (n, 3, h, w)
    grid = torch.stack([places[:, 0] / places[:, 2], places[:, 1] / places[:, 2]], 3)  # (n, h, w, 2)
    return grid_sample(pictures, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def blurred(pictures: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """The pictures (n, c, h, w), float32, those of `which` (n,) at half their resolution, as large as before."""
    chosen = which.to(pictures.device)
    if chosen.any():
        halved = interpolate(pictures[chosen], scale_factor=0.5, mode="area")
        pictures[chosen] = interpolate(halved, size=pictures.shape[2:], mode="bilinear", align_corners=False)
    return pictures


def flip_and_shift(pictures: torch.Tensor, policy: Policy, generator: torch.Generator, part: Part | None = None) -> torch.Tensor:
    """The pictures (n, c, h, w) of any type mirrored and shifted by whole pixels: nothing is blurred, and it is much quicker."""
    part = part or Part.whole(pictures)
    n, _, height, width = pictures.shape
    far_y, far_x = (round(policy.shift * side) for side in (height, width))
    draws = torch.rand(part.n, 3, generator=generator)[part.rows]
    flipped = draws[:, 0] < policy.flip
    rows, columns = ((draws[:, 1 + axis] * (2 * far + 1)).long() for axis, far in enumerate((far_y, far_x)))
    varied = pictures.clone()
    varied[flipped] = pictures[flipped].flip(3)
    if not far_y and not far_x:
        return varied
    wide = pad(varied, (far_x, far_x, far_y, far_y), mode="reflect")
    if pictures[:1].numel() >= LARGE_VALUES:
        for place, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            varied[place] = wide[place, :, row : row + height, column : column + width]
        return varied
    windows = wide.unfold(2, height, 1).unfold(3, width, 1)  # a view (n, c, places, places, h, w)
    return windows[torch.arange(n), :, rows, columns]
