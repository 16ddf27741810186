"""Optimizers by name, with a rate for each group of layers and no weight decay on norms and biases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from tellapart.errors import MissingExtraError
from tellapart.training.loop.examples import Network
from tellapart.training.loop.muon import Muon, suits_muon
from tellapart.training.recipe import Recipe


def make_optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; each of its parameter groups has a `part` of the head's rate, for `set_rate`.

    A deep layer's part is `body_lr`, the head's 1, and those between lie evenly on a log scale. Raises MissingExtraError
    without timm for "lamb".
    """
    name, groups = recipe.settled.optimizer, list(_parameter_groups(network, recipe))
    options: dict[str, Any] = {"lr": 0.0}
    match name:
        case "muon":
            return Muon([split for group in groups for split in _split_for_muon(group, network)], **options)
        case "adamw":
            return torch.optim.AdamW(groups, **options)
        case "sgd":
            return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.momentum > 0, **options)
        case "rmsprop":
            return torch.optim.RMSprop(groups, momentum=recipe.momentum, **options)
        case _:
            return _lamb(groups, **options)


def _lamb(groups: list[dict[str, Any]], **options: Any) -> torch.optim.Optimizer:
    """Layer-wise scaled Adam for large batches, arXiv:1904.00962; timm's."""
    try:
        from timm.optim.lamb import Lamb  # 11 s of imports
    except ImportError as error:
        raise MissingExtraError("the optimizer 'lamb'", "train") from error
    made: torch.optim.Optimizer = Lamb(groups, **options)
    return made


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the head learn at `rate` and each group at its part of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["part"]


def rate_parts(network: Network, recipe: Recipe) -> list[float]:
    """For each group of layers, the deepest first, its part of the head's rate."""
    n_groups = len(network.layer_groups())
    body_lr = recipe.body_lr if network.pretrained else 1.0
    if body_lr == 0:
        return [0.0] * (n_groups - 1) + [1.0]
    return [body_lr ** ((n_groups - 1 - i) / max(n_groups - 1, 1)) for i in range(n_groups)]


def _parameter_groups(network: Network, recipe: Recipe) -> Iterator[dict[str, Any]]:
    for layers, part in zip(network.layer_groups(), rate_parts(network, recipe), strict=True):
        parameters = parameters_of(layers)
        decayed = [parameter for parameter in parameters if parameter.ndim > 1]  # norms and biases are vectors
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        for chosen, decay in ((decayed, recipe.weight_decay), (others, 0.0)):
            if chosen:
                yield {"params": chosen, "weight_decay": decay, "part": part}


def _split_for_muon(group: dict[str, Any], network: Network) -> Iterator[dict[str, Any]]:
    """The group in two: what moves along orthogonal directions and what does not, as the head."""
    of_head = set(parameters_of(network.layer_groups()[-1]))
    chosen = {parameter for parameter in group["params"] if suits_muon(parameter) and parameter not in of_head}
    for orthogonal in (True, False):
        if parameters := [parameter for parameter in group["params"] if (parameter in chosen) is orthogonal]:
            yield {**group, "params": parameters, "orthogonal": orthogonal}


def parameters_of(layers: list[nn.Module]) -> list[nn.Parameter]:
    """The parameters of these layers, each once, in their order."""
    return list(dict.fromkeys(parameter for layer in layers for parameter in layer.parameters()))
