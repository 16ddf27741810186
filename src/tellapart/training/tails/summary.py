"""What the bundled backbone is made of where its last stages alone are trained."""

from __future__ import annotations

from dataclasses import replace

import torch

from tellapart.training.graphs import convolution_sizes
from tellapart.training.lite0 import lite0_graph, stem_graph
from tellapart.training.networks.summary import Layer, Summary, summarize
from tellapart.training.recipe import Recipe
from tellapart.training.tails.stems import lite0_weights
from tellapart.training.tails.tuning import BOUNDARY, make_tail, refuse_other_backbone


def summarize_tail(recipe: Recipe, *, n_classes: int) -> Summary:
    """The frozen stages as one layer, then those of the tail, before its training.

    Multiply-adds are those of the network as it predicts: the tail is trained as matrix products, which take more of them.
    Raises CallError for another backbone than the bundled one.
    """
    refuse_other_backbone(recipe)
    weights = lite0_weights()
    stem, tail = stem_graph(weights, recipe.side_px, boundary=BOUNDARY), make_tail(weights, recipe, n_classes=n_classes)
    shape = tuple(axis.dim_value for axis in stem.graph.output[0].type.tensor_type.shape.dim[1:])
    of_tail = summarize(tail, recipe, torch.zeros(1, *shape, dtype=torch.float16))
    n_frozen, _ = convolution_sizes(stem)
    _, n_multiplications = convolution_sizes(lite0_graph(weights, recipe.side_px))
    return replace(
        of_tail,
        layers=(Layer(f"stages 1 to {BOUNDARY}", "frozen", shape, 0, n_frozen), *of_tail.layers),
        n_frozen=of_tail.n_frozen + n_frozen,
        n_multiplications=n_multiplications + tail.head.weight.numel(),
    )
