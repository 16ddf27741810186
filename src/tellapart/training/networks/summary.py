"""What a network is made of: layers, shapes, parameters, operations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tellapart.training.loop.examples import Network
from tellapart.training.loop.freezing import learning_parameters
from tellapart.training.recipe import Recipe


@dataclass(frozen=True)
class Layer:
    """One layer, as it was passed."""

    name: str
    kind: str
    shape: tuple[int, ...]  # of what it gives for one picture
    n_trainable: int
    n_frozen: int


@dataclass(frozen=True)
class Summary:
    """A network's layers in the order in which a picture passes them."""

    layers: tuple[Layer, ...]
    n_trainable: int
    n_frozen: int
    n_multiplications: int  # multiply-adds of convolutions and products for one picture

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """A table with a line a layer, and the totals below."""
        head = ("layer", "kind", "gives", "trainable", "frozen")
        rows = [head, *((x.name, x.kind, _shape(x.shape), f"{x.n_trainable:,}", f"{x.n_frozen:,}") for x in self.layers)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(_placed(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows
        ]
        totals = f"{self.n_trainable:,} parameters to train, {self.n_frozen:,} frozen"
        return "\n".join(
            [*(line.rstrip() for line in lines), f"{totals}; {self.n_multiplications / 1e6:,.1f} million multiply-adds a picture"]
        )


def summarize(network: Network, recipe: Recipe, inputs: torch.Tensor) -> Summary:
    """The summary of a network that takes inputs such as these of one picture, (1, ...); the network stays as it is.

    To train are the parameters that learn by the recipe, once all do that will.
    """
    found: list[Layer] = []
    learns = {id(parameter) for parameter in learning_parameters(network, recipe)}

    def note(name: str, layer: nn.Module, output: torch.Tensor) -> None:
        counts = [sum(p.numel() for p in layer.parameters() if (id(p) in learns) is kept) for kept in (True, False)]
        batch_axis = getattr(layer, "batch_axis", 0)
        shape = tuple(length for axis, length in enumerate(output.shape) if axis != batch_axis)
        found.append(Layer(name, type(layer).__name__, shape, *counts))

    leaves = {name: layer for name, layer in network.named_modules() if not list(layer.children())}
    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: note(name, layer, output))
        for name, layer in leaves.items()
    ]
    was_training = network.training
    try:
        network.eval()
        device = next(network.parameters()).device
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(inputs.to(device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    sizes = [(parameter.numel(), id(parameter) in learns) for parameter in network.parameters()]
    n_trainable, n_frozen = (sum(size for size, is_learning in sizes if is_learning is kept) for kept in (True, False))
    return Summary(tuple(found), n_trainable, n_frozen, counter.get_total_flops() // 2)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _placed(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column > 2 else cell.ljust(width)
