"""Which layers learn in an epoch, and which batch-norms keep their statistics."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # of 1, 2 and 3 dimensions

from tellapart.training.loop.examples import Network
from tellapart.training.loop.optimizers import parameters_of, rate_parts
from tellapart.training.recipe import Recipe


def open_groups(network: Network, recipe: Recipe, epoch: int) -> list[bool]:
    """For each group of layers, the deepest first, whether it learns in this epoch (the first is 0)."""
    parts = rate_parts(network, recipe)
    n_open = epoch + 1 if recipe.unfreeze == "gradual" and network.pretrained else len(parts)
    return [part > 0 and i >= len(parts) - n_open for i, part in enumerate(parts)]


def unfreeze(network: Network, recipe: Recipe, epoch: int) -> None:
    """Put the network into training mode with the gradients and the batch-norm statistics that this epoch wants."""
    network.train()
    network.requires_grad_(requires_grad=False)
    groups, opened = network.layer_groups(), open_groups(network, recipe, epoch)
    for i, (layers, is_open) in enumerate(zip(groups, opened, strict=True)):
        for parameter in parameters_of(layers):
            parameter.requires_grad_(is_open)
        is_body = i < len(groups) - 1
        if network.pretrained and is_body and (recipe.norms == "frozen" or not is_open):
            _keep_statistics(layers)


def learning_parameters(network: Network, recipe: Recipe) -> list[nn.Parameter]:
    """Those that learn, once every group does that will."""
    opened = open_groups(network, recipe, epoch=len(network.layer_groups()))
    return [
        parameter
        for layers, is_open in zip(network.layer_groups(), opened, strict=True)
        if is_open
        for parameter in parameters_of(layers)
    ]


def has_live_norms(network: Network, recipe: Recipe) -> bool:
    """Whether any batch-norm of the network will take its statistics from the batches, so that a batch of one is impossible."""
    unfreeze(network, recipe, epoch=len(network.layer_groups()))
    return any(isinstance(module, BatchNorm) and module.training for module in network.modules())


def _keep_statistics(layers: list[nn.Module]) -> None:
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, BatchNorm):
                module.eval()
