"""The learning-rate finder: a short training at rising rates, after which the network is as it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from tellapart.errors import TellapartError
from tellapart.progress import Progress, silent
from tellapart.training.loop.examples import Examples, Network
from tellapart.training.loop.learner import Learner
from tellapart.training.loop.learning import DEFAULT_BATCH
from tellapart.training.loop.trials import try_steps, undisturbed
from tellapart.training.recipe import Recipe

LOWEST, HIGHEST = 1e-6, 10.0  # rates of a sweep
MEMORY = 0.98  # of the smoothed loss, a step; fastai's
DIVERGED = 4.0  # times the lowest loss; fastai's
SWEEP_STEPS = 100
FEWEST = 5  # points from which a suggestion is made


@dataclass(frozen=True)
class RateSweep:
    """The loss at each rate of a sweep, and the rates that it suggests."""

    rates: tuple[float, ...]  # of the head, rising
    losses: tuple[float, ...]  # before the step at that rate, smoothed
    steepest: float  # where the loss falls fastest over the logarithm of the rate
    valley: float  # half-way down the longest fall: less daring than its end

    @property
    def suggestion(self) -> float:
        """The rate to train with where none was given."""
        return self.valley


def find_lr(
    network: Network,
    examples: Examples,
    recipe: Recipe,
    *,
    n_steps: int = SWEEP_STEPS,
    several: bool = False,
    class_weights: torch.Tensor | None = None,
    progress: Progress = silent,
) -> RateSweep:
    """Sweep the rate from 1e-6 to 10 in `n_steps` steps at most, stopping where the loss diverges; the network stays as it is.

    Method: Smith, arXiv:1506.01186; the suggestions are fastai's. Raises TellapartError where the loss is no number from the
    start or the memory is out, CallError and DataError as `learn` does.
    """
    ratio = HIGHEST / LOWEST
    rates = [LOWEST * ratio ** (i / (n_steps - 1)) for i in range(n_steps)]
    losses: list[float] = []
    with undisturbed(network):
        learner = Learner(network, replace(recipe, ema=0.0, compile=False), several=several, class_weights=class_weights)
        mean = 0.0
        for i, loss in enumerate(try_steps(learner, examples, rates, recipe.batch or DEFAULT_BATCH)):
            mean = MEMORY * mean + (1 - MEMORY) * loss
            smooth = mean / (1 - MEMORY ** (i + 1))
            if not math.isfinite(loss) or (losses and smooth > DIVERGED * min(losses)):
                break
            losses.append(smooth)
            progress("rates", i + 1, n_steps)
    progress("rates", n_steps, n_steps)
    if len(losses) < FEWEST:
        raise TellapartError(
            f"the loss diverges from a rate of {rates[len(losses)]:.1g} on: look at the pictures, or give a rate with --lr."
        )
    return make_sweep(rates[: len(losses)], losses)


def make_sweep(rates: Sequence[float], losses: Sequence[float]) -> RateSweep:
    """The sweep with what it suggests. Its first tenth and its last points are left out of that, as fastai does."""
    skipped, last = len(rates) // 10, max(len(rates) - 5, len(rates) // 10 + 2)
    inner = slice(skipped, last)
    return RateSweep(tuple(rates), tuple(losses), _steepest(rates[inner], losses[inner]), _valley(rates[inner], losses[inner]))


def _steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate before the steepest fall; the rates lie evenly on a log scale."""
    falls = [after - before for before, after in pairwise(losses)]
    return rates[falls.index(min(falls))]


def _valley(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate half-way down the longest run of ever lower losses (not all neighbours); fastai's `valley`."""
    lengths, before = [1] * len(losses), [-1] * len(losses)
    for i, loss in enumerate(losses):
        for j in range(i):
            if loss < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i], before[i] = lengths[j] + 1, j
    end = max(range(len(losses)), key=lengths.__getitem__)
    start = end
    while before[start] >= 0:
        start = before[start]
    third = (end - start) / 3
    return rates[start + int(third) + int(third / 2)]
