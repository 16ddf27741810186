"""Training a whole network: ours and timm's from scratch, pretrained ones by fine-tuning all of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tellapart.data import ImageTable, fold_numbers
from tellapart.data.looks import look
from tellapart.errors import DataError, TellapartError
from tellapart.images import Fit
from tellapart.progress import Progress, silent
from tellapart.training.augment.augmenters import augmenter
from tellapart.training.augment.policies import POLICIES, Policy
from tellapart.training.head import Head, fit_head, fit_temperature, log_loss, share_right
from tellapart.training.loop.devices import best_device
from tellapart.training.loop.lessons import Lesson
from tellapart.training.loop.logs import Epoch, best_epoch, ignored
from tellapart.training.loop.planning import Plan
from tellapart.training.loop.teaching import teach
from tellapart.training.networks.embedding import Embedder
from tellapart.training.networks.exporting import Served, export_backbone
from tellapart.training.networks.making import channels_of, fit_of, make_network, with_own_settings
from tellapart.training.networks.pictures import PictureNetwork
from tellapart.training.orders import Order
from tellapart.training.pixels import Decoded, HeldPixels, TrainingPixels, decode, picture_weights
from tellapart.training.recipe import OWN_NETWORKS, Recipe
from tellapart.training.trainer import N_WITNESSES, UNKNOWN_QUANTILE, Fitted, class_centres
from tellapart.training.tuned import Tuned
from tellapart.words import counted

DEFAULT_EPOCHS = 20  # from scratch, where neither epochs nor a budget are given; a guess
MOST_EPOCHS = 200  # that a budget may be filled with
CENTRED = 4_000  # training pictures, at most, that the classes' centres are the means of
CALIBRATED = 50  # held-back pictures, at least, that a temperature is fitted to
RESERVE_S = 4.0  # of the time, for the export; it took 2 s for EfficientNet-Lite0
N_TRIED = 512  # pictures that are looked at to tell how long all will take
NOTE_NOTHING = "Nothing was learned, so that there is no network to keep. Give it more time (--budget), or a lower rate (--lr)."
NOTE_FROZEN = "Training the whole network made it no better on the {}; the frozen head is kept."


def train_network(
    training: ImageTable,
    held: ImageTable,
    recipe: Recipe,
    *,
    deadline: float | None = None,
    folder: Path | None = None,
    policy: Policy | None = None,
    told: Callable[[Epoch], None] = ignored,
    planned: Callable[[Plan], None] = ignored,
    progress: Progress = silent,
) -> Tuned:
    """Train the recipe's network on one table and choose its best epoch on the other; a pretrained one begins at its frozen head.

    `deadline` is in time.monotonic(). `folder` keeps the checkpoint, the log and the graph; `policy` takes the place of the
    recipe's augmentation; `planned` is told beforehand what it will take. Pictures of either table that cannot be read are left
    out, with a note. Raises as `learn`,
    `make_network` and `decode` do, DataError where no held-back picture is of a class to learn, and TellapartError where there
    was no time to learn anything from scratch.
    """
    places: dict[str, Any] = {"folder": folder, "has_deadline": deadline is not None}
    prepared = prepare(training, held, recipe, policy=policy, progress=progress, **places)
    work, start, notes = prepared.work, prepared.start, list(prepared.notes)
    until = None if deadline is None else max(deadline - _closing_s(work, prepared.embed), time.monotonic())
    more: dict[str, Any] = {"folder": folder, "told": told, "planned": planned, "progress": progress, "note": notes.append}
    taught = teach(work.lesson, deadline=until, **more)
    history = taught.history
    if not history and not start:
        raise TellapartError(" ".join([*notes, NOTE_NOTHING]))
    if start and not start.is_beaten_by(history):
        work.network.load_state_dict(start.weights)
        notes.append(NOTE_FROZEN.format(counted(len(work.held.table), "held-back picture")))
    recipe = replace(work.lesson.recipe, lr=taught.lr)
    return Tuned(_fitted(work, recipe, start.head if start else None, folder), history, tuple(notes), taught.plan)


@dataclass(frozen=True)
class Work:
    """A network before its training, and what it will be trained on."""

    lesson: Lesson
    network: PictureNetwork
    training: Decoded
    held: Decoded
    served: Served


@dataclass(frozen=True)
class Prepared:
    """What `train_network` begins with: `embed` has the features of the untrained network, `start` is a pretrained one's."""

    work: Work
    embed: Embedder
    start: _Start | None
    notes: tuple[str, ...]


