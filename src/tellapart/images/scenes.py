"""What is around a thing in a photograph: the table top it lies on, the noise, the pen it is drawn with, the camera."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Array = NDArray[np.float32]
Colour = tuple[int, int, int]
Fill = int | Colour
Point = tuple[float, float]

SHARP_FRAC = 0.7  # of the pictures are in focus; a guess
STRANGE_LIGHT_FRAC = 0.06  # of the pictures are taken in very warm or very cold light; a guess


def blend(under: Array, over: Array, alpha: Array) -> Array:
    """`over` laid on `under`, both broadcastable to (3, side, side), where `alpha`, (side, side), is 1."""
    return under + (over - under) * alpha


# Noise ---------------------------------------------------------------------------------------------------------------


def smooth_noise(rng: Generator, cells: tuple[int, int], side_px: int) -> Array:
    """(side_px, side_px) normal noise with about `cells` (rows, columns) blobs; deviation just under 1."""
    coarse = Image.fromarray(rng.standard_normal(cells, dtype=np.float32))
    return np.asarray(coarse.resize((side_px, side_px), Image.Resampling.BICUBIC))


@lru_cache(maxsize=4)
def _sheet_of_grain(side_px: int) -> Array:
    return np.random.default_rng(0).standard_normal((2 * side_px, 2 * side_px), dtype=np.float32)


def grain(rng: Generator, side_px: int) -> Array:
    """(side_px, side_px) white normal noise: a window on one large sheet, as drawing it anew costs 0.7 ms."""
    top, left = rng.integers(side_px, size=2)
    return _sheet_of_grain(side_px)[top : top + side_px, left : left + side_px]


@lru_cache(maxsize=4)
def grid(side_px: int) -> tuple[Array, Array]:
    """x and y in -1..1 at the pixel centres."""
    axis = (np.arange(side_px, dtype=np.float32) + 0.5) * (2 / side_px) - 1
    x, y = np.meshgrid(axis, axis)
    return x, y


# Pen -----------------------------------------------------------------------------------------------------------------


class Stylus:
    """Draws on a square picture in coordinates of -1 to 1; `fill` is a colour, or a height of 0 to 255 on a coin."""

    def __init__(self, picture: Image.Image) -> None:
        self._pen = ImageDraw.Draw(picture)
        self._half_px = picture.width / 2

    def _px(self, points: Sequence[Point]) -> list[Point]:
        return [((x + 1) * self._half_px, (y + 1) * self._half_px) for x, y in points]

    def polygon(self, points: Sequence[Point], fill: Fill = 255) -> None:
        self._pen.polygon(self._px(points), fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: Fill = 90) -> None:
        self._pen.line(self._px(points), fill=fill, width=max(1, round(width * self._half_px)), joint="curve")

    def disc(self, centre: Point, radius: float, fill: Fill = 255) -> None:
        x, y = centre
        self._pen.ellipse(self._px([(x - radius, y - radius), (x + radius, y + radius)]), fill=fill)

    def text(self, centre: Point, words: str, size: float, fill: Fill = 255) -> None:
        letters = font(max(4, round(size * self._half_px)))
        self._pen.text(self._px([centre])[0], words, fill=fill, font=letters, anchor="mm")


@lru_cache(maxsize=64)
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that no font file is needed."""
    return ImageFont.load_default(size_px)


# Backdrops: (3, side, side) in 0..255 --------------------------------------------------------------------------------


def draw_backdrop(rng: Generator, *, light_rad: float, side_px: int) -> Array:
    """A table top of one of several materials, brighter on the light's side."""
    surface = BACKDROPS[rng.integers(len(BACKDROPS))](rng, side_px)
    x, y = grid(side_px)
    falloff = 1 + 0.16 * (x * np.float32(math.cos(light_rad)) + y * np.float32(math.sin(light_rad)))
    return np.asarray(surface * falloff, dtype=np.float32)


def _pick(rng: Generator, *colours: Colour) -> Array:
    """One of the colours, a little varied, (3, 1, 1)."""
    chosen = np.array(colours[rng.integers(len(colours))], dtype=np.float32) * rng.normal(1, 0.05, 3)
    return chosen.astype(np.float32)[:, None, None]


