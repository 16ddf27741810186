"""Photograph-like pictures of coins in gold, silver and copper, drawn with numpy and Pillow alone.

A coin is a height map (rim, beads, inscription, motif, wear, scratches), seen in perspective, lit through its
normals and coloured by its metal. Lengths on a coin are in coin radii: the face is the unit disc, x right, y down.
The metals overlap on purpose: see `HARD_FRAC`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from tellapart.images.scenes import (
    Array,
    Colour,
    Point,
    Stylus,
    blend,
    draw_backdrop,
    font,
    grid,
    photograph,
    smooth_noise,
)

Levels = NDArray[np.uint8]

HARD_FRAC = 0.04  # of the coins are an alloy nearly half-way to another metal; a guess at what people mislabel


@dataclass(frozen=True)
class Metal:
    """`ramp`: the colours from unlit to mirror-bright, evenly spaced; `toning`: what tarnishes it."""

    ramp: tuple[Colour, Colour, Colour, Colour]
    toning: tuple[Colour, ...]


METALS = {
    "gold": Metal(((44, 26, 6), (148, 102, 32), (226, 180, 86), (255, 242, 198)), ((122, 74, 30), (96, 84, 44))),
    "silver": Metal(((24, 24, 28), (112, 112, 116), (192, 192, 192), (252, 252, 252)), ((58, 52, 48), (124, 104, 62))),
    "copper": Metal(((38, 16, 10), (136, 72, 44), (212, 132, 92), (255, 220, 196)), ((66, 42, 30), (84, 124, 104))),
}
RELIEF = np.float32(0.055)  # height of a motif in coin radii, chosen by eye: more looks like a biscuit, less like a print
LEGENDS = ("VERITAS ET LABOR", "REPUBLICA", "TELL US APART", "LUX IN TENEBRIS", "TERRA NOVA", "CIVITAS MARIS")


def draw_coin(metal: str, rng: Generator, *, side_px: int) -> Image.Image:
    """A square RGB photograph of one coin; `metal` is a key of `METALS`."""
    light_rad = rng.uniform(0, math.tau)
    pose = _draw_pose(rng, side_px=side_px)
    wear = float(rng.beta(1.5, 3))
    ramp, toning = _surface(metal, rng)
    scene = draw_backdrop(rng, light_rad=light_rad, side_px=side_px)
    scene *= 1 - _shadow(pose, light_rad, side_px)
    height, recess = _draw_relief(rng, wear=wear, side_px=side_px)
    close, window = pose.close_up(side_px)
    n_px = scene[window].shape[1]
    face = _lit_face(close, close.project(height, n_px), rng, wear=wear, light_rad=light_rad)
    colours = _coloured(face, close.project(recess, n_px), ramp, toning, rng, wear=wear)
    standing = blend(scene[window], ramp[:, 60, None, None], close.below().coverage(n_px))
    scene[window] = blend(standing, colours, close.coverage(n_px))
    return photograph(scene, rng)


# Pose ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pose:
    """Where and how a coin lies: `lean_rad` is the camera's angle off the vertical, towards `axis_rad`."""

    centre_px: Point
    radius_px: float
    spin_rad: float
    axis_rad: float
    lean_rad: float

    @cached_property
    def to_coin(self) -> NDArray[np.float64]:
        """The 3x3 homography from picture pixels to coin coordinates."""
        shift = np.array([[1, 0, -self.centre_px[0]], [0, 1, -self.centre_px[1]], [0, 0, self.radius_px]])
        lean = np.diag([1, 1 / math.cos(self.lean_rad), 1])
        lean[2, 1] = 0.25 * math.sin(self.lean_rad)  # a camera about four radii away
        homography: NDArray[np.float64] = _turn(self.spin_rad) @ lean @ _turn(-self.axis_rad) @ shift
        return homography

    def coordinates(self, side_px: int) -> tuple[Array, Array]:
        """Coin coordinates of every pixel of the picture."""
        m = self.to_coin.astype(np.float32)
        axis = np.arange(side_px, dtype=np.float32) + np.float32(0.5)
        x, y = axis[None, :], axis[:, None]
        depth = 1 / (m[2, 0] * x + m[2, 1] * y + m[2, 2])
        return (m[0, 0] * x + m[0, 1] * y + m[0, 2]) * depth, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) * depth

    def radius(self, side_px: int) -> Array:
        """Distance of every pixel from the coin's middle, in coin radii."""
        u, v = self.coordinates(side_px)
        return np.sqrt(u * u + v * v)

    def coverage(self, side_px: int) -> Array:
        """How much of every pixel the coin covers, 0..1."""
        covered: Array = np.clip((1 - self.radius(side_px)) * self.radius_px + 0.5, 0, 1)
        return covered

    def project(self, face: Array | Levels, side_px: int) -> Array:
        """A map of the coin's own square, seen in this pose in a picture of `side_px`."""
        half_px = face.shape[0] / 2
        to_square = np.array([[half_px, 0, half_px], [0, half_px, half_px], [0, 0, 1]])
        m = to_square @ self.to_coin
        coefficients = (m / m[2, 2]).ravel()[:8].tolist()
        seen = Image.fromarray(face).transform(
            (side_px, side_px), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
        )
        return np.asarray(seen, dtype=np.float32)

    def close_up(self, side_px: int) -> tuple[Pose, tuple[slice, slice, slice]]:
        """This pose in a square window around the coin, and that window of the picture: a third of the pixels need no work."""
        n_px = min(side_px, math.ceil(2.2 * self.radius_px))
        left, top = (min(max(0, round(middle - n_px / 2)), side_px - n_px) for middle in self.centre_px)
        centre_px = (self.centre_px[0] - left, self.centre_px[1] - top)
        return replace(self, centre_px=centre_px), (slice(None), slice(top, top + n_px), slice(left, left + n_px))

    def moved(self, along_rad: float, by_radii: float) -> Pose:
        """The same pose, shifted by `by_radii` coin radii."""
        x, y = self.centre_px
        step_px = by_radii * self.radius_px
        return replace(self, centre_px=(x + math.cos(along_rad) * step_px, y + math.sin(along_rad) * step_px))

    def below(self) -> Pose:
        """The coin's lower face: what shows of it beyond the upper one is the edge."""
        thickness = 0.14  # of the radius; a one-euro coin has 0.20, a silver dollar 0.13
        return self.moved(self.axis_rad + math.pi / 2, thickness * math.sin(self.lean_rad))


