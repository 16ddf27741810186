"""A compact network for small pictures (28 to 64 px), made to learn much in minutes on two CPU cores."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tellapart.training.networks.pictures import PictureNetwork

WIDTHS = {
    "compact": (32, 64, 128),
    "compact_wide": (64, 128, 256),
}  # of the stages; wide pays from a quarter of an hour on: docs/scratch.md
STEM = 4  # side of the whitened patches, 2 px apart: half the side leaves at once, and no number is lost of a grey picture
WHITENED_BELOW = 64  # directions of the patches that are kept, so that a stem of colours is no wider than the first stage
PATCHES_OF = 1000  # pictures are plenty to know what neighbouring pixels share
PATCH_VALUES = 2**25  # numbers in all patches, at most: those of 1000 RGB pictures of 64 px, and half a gigabyte of memory
FLOOR = 5e-4  # of a variance: flat directions of the patches are noise, not to be blown up (arXiv:2404.00498)


class Compact(PictureNetwork):
    """A whitening stem, then three stages of a convolution and a residual one, at a half, a quarter and an eighth of the side.

    The stem is fixed: patches of 4 x 4 px along their principal directions, each of the same variance, and their negatives
    (arXiv:2404.00498). Features are mean and maximum over the last stage's positions.
    """

    pretrained = False

    def __init__(self, *, side_px: int, widths: tuple[int, ...], patches: torch.Tensor, **shared: Any) -> None:
        """`widths` are the stages' channels, `patches` pictures (n, C, h, w) uint8 that the stem is whitened by."""
        super().__init__(n_features=2 * widths[-1], **shared)
        kernel = whitening((patches[:PATCHES_OF].float() - self.mean) / self.std, side=STEM)
        n_stem = 2 * len(kernel)
        self.stem = nn.Conv2d(self.n_channels, n_stem, STEM, stride=STEM // 2, padding=STEM // 4, bias=False)
        self.stem.weight.data = torch.cat([kernel, -kernel])
        self.stem_norm = nn.BatchNorm2d(n_stem)
        inputs = (n_stem, *widths)
        self.stages = nn.ModuleList(_Stage(inputs[i], widths[i], stride=1 if i == 0 else 2) for i in range(len(widths)))

    def body(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem_norm(self.stem(x)))
        for stage in self.stages:
            x = stage(x)
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)

    def layer_groups(self) -> list[list[nn.Module]]:
        """All but the stem."""
        return [[self.stem_norm, self.stages[0]], *([stage] for stage in self.stages[1:]), [self.head]]


class _Stage(nn.Module):
    def __init__(self, n_in: int, n_out: int, *, stride: int) -> None:
        super().__init__()
        self.shrink, self.refine = _Unit(n_in, n_out, stride=stride), _Unit(n_out, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shrunk: torch.Tensor = self.shrink(x)
        return torch.add(shrunk, self.refine(shrunk))


class _Unit(nn.Module):
    def __init__(self, n_in: int, n_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.norm(self.conv(x)))


def whitening(pictures: torch.Tensor, *, side: int) -> torch.Tensor:
    """The kernel (d, C, side, side) that makes the pictures' patches uncorrelated and of variance 1, at most 32 directions."""
    n_channels = pictures.shape[1]
    pictures = pictures[: max(1, PATCH_VALUES // (pictures[0].numel() * side * side // (side - 1) ** 2))]
    patches = functional.unfold(pictures, side, stride=side - 1).transpose(1, 2).reshape(-1, n_channels * side * side)
    centred = (patches - patches.mean(0)).double()
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    n_kept = min(len(variances), WHITENED_BELOW // 2)
    kernel = (directions / torch.sqrt(variances.clamp(min=0) + FLOOR)).T[-n_kept:]
    shaped: torch.Tensor = kernel.float().reshape(n_kept, n_channels, side, side)
    return shaped
