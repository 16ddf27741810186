"""TrivialAugmentWide (arXiv:2103.10158) on batches: each picture gets one of 14 changes, of any strength.

The same changes and ranges as `torchvision.transforms.v2.TrivialAugmentWide`, to which a test compares each, but driven by a
generator of the caller's, made to all the pictures at once that drew it, and without an import of 10 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from tellapart.training.augment.geometry import rotation, warp
from tellapart.training.augment.parts import Part

Strengths = torch.Tensor  # (n,), signed, of each picture
Change = Callable[[torch.Tensor, Strengths], torch.Tensor]  # (n, c, h, w) uint8 -> the same
FARTHEST = 1 / 3  # part of the side: the paper's 32 px would push a picture of 28 px out of itself
GREY_WEIGHTS = (0.2989, 0.587, 0.114)  # of red, green and blue in brightness, as torchvision and Pillow have it


def apply_trivial(pictures: torch.Tensor, generator: torch.Generator, part: Part | None = None) -> torch.Tensor:
    """The pictures (n, c, h, w) uint8, each changed in one way."""
    n, rows = part or Part.whole(pictures)
    which = torch.randint(len(CHANGES), (n,), generator=generator)[rows]
    strengths = torch.randint(31, (n,), generator=generator)[rows] / 30  # 31 steps from nothing to the strongest
    sides = torch.randint(2, (n,), generator=generator)[rows] * 2.0 - 1
    changed = pictures.clone()
    for number, (change, low, high) in enumerate(CHANGES.values()):
        if len(places := torch.nonzero(which == number).flatten()):
            drawn = low + strengths[places] * (high - low)
            changed[places] = change(pictures[places], drawn * sides[places])
    return changed


def _affine(matrix_of: Callable[[Strengths, float], torch.Tensor]) -> Change:
    def change(pictures: torch.Tensor, strengths: Strengths) -> torch.Tensor:
        aspect = pictures.shape[3] / pictures.shape[2]
        # torchvision takes the nearest pixel; between pixels is as quick here, and a face stays a face.
        return _bytes(warp(pictures.float(), matrix_of(strengths, aspect), padding="zeros").round_())

    return change


def _sheared(row: int) -> Callable[[Strengths, float], torch.Tensor]:
    """Along x (row 0) or y (row 1), the upper left corner staying in its place."""

    def matrix_of(strengths: Strengths, aspect: float) -> torch.Tensor:
        slope = strengths / aspect if row == 0 else strengths * aspect
        matrices = _with(slope, row, 2)
        matrices[:, row, 1 - row] = slope
        return matrices

    return matrix_of


def _shifted(row: int) -> Change:
    def change(pictures: torch.Tensor, strengths: Strengths) -> torch.Tensor:
        side = pictures.shape[3 - row]
        parts = (strengths / side).clamp(-FARTHEST, FARTHEST)
        return _bytes(warp(pictures.float(), _with(-2 * parts, row, 2), padding="zeros").round_())

    return change


def _with(values: torch.Tensor, row: int, column: int) -> torch.Tensor:
    matrices = torch.eye(3).repeat(len(values), 1, 1)
    matrices[:, row, column] = values
    return matrices


def _blended(other_of: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    """1 + strength parts of the picture and -strength parts of another one, which lacks what is meant to be stronger."""

    def change(pictures: torch.Tensor, strengths: Strengths) -> torch.Tensor:
        other = other_of(pictures).float()
        return _bytes(other + (1 + _each(strengths, pictures)) * (pictures - other))

    return change


def _grey(pictures: torch.Tensor) -> torch.Tensor:
    """(n, 1, h, w): the brightness; a picture of other than three channels is taken as it is."""
    if pictures.shape[1] != 3:
        return pictures
    weights = torch.tensor(GREY_WEIGHTS, device=pictures.device)[:, None, None]
    return (pictures * weights).sum(1, keepdim=True).floor()


def _mean_grey(pictures: torch.Tensor) -> torch.Tensor:
    return _grey(pictures).float().mean((1, 2, 3), keepdim=True)


def _blurred(pictures: torch.Tensor) -> torch.Tensor:
    """A 3 x 3 blur of all but the edge, which stays, as in Pillow's SMOOTH."""
    n_channels, blurred = pictures.shape[1], pictures.float()
    if min(pictures.shape[2:]) < 3:
        return blurred
    kernel = torch.ones(n_channels, 1, 3, 3, device=pictures.device)
    kernel[:, :, 1, 1] = 5.0
    inner = torch.nn.functional.conv2d(blurred, kernel / 13, groups=n_channels)
    blurred[:, :, 1:-1, 1:-1] = inner.round()
    return blurred