def _turn(angle_rad: float) -> NDArray[np.float64]:
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _draw_pose(rng: Generator, *, side_px: int) -> Pose:
    """A coin of 56 to 92 % of the picture's side, wholly inside it."""
    radius_px = side_px * rng.uniform(0.28, 0.46)
    slack_px = side_px / 2 - radius_px
    x, y = side_px / 2 + rng.uniform(-0.85, 0.85, 2) * slack_px
    lean_rad = rng.uniform(0.0, 0.62)
    return Pose((x, y), radius_px, rng.normal(0, 0.7), rng.uniform(0, math.tau), lean_rad)


def _shadow(pose: Pose, light_rad: float, side_px: int) -> Array:
    """Darkness in 0..1: a soft cast shadow away from the light, and a tight one where coin and table meet."""
    cast = pose.moved(light_rad + math.pi, 0.12).radius(side_px)
    touch = pose.radius(side_px)
    soft = np.clip((1.12 - cast) * 3.5, 0, 1)
    darkness: Array = 0.45 * soft * soft * (3 - 2 * soft) + 0.3 * np.clip((1.1 - touch) * 8, 0, 1)
    return darkness


# Relief --------------------------------------------------------------------------------------------------------------


def _draw_relief(rng: Generator, *, wear: float, side_px: int) -> tuple[Array, Levels]:
    """Height of a coin's face in coin radii, and in 0..255 how deep each point lies beside a high one."""
    stamp = Image.new("L", (side_px, side_px))
    MOTIFS[rng.integers(len(MOTIFS))](Stylus(stamp), rng)
    radius, turns = _polar(side_px)
    ring = RINGS[rng.integers(len(RINGS))](rng, radius, turns)
    raised = np.maximum(np.asarray(stamp), ring)
    fine = _blurred(raised, side_px * 0.004 * (1 + 2 * wear))
    broad = _blurred(raised, side_px * 0.022)
    rim = np.clip((radius - 0.905) * 40, 0, 1) - np.clip((radius - 0.975) * 40, 0, 1)
    height = (0.55 * fine + 0.65 * broad) * (1 - 0.55 * wear) + 0.9 * rim
    height += _scratches(rng, wear, side_px) + (0.008 + 0.032 * wear) * smooth_noise(rng, (40, 40), side_px)
    recess = np.clip((broad - fine) * 255, 0, 255).astype(np.uint8)
    return RELIEF * height, recess


