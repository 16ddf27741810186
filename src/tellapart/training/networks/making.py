"""Which network a recipe names, and what ours want of a recipe that leaves it open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tellapart.data.looks import Looks
from tellapart.errors import CallError
from tellapart.images import Fit
from tellapart.images.limits import RGB_CHANNELS
from tellapart.training.loop.devices import cpu_has_bfloat16
from tellapart.training.networks.compact import WIDTHS, Compact
from tellapart.training.networks.pictures import PictureNetwork
from tellapart.training.networks.tutorial import TutorialCnn
from tellapart.training.recipe import OWN_NETWORKS, SMALLEST_PX, Recipe

LARGEST_OWN_PX = 64  # of the side that ours choose for themselves; larger pictures are shrunk to it
LARGE_PX = 128  # of the side from which on timm's networks learn, on a CPU, in batches of
LARGE_BATCH = 32  # pictures: a training of EfficientNet-Lite0 at 224 px holds 4 GB, with 128 of them 13; epochs take as long


def is_ours(recipe: Recipe) -> bool:
    """Whether the recipe names one of our networks; raises CallError where it asks for weights of one."""
    if recipe.arch not in OWN_NETWORKS:
        return False
    if recipe.weights not in ("auto", "none"):
        raise CallError(
            f"{recipe.arch!r} has no weights {recipe.weights!r}: it is always trained from scratch. Leave --weights out."
        )
    return True


def with_own_settings(recipe: Recipe) -> Recipe:
    """The recipe with what it leaves open chosen as its network learns best.

    On a processor that has bfloat16 ours learn in that; on a CPU timm's learn from large pictures in batches that a laptop has
    room for.
    """
    if torch.cuda.is_available():
        return recipe.settled
    if recipe.arch in OWN_NETWORKS:
        pays = recipe.precision == "auto" and cpu_has_bfloat16()
        return replace(recipe.settled, precision="bfloat16" if pays else recipe.precision)
    return replace(recipe.settled, batch=recipe.batch or (LARGE_BATCH if recipe.side_px >= LARGE_PX else None))


def fit_of(recipe: Recipe, looks: Looks) -> Fit:
    """How the recipe's network wants pictures with these looks: ours take the shorter side that they have, up to 64 px.

    What begins with random weights takes as many channels as they have.
    """
    if is_ours(recipe):
        side_px = recipe.size or max(SMALLEST_PX[recipe.arch], min(looks.side_px, LARGEST_OWN_PX))
        return Fit(side_px, recipe.fit, 1.0, looks.n_channels)
    from tellapart.training.networks.timm_networks import crop_frac_of  # imports timm: 11 s

    n_channels = looks.n_channels if recipe.weights == "none" else RGB_CHANNELS
    return Fit(recipe.side_px, recipe.fit, crop_frac_of(recipe), n_channels)


def channels_of(recipe: Recipe) -> int | None:
    """How many channels the network must have; None: as many as the pictures."""
    return None if recipe.arch in OWN_NETWORKS or recipe.weights == "none" else 3


def make_network(
    recipe: Recipe, pictures: torch.Tensor, *, n_classes: int, levels: tuple[list[float], list[float]]
) -> PictureNetwork:
    """The recipe's network for training pictures (N, C, side, side) uint8 whose channels have these means and deviations.

    What is drawn follows from the recipe's seed. Raises CallError for an unknown name or a side that does not suit, BundleError
    for weights that cannot be had.
    """
    _, n_channels, _, side_px = pictures.shape
    mean, std = levels
    torch.manual_seed(recipe.seed)
    dropout = recipe.settled.dropout
    shared: dict[str, Any] = {"side_px": side_px, "n_classes": n_classes, "mean": mean, "std": std, "dropout": dropout}
    match recipe.arch:
        case "compact" | "compact_wide":
            return Compact(widths=WIDTHS[recipe.arch], patches=pictures, **shared)
        case "tutorial_cnn":
            return TutorialCnn(**shared)
    from tellapart.training.networks.timm_networks import make_timm

    own = levels if recipe.weights == "none" else None
    return make_timm(recipe, side_px=side_px, n_channels=n_channels, n_classes=n_classes, levels=own)
