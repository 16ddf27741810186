"""What the pictures look like in a few figures each, from their thumbnails."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from tellapart.checks.hashes import LUMA
from tellapart.images.glances import THUMBNAIL_PX

CHUNK = 4096  # pictures measured at once: 0.1 GB of work
NOISE_VARIANCE = 25.0  # of grey levels: keeps the blur measure finite on flat pictures


@dataclass(frozen=True)
class Appearance:
    """Figures of N pictures, each (N,) float32; brightness and contrast as a part of the full range, 0 to 1."""

    brightness: np.ndarray  # mean grey
    shadows: np.ndarray  # grey that 5 % of the picture stay below
    highlights: np.ndarray  # of the strongest channel, what 1 % of the picture lie above: a deep red is not dark
    colour_range: np.ndarray  # of the channel that varies most, between its least and greatest value
    entropy_bits: np.ndarray  # of the histogram of 256 greys: 0 for one tone, 8 where all are equally frequent
    sharpness: np.ndarray  # variance of the Laplacian over the variance of the greys: free of contrast


def measure(glances: np.ndarray) -> Appearance:
    """The appearance of pictures from their glances (N,)."""
    parts = [_measure_chunk(glances[first : first + CHUNK]) for first in range(0, max(len(glances), 1), CHUNK)]
    return Appearance(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Appearance)))


def _measure_chunk(glances: np.ndarray) -> Appearance:
    thumbnails = glances["thumbnail"]  # (N, side, side, 3) uint8
    colours = thumbnails.reshape(len(glances), THUMBNAIL_PX**2, 3)
    planes = np.ascontiguousarray(np.moveaxis(colours, 2, 0))  # (3, N, P): ten times as quick to take extremes of
    nearly_all = round(0.99 * (planes.shape[2] - 1))
    histogram = grey_histogram(colours)
    levels = np.arange(256, dtype=np.float32)
    mean = histogram @ levels
    variance = np.maximum(histogram @ levels**2 - mean**2, 0)
    reached = histogram.cumsum(1)
    return Appearance(
        brightness=mean / 255,
        shadows=(reached < 0.05).sum(1, dtype=np.float32) / 255,
        highlights=np.partition(planes.max(0), nearly_all, axis=1)[:, nearly_all].astype(np.float32) / 255,
        colour_range=(planes.max(2) - planes.min(2)).max(0).astype(np.float32) / 255,
        entropy_bits=-(histogram * np.log2(np.maximum(histogram, 1e-12))).sum(1),
        sharpness=glances["sharpness"] / (variance + NOISE_VARIANCE),
    )


def grey_histogram(colours: np.ndarray) -> np.ndarray:
    """Pixels (N, P, 3) uint8 -> share of each of 256 greys (N, 256) float32; rows sum to 1."""
    n, n_pixels, _ = colours.shape
    greys = np.minimum(np.rint(colours @ LUMA), 255).astype(np.int32)  # (N, P)
    places = greys + 256 * np.arange(n, dtype=np.int32)[:, None]
    counts = np.bincount(places.ravel(), minlength=256 * n).reshape(n, 256)
    shares: np.ndarray = counts.astype(np.float32) / n_pixels
    return shares
