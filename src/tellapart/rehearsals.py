"""Before a training: what its pictures would look like, and which backbone suits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tellapart.comparing import RUNS_FOLDER
from tellapart.data import ImageTable
from tellapart.data.looks import n_channels_of
from tellapart.errors import CallError
from tellapart.images import Fit
from tellapart.progress import Progress, silent
from tellapart.runs.choices import Choices
from tellapart.runs.networks import refuse_missing_torch
from tellapart.shootouts import Shootout, shootout
from tellapart.training import Recipe


def compare_backbones(source: Any, recipe: Recipe, choices: Choices, *, progress: Progress = silent) -> Shootout:
    """`shootout` of the backbones that the recipe names, commas between them, on the training pictures of `train`."""
    archs = [name.strip() for name in recipe.arch.split(",") if name.strip()]
    return shootout(_split(source, recipe, choices, progress), recipe, archs, progress=progress)


def write_preview(source: Any, recipe: Recipe, choices: Choices, out: Path | None, *, progress: Progress = silent) -> Path:
    """Write a few training pictures as they are and as the recipe's augmentation varies them, a row each, as a PNG; where it is.

    By default that is runs/preview-<data>.png, written anew each time. What a training would leave out because it changes a
    label is still shown. Raises CallError for another suffix or a file that is there, and MissingExtraError without PyTorch.
    """
    if out is None:
        out = RUNS_FOLDER / f"preview-{Path(source).resolve().stem if isinstance(source, str | Path) else 'pictures'}.png"
    elif out.suffix.lower() != ".png":
        raise CallError(f"the preview is a PNG: {out} must end in .png")
    elif out.exists():
        raise CallError(f"{out} is there already; nothing is overwritten. Choose another name.")
    refuse_missing_torch("a preview of varied pictures")
    from tellapart.training.augment.augmenters import augmenter  # imports torch
    from tellapart.training.augment.preview import preview, write_preview

    training = _split(source, recipe, choices, progress).in_split("train")
    fit = Fit(recipe.side_px, recipe.fit, n_channels=n_channels_of(training.paths))
    write_preview(preview(list(training.paths), fit, augmenter(recipe), seed=recipe.seed), out)
    return out


def _split(source: Any, recipe: Recipe, choices: Choices, progress: Progress) -> ImageTable:
    return choices.split(choices.read(source, progress), recipe)
