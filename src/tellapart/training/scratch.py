"""Training a whole network: ours and timm's from scratch, pretrained ones by fine-tuning all of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tellapart.data import ImageTable, fold_numbers
from tellapart.errors import DataError, PictureError, TellapartError
from tellapart.files import read_json, write_json
from tellapart.images.decoding import open_picture
from tellapart.progress import Progress, silent
from tellapart.training.augment.augmenters import augmenter
from tellapart.training.augment.policies import POLICIES, Policy
from tellapart.training.head import Head, fit_head, fit_temperature, log_loss
from tellapart.training.loop.devices import best_device, precision_context, to_device, uses_bfloat16
from tellapart.training.loop.finder import find_lr
from tellapart.training.loop.learning import learn
from tellapart.training.loop.logs import Epoch, ignored, telling
from tellapart.training.loop.processes import of_first, rank, refuse_disagreement, same_network, wait_for_all
from tellapart.training.networks.exporting import Served, export_backbone
from tellapart.training.networks.making import OURS, channels_of, fit_of, make_network, with_own_settings
from tellapart.training.networks.pictures import PictureNetwork
from tellapart.training.orders import Order
from tellapart.training.pixels import Decoded, HeldPixels, TrainingPixels, decode, picture_weights
from tellapart.training.recipe import Recipe
from tellapart.training.trainer import N_WITNESSES, UNKNOWN_QUANTILE, Fitted, class_centres
from tellapart.training.tuned import Tuned
from tellapart.words import counted

RATES_FILE = "rates.json"  # of the sweep: a `RateSweep`
MEASURED = 32  # pictures whose sides are looked at before a side is chosen
DEFAULT_EPOCHS = 20  # from scratch, where neither epochs nor a budget are given; a guess
MOST_EPOCHS = 200  # that a budget may be filled with
CENTRED = 4_000  # training pictures, at most, that the classes' centres are the means of
CALIBRATED = 50  # held-back pictures, at least, that a temperature is fitted to
RESERVE_S = 4.0  # of the time, for the export; it took 2 s for EfficientNet-Lite0
BATCH = 256  # of pictures that are only looked at
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
    progress: Progress = silent,
) -> Tuned:
    """Train the recipe's network on one table and choose its best epoch on the other; a pretrained one begins at its frozen head.

    `deadline` is in time.monotonic(). `folder` keeps the checkpoint, the log and the graph; `policy` takes the place of the
    recipe's augmentation. Pictures of either table that cannot be read are left out, with a note. Raises as `learn`,
    `make_network` and `decode` do, DataError where no held-back picture is of a class to learn, and TellapartError where there
    was no time to learn anything from scratch.
    """
    recipe = with_own_settings(recipe)
    policy = policy or POLICIES[recipe.augment]
    known = held.take(row for row, label in enumerate(held.labels) if label in set(training.classes))
    if not len(known):
        raise DataError("none of the held-back pictures is of a class that there are training pictures of. Hold back others.")
    fit = fit_of(recipe, _own_px(training.paths))
    order = Order(training, known, recipe, policy, fit, folder, has_deadline=deadline is not None)
    order.give()
    work = _Work.of(order, progress)
    network, notes = work.network, _notes(work, order, n_strange=len(held) - len(known))
    frozen = _warm(network, work.training, recipe, progress) if network.pretrained else None
    start = _Start.of(network, work.held, recipe) if frozen else None
    served = Served(network, mirrored=recipe.arch in OURS and policy.flip > 0)
    until = None if deadline is None else max(deadline - _closing_s(served, work, recipe), time.monotonic())
    lr, passes = _learn(work, order, deadline=until, progress=progress, note=notes.append)
    history = telling(passes, told)
    if not history and not start:
        raise TellapartError(" ".join([*notes, NOTE_NOTHING]))
    if start and not start.is_beaten_by(history):
        network.load_state_dict(start.weights)
        notes.append(NOTE_FROZEN.format(counted(len(work.held.table), "held-back picture")))
    fitted = _fitted(served, work, replace(recipe, lr=lr), frozen, folder)
    return Tuned(fitted, history, tuple(notes))


def help_training(order: Order) -> None:
    """Take part, as one of several processes, in the training of the first."""
    _, passes = _learn(_Work.of(order, silent), order, deadline=time.monotonic() if order.has_deadline else None)
    for _ in passes:
        pass


def _learn(
    work: _Work, order: Order, *, deadline: float | None, progress: Progress = silent, note: Callable[[str], None] = ignored
) -> tuple[float, Iterator[Epoch]]:
    """The rate and the passes of the training, which all processes do together."""
    recipe, network = order.recipe, work.network
    wait_for_all()
    refuse_disagreement("pictures", len(work.training.pixels) + len(work.held.pixels) / 2, best_device())
    same_network(network)
    weights = picture_weights(work.training.table, recipe.balance)
    examples = TrainingPixels(work.training, recipe, augmenter(recipe, policy=order.policy), weights)
    lr = recipe.lr if recipe.lr is not None else _found_rate(network, examples, recipe, order.folder, progress)
    epochs = recipe.epochs or (MOST_EPOCHS if order.has_deadline else DEFAULT_EPOCHS)
    more: dict[str, Any] = {"deadline": deadline, "folder": order.folder, "progress": progress, "note": note}
    return lr, learn(network, examples, HeldPixels(work.held), recipe, lr=lr, epochs=epochs, **more)


def _found_rate(
    network: PictureNetwork, examples: TrainingPixels, recipe: Recipe, folder: Path | None, progress: Progress
) -> float:
    """What a sweep of rates suggests; kept in the folder, since a training that is gone on with must have the same one."""
    kept = folder / RATES_FILE if folder else None
    found = float(read_json(kept)["valley"]) if kept and kept.is_file() else 0.0
    if found := of_first(found, best_device()):
        return found
    sweep = find_lr(network, examples, recipe, progress=progress)
    if kept and rank() == 0:
        write_json(kept, asdict(sweep))
    return sweep.suggestion


def _notes(work: _Work, order: Order, *, n_strange: int) -> list[str]:
    n_lost = len(order.training) + len(order.held) - len(work.training.table) - len(work.held.table)
    notes = []
    if n_lost:
        notes.append(f"{counted(n_lost, 'picture')} could no longer be read and {'was' if n_lost == 1 else 'were'} left out.")
    if n_strange:
        notes.append(f"{counted(n_strange, 'held-back picture')} of classes without a training picture had no say.")
    return notes


@dataclass(frozen=True)
class _Work:
    """What is trained on what."""

    training: Decoded
    held: Decoded
    network: PictureNetwork

    @classmethod
    def of(cls, order: Order, progress: Progress) -> _Work:
        recipe, classes = order.recipe, order.training.classes
        decoded = decode(order.training, order.fit, classes, n_channels=channels_of(recipe), progress=progress)
        held = decode(order.held, order.fit, classes, n_channels=decoded.pixels.shape[1], progress=progress)
        network = make_network(recipe, decoded.pixels, n_classes=len(classes), levels=decoded.channel_statistics())
        return cls(decoded, held, network.to(best_device()))


def _own_px(paths: Sequence[str]) -> int:
    """The shorter side that pictures have, the median of a few."""
    sides = []
    for path in paths[:: max(1, len(paths) // MEASURED)]:
        try:
            sides.append(min(open_picture(path).size))
        except PictureError:
            continue
    return int(np.median(sides)) if sides else 0


@dataclass(frozen=True)
class _Start:
    """A network before it was trained, and how it did on the held-back pictures."""

    weights: dict[str, torch.Tensor]
    accuracy: float
    loss: float

    @classmethod
    def of(cls, network: PictureNetwork, held: Decoded, recipe: Recipe) -> _Start:
        logits = _logits(network, _features(Served(network, mirrored=False), held, recipe))
        labels = held.labels.numpy()
        weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return cls(weights, float((logits.argmax(1) == labels).mean()), log_loss(logits, labels))

    def is_beaten_by(self, history: Sequence[Epoch]) -> bool:
        """Whether the best epoch did better: by accuracy, then by loss."""
        scores = [(epoch.valid_accuracy, -epoch.valid_loss) for epoch in history]
        return bool(scores) and max(scores) > (self.accuracy, -self.loss)


def _warm(network: PictureNetwork, decoded: Decoded, recipe: Recipe, progress: Progress) -> Head:
    """Let the network begin with the head that its frozen features have: the one that is returned."""
    features = _features(Served(network, mirrored=False), decoded, recipe, progress)
    table = decoded.table
    folds = fold_numbers(table, n_folds=recipe.folds, seed=recipe.seed)
    head = fit_head(
        features,
        decoded.labels.numpy(),
        folds,
        n_classes=len(decoded.classes),
        blocks=(features.shape[1],),
        balance=recipe.balance,
        sample_weights=np.array(table.weights),
        seed=recipe.seed,
    )
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.weights.T))
        network.head.bias.copy_(torch.from_numpy(head.bias))
    return head


def _closing_s(served: Served, work: _Work, recipe: Recipe) -> float:
    """The seconds that the work after the training will take, from what two batches take now."""
    trial = work.training.sampled(2 * BATCH)
    began = time.monotonic()
    _features(served, trial, recipe)
    n_later = min(CENTRED, len(work.training.pixels)) + len(work.held.pixels)
    return RESERVE_S + (time.monotonic() - began) * n_later / len(trial.pixels)


def _fitted(served: Served, work: _Work, recipe: Recipe, frozen: Head | None, folder: Path | None) -> Fitted:
    """What a bundle is written from: the network as a backbone, its last layer as a head with the temperature that suits it."""
    network, n_classes = served.network, len(work.training.classes)
    logits, labels = _logits(network, _features(served, work.held, recipe)), work.held.labels.numpy()
    temperature = fit_temperature(logits, labels) if len(labels) >= CALIBRATED else 1.0
    weights, bias = (
        tensor.detach().cpu().numpy() / np.float32(temperature) for tensor in (network.head.weight.T, network.head.bias)
    )
    none_known = np.empty((0, n_classes), np.float32)  # what a trained network says of its own training pictures proves nothing
    head = Head(np.ascontiguousarray(weights), bias, 0.0, temperature, frozen.fold_probabilities if frozen else none_known)
    sample = work.training.sampled(CENTRED)
    features = _features(served, sample, recipe)
    centres, familiarity = class_centres(features, sample.labels.numpy(), n_classes=n_classes, width=features.shape[1])
    rows = np.linspace(0, len(features) - 1, min(N_WITNESSES, len(features))).astype(int)
    witnesses = dict(zip((sample.table.paths[row] for row in rows), head.probabilities(features[rows]), strict=True))
    words = "trained from scratch" if not network.pretrained else f"fine-tuned from {recipe.weights}"
    backbone = export_backbone(served, work.training.fit, arch=recipe.arch, weights=words, folder=folder)
    below = float(np.quantile(familiarity, UNKNOWN_QUANTILE))
    return Fitted(head, work.training.table, backbone, recipe, centres, below, witnesses)


def _features(served: Served, decoded: Decoded, recipe: Recipe, progress: Progress = silent) -> np.ndarray:
    """(N, D) float32 of the pictures as they are, in the precision of the training."""
    device = next(served.parameters()).device
    context = precision_context(device, bfloat16=uses_bfloat16(recipe, device))
    parts = []
    served.eval()
    for start in range(0, len(decoded.pixels), BATCH):
        pictures = to_device(decoded.pixels[start : start + BATCH], device)
        with torch.inference_mode(), context:
            parts.append(served(pictures.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)).float().cpu().numpy())
        progress("embedding", min(start + BATCH, len(decoded.pixels)), len(decoded.pixels))
    return np.concatenate(parts)


def _logits(network: PictureNetwork, features: np.ndarray) -> np.ndarray:
    weights, bias = (tensor.detach().cpu().numpy() for tensor in (network.head.weight, network.head.bias))
    logits: np.ndarray = features @ weights.T + bias
    return logits
