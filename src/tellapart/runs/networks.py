"""Training the network itself: after its head, or from scratch, in the way that suits the recipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.data import ImageTable
from tellapart.errors import MissingExtraError
from tellapart.inference.features import embed
from tellapart.progress import Progress
from tellapart.training import Fitted, Recipe
from tellapart.training.head import scores
from tellapart.training.recipe import DEFAULT_ARCH
from tellapart.words import counted

if TYPE_CHECKING:
    from tellapart.training.loop.logs import Epoch
    from tellapart.training.tuned import Tuned

Told = Callable[["Epoch"], None]
NOTE_HEAD = "The trained network is no better than the head on frozen features on the {n}; the head is kept."
JUDGING_S = 4.0  # at the end of a budget, for the report; and a second for so many pictures that are judged:
JUDGED_PER_S = 150
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Course:
    """How the training of a network went, for the facts of its run."""

    history: Sequence[Any] = ()  # an `Epoch` each
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"epochs": [asdict(epoch) for epoch in self.history], "training_notes": list(self.notes)}


def refuse_missing(recipe: Recipe) -> None:
    """Raise MissingExtraError where a network is to be trained and PyTorch is not there."""
    if recipe.trains_network:
        refuse_missing_torch("training the network itself")


def refuse_missing_torch(what: str) -> None:
    """Raise MissingExtraError where PyTorch, which `what` needs, is not there."""
    if not all(map(find_spec, ("torch", "torchvision", "timm"))):
        raise MissingExtraError(what, "train")


def tune(
    fitted: Fitted, whole: ImageTable, recipe: Recipe, *, deadline: float | None, folder: Path, told: Told, progress: Progress
) -> tuple[Fitted, Course]:
    """The classifier after training the network that its head is on, or as it was where that made it no better on validation."""
    training, held = whole.in_split("train"), whole.in_split("valid")
    until = _without_judging(deadline, held)
    if _has_tail(recipe):
        from tellapart.training.tails.tuning import fine_tune  # imports torch

        return _told(fine_tune(fitted, training, held, recipe, deadline=until, folder=folder, told=told, progress=progress))
    from tellapart.training.augment.checked import check_policy
    from tellapart.training.augment.policies import POLICIES
    from tellapart.training.scratch import train_network

    checked = check_policy(POLICIES[recipe.augment], fitted)
    more: dict[str, Any] = {"policy": checked.policy, "told": told, "progress": progress}
    tuned = train_network(training, held, recipe, deadline=until, folder=folder, **more)
    notes, trained = (*checked.notes, *tuned.notes), tuned.fitted
    if _scores(trained, held) <= _scores(fitted, held):
        trained, notes = fitted, (*notes, NOTE_HEAD.format(n=counted(len(held), "validation picture")))
    return replace(trained, left_out=checked.left_out), Course(tuned.history, notes)


def begin(
    whole: ImageTable, recipe: Recipe, *, deadline: float | None, folder: Path, told: Told, progress: Progress
) -> tuple[Fitted, Course]:
    """A classifier whose network was trained from scratch."""
    from tellapart.training.scratch import train_network  # imports torch

    training, held = whole.in_split("train"), whole.in_split("valid")
    until = _without_judging(deadline, held)
    return _told(train_network(training, held, recipe, deadline=until, folder=folder, told=told, progress=progress))


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


def _has_tail(recipe: Recipe) -> bool:
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
    return tuned.fitted, Course(tuned.history, tuned.notes)