def prepare(
    training: ImageTable,
    held: ImageTable,
    recipe: Recipe,
    *,
    policy: Policy | None = None,
    folder: Path | None = None,
    has_deadline: bool = False,
    progress: Progress = silent,
) -> Prepared:
    """All that `train_network` begins with, in each of several processes; raises as it does, but for what goes wrong later."""
    recipe, looks = with_own_settings(recipe), look(training.paths)
    known = held.of_classes(training.classes)
    if not len(known):
        raise DataError("none of the held-back pictures is of a class that there are training pictures of. Hold back others.")
    fit = fit_of(recipe, looks)
    order = Order(training, known, recipe, policy or POLICIES[recipe.augment], fit, folder, has_deadline=has_deadline)
    order.give()
    work = _ordered(order, progress)
    embed = Embedder.of(work.served, recipe, fit)
    start = _Start.of(work, embed, progress) if work.network.pretrained else None
    n_lost = len(training) + len(known) - len(work.training.table) - len(work.held.table)
    side_note = (looks.side_note(fit),) if recipe.arch in OWN_NETWORKS and recipe.size is None else ()
    return Prepared(work, embed, start, (*side_note, *_notes(n_lost=n_lost, n_strange=len(held) - len(known))))


def help_training(order: Order) -> None:
    """Take part, as one of several processes, in the training of the first."""
    teach(_ordered(order, silent).lesson, deadline=time.monotonic() if order.has_deadline else None, folder=order.folder)


def _ordered(order: Order, progress: Progress) -> Work:
    """What each process makes of an order for itself."""
    recipe, classes = order.recipe, order.training.classes
    decoded, network = decoded_with_network(order.training, classes, recipe, order.fit, progress=progress)
    held = decode(order.held, order.fit, classes, n_channels=decoded.pixels.shape[1], progress=progress)
    network = network.to(best_device())
    weights = picture_weights(decoded.table, recipe.balance)
    lesson = Lesson(
        network,
        TrainingPixels(decoded, recipe, augmenter(recipe, policy=order.policy), weights),
        HeldPixels(held),
        recipe,
        part="all",
        default_epochs=DEFAULT_EPOCHS,
        most_epochs=MOST_EPOCHS,
        several=decoded.several,
    )
    return Work(lesson, network, decoded, held, Served(network, mirrored=recipe.arch in OWN_NETWORKS and order.policy.flip > 0))


def decoded_with_network(
    table: ImageTable, classes: tuple[str, ...], recipe: Recipe, fit: Fit, *, progress: Progress = silent
) -> tuple[Decoded, PictureNetwork]:
    """Fitted training pictures as the recipe's network wants them, and that network for so many classes, on the CPU."""
    decoded = decode(table, fit, classes, n_channels=channels_of(recipe), progress=progress)
    levels = decoded.channel_statistics()
    return decoded, make_network(recipe, decoded.pixels, n_classes=len(classes), levels=levels)


def _notes(*, n_lost: int, n_strange: int) -> tuple[str, ...]:
    were = "was" if n_lost == 1 else "were"
    lost = f"{counted(n_lost, 'picture')} could no longer be read and {were} left out."
    strange = f"{counted(n_strange, 'held-back picture')} of classes without a training picture had no say."
    return tuple(note for note, n in ((lost, n_lost), (strange, n_strange)) if n)


