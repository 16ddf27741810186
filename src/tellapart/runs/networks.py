"""Training the network itself: after its head, or from scratch, in the way that suits the recipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.data import ImageTable
from tellapart.data.looks import look
from tellapart.errors import MissingExtraError
from tellapart.inference.features import embed
from tellapart.progress import Progress
from tellapart.runs.beginnings import Beginning
from tellapart.training import Fitted, Recipe
from tellapart.training.head import scores
from tellapart.training.recipe import DEFAULT_ARCH
from tellapart.words import counted

if TYPE_CHECKING:
    from tellapart.training.augment.checked import Checked
    from tellapart.training.loop.lessons import Lesson
    from tellapart.training.loop.logs import Epoch
    from tellapart.training.loop.planning import Plan
    from tellapart.training.networks.summary import Summary
    from tellapart.training.tuned import Tuned

Told = Callable[["Epoch"], None]
Planned = Callable[["Plan"], None]
NOTE_HEAD = "The trained network is no better than the head on frozen features on the {n}; the head is kept."
SHOWN = 32  # pictures to a pretrained network, to learn what it makes of one
JUDGING_S = 4.0  # at the end of a budget, for the report; and a second for so many pictures that are judged:
JUDGED_PER_S = 150
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Course:
    """How the training of a network went, for the facts of its run."""

    history: Sequence[Any] = ()  # an `Epoch` each
    notes: tuple[str, ...] = ()
    plan: Plan | None = None  # what it was told to take beforehand

    def to_json(self) -> dict[str, Any]:
        plan = self.plan and self.plan.to_json()
        return {"epochs": [asdict(epoch) for epoch in self.history], "training_notes": list(self.notes), "plan": plan}


def refuse_missing(recipe: Recipe) -> None:
    """Raise MissingExtraError where a network is to be trained and PyTorch is not there."""
    if recipe.trains_network:
        refuse_missing_torch("training the network itself")


def refuse_missing_torch(what: str) -> None:
    """Raise MissingExtraError where PyTorch, which `what` needs, is not there."""
    if not all(map(find_spec, ("torch", "torchvision", "timm"))):
        raise MissingExtraError(what, "train")


def train_network(
    beginning: Beginning,
    recipe: Recipe,
    *,
    deadline: float | None,
    folder: Path,
    told: Told,
    planned: Planned,
    progress: Progress,
) -> tuple[Fitted, Course]:
    """The classifier after training its network; the one that it began with, where that is no worse on validation."""
    training, held = beginning.whole.in_split("train"), beginning.whole.in_split("valid")
    until = _without_judging(deadline, held)
    more: dict[str, Any] = {"folder": folder, "told": told, "planned": planned, "progress": progress}
    if has_tail(recipe) and beginning.fitted:
        from tellapart.training.tails.tuning import fine_tune  # imports torch

        return _told(fine_tune(beginning.fitted, training, held, recipe, deadline=until, **more))
    from tellapart.training.scratch import train_network

    if beginning.fitted is None:
        return _told(train_network(training, held, recipe, deadline=until, **more))
    fitted, checked = beginning.fitted, policy_after(beginning.fitted, recipe)
    tuned = train_network(training, held, recipe, deadline=until, policy=checked.policy, **more)
    notes, trained = (*checked.notes, *tuned.notes), tuned.fitted
    if _scores(trained, held) <= _scores(fitted, held):
        trained, notes = fitted, (*notes, NOTE_HEAD.format(n=counted(len(held), "validation picture")))
    return replace(trained, left_out=checked.left_out), Course(tuned.history, notes, tuned.plan)


def lesson_of(beginning: Beginning, recipe: Recipe, *, progress: Progress) -> Lesson:
    """The very network, pictures and settings that `train_network` would begin with."""
    training, held = beginning.whole.in_split("train"), beginning.whole.in_split("valid")
    if has_tail(recipe) and beginning.fitted:
        from tellapart.training.tails.tuning import prepare as prepare_tail  # imports torch

        return prepare_tail(beginning.fitted, training, held, recipe, progress=progress).work.lesson
    from tellapart.training.scratch import prepare

    policy = policy_after(beginning.fitted, recipe).policy if beginning.fitted else None
    return prepare(training, held, recipe, policy=policy, progress=progress).work.lesson


def policy_after(head: Fitted, recipe: Recipe) -> Checked:
    """How pictures are varied where the recipe's network is trained after its `head`, which judges what may be."""
    from tellapart.training.augment.checked import check_policy  # imports torch
    from tellapart.training.augment.policies import POLICIES
    from tellapart.training.tails.turning import suited_policy

    check = suited_policy if has_tail(recipe) else check_policy
    return check(POLICIES[recipe.settled.augment], head)


def summary_of(training: ImageTable, recipe: Recipe, *, progress: Progress) -> Summary:
    """What the network that the recipe trains on these pictures is made of."""
    from tellapart.training.networks.summary import summarize  # imports torch

    if has_tail(recipe) and not recipe.is_from_scratch:
        from tellapart.training.tails.summary import summarize_tail

        return summarize_tail(recipe, n_classes=len(training.classes))
    from tellapart.training.networks.making import channels_of, fit_of
    from tellapart.training.scratch import decoded_with_network

    step = 1 if channels_of(recipe) is None else -(-len(training) // SHOWN)  # whether all are grey, all must tell
    fit = fit_of(recipe, look(training.paths))
    some = training.take(range(0, len(training), step))
    decoded, network = decoded_with_network(some, training.classes, recipe, fit, progress=progress)
    return summarize(network, recipe, decoded.pixels[:1])


def write_page(course: Course, folder: Path) -> None:
    """Write the curves of a training, where there was one, as a page beside the report."""
    if course.history:
        from tellapart.training.plots import PAGE_FILE, write_page

        write_page(course.history, folder / PAGE_FILE, title=folder.name, notes=course.notes)


def tidy(folder: Path) -> None:
    """Take the checkpoint of a finished training away: there is nothing left to go on with."""
    (folder / CHECKPOINT).unlink(missing_ok=True)


def _scores(fitted: Fitted, held: ImageTable) -> tuple[float, float]:
    """How a classifier does on pictures of known classes that can be read; more is better in both."""
    features = embed(held, fitted.backbone)
    known = held.without(features.failures).of_classes(fitted.table.classes)
    return scores(fitted.head.logits(features.floats(known)), known.targets_in(fitted.table.classes))


def has_tail(recipe: Recipe) -> bool:
    """Whether the last stages alone are to be trained: on a CPU they learn in a tenth of the time."""
    is_bundled = recipe.arch == DEFAULT_ARCH and recipe.weights == "auto"
    if recipe.tune == "auto" and is_bundled:
        import torch

        return not torch.cuda.is_available()
    return recipe.tune == "tail"


def _without_judging(deadline: float | None, held: ImageTable) -> float | None:
    if deadline is None:
        return None
    return max(deadline - JUDGING_S - len(held) / JUDGED_PER_S, time.monotonic())


def _told(tuned: Tuned) -> tuple[Fitted, Course]:
    return tuned.fitted, Course(tuned.history, tuned.notes, tuned.plan)