def _blurred(levels: Levels, sigma_px: float) -> Array:
    """0..255 in, 0..1 out."""
    picture = Image.fromarray(levels)
    if sigma_px >= 4:  # a wide blur of the half-size picture looks the same and takes two thirds of the time
        half = picture.reduce(2).filter(ImageFilter.GaussianBlur(sigma_px / 2))
        blurred = half.resize(picture.size, Image.Resampling.BILINEAR)
    else:
        blurred = picture.filter(ImageFilter.GaussianBlur(sigma_px))
    return np.asarray(blurred) * np.float32(1 / 255)


def _scratches(rng: Generator, wear: float, side_px: int) -> Array:
    grooves = Image.new("L", (side_px, side_px))
    pen = ImageDraw.Draw(grooves)
    for _ in range(rng.poisson(2 + 16 * wear)):
        x, y = rng.uniform(0, side_px, 2)
        angle, length_px = rng.uniform(0, math.tau), side_px * rng.exponential(0.18)
        end = (x + math.cos(angle) * length_px, y + math.sin(angle) * length_px)
        pen.line((x, y, *end), fill=int(rng.uniform(30, 160)))
    return np.asarray(grooves, dtype=np.float32) * np.float32(-0.25 / 255)


def _numeral(stylus: Stylus, rng: Generator) -> None:
    value = ("1", "2", "5", "10", "20", "50")[rng.integers(6)]
    stylus.text((0, -0.06), value, 0.95 if len(value) == 1 else 0.78)
    stylus.line([(-0.34, 0.42), (0.34, 0.42)], 0.03, 255)


def _star_points(centre: Point, radius: float, n_tips: int, inner_frac: float) -> list[Point]:
    """The outline of a star that stands on two tips, twice `n_tips` points."""
    reach = [radius, radius * inner_frac] * n_tips
    turns = [math.pi * i / n_tips for i in range(2 * n_tips)]
    return [(centre[0] + r * math.sin(t), centre[1] - r * math.cos(t)) for r, t in zip(reach, turns, strict=True)]


def _star(stylus: Stylus, rng: Generator) -> None:
    n_tips = int(rng.integers(5, 9))
    stylus.polygon(_star_points((0, 0), 0.56, n_tips, rng.uniform(0.4, 0.6)))
    for x, y in _star_points((0, 0), 0.52, n_tips, 0.45):
        stylus.line([(0, 0), (x, y)], 0.015, 150)


def _crown(stylus: Stylus, rng: Generator) -> None:
    height = rng.uniform(0.32, 0.46)
    tips: list[Point] = [(-0.5, -height), (-0.24, -height - 0.06), (0, -height - 0.1), (0.24, -height - 0.06), (0.5, -height)]
    valleys: list[Point] = [(-0.32, 0), (-0.12, -0.02), (0.12, -0.02), (0.32, 0)]
    zigzag = [p for pair in zip(tips, [*valleys, (0.4, 0.34)], strict=True) for p in pair]
    stylus.polygon([(-0.4, 0.34), *zigzag])
    for tip in tips:
        stylus.disc(tip, 0.055)
    stylus.line([(-0.38, 0.14), (0.38, 0.14)], 0.02)
    for x in (-0.24, 0.0, 0.24):
        stylus.disc((x, 0.24), 0.045, 120)


def _leaf(stylus: Stylus, rng: Generator) -> None:
    lobes, depth = int(rng.integers(5, 9)), rng.uniform(0.0, 0.3)
    along = np.linspace(0, 1, 60)
    width = 0.36 * np.sin(math.pi * along) * (1 - depth * (np.cos(math.tau * lobes * along) + 1) / 2)
    half = list(zip(width.tolist(), (1.1 * along - 0.62).tolist(), strict=True))
    stylus.polygon(half + [(-x, y) for x, y in reversed(half)])
    stylus.line([(0, -0.5), (0, 0.66)], 0.03, 120)
    for y in np.linspace(-0.25, 0.3, 4):
        stylus.line([(-0.2, y - 0.14), (0, y), (0.2, y - 0.14)], 0.018, 130)


def _tree(stylus: Stylus, rng: Generator) -> None:
    stylus.line([(0, 0.62), (0, 0)], 0.11, 230)
    stylus.line([(-0.4, 0.62), (0.4, 0.62)], 0.05, 220)
    for turn in rng.uniform(0, math.tau, 16):
        reach, height = rng.uniform(0.1, 0.36), int(rng.integers(170, 256))
        stylus.disc((reach * math.cos(turn), reach * 0.8 * math.sin(turn) - 0.2), rng.uniform(0.1, 0.17), height)


