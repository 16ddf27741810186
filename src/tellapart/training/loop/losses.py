"""The loss of each example, for one label or several."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from tellapart.training.recipe import Recipe

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(n, K) logits and (n,) labels or (n, K) targets to the (n,) losses."""


def make_loss(recipe: Recipe, *, several: bool = False, class_weights: torch.Tensor | None = None) -> Loss:
    """The recipe's loss, with its label smoothing. `several`: targets are (n, K) zeros and ones, each class a question.

    `class_weights` (K,) says how much a class counts, 1 in the mean of all examples so that the rate keeps its meaning.
    """
    entropy = _sigmoid_entropy if several else _softmax_entropy
    focus = recipe.focus if recipe.loss == "focal" else 0.0
    smoothing = recipe.settled.label_smoothing or 0.0

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        parts = _as_parts(targets, logits)
        n_ways = 2 if several else logits.shape[1]
        smooth = parts * (1 - smoothing) + smoothing / n_ways
        weights = None if class_weights is None else class_weights.to(logits.device)
        if several or weights is None:
            return entropy(logits, smooth, focus, weights)
        return entropy(logits, smooth, focus, None) * (parts @ weights)

    return loss


def plain_loss(*, several: bool = False) -> Loss:
    """Cross-entropy without smoothing or weights, by which networks are compared."""
    entropy = _sigmoid_entropy if several else _softmax_entropy
    return lambda logits, targets: entropy(logits, _as_parts(targets, logits), 0.0, None)


def _as_parts(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """(n,) labels as (n, K) parts of each class; what is so already as it is."""
    if targets.ndim == 2:
        return targets.to(logits.dtype)
    return functional.one_hot(targets, logits.shape[1]).to(logits.dtype)


def _softmax_entropy(logits: torch.Tensor, parts: torch.Tensor, focus: float, _: torch.Tensor | None) -> torch.Tensor:
    """Cross-entropy; with `focus` > 0 each class's part by (1 - its probability) ** focus: the focal loss, arXiv:1708.02002."""
    log_probabilities = functional.log_softmax(logits, dim=1)
    if focus:
        parts = parts * (1 - log_probabilities.exp()).clamp(min=0) ** focus
    return -(parts * log_probabilities).sum(dim=1)


def _sigmoid_entropy(logits: torch.Tensor, parts: torch.Tensor, focus: float, weights: torch.Tensor | None) -> torch.Tensor:
    """The same of K questions with two answers each, their mean."""
    yes, no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    if focus:
        losses = -(parts * no.exp() ** focus * yes + (1 - parts) * yes.exp() ** focus * no)
    else:
        losses = -(parts * yes + (1 - parts) * no)
    return (losses if weights is None else losses * weights).mean(dim=1)