@dataclass(frozen=True)
class _Start:
    """A pretrained network with the head that its frozen features have, and how it did on the held-back pictures."""

    head: Head
    weights: dict[str, torch.Tensor]
    accuracy: float
    loss: float

    @classmethod
    def of(cls, work: Work, embed: Embedder, progress: Progress) -> _Start:
        """Let the network begin with that head."""
        network, head = work.network, _frozen_head(embed(work.training, progress), work.training, work.lesson.recipe)
        with torch.no_grad():
            network.head.weight.copy_(torch.from_numpy(head.weights.T))
            network.head.bias.copy_(torch.from_numpy(head.bias))
        logits, labels = _logits(network, embed(work.held)), work.held.labels.numpy()
        weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return cls(head, weights, share_right(logits, labels), log_loss(logits, labels))

    def is_beaten_by(self, history: Sequence[Epoch]) -> bool:
        """Whether the best epoch did better: by accuracy, then by loss."""
        best = best_epoch(history)
        return best is not None and (best.valid_accuracy, -best.valid_loss) > (self.accuracy, -self.loss)


def _frozen_head(features: np.ndarray, decoded: Decoded, recipe: Recipe) -> Head:
    """The head that suits the pictures' features (N, D)."""
    table = decoded.table
    return fit_head(
        features,
        decoded.labels.numpy(),
        fold_numbers(table, n_folds=recipe.folds, seed=recipe.seed),
        n_classes=len(decoded.classes),
        blocks=(features.shape[1],),
        balance=recipe.balance,
        sample_weights=np.array(table.weights),
        seed=recipe.seed,
    )


def _closing_s(work: Work, embed: Embedder) -> float:
    """The seconds that the work after the training will take, from what a few pictures take now."""
    trial = work.training.sampled(N_TRIED)
    embed(trial.sampled(1))  # what is compiled first is not counted a picture
    began = time.monotonic()
    embed(trial)
    n_later = min(CENTRED, len(work.training.pixels)) + len(work.held.pixels)
    return RESERVE_S + (time.monotonic() - began) * n_later / len(trial.pixels)


def _fitted(work: Work, recipe: Recipe, frozen: Head | None, folder: Path | None) -> Fitted:
    """What a bundle is written from: the network as a backbone, its last layer as a head with the temperature that suits it."""
    served, network, n_classes = work.served, work.network, len(work.training.classes)
    words = "trained from scratch" if not network.pretrained else f"fine-tuned from {recipe.weights}"
    backbone = export_backbone(served, work.training.fit, arch=recipe.arch, weights=words, folder=folder)
    embed = Embedder.of(served, recipe, backbone.fit, graph=backbone.path)
    logits, labels = _logits(network, embed(work.held)), work.held.labels.numpy()
    temperature = fit_temperature(logits, labels) if len(labels) >= CALIBRATED else 1.0
    weights, bias = (
        tensor.detach().cpu().numpy() / np.float32(temperature) for tensor in (network.head.weight.T, network.head.bias)
    )
    none_known = np.empty((0, n_classes), np.float32)  # what a trained network says of its own training pictures proves nothing
    held_out = frozen.fold_probabilities if frozen else none_known
    head = Head(np.ascontiguousarray(weights), bias, 0.0, temperature, held_out, several=work.training.several)
    sample = work.training.sampled(CENTRED)
    features = embed(sample)
    centres, familiarity = class_centres(features, sample.labels.numpy(), n_classes=n_classes, width=features.shape[1])
    shown = sample.sampled(N_WITNESSES)
    exact = Embedder(served, replace(recipe, precision="float32"), None)(shown)  # what is exported is checked against no rounding
    witnesses = dict(zip(shown.table.paths, head.probabilities(exact), strict=True))
    below = float(np.quantile(familiarity, UNKNOWN_QUANTILE))
    return Fitted(head, work.training.table, backbone, recipe, centres, below, witnesses)


def _logits(network: PictureNetwork, features: np.ndarray) -> np.ndarray:
    weights, bias = (tensor.detach().cpu().numpy() for tensor in (network.head.weight, network.head.bias))
    logits: np.ndarray = features @ weights.T + bias
    return logits