def _posterized(pictures: torch.Tensor, strengths: Strengths) -> torch.Tensor:
    n_cleared = 8 - strengths.abs().round().to(torch.int32)
    mask = (0xFF << n_cleared & 0xFF).to(torch.uint8)
    return pictures & _each(mask, pictures)


def _solarized(pictures: torch.Tensor, strengths: Strengths) -> torch.Tensor:
    return torch.where(pictures >= _each(strengths.abs() * 255, pictures), 255 - pictures, pictures)


def _stretched(pictures: torch.Tensor, _: Strengths) -> torch.Tensor:
    """The darkest value of each channel becomes black, the brightest white; a channel of one value stays."""
    low, high = pictures.amin((2, 3), keepdim=True).float(), pictures.amax((2, 3), keepdim=True).float()
    return torch.where(low == high, pictures, _bytes((pictures - low) * (255 / (high - low).clamp(min=1))))


def _equalized(pictures: torch.Tensor, _: Strengths) -> torch.Tensor:
    """Each channel's values spread so that all are about equally frequent, by Pillow's rule."""
    n, n_channels, height, width = pictures.shape
    places = pictures.reshape(n * n_channels, -1).long()
    counts = places.new_zeros(len(places), 256).scatter_add_(1, places, torch.ones_like(places))
    until = counts.cumsum(1)
    step = (until[:, -1] - counts.gather(1, places.amax(1, keepdim=True))[:, 0]) // 255  # all but the brightest value's
    spread = (until - counts + (step // 2)[:, None]) // step.clamp(min=1)[:, None]
    equalized = spread.clamp(0, 255).gather(1, places).to(torch.uint8)
    return torch.where(step[:, None] == 0, places.to(torch.uint8), equalized).reshape(n, n_channels, height, width)


def _each(values: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    return values.to(pictures.device)[:, None, None, None]


def _bytes(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.clamp(0, 255).to(torch.uint8)


# The change, its strength at nothing and at the strongest; a sign is drawn for each, which some do not look at.
CHANGES: dict[str, tuple[Change, float, float]] = {
    "identity": (lambda pictures, _: pictures, 0.0, 0.0),
    "shear_x": (_affine(_sheared(0)), 0.0, 0.99),
    "shear_y": (_affine(_sheared(1)), 0.0, 0.99),
    "translate_x": (_shifted(0), 0.0, 32.0),  # px
    "translate_y": (_shifted(1), 0.0, 32.0),
    "rotate": (_affine(rotation), 0.0, math.radians(135)),
    "brightness": (_blended(torch.zeros_like), 0.0, 0.99),
    "color": (_blended(_grey), 0.0, 0.99),
    "contrast": (_blended(_mean_grey), 0.0, 0.99),
    "sharpness": (_blended(_blurred), 0.0, 0.99),
    "posterize": (_posterized, 8.0, 2.0),  # bits
    "solarize": (_solarized, 1.0, 0.0),  # part of white from which on it is inverted
    "auto_contrast": (_stretched, 0.0, 0.0),
    "equalize": (_equalized, 0.0, 0.0),
}
