"""Which parts of a picture its label rests on: how much its probability falls when they are hidden.

Occlusion (Zeiler & Fergus, https://arxiv.org/abs/1311.2901): it asks nothing of the network but answers. What is hidden takes the
picture's mean colour, which brings the least that was not there; so a label that rests on the colour of the whole shows little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from tellapart.images.decoding import Source, open_described
from tellapart.images.fitting import Fit

CELLS = 7  # rows and columns of the grid
REACH = 1  # cells around one that are hidden with it: a fifth of the picture together; less seldom shakes a sure label
N_HIDDEN = CELLS**2  # predictions that an explanation takes, beside the one that it explains
DIGITS = 6  # of a drop in JSON: more would tell of rounding alone


@dataclass(frozen=True)
class Explanation:
    """How much the probability of `label` falls when a part of the picture is hidden.

    `drops` (7, 7) float, the first row at the top, from -1 to 1: when a cell and those around it are hidden; above 0 where they
    speak for the label, below where they speak against it. `probability` is the label's when nothing is hidden. `box` is what
    the grid covers, and the network sees, of the upright picture: left, top, right and bottom in parts of its width and height,
    below 0 or above 1 where that has bars.
    """

    label: str
    probability: float
    drops: np.ndarray
    box: tuple[float, float, float, float]

    def to_json(self) -> dict[str, Any]:
        rows, columns = self.drops.shape
        drops = self.drops.round(DIGITS).tolist()
        grid = {"rows": rows, "columns": columns, "drops": drops, "box": list(self.box)}
        return {"label": self.label, "probability": self.probability, **grid}


@dataclass(frozen=True)
class Seen:
    """A picture as a network sees it: (side, side, C) uint8, and the part of the upright picture that this is."""

    pixels: np.ndarray
    box: tuple[float, float, float, float]


def see(source: Source, fit: Fit) -> Seen:
    """Open and fit a picture. Raises PictureError."""
    opened = open_described(source, min_side_px=fit.decoded_px)
    return Seen(fit.of(opened), fit.box(opened.size))


def hidden(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """The picture (side, side, C) uint8 `N_HIDDEN` times, each cell in turn hidden with those around it, row by row."""
    edges = np.rint(np.linspace(0, len(pixels), CELLS + 1)).astype(int)
    mean = np.rint(pixels.mean(axis=(0, 1))).astype(np.uint8)
    windows = [slice(edges[max(0, cell - REACH)], edges[min(CELLS, cell + REACH + 1)]) for cell in range(CELLS)]
    for rows, columns in product(windows, windows):
        one = pixels.copy()
        one[rows, columns] = mean
        yield one


def drops_of(probability: float, with_hidden: Sequence[float]) -> np.ndarray:
    """The grid (`CELLS`, `CELLS`), of a label's probability and of those with each cell hidden, in the order of `hidden`."""
    return probability - np.reshape(with_hidden, (CELLS, CELLS))
