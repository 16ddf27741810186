"""`Lesson`: what a network learns, from what and how."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tellapart.training.loop.examples import Examples, Network
from tellapart.training.recipe import Recipe


@dataclass(frozen=True)
class Lesson:
    """All that a training begins with, so that whatever goes before it looks at the very network, pictures and settings."""

    network: Network
    examples: Examples
    held: Examples
    recipe: Recipe  # with what suits the network in the place of what was left open
    part: str  # of the network, that learns: "tail" or "all"
    default_epochs: int  # where neither epochs nor a budget are given
    most_epochs: int  # that a budget may be filled with
    default_lr: float | None = None  # where the recipe gives none; None: a sweep finds it
    n_frozen_below: int = 0  # parameters of the stages before `network`
    several: bool = False  # whether a picture may have several labels

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.network.parameters()).device

    @property
    def lr(self) -> float | None:
        """The head's highest rate; None: still to be found."""
        return self.recipe.lr if self.recipe.lr is not None else self.default_lr

    def epochs(self, *, has_deadline: bool) -> int:
        """How many at most."""
        return self.recipe.epochs or (self.most_epochs if has_deadline else self.default_epochs)