def _bird(stylus: Stylus, rng: Generator) -> None:
    lift = rng.uniform(-0.1, 0.12)
    back, breast = [(-0.62, 0.1), (-0.3, 0.02), (0.1, -0.16), (0.3, -0.2), (0.56, -0.1)], [(0.34, -0.04), (0.22, 0.18)]
    stylus.polygon([*back, *breast, (-0.1, 0.3), (-0.38, 0.22)])
    stylus.polygon([(-0.2, 0.1), (-0.46, -0.42 + lift), (-0.3, -0.44 + lift), (-0.12, -0.56 + lift), (0.18, -0.02)], 215)
    for i in range(3):
        stylus.line([(-0.38 + 0.1 * i, -0.4 + lift), (-0.06 + 0.06 * i, 0.04)], 0.018, 110)
    stylus.disc((0.34, -0.13), 0.028, 60)
    stylus.line([(-0.02, 0.28), (0.04, 0.5), (0.2, 0.5)], 0.03, 200)


_PROFILE: list[Point] = [
    (-0.30, 0.60), (-0.22, 0.34), (-0.34, 0.12), (-0.40, -0.14), (-0.34, -0.42), (-0.12, -0.58), (0.14, -0.56), (0.28, -0.42),
    (0.31, -0.24), (0.30, -0.16), (0.42, 0.02), (0.32, 0.06), (0.34, 0.14), (0.29, 0.18), (0.33, 0.24), (0.28, 0.36),
    (0.10, 0.36), (0.08, 0.44), (0.20, 0.60),
]  # fmt: skip


def _bust(stylus: Stylus, rng: Generator) -> None:
    facing = rng.choice((-1, 1))
    stylus.polygon([(facing * x, y) for x, y in _PROFILE])
    for i in range(6):  # locks of hair under a band
        y = -0.46 + 0.11 * i
        stylus.line([(facing * (-0.36), y), (facing * (-0.2), y + 0.05), (facing * (-0.04), y - 0.02)], 0.02, 160)
    stylus.line([(facing * -0.38, -0.1), (facing * 0.3, -0.34)], 0.05, 120)
    stylus.line([(facing * 0.16, -0.12), (facing * 0.27, -0.13)], 0.035, 130)


MOTIFS: tuple[Callable[[Stylus, Generator], None], ...] = (_numeral, _star, _crown, _leaf, _tree, _bird, _bust)


# Each ring takes the polar grid and returns heights 0..255 between the motif and the rim.


@lru_cache(maxsize=4)
def _polar(side_px: int) -> tuple[Array, Array]:
    """Radius and angle (clockwise turns from the top, 0..1) of each pixel of a coin's own square."""
    x, y = grid(side_px)
    return np.hypot(x, y), (np.arctan2(x, -y) / math.tau % 1).astype(np.float32)


def _beads(rng: Generator, radius: Array, turns: Array) -> Levels:
    n_beads = int(rng.integers(40, 72))
    across = np.abs(turns * n_beads % 1 - 0.5) * (math.tau * 0.84 / n_beads)
    inside: NDArray[np.bool_] = across**2 + (radius - 0.84) ** 2 < (2.1 / n_beads) ** 2
    return inside.astype(np.uint8) * np.uint8(255)


def _denticles(rng: Generator, radius: Array, turns: Array) -> Levels:
    n_teeth = int(rng.integers(50, 90))
    tooth = (turns * n_teeth % 1 < 0.55) & (radius > 0.82) & (radius < 0.92)
    return (tooth * 255).astype(np.uint8)


