"""What the frozen stages say of varied views, as examples for the loop: computed when needed, kept where they come again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from tellapart.errors import StorageError
from tellapart.files import cache_dir
from tellapart.training.loop.examples import Batch
from tellapart.training.loop.processes import put_together
from tellapart.training.pixels import HeldPixels, TrainingPixels
from tellapart.training.tails.stems import Stem

MOST_BYTES = 4 * 2**30  # of kept activations on disk; a guess: 90,000 views
FREE_PART = 0.5  # of the disk's free room, at most
Share = tuple[int, int]  # see `Examples.batches`


class VariedActivations:
    """Activations of varied views of the training pictures.

    Each of the first `n_views` passes has new views. Of the later ones every second has, and the others look again at kept views,
    which the loop takes in twice as fast; None: new views in every pass. Of several processes each keeps the views that it made,
    and they put the batches of a later pass together. `pixels` holds the pictures a little larger than the
    network's input, so that turning and shifting bring in what truly lies beside it; the middle `side_px` are looked at.
    """

    def __init__(self, pixels: TrainingPixels, stem: Stem, *, side_px: int, n_views: int | None = None) -> None:
        self._pixels, self._stem, self._side_px, self._n_views = pixels, stem, side_px, n_views
        self._kept: dict[int, _Pass] = {}  # by the epoch that made them, the oldest first

    @property
    def n(self) -> int:
        return self._pixels.n

    def batches(self, epoch: int, size: int, *, first: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        if self._n_views is None:
            return self._computed(epoch, size, first, share)
        seen = epoch_of_views(epoch, self._n_views)
        if seen == epoch:
            return self._noted(epoch, size, first, share)
        return self._again(self._whole(seen, size, share), epoch, size, first, share)

    def _computed(self, epoch: int, size: int, first: int, share: Share) -> Iterator[Batch]:
        for batch in self._pixels.batches(epoch, size, first=first, share=share):
            yield Batch(self._stem(middle(batch.inputs, self._side_px)), batch.targets, batch.weights)

    def _noted(self, epoch: int, size: int, first: int, share: Share) -> Iterator[Batch]:
        for place, batch in enumerate(self._computed(epoch, size, first, share), start=first):
            self._pass_of(epoch, size, share).put(place * size, batch)
            yield batch

    def _pass_of(self, epoch: int, size: int, share: Share) -> _Pass:
        if epoch not in self._kept:
            if len(self._kept) == self._n_views:
                del self._kept[min(self._kept)]
            self._kept[epoch] = _Pass(self.n, size, share)
        return self._kept[epoch]

    def _whole(self, epoch: int, size: int, share: Share) -> _Pass:
        """The kept views of an epoch; what is missing, after a resume or a halved batch, is computed again."""
        kept = self._pass_of(epoch, size, share)
        while (row := kept.first_missing()) is not None:
            for _ in self._noted(epoch, size, row // size, share):
                if kept.first_missing() is None:
                    break
        return kept

    def _again(self, kept: _Pass, epoch: int, size: int, first: int, share: Share) -> Iterator[Batch]:
        order = np.random.default_rng([self._pixels.recipe.seed, epoch]).permutation(self.n)
        for start in range(first * size, self.n, size):
            inputs, targets, weights = kept.take(order[start : start + size])
            whole = Batch(put_together(inputs), put_together(targets), None if weights is None else put_together(weights))
            yield whole if share == (0, 1) else whole.of(share)


def epoch_of_views(epoch: int, n_views: int) -> int:
    """The epoch whose views this one looks at: itself where they are new, else one of the last `n_views` that had new ones."""
    behind = epoch - n_views
    if behind < 0 or behind % 2:
        return epoch
    made: list[int] = [*range(n_views), *range(n_views + 1, epoch, 2)]
    return made[-n_views:][behind // 2 % n_views]


class _Pass:
    """The batches of one pass, or this process's share of them, kept in a file that is gone with the process."""

    def __init__(self, n: int, size: int, share: Share) -> None:
        self._inputs: np.ndarray | None = None
        self._targets: Tensor | None = None
        self._weights: Tensor | None = None
        self._share = share
        self._is_missing = np.arange(n) % size % share[1] == share[0]

    def first_missing(self) -> int | None:
        """The first row of this process that was not put; None where all are there."""
        missing = np.flatnonzero(self._is_missing)
        return int(missing[0]) if len(missing) else None

    def put(self, start: int, batch: Batch) -> None:
        if self._inputs is None or self._targets is None:
            n = len(self._is_missing)
            self._inputs = room((n, *batch.inputs.shape[1:]))  # zeros
            self._targets = torch.zeros((n, *batch.targets.shape[1:]), dtype=batch.targets.dtype)
            self._weights = None if batch.weights is None else torch.zeros(n)
        rank, n_processes = self._share
        first = start + rank
        rows = slice(first, first + n_processes * len(batch.inputs), n_processes)
        self._inputs[rows] = batch.inputs.numpy()
        self._targets[rows] = batch.targets
        if self._weights is not None and batch.weights is not None:
            self._weights[rows] = batch.weights
        self._is_missing[rows] = False

    def take(self, rows: np.ndarray) -> Batch:
        """These rows; in the place of those of other processes zeros."""
        assert self._inputs is not None
        assert self._targets is not None
        places = torch.from_numpy(rows)
        weights = None if self._weights is None else self._weights[places]
        return Batch(torch.from_numpy(self._inputs[rows]), self._targets[places], weights)


class HeldActivations:
    """Activations of the held-back pictures as they are, computed once and kept."""

    def __init__(self, pixels: HeldPixels, stem: Stem, *, size: int = 64) -> None:
        self.n = pixels.n
        self._targets: list[Tensor] = []
        self._inputs = np.empty(0, np.float16)
        for number, batch in enumerate(pixels.batches(0, size)):
            activations = stem(batch.inputs).numpy()
            if number == 0:
                self._inputs = room((self.n, *activations.shape[1:]))
            self._inputs[number * size : number * size + len(activations)] = activations
            self._targets.append(batch.targets)

    def batches(self, epoch: int, size: int, *, first: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        targets = torch.cat(self._targets)
        for start in range(first * size, self.n, size):
            rows = slice(start + share[0], min(start + size, self.n), share[1])
            yield Batch(torch.from_numpy(self._inputs[rows].copy()), targets[rows])


def middle(pictures: Tensor, side_px: int) -> Tensor:
    """The middle (n, C, side, side) of pictures that may be larger."""
    top, left = ((length - side_px) // 2 for length in pictures.shape[2:])
    return pictures[:, :, top : top + side_px, left : left + side_px]


def room(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros in float16 in an unnamed file under the cache: the file is gone with it. Raises StorageError."""
    folder = cache_dir() / "activations"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:  # the map outlives it
            return np.memmap(file, np.float16, "w+", shape=shape)
    except OSError as error:
        size = f"{2 * np.prod(shape) / 1e9:.1f} GB"
        raise StorageError(f"{size} of activations cannot be kept in {folder}: {error.strerror}. Make room there.") from error


def affordable_views(wanted: int, *, n: int, view_bytes: int) -> int:
    """How many of the `wanted` passes over `n` pictures there is room for on disk, at least 1."""
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    available = min(MOST_BYTES, FREE_PART * shutil.disk_usage(folder).free)
    return max(1, min(wanted, int(available // max(1, n * view_bytes))))
