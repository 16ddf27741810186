"""Fine-tuning the last stages of the bundled backbone within the time there is; the better of it and the frozen head is kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tellapart.data import ImageTable
from tellapart.errors import CallError, DataError
from tellapart.images import Fit
from tellapart.inference.features import Backbone, embed
from tellapart.progress import Progress, silent
from tellapart.training.augment.augmenters import augmenter
from tellapart.training.augment.policies import POLICIES, Policy
from tellapart.training.head import Head, fit_temperature, scores
from tellapart.training.loop.devices import cpu_has_bfloat16
from tellapart.training.loop.lessons import Lesson
from tellapart.training.loop.logs import Epoch, ignored
from tellapart.training.loop.planning import Plan
from tellapart.training.loop.processes import of_first, wait_for_all
from tellapart.training.loop.teaching import teach
from tellapart.training.orders import Order
from tellapart.training.pixels import Decoded, HeldPixels, TrainingPixels, decode, picture_weights
from tellapart.training.recipe import DEFAULT_ARCH, Recipe
from tellapart.training.tails.activations import HeldActivations, VariedActivations, affordable_views
from tellapart.training.tails.exporting import export_tail
from tellapart.training.tails.networks import Tail
from tellapart.training.tails.stems import Stem, lite0_weights
from tellapart.training.tails.turning import ANY, suited_policy
from tellapart.training.trainer import N_WITNESSES, UNKNOWN_QUANTILE, Fitted, class_centres
from tellapart.training.tuned import Tuned
from tellapart.words import counted

BOUNDARY = 5  # stages that stay frozen; docs/tails.md
BATCH = 32
HEAD_LR = 5e-3  # no sweep: it would find the rate of the head, which begins with zeros, not of the body; docs/tails.md
EMA = 0.98  # of the weights, unless the recipe says otherwise: a mean of some 50 steps; a guess
DEFAULT_EPOCHS = 10  # where neither epochs nor a budget are given; a guess
DEFAULT_VIEWS = 8  # docs/tails.md
MOST_EPOCHS = 60  # that a budget may be filled with; a guess
PICTURES_PER_S = 150  # that the exported network embeds at the end, at least: 360 on two idle cores
RESERVE_S = 5.0  # of the time, for the export and for reading it again
CENTRED = 5000  # training pictures, at most, that the classes' centres are the means of
CALIBRATED = 50  # held-back pictures, at least, that a temperature is fitted to
NOTE_NOTHING = "No epoch was finished; the frozen head is kept."
EASY = 0.97  # accuracy of both networks from which on the held-back pictures tell little; a guess


def fine_tune(
    fitted: Fitted,
    training: ImageTable,
    held: ImageTable,
    recipe: Recipe,
    *,
    deadline: float | None = None,
    folder: Path | None = None,
    policy: Policy | None = None,
    boundary: int = BOUNDARY,
    told: Callable[[Epoch], None] = ignored,
    planned: Callable[[Plan], None] = ignored,
    progress: Progress = silent,
) -> Tuned:
    """Train the last stages of the bundled backbone and the head of `fitted` on one table; the best epoch on the other is kept.

    Where none beats the frozen head there, by accuracy and then by loss, `fitted` comes back. `deadline` is in time.monotonic().
    `folder` keeps the checkpoint, the log and the graph; `policy` takes the place of the recipe's augmentation and
    is not checked; the first `boundary` stages stay as they are; `planned` is told beforehand what it will take.

    Raises CallError for another backbone than the bundled one, DataError where no held-back picture is of a class to learn, and
    as `learn` and `decode` do.
    """
    places: dict[str, Any] = {"boundary": boundary, "folder": folder, "has_deadline": deadline is not None}
    prepared = prepare(fitted, training, held, recipe, policy=policy, progress=progress, **places)
    work, fitted, notes = prepared.work, prepared.fitted, list(prepared.notes)
    n_known = work.lesson.held.n
    until = None if deadline is None else max(deadline - reserve_s(len(training) + n_known), time.monotonic())
    more: dict[str, Any] = {"folder": folder, "told": told, "planned": planned, "progress": progress, "note": notes.append}
    taught = teach(work.lesson, deadline=until, **more)
    if not taught.history:
        return Tuned(fitted, (), (*notes, NOTE_NOTHING), taught.plan)
    backbone = export_tail(work.tail, work.weights, fitted.backbone, folder=folder)
    outcome = _Outcome.of(work, backbone, fitted)
    return replace(_better(outcome, fitted, taught.history, notes), plan=taught.plan)


@dataclass(frozen=True)
class Work:
    """A tail before its training, and what it will be trained on."""

    lesson: Lesson
    tail: Tail
    weights: Mapping[str, np.ndarray]  # of the whole backbone
    training: Decoded
    held: Decoded
    policy: Policy  # that training pictures are varied by


@dataclass(frozen=True)
class Prepared:
    """What `fine_tune` begins with; the frozen head knows which transforms change what its pictures show, and `notes` tell it."""

    work: Work
    fitted: Fitted
    notes: tuple[str, ...]


def prepare(
    fitted: Fitted,
    training: ImageTable,
    held: ImageTable,
    recipe: Recipe,
    *,
    policy: Policy | None = None,
    boundary: int = BOUNDARY,
    folder: Path | None = None,
    has_deadline: bool = False,
    progress: Progress = silent,
) -> Prepared:
    """All that `fine_tune` begins with, in each of several processes; raises as it does, but for what goes wrong later."""
    refuse_other_backbone(recipe)
    known = held.of_classes(training.classes)
    if not len(known):
        raise DataError("none of the held-back pictures is of a class that there are training pictures of. Hold back others.")
    recipe, fit, notes = tail_settings(recipe), fitted.backbone.fit, tuple[str, ...]()
    if policy is None:
        checked = suited_policy(POLICIES[recipe.augment], fitted)
        policy, notes = checked.policy, checked.notes
        fitted = replace(fitted, left_out=checked.left_out)
    order = Order(training, known, recipe, policy, fit, folder, has_deadline=has_deadline, boundary=boundary)
    order.give()
    return Prepared(_ordered(order, progress), fitted, notes)


def help_tuning(order: Order) -> None:
    """Take part, as one of several processes, in the training of the first."""
    teach(_ordered(order, silent).lesson, deadline=time.monotonic() if order.has_deadline else None, folder=order.folder)


def _ordered(order: Order, progress: Progress) -> Work:
    """What each process makes of an order for itself."""
    recipe, fit, classes = order.recipe, order.fit, order.training.classes
    boundary = BOUNDARY if order.boundary is None else order.boundary
    weights = lite0_weights()
    tail = make_tail(weights, recipe, n_classes=len(classes), boundary=boundary)
    stem = Stem(weights, side_px=fit.side_px, boundary=boundary)
    training = decode(order.training, wider(fit), classes, n_channels=3, progress=progress)
    held = decode(order.held, fit, classes, n_channels=3)
    varied = _varied(
        TrainingPixels(training, recipe, augmenter(recipe, policy=order.policy), picture_weights(training.table, recipe.balance)),
        stem,
        side_px=fit.side_px,
    )
    lesson = Lesson(
        tail,
        varied,
        HeldActivations(HeldPixels(held), stem),
        recipe,
        part="tail",
        default_epochs=DEFAULT_EPOCHS,
        most_epochs=MOST_EPOCHS,
        default_lr=HEAD_LR,
        n_frozen_below=stem.n_parameters,
        several=training.several,
    )
    return Work(lesson, tail, weights, training, held, order.policy)


def _varied(pixels: TrainingPixels, stem: Stem, *, side_px: int) -> VariedActivations:
    """The activations of varied views, as many of them kept as the first of several processes has room for."""
    recipe = pixels.recipe
    n_views = affordable_views(recipe.views or DEFAULT_VIEWS, n=pixels.n, view_bytes=stem.view_bytes)
    wait_for_all()
    n_views = round(of_first(n_views, torch.device("cpu")))
    return VariedActivations(pixels, stem, side_px=side_px, n_views=n_views)


def refuse_other_backbone(recipe: Recipe) -> None:
    """Raise CallError for another backbone than the bundled one, whose stages alone are known."""
    if recipe.arch != DEFAULT_ARCH or recipe.weights != "auto":
        raise CallError(
            f"the last stages alone are trained of the bundled {DEFAULT_ARCH}; train all of {recipe.arch}: --tune all"
        )


def make_tail(weights: Mapping[str, np.ndarray], recipe: Recipe, *, n_classes: int, boundary: int = BOUNDARY) -> Tail:
    """The tail that the recipe trains, before its training."""
    return Tail(weights, n_classes, boundary=boundary, side_px=recipe.side_px, dropout=recipe.settled.dropout or 0.0)


def tail_settings(recipe: Recipe) -> Recipe:
    """The recipe with what is left open chosen for a tail."""
    # On matrix products alone bfloat16 is twice as fast where the processor has it; convolutions would be slower in it.
    precision = "bfloat16" if recipe.precision == "auto" and cpu_has_bfloat16() else recipe.precision
    return replace(recipe.settled, batch=recipe.batch or BATCH, ema=recipe.ema or EMA, precision=precision)


def wider(fit: Fit) -> Fit:
    """The fit that shows what lies around the crop too, at the same scale; pictures are turned and shifted within it."""
    return Fit(round(fit.side_px / fit.crop_frac), fit.mode, 1.0) if fit.mode == "crop" else fit


def reserve_s(n_pictures: int) -> float:
    """Seconds at the end of the time for the export and for embedding so many pictures with it."""
    return RESERVE_S + n_pictures / PICTURES_PER_S


@dataclass(frozen=True)
class _Outcome:
    """The trained network as it will be served, and how it and the frozen one do on the held-back pictures."""

    fitted: Fitted
    scores: tuple[float, float]  # accuracy and negative loss, of the trained network
    frozen: tuple[float, float]
    n_held: int

    @classmethod
    def of(cls, work: Work, backbone: Backbone, fitted: Fitted) -> _Outcome:
        held, labels = work.held, work.held.labels.numpy()
        frozen = fitted.head.logits(embed(held.table, fitted.backbone).floats(held.table))
        sample = work.training.sampled(CENTRED)
        with tempfile.TemporaryDirectory() as scratch:  # in the cache these features would be of no use to any other run
            features = embed(sample.table, backbone, cache_folder=Path(scratch)).floats(sample.table)
            of_held = embed(held.table, backbone, cache_folder=Path(scratch)).floats(held.table)
        weights, bias = work.tail.head_on(backbone.n_features)
        head = replace(fitted.head, weights=weights, bias=bias, temperature=1.0)
        logits = head.logits(of_held)
        head = _calibrated(head, logits, labels)
        logits /= head.temperature
        tuned = _refitted(fitted, head, backbone, sample, features)
        tuned = replace(tuned, turned_freely=work.policy.degrees >= ANY)
        return cls(tuned, scores(logits, labels), scores(frozen, labels), len(labels))


def _calibrated(head: Head, logits: np.ndarray, labels: np.ndarray) -> Head:
    """The head with the temperature that suits its logits (N, K), where they are enough to tell."""
    if len(labels) < CALIBRATED:
        return head
    temperature = np.float32(fit_temperature(logits, labels))
    return replace(head, weights=head.weights / temperature, bias=head.bias / temperature, temperature=float(temperature))


def _refitted(fitted: Fitted, head: Head, backbone: Backbone, sample: Decoded, features: np.ndarray) -> Fitted:
    """What goes with the trained network, told from training pictures and their features (N, D)."""
    n_classes, rows = len(sample.classes), np.linspace(0, len(features) - 1, min(N_WITNESSES, len(features))).astype(int)
    centres, familiarity = class_centres(features, sample.labels.numpy(), n_classes=n_classes, width=backbone.blocks[0])
    witnesses = dict(zip((sample.table.paths[row] for row in rows), head.probabilities(features[rows]), strict=True))
    below = float(np.quantile(familiarity, UNKNOWN_QUANTILE))
    return replace(fitted, head=head, backbone=backbone, centres=centres, unknown_below=below, witnesses=witnesses)


def _better(outcome: _Outcome, fitted: Fitted, history: tuple[Epoch, ...], notes: list[str]) -> Tuned:
    (accuracy, _), (frozen, _) = outcome.scores, outcome.frozen
    pictures = counted(outcome.n_held, "held-back picture")
    if outcome.scores <= outcome.frozen:
        words = (
            f"Fine-tuning gave nothing better on the {pictures} ({accuracy:.1%}; the frozen head {frozen:.1%}), which is kept."
        )
        return Tuned(fitted, history, (*notes, words))
    words = f"On the {pictures} the fine-tuned network has {accuracy:.1%} right, the frozen head {frozen:.1%}."
    if min(accuracy, frozen) >= EASY:
        words += " So easy ones do not tell which is better on pictures from elsewhere; whole series do (--group-column)."
    return Tuned(outcome.fitted, history, (*notes, words))