def _stars(rng: Generator, radius: Array, turns: Array) -> Levels:
    ring = Image.new("L", (radius.shape[1], radius.shape[0]))
    stylus, n_stars = Stylus(ring), int(rng.integers(9, 16))
    for turn in np.arange(n_stars) * (math.tau / n_stars):
        stylus.polygon(_star_points((0.76 * math.sin(turn), -0.76 * math.cos(turn)), 0.085, 5, 0.45))
    both: Levels = np.maximum(np.asarray(ring), _beads(rng, radius, turns) // 2)
    return both


def _inscription(rng: Generator, radius: Array, turns: Array) -> Levels:
    """A legend and a year, written on a straight strip and bent around the coin."""
    words = f"{LEGENDS[rng.integers(len(LEGENDS))]}   ·   {rng.integers(1780, 2020)}   ·   "
    height_px = max(8, radius.shape[0] // 8)
    lettering = font(height_px)
    strip = Image.new("L", (max(1, round(lettering.getlength(words))), round(height_px * 1.2)))
    ImageDraw.Draw(strip).text((0, 0), words, fill=235, font=lettering)
    rows = ((0.875 - radius) * (strip.height / 0.19)).astype(np.int32)
    columns = (turns * strip.width).astype(np.int32)
    inside = (rows >= 0) & (rows < strip.height)
    letters = np.asarray(strip)[np.clip(rows, 0, strip.height - 1), np.minimum(columns, strip.width - 1)]
    return letters * inside


RINGS: tuple[Callable[[Generator, Array, Array], Levels], ...] = (_beads, _denticles, _stars, _inscription, _inscription)


# Light and colour ----------------------------------------------------------------------------------------------------


def _lit_face(pose: Pose, height: Array, rng: Generator, *, wear: float, light_rad: float) -> Array:
    """Brightness in 0..1 of every pixel, as if the whole picture were the coin's metal."""
    side_px = height.shape[0]
    u, v = pose.coordinates(side_px)
    to_light = np.zeros_like(height)  # the normal's component towards the light
    to_light[:, 1:-1] = (height[:, :-2] - height[:, 2:]) * np.float32(math.cos(light_rad) * pose.radius_px / 2)
    to_light[1:-1] += (height[:-2] - height[2:]) * np.float32(math.sin(light_rad) * pose.radius_px / 2)
    polish = 1 - wear
    dome = 0.16 * (u * math.cos(light_rad - pose.spin_rad) + v * math.sin(light_rad - pose.spin_rad))
    bow_tie = (u * u - v * v) / (u * u + v * v + 0.05)  # struck metal shines along two opposite spokes
    tilt = rng.uniform(-0.12, 0.2)
    lut = _shine(polish, rng)
    where = (to_light + dome + tilt + (0.06 + 0.08 * polish) * bow_tie) * (len(lut) / 3) + len(lut) / 2
    return lut[np.clip(where, 0, len(lut) - 1).astype(np.int32)]


def _shine(polish: float, rng: Generator) -> Array:
    """Brightness by the normal's slope towards the light, -1.5 to 1.5: a diffuse part, a lamp's glint, a far window's."""
    slope = np.linspace(-1.5, 1.5, 1024, dtype=np.float32)
    diffuse = 0.42 + 0.42 * np.tanh(1.5 * slope)
    lamp = (0.16 + 0.36 * polish) * np.exp(-(((slope - 0.42) / (0.16 + 0.2 * (1 - polish))) ** 2))
    window = rng.uniform(0.0, 0.22) * np.exp(-(((slope + 0.5) / 0.2) ** 2))
    brightness: Array = np.clip(diffuse + lamp + window, 0.03, 1).astype(np.float32)
    return brightness


def _surface(metal: str, rng: Generator) -> tuple[Array, Array]:
    """The metal's colours by brightness, (3, 256) in 0..255, and its tarnish's colour; some lean to another metal."""
    ramp = np.array(METALS[metal].ramp, dtype=np.float32)
    if rng.random() < HARD_FRAC:
        other = sorted(METALS.keys() - {metal})[rng.integers(len(METALS) - 1)]
        ramp += (np.array(METALS[other].ramp, dtype=np.float32) - ramp) * np.float32(rng.uniform(0.3, 0.5))
    ramp *= rng.normal(1, 0.025, 3).astype(np.float32)  # no two alloys are alike
    stops = np.linspace(0, 255, len(ramp))
    smooth = np.stack([np.interp(np.arange(256), stops, ramp[:, channel]) for channel in range(3)])
    toning = METALS[metal].toning
    return smooth.astype(np.float32), np.array(toning[rng.integers(len(toning))], dtype=np.float32)


def _coloured(face: Array, recess: Array, ramp: Array, toning: Array, rng: Generator, *, wear: float) -> Array:
    """The lit face in colour, (3, side, side) in 0..255, with tarnish in blotches and dirt in the recesses."""
    side_px = face.shape[0]
    colours = ramp.take((face * 255).astype(np.uint8), axis=1)
    tarnish = rng.beta(1.2, 3.5)
    blotches = 0.6 * smooth_noise(rng, (5, 5), side_px) + 0.3 * smooth_noise(rng, (24, 24), side_px)
    covered = np.clip(tarnish * (0.7 + blotches) + recess * ((1 + wear) / 255), 0, 0.85)
    tarnished = toning[:, None, None] * (0.35 + 1.3 * face)
    return blend(colours, tarnished, covered)
