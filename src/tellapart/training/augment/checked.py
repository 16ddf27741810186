"""The policy of a training, checked on its own pictures by the frozen backbone and the head that was fitted first."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tellapart.errors import PictureError
from tellapart.images import Fit
from tellapart.inference.partial_batches import stream_partial
from tellapart.inference.runtimes import BATCH, load_runtime
from tellapart.inference.streaming import DECODE_THREADS
from tellapart.training.augment.policies import Policy
from tellapart.training.augment.safety import N_PICTURES, Judge, Survival, label_safety, safe_policy, sample_evenly
from tellapart.training.trainer import Fitted

NOTE_SEVERAL = (
    "Whether varying pictures changes their labels is not checked where they have several: if mirroring or turning does, "
    "train with --augment none."
)


@dataclass(frozen=True)
class Checked:
    """A policy that changes no labels; `left_out` are the transforms that would ("flip", "rotate", "turn"), in it or not.

    `notes` say what was taken out of the policy, a sentence each. `survivals` hold the figures.
    """

    policy: Policy
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    survivals: tuple[Survival, ...]


def check_policy(policy: Policy, fitted: Fitted, *, n_pictures: int = N_PICTURES) -> Checked:
    """The policy without what changes the labels of up to `n_pictures` training pictures.

    Of several labels a picture this is not known; then all of it stays.
    """
    table = fitted.table
    if table.multi_label:
        return Checked(policy, (), (NOTE_SEVERAL,), ())
    rows = sample_evenly(table.codes, np.random.default_rng(fitted.recipe.seed), n_pictures)
    readable, pictures = _read([table.paths[row] for row in rows], fitted.backbone.fit)
    survivals = label_safety(judge_of(fitted), pictures, table.codes[rows[readable]], table.classes)
    safe, notes = safe_policy(policy, survivals)
    return Checked(safe, tuple(one.transform for one in survivals if not one.is_safe), notes, survivals)


def judge_of(fitted: Fitted) -> Judge:
    """The frozen head's probabilities (n, K) of fitted pictures (n, side, side, 3) uint8."""
    runtime = load_runtime(fitted.backbone.path)

    def judge(pictures: np.ndarray) -> np.ndarray:
        batches = (pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH))
        features = [one["features"] for one in stream_partial(runtime, batches)]
        return fitted.head.probabilities(np.concatenate(features or [np.zeros((0, fitted.backbone.n_features), np.float32)]))

    return judge


def _read(paths: Sequence[str], fit: Fit) -> tuple[list[int], np.ndarray]:
    """Which of the pictures could still be read, and these (n, side, side, 3) uint8; the training names the others."""

    def read(path: str) -> np.ndarray | None:
        try:
            return fit.read(path)
        except PictureError:
            return None

    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        found = {place: one for place, one in enumerate(pool.map(read, paths)) if one is not None}
    empty = np.zeros((0, fit.side_px, fit.side_px, 3), np.uint8)
    return list(found), np.stack(list(found.values())) if found else empty
