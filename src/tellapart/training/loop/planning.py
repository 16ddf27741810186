"""How long a training will take, told from two batches before it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from tellapart.training.loop.examples import Examples, Network
from tellapart.training.loop.learner import Learner
from tellapart.training.loop.learning import DEFAULT_BATCH
from tellapart.training.loop.moves import JUDGING_PART
from tellapart.training.loop.trials import try_steps, undisturbed
from tellapart.training.recipe import Recipe

N_BATCHES = 2  # measured, after one to warm up


@dataclass(frozen=True)
class Plan:
    """What a training will take."""

    pictures_per_s: float  # learned from
    epoch_s: float  # of one epoch, judging included
    epochs: int

    @property
    def seconds(self) -> float:
        """Of all epochs."""
        return self.epochs * self.epoch_s

    @property
    def text(self) -> str:
        """One sentence for a person."""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return f"{epochs} of about {self.epoch_s:.3g} s ({self.pictures_per_s:.3g} pictures/s): about {self.seconds:.3g} s."


def plan_training(
    network: Network, examples: Examples, held: Examples, recipe: Recipe, *, budget_s: float | None = None, epochs: int = 10
) -> Plan:
    """Measure two batches and say what training takes: the epochs that fit into `budget_s`, at most the recipe's; else `epochs`.

    The network stays as it is. Raises TellapartError where the memory does not suffice
    for a batch, CallError and DataError as `learn` does.
    """
    size = recipe.batch or DEFAULT_BATCH
    with undisturbed(network):
        learner = Learner(network, replace(recipe, compile=False))
        began_s, ends = time.monotonic(), []
        for _ in try_steps(learner, examples, [0.0] * (N_BATCHES + 1), size):
            ends.append(time.monotonic())
    step_s = (ends[-1] - ends[0]) / N_BATCHES if len(ends) > 1 else ends[-1] - began_s
    picture_s = max(step_s, 1e-6) / min(size, examples.n)
    epoch_s = picture_s * (examples.n + JUDGING_PART * held.n)
    fitting = max(int(budget_s / epoch_s), 1) if budget_s else epochs
    return Plan(1 / picture_s, epoch_s, min(fitting, recipe.epochs) if recipe.epochs else fitting)
