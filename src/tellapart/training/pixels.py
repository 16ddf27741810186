"""Pictures held as pixels, to train a whole network on: decoded once, fitted once, varied anew in every pass."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch

from tellapart.data import ImageTable
from tellapart.errors import DataError, PictureError, StorageError
from tellapart.files import cache_dir
from tellapart.images import Fit
from tellapart.images.limits import RGB_CHANNELS
from tellapart.inference.streaming import DECODE_THREADS
from tellapart.progress import Progress, silent
from tellapart.training.augment.augmenters import Augmenter, generator_of
from tellapart.training.augment.mixing import mix
from tellapart.training.augment.parts import Part
from tellapart.training.loop.examples import Batch
from tellapart.training.recipe import Recipe

HELD_BYTES = 2 * 2**30  # of pixels in memory; more lie in a file that is mapped. A guess: 14,000 pictures of 224 px
CHUNK = 256  # pictures that a thread decodes before it says how far it is
SAMPLED = 2000  # pictures whose pixels say what the mean of a channel is; the mean of 60,000 is the same to a fifth of a level


@dataclass(frozen=True)
class Decoded:
    """A table's readable pictures, fitted."""

    table: ImageTable  # those that cannot be read are in `table.skipped`
    pixels: torch.Tensor  # (N, C, side, side) uint8; C is the fit's, or 1 where RGB was asked for as grey, or all are grey
    fit: Fit

    classes: tuple[str, ...]

    @cached_property
    def labels(self) -> torch.Tensor:
        """(N,) int64, places in `classes`; of several labels a picture (N, K) float32, zeros and ones."""
        targets = torch.from_numpy(self.table.targets_in(self.classes))
        return targets.float() if self.several else targets

    @property
    def several(self) -> bool:
        """Whether a picture may have several labels."""
        return self.table.multi_label

    def sampled(self, most: int) -> Decoded:
        """At most so many of the pictures, evenly spread."""
        rows = range(0, len(self.pixels), max(1, -(-len(self.pixels) // most)))
        return Decoded(self.table.take(rows), self.pixels[rows.start : rows.stop : rows.step], self.fit, self.classes)

    def channel_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, of 0 to 255, as a sample of pictures has them."""
        sample = self.pixels[:: max(1, len(self.pixels) // SAMPLED)].double()
        return sample.mean((0, 2, 3)).tolist(), sample.std((0, 2, 3)).clamp(min=1.0).tolist()


def decode(
    table: ImageTable, fit: Fit, classes: tuple[str, ...], *, n_channels: int | None = None, progress: Progress = silent
) -> Decoded:
    """Open and fit the table's pictures, all of which are of these classes.

    `n_channels` is 1 or the fit's, by default 1 where that is 3 and every picture is grey. Up to 2 GB of pixels are held in
    memory, more in a file under the cache that is gone with the process. Raises DataError where no picture can be read,
    StorageError where there is no room for that file.
    """
    pixels = _room((len(table), fit.n_channels, fit.side_px, fit.side_px))
    failures, is_grey = dict[str, str](), True
    chunks = [range(first, min(first + CHUNK, len(table))) for first in range(0, len(table), CHUNK)]
    with ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode") as pool:
        for rows, (failed, grey) in zip(chunks, pool.map(partial(_decode, table, fit, pixels), chunks), strict=True):
            failures |= failed
            is_grey &= grey
            progress("decoding", rows.stop, len(table))
    if set(table.sha256) == failures.keys():
        raise DataError(f"none of the {len(table)} files can be read as a picture: {next(iter(failures.values()))}")
    n_kept = n_channels or (1 if is_grey else fit.n_channels)
    kept = [row for row, digest in enumerate(table.sha256) if digest not in failures]
    chosen = pixels if len(kept) == len(table) else pixels[kept]
    tensor = torch.from_numpy(np.ascontiguousarray(chosen[:, :1]) if n_kept == 1 else chosen)
    return Decoded(table.without(failures), tensor, fit, classes)


def _room(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised uint8 array, in memory or, where it is large, in an unnamed file that is mapped."""
    if np.prod(shape) <= HELD_BYTES:
        return np.empty(shape, np.uint8)
    try:
        folder = cache_dir() / "pixels"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:  # the map outlives it, and the file is gone with the map
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as error:
        size = f"{np.prod(shape) / 1e9:.0f} GB"
        raise StorageError(
            f"{size} of pixels cannot be kept in {folder}: {error.strerror}. Make room, or take a smaller --size."
        ) from error


def _decode(table: ImageTable, fit: Fit, pixels: np.ndarray, rows: range) -> tuple[dict[str, str], bool]:
    """Write these rows of `pixels`; the pictures that failed by digest, and whether the others are all grey."""
    failures = dict[str, str]()
    for row in rows:
        try:
            pixels[row] = fit.read(table.paths[row]).transpose(2, 0, 1)
        except PictureError as error:
            failures[table.sha256[row]] = str(error)
            pixels[row] = 0
    part = pixels[rows.start : rows.stop]
    return failures, fit.n_channels == RGB_CHANNELS and bool(
        (part[:, 0] == part[:, 1]).all() and (part[:, 0] == part[:, 2]).all()
    )


@dataclass(frozen=True)
class TrainingPixels:
    """Shuffled and varied batches; see `Examples` for what a batch depends on."""

    decoded: Decoded
    recipe: Recipe
    augment: Augmenter
    weights: torch.Tensor | None = None  # (N,) how much each picture counts

    @property
    def n(self) -> int:
        return len(self.decoded.pixels)

    def batches(self, epoch: int, size: int, *, first: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        order, own = self._order(epoch), slice(share[0], None, share[1])
        for number, start in list(enumerate(range(0, self.n, size)))[first:]:
            rows = torch.from_numpy(order[start : start + size])
            generator = generator_of(self.recipe.seed, epoch, number)
            if not self.recipe.mixup and not self.recipe.cutmix:
                yield self._varied(rows[own], generator, Part(len(rows), own))
            else:  # whole: a picture may be mixed with one of another process
                whole = self._varied(rows, generator, Part(len(rows)))
                n_classes = len(self.decoded.classes)
                mixed = mix(whole.inputs, whole.targets, self.recipe, generator, n_classes=n_classes, weights=whole.weights)
                yield Batch(*mixed).of(share)

    def _varied(self, rows: torch.Tensor, generator: torch.Generator, part: Part) -> Batch:
        pictures = self.augment(self.decoded.pixels[rows], generator, part)
        return Batch(pictures, self.decoded.labels[rows], None if self.weights is None else self.weights[rows])

    def _order(self, epoch: int) -> np.ndarray:
        """The rows of a pass: each once, or with "balanced" sampling as many of each class."""
        rng = np.random.default_rng([self.recipe.seed, epoch])
        if self.recipe.sampling == "as_is":
            return rng.permutation(self.n)
        codes = self.decoded.labels.numpy()
        share = 1 / np.bincount(codes)[codes]
        return rng.choice(self.n, self.n, p=share / share.sum())


@dataclass(frozen=True)
class HeldPixels:
    """Pictures as they are, in order."""

    decoded: Decoded

    @property
    def n(self) -> int:
        return len(self.decoded.pixels)

    def batches(self, epoch: int, size: int, *, first: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        labels = self.decoded.labels
        for start in range(first * size, self.n, size):
            rows = slice(start + share[0], min(start + size, self.n), share[1])
            yield Batch(self.decoded.pixels[rows], labels[rows])


def picture_weights(table: ImageTable, balance: float) -> torch.Tensor | None:
    """(N,) how much each picture counts, 1 in the mean: by itself, and by its class with `balance`. None: all alike.

    Raises DataError for `balance` where pictures have several labels.
    """
    weights = np.asarray(table.weights)
    if balance:
        codes = table.codes
        weights = weights * (len(codes) / np.bincount(codes)[codes]) ** balance
    if np.ptp(weights) == 0:
        return None
    return torch.from_numpy((weights / weights.mean()).astype(np.float32))
