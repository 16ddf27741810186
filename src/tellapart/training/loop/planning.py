"""What a training will take, told from two batches before it begins."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from tellapart.training.loop.finder import SWEEP_STEPS
from tellapart.training.loop.freezing import learning_parameters
from tellapart.training.loop.learner import Learner
from tellapart.training.loop.learning import DEFAULT_BATCH
from tellapart.training.loop.lessons import Lesson
from tellapart.training.loop.moves import JUDGING_PART
from tellapart.training.loop.trials import try_steps, undisturbed
from tellapart.words import counted

N_BATCHES = 2  # measured, after one to warm up
MOST_PART = 0.02  # of a budget, after which no further batch is measured: one of large pictures may take half a minute; a guess


@dataclass(frozen=True)
class Plan:
    """What a training will take. Seconds and speed are estimates."""

    part: str  # of the network: "tail" (its last stages) or "all"
    n_trainable: int  # parameters
    n_frozen: int
    batch: int  # pictures a step
    lr: float | None  # the head's highest rate; None: it is sought first
    pictures_per_s: float  # learned from
    epoch_s: float  # of one epoch, judging included
    epochs: int  # that were asked for, or fit into the budget
    sweep_s: float = 0.0  # of seeking the rate
    budget_s: float | None = None  # that is left for this

    @property
    def seconds(self) -> float:
        """Of all epochs, the sweep before them included."""
        return self.sweep_s + self.epochs * self.epoch_s

    @property
    def text(self) -> str:
        """A few sentences for a person."""
        part = "the last stages of the network" if self.part == "tail" else "the whole network"
        learns = f"{part}: {self.n_trainable:,} parameters, {self.n_frozen:,} frozen"
        sought = "" if self.lr is not None else f" First the rate is sought, for about {_seconds(self.sweep_s)}."
        epochs = f"{counted(self.epochs, 'epoch')} of about {_seconds(self.epoch_s)}"
        speed = f"{self.pictures_per_s:,.3g} pictures/s, {self.batch} a step"
        if self.budget_s is None:
            return f"To train is {learns}.{sought} {epochs} ({speed}): about {_seconds(self.seconds)} in all."
        fits = "fits" if self.epochs == 1 else "fit"
        return f"To train is {learns}.{sought} {epochs} ({speed}) {fits} into the {_seconds(self.budget_s)} that are left for it."

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": self.seconds}


def plan_training(lesson: Lesson, *, budget_s: float | None = None) -> Plan:
    """Measure two batches and say what the lesson takes: all its epochs, or those of them that fit into `budget_s`.

    The network stays as it is. Raises TellapartError where the memory does not suffice for a batch, CallError and DataError as
    `learn` does.
    """
    speed, size = _pictures_per_s(lesson, budget_s), min(lesson.recipe.batch or DEFAULT_BATCH, lesson.examples.n)
    n_trainable = sum(parameter.numel() for parameter in learning_parameters(lesson.network, lesson.recipe))
    n_frozen = lesson.n_frozen_below + sum(parameter.numel() for parameter in lesson.network.parameters()) - n_trainable
    epoch_s = (lesson.examples.n + JUDGING_PART * lesson.held.n) / speed
    sweep_s = 0.0 if lesson.lr is not None else SWEEP_STEPS * size / speed
    most = lesson.epochs(has_deadline=budget_s is not None)
    epochs = most if budget_s is None else min(most, max(int((budget_s - sweep_s) / epoch_s), 1))
    return Plan(lesson.part, n_trainable, n_frozen, size, lesson.lr, speed, epoch_s, epochs, sweep_s, budget_s)


def _pictures_per_s(lesson: Lesson, budget_s: float | None) -> float:
    """How many the network learns from in a second, by a few batches; by the first alone where it takes much of the budget."""
    size, ends = lesson.recipe.batch or DEFAULT_BATCH, list[float]()
    with undisturbed(lesson.network):
        learner = Learner(lesson.network, replace(lesson.recipe, compile=False), several=lesson.several)
        began_s = time.monotonic()
        for _ in try_steps(learner, lesson.examples, [0.0] * (N_BATCHES + 1), size):
            ends.append(time.monotonic())
            if budget_s is not None and learner.agreed(ends[-1] - began_s) > MOST_PART * budget_s:
                break
    step_s = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else ends[-1] - began_s
    return min(size, lesson.examples.n) / max(step_s, 1e-6)


def _seconds(seconds: float) -> str:
    """As a person says it: "0.4 s", "12 s", "5 min", "2.5 h"."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