def _wood(rng: Generator, side_px: int) -> Array:
    dark, light = _pick(rng, (92, 56, 32), (120, 80, 48), (70, 44, 30)), _pick(rng, (186, 136, 86), (160, 108, 66))
    _, y = grid(side_px)
    bend = smooth_noise(rng, (4, 3), side_px)
    rings = np.sin((y + 0.16 * bend) * np.float32(rng.uniform(14, 30)))
    fibres = smooth_noise(rng, (side_px // 2, 6), side_px)
    shade = np.clip(0.5 + 0.22 * rings + 0.2 * fibres, 0, 1)
    shade *= np.where(np.abs((y + rng.uniform(0, 1)) % 0.9 - 0.45) < 0.008, np.float32(0.3), np.float32(1))  # gaps between planks
    return blend(dark, light, shade if rng.random() < 0.5 else shade.T)


def _felt(rng: Generator, side_px: int) -> Array:
    colour = _pick(rng, (34, 92, 62), (120, 26, 34), (32, 48, 98), (44, 44, 48), (96, 60, 110))
    shade = 1 + 0.1 * grain(rng, side_px) + 0.06 * smooth_noise(rng, (6, 6), side_px)
    return colour * shade


def _paper(rng: Generator, side_px: int) -> Array:
    paper = _pick(rng, (236, 230, 216), (242, 242, 240), (214, 190, 150)) * (1 + 0.025 * grain(rng, side_px))
    x, y = grid(side_px)
    spacing = rng.uniform(0.14, 0.3)
    lines = (y % spacing < 0.012) | ((x % spacing < 0.012) & (rng.random() < 0.5))
    ink = lines * np.float32(rng.choice((0.0, 0.3, 0.45)))
    return blend(paper, np.array((96, 130, 190), dtype=np.float32)[:, None, None], ink)


def _marble(rng: Generator, side_px: int) -> Array:
    stone, vein = _pick(rng, (232, 230, 226), (206, 204, 198), (52, 58, 60)), _pick(rng, (128, 130, 134), (168, 140, 110))
    x, y = grid(side_px)
    flow = x + 0.6 * y + 0.5 * smooth_noise(rng, (4, 5), side_px) + 0.12 * smooth_noise(rng, (18, 20), side_px)
    veins = np.exp(-np.abs(np.sin(2.6 * flow)) * 12) * 0.6 + 0.12 * np.clip(smooth_noise(rng, (9, 9), side_px), 0, 2)
    return blend(stone, vein, veins)


def _slate(rng: Generator, side_px: int) -> Array:
    bumps = smooth_noise(rng, (20, 26), side_px) + 0.6 * smooth_noise(rng, (70, 70), side_px)
    lit: Array = np.clip(1 + np.float32(0.5) * (np.roll(bumps, 1, 0) - np.roll(bumps, -1, 0)), 0.4, 1.7).astype(np.float32)
    return _pick(rng, (70, 76, 84), (88, 84, 80), (56, 58, 60)) * lit


def _cloth(rng: Generator, side_px: int) -> Array:
    x, y = grid(side_px)
    threads = np.float32(side_px * rng.uniform(0.5, 0.8))
    weave = 0.09 * (np.sin(x * threads) + np.sin(y * threads)) + 0.05 * grain(rng, side_px)
    folds = 0.12 * smooth_noise(rng, (3, 3), side_px)
    cloth: Array = _pick(rng, (196, 180, 150), (66, 86, 122), (150, 150, 146), (134, 90, 70)) * (1 + weave + folds)
    return cloth


def _sweep(rng: Generator, side_px: int) -> Array:
    """A photographer's plain background, fading from one tone to another."""
    near = _pick(rng, (226, 226, 230), (120, 126, 134), (208, 196, 184))
    far = _pick(rng, (90, 94, 104), (180, 176, 172), (36, 38, 44))
    _, y = grid(side_px)
    return blend(far, near, 0.5 + 0.5 * y)


BACKDROPS: tuple[Callable[[Generator, int], Array], ...] = (_wood, _wood, _felt, _paper, _marble, _slate, _cloth, _sweep)


# Camera --------------------------------------------------------------------------------------------------------------


def photograph(scene: Array, rng: Generator) -> Image.Image:
    """`scene`, (3, side, side) in 0..255, through a camera: white balance, exposure, vignette, sensor noise, focus."""
    side_px = scene.shape[1]
    warmth = rng.normal(0, 0.04) if rng.random() > STRANGE_LIGHT_FRAC else rng.choice((-0.11, 0.18))
    gains = rng.uniform(0.78, 1.18) * np.array([1 + warmth, 1 + rng.normal(0, 0.015), 1 - 1.3 * warmth])
    x, y = grid(side_px)
    vignette = 1 - rng.uniform(0, 0.18) * (x * x + y * y)
    seen = scene * gains.astype(np.float32)[:, None, None]
    seen *= vignette
    seen += np.float32(rng.uniform(0, 4)) * grain(rng, side_px)
    levels = np.clip(seen, 0, 255, out=seen).astype(np.uint8).transpose(1, 2, 0)  # (side, side, 3)
    picture = Image.fromarray(np.ascontiguousarray(levels))
    if rng.random() < SHARP_FRAC:
        return picture
    return picture.filter(ImageFilter.GaussianBlur(side_px / 256 * rng.uniform(0.5, 1.7)))
