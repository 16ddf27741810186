"""Brightness and contrast, as fastai varies them: in log-odds, so that nothing is cut off at black or white; and colour."""

from __future__ import annotations

import torch

from tellapart.training.augment.geometry import APPLIED
from tellapart.training.augment.policies import GLARED

EDGE = 1 / 512  # half a step of 255: log-odds of black and white are finite


def draw_lights(light: float, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A brightness and a contrast (n,) for each picture, to be added to and multiplied with its log-odds."""
    applied = torch.rand(n, 2, generator=generator) < APPLIED
    drawn = (torch.rand(n, 2, generator=generator) * 2 - 1) * applied
    brightness = torch.logit((1 + drawn[:, 0] * light) / 2)  # .2: log-odds of .4 to .6
    contrast = torch.exp(-drawn[:, 1] * torch.log1p(torch.tensor(-light)))  # .2: .8 to 1.25
    return brightness, contrast


def draw_tints(tint: float, n: int, n_channels: int, generator: torch.Generator) -> torch.Tensor:
    """(n, c) what each channel of each picture is multiplied with: 1 - `tint` to 1 + `tint`."""
    return 1 + (torch.rand(n, n_channels, generator=generator) * 2 - 1) * tint


def draw_glares(glare: float, n: int, generator: torch.Generator) -> torch.Tensor:
    """(n, 1) what each picture is multiplied with: 1 to 1 + `glare` for four in ten, 1 for the others."""
    return (1 + glare * torch.rand(n, generator=generator) * (torch.rand(n, generator=generator) < GLARED))[:, None]


def tinted(pictures: torch.Tensor, tints: torch.Tensor) -> torch.Tensor:
    """The pictures (n, c, h, w), float32 of 0 to 255, multiplied with (n, c) or (n, 1), cut off at 255 as a camera does."""
    return (pictures * tints.to(pictures.device)[:, :, None, None]).clamp_(max=255)


def relight(pictures: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor) -> torch.Tensor:
    """The pictures (n, c, h, w), float32 of 0 to 255, in another light."""
    shape = (-1, *[1] * (pictures.ndim - 1))
    brightness, contrast = (one.to(pictures.device).reshape(shape) for one in (brightness, contrast))
    odds = torch.logit(pictures / 255, EDGE)
    return torch.sigmoid((odds + brightness) * contrast) * 255
