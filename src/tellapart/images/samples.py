"""Data sets that Tellapart draws itself, with the faults that real ones have; for the demo and the tests."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.random import Generator
from PIL import Image

from tellapart.errors import CallError, StorageError, unknown_name
from tellapart.files import refuse_used, write_atomically, write_json
from tellapart.images.coins import METALS, draw_coin
from tellapart.images.scenes import Array, Colour, Point, Stylus, draw_backdrop, photograph
from tellapart.progress import Progress, silent
from tellapart.words import counted

# How often each fault is planted, of all pictures, and never less than once. All are guesses at a pile from the web,
# high enough that 600 pictures hold some of each.
FAULTS = {
    "copy": 0.015,  # the same file twice in one class
    "copy_other_label": 0.007,  # the same file in two classes
    "off_topic": 0.02,  # a picture of something else
    "wrong_label": 0.04,  # a picture of one class in another's folder
    "truncated": 0.004,  # a download that broke off
    "empty": 0.004,  # a file of 0 bytes
    "text": 0.004,  # a text file named .jpg
    "html": 0.004,  # an error page named .png
}
MIN_PER_CLASS_WITH_FAULTS = 10  # below, the faults, one of each at least, would be most of a class
MIN_SIDE_PX, MAX_SIDE_PX = 32, 2048  # below, a motif is a blot; above, one in work takes more than 0.4 GB
PLANTED_FILE = "planted.json"


@dataclass(frozen=True)
class Planted:
    """One fault on purpose: `path` is relative to the sample's root, `kind` a key of `FAULTS`.

    `true_label` is what the file really shows, or would if it could be read; None where that is none of the classes.
    """

    path: str
    kind: str
    true_label: str | None


@dataclass(frozen=True)
class Sample:
    """What was drawn. `n_pictures` counts every file in the class folders, the broken ones among them."""

    root: Path
    kind: str
    n_pictures: int
    classes: tuple[str, ...]
    planted: tuple[Planted, ...]


class Draw(Protocol):
    """Draws what it is told as a square RGB picture."""

    def __call__(self, what: str, rng: Generator, /, *, side_px: int) -> Image.Image: ...


@dataclass(frozen=True)
class SampleKind:
    """A data set that can be drawn: its classes, and how to draw a picture of one."""

    classes: tuple[str, ...]
    draw: Draw


def draw_sample(
    kind: str,
    out: Path,
    *,
    n_per_class: int = 200,
    seed: int = 0,
    side_px: int = 256,
    faults: bool = True,
    progress: Progress = silent,
) -> Sample:
    """Draw a data set into `out`, a folder per class, and say what was planted in it, here and in `planted.json`.

    Each class folder holds `n_per_class` files, the faulty ones among them; the same arguments give the same bytes.
    Raises CallError where `kind` is unknown, a number is out of range or `out` is in use; StorageError on a full disk.
    """
    _refuse_numbers(n_per_class=n_per_class, seed=seed, side_px=side_px, faults=faults)
    if kind not in SAMPLES:
        raise unknown_name("sample", kind, SAMPLES)
    sample_kind = SAMPLES[kind]
    refuse_used(out)
    slots = _plan(sample_kind.classes, n_per_class, seed)
    if faults:
        slots = _plant(slots, sample_kind.classes, np.random.default_rng([seed, n_per_class]))
    _make_folders(out, sample_kind.classes)

    def draw(slot: _Slot) -> None:
        write_atomically(out / slot.path, _content(slot, sample_kind.draw, side_px))

    for done, _ in enumerate(_in_threads(draw, slots), start=1):
        progress("drawing", done, len(slots))
    planted = tuple(Planted(slot.path, slot.fault, slot.true_label) for slot in slots if slot.fault)
    write_json(out / PLANTED_FILE, [asdict(one) for one in planted])
    return Sample(out, kind, len(slots), sample_kind.classes, planted)


def _refuse_numbers(*, n_per_class: int, seed: int, side_px: int, faults: bool) -> None:
    if n_per_class < 1:
        raise CallError(f"{counted(n_per_class, 'picture')} per class cannot be drawn; ask for 1 or more.")
    if faults and n_per_class < MIN_PER_CLASS_WITH_FAULTS:
        raise CallError(
            f"{counted(n_per_class, 'picture')} per class {'is' if n_per_class == 1 else 'are'} too few to plant faults in; "
            f"ask for {MIN_PER_CLASS_WITH_FAULTS} or more, or for none of the faults."
        )
    if not MIN_SIDE_PX <= side_px <= MAX_SIDE_PX:
        raise CallError(f"pictures of {side_px} px cannot be drawn; the side is {MIN_SIDE_PX} to {MAX_SIDE_PX} px.")
    if seed < 0:
        raise CallError(f"the seed is {seed}; it must be 0 or more.")


def _make_folders(out: Path, classes: tuple[str, ...]) -> None:
    try:
        for label in classes:
            (out / label).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {out}: {error.strerror}. Name another folder.") from error


def _in_threads(draw: Callable[[_Slot], None], slots: list[_Slot]) -> Iterator[None]:
    """`draw` every slot on all cores (numpy and Pillow let go of the interpreter); stops early on Ctrl-C or an error."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield from pool.map(draw, slots)
    finally:
        pool.shutdown(cancel_futures=True)


# The plan: what stands in which file ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Slot:
    """One file to be. `shows` is drawn from the generator of `key`; a copy has its original's `shows` and `key`."""

    path: str
    label: str
    key: tuple[int, int, int]  # seed, class, number within the class
    shows: str
    fault: str = ""

    @property
    def true_label(self) -> str | None:
        return None if self.fault in ("off_topic", "empty", "text", "html") else self.shows


def _plan(classes: tuple[str, ...], n_per_class: int, seed: int) -> list[_Slot]:
    """The data set without a fault."""
    return [
        _Slot(f"{label}/{label}-{number:04d}.jpg", label, (seed, index, number), label)
        for index, label in enumerate(classes)
        for number in range(1, n_per_class + 1)
    ]


def _plant(slots: list[_Slot], classes: tuple[str, ...], rng: Generator) -> list[_Slot]:
    """The same slots in the same order, some made faulty; copies are of faultless pictures."""
    kinds = [fault for fault, frac in FAULTS.items() for _ in range(max(1, round(frac * len(slots))))]
    order = rng.permutation(len(slots)).tolist()
    ordinary = [slots[i] for i in order[len(kinds) :]]
    planted = list(slots)
    for i, fault in zip(order, kinds, strict=False):  # more slots than faults
        planted[i] = _made_faulty(slots[i], fault, classes, ordinary, rng)
    return planted


def _made_faulty(slot: _Slot, fault: str, classes: tuple[str, ...], ordinary: list[_Slot], rng: Generator) -> _Slot:
    if fault in ("copy", "copy_other_label"):
        same = fault == "copy"
        originals = [one for one in ordinary if (one.label == slot.label) == same]
        original = originals[rng.integers(len(originals))]
        return replace(slot, fault=fault, key=original.key, shows=original.shows)
    if fault == "wrong_label":
        others = [label for label in classes if label != slot.label]
        return replace(slot, fault=fault, shows=others[rng.integers(len(others))])
    if fault == "off_topic":
        return replace(slot, fault=fault, shows=tuple(OFF_TOPIC)[rng.integers(len(OFF_TOPIC))])
    if fault == "html":
        return replace(slot, fault=fault, path=slot.path.removesuffix(".jpg") + ".png")
    return replace(slot, fault=fault)


# The content of one file ---------------------------------------------------------------------------------------------

TEXT = b"Notes on the coins\n\n- ask for the other tray\n- photograph the reverse as well\n"
HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"


def _content(slot: _Slot, draw: Draw, side_px: int) -> bytes:
    """A file's bytes, from its slot alone: the order in which files are drawn changes nothing."""
    fixed = {"empty": b"", "text": TEXT, "html": HTML}
    if slot.fault in fixed:
        return fixed[slot.fault]
    rng = np.random.default_rng(slot.key)
    picture = (draw_off_topic if slot.fault == "off_topic" else draw)(slot.shows, rng, side_px=side_px)
    file = BytesIO()
    picture.save(file, "JPEG", quality=int(rng.integers(85, 93)))
    jpeg = file.getvalue()
    return jpeg[: int(len(jpeg) * rng.uniform(0.3, 0.7))] if slot.fault == "truncated" else jpeg


def _on_table(paint: Callable[[Stylus, Generator], None], rng: Generator, *, side_px: int) -> Image.Image:
    """A photograph of what `paint` paints on a table top."""
    backdrop = draw_backdrop(rng, light_rad=rng.uniform(0, math.tau), side_px=side_px)
    levels = np.clip(backdrop, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    canvas = Image.fromarray(np.ascontiguousarray(levels)).resize((2 * side_px, 2 * side_px))  # halved again: smooth edges
    paint(Stylus(canvas), rng)
    painted: Array = np.asarray(canvas.reduce(2), dtype=np.float32).transpose(2, 0, 1)
    return photograph(painted, rng)


def _varied(rng: Generator, *colours: Colour) -> Colour:
    """One of the colours, a little varied."""
    red, green, blue = (int(np.clip(level * rng.normal(1, 0.08), 0, 255)) for level in colours[rng.integers(len(colours))])
    return red, green, blue


def draw_shape(shape: str, rng: Generator, *, side_px: int) -> Image.Image:
    """A plain "circle", "square" or "triangle" on a table top: quick to draw and easy to learn, for tests."""
    return _on_table(partial(_paint_shape, shape=shape), rng, side_px=side_px)


def _paint_shape(stylus: Stylus, rng: Generator, *, shape: str) -> None:
    colour = _varied(rng, (206, 52, 46), (44, 96, 190), (240, 196, 48), (60, 150, 80), (240, 240, 240))
    radius = rng.uniform(0.4, 0.7)
    x, y = rng.uniform(-0.9, 0.9, 2) * (1 - radius)
    n_corners = {"circle": 60, "square": 4, "triangle": 3}[shape]
    turns = rng.uniform(0, math.tau) + np.arange(n_corners) * (math.tau / n_corners)
    stylus.polygon([(x + radius * math.sin(turn), y - radius * math.cos(turn)) for turn in turns.tolist()], colour)


# What has nothing to do with any class -------------------------------------------------------------------------------


def draw_off_topic(subject: str, rng: Generator, *, side_px: int) -> Image.Image:
    """A picture that belongs to no class of a sample; `subject` is a key of `OFF_TOPIC`."""
    return _on_table(OFF_TOPIC[subject], rng, side_px=side_px)


def _whole(stylus: Stylus, colour: Colour) -> None:
    stylus.polygon([(-1, -1), (1, -1), (1, 1), (-1, 1)], colour)


def _box(stylus: Stylus, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
    stylus.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)


def _landscape(stylus: Stylus, rng: Generator) -> None:
    _whole(stylus, _varied(rng, (140, 190, 230), (244, 180, 120), (180, 200, 214)))
    stylus.disc((rng.uniform(-0.7, 0.7), rng.uniform(-0.7, -0.3)), 0.13, (255, 244, 200))
    for depth, colour in enumerate(((120, 140, 160), (84, 122, 96), (58, 96, 52))):
        phase, n_hills = rng.uniform(0, math.tau), rng.uniform(2, 5)
        ridge: list[Point] = [
            (x, -0.1 + 0.3 * depth + 0.16 * math.sin(n_hills * x + phase) + 0.03 * math.sin(17 * x + phase))
            for x in np.linspace(-1, 1, 80).tolist()
        ]
        stylus.polygon([*ridge, (1, 1), (-1, 1)], _varied(rng, colour))


def _house(stylus: Stylus, rng: Generator) -> None:
    _landscape(stylus, rng)
    wall, trim = _varied(rng, (226, 206, 170), (196, 120, 96), (232, 232, 226)), _varied(rng, (86, 56, 40), (52, 66, 84))
    _box(stylus, -0.55, -0.1, 0.55, 0.7, wall)
    _box(stylus, 0.24, -0.56, 0.38, -0.2, trim)
    stylus.polygon([(-0.68, -0.08), (0, -0.62), (0.68, -0.08)], _varied(rng, (150, 62, 46), (86, 84, 92)))
    _box(stylus, -0.12, 0.28, 0.12, 0.7, trim)
    for x in (-0.36, 0.36):
        _box(stylus, x - 0.13, 0.06, x + 0.13, 0.32, (188, 214, 228))
        stylus.line([(x, 0.06), (x, 0.32)], 0.025, trim)
        stylus.line([(x - 0.13, 0.19), (x + 0.13, 0.19)], 0.025, trim)


def _face(stylus: Stylus, rng: Generator) -> None:
    skin = _varied(rng, (236, 196, 166), (198, 146, 110), (124, 82, 58))
    hair = _varied(rng, (48, 34, 26), (140, 96, 50), (90, 90, 92))
    stylus.disc((0, 1.15), 0.62, _varied(rng, (60, 90, 140), (150, 60, 60), (70, 110, 80)))
    _box(stylus, -0.16, 0.3, 0.16, 0.72, skin)
    stylus.disc((0, -0.14), 0.6, hair)
    stylus.polygon([(0.47 * math.cos(t), 0.6 * math.sin(t) + 0.02) for t in np.linspace(0, math.tau, 50).tolist()], skin)
    for x in (-0.19, 0.19):
        stylus.disc((x, -0.06), 0.085, (250, 250, 248))
        stylus.disc((x, -0.06), 0.045, (40, 50, 60))
        stylus.line([(x - 0.1, -0.2), (x + 0.1, -0.2)], 0.035, hair)
    stylus.line([(0, -0.02), (-0.05, 0.16), (0.04, 0.17)], 0.02, hair)
    smile = rng.uniform(-0.02, 0.09)
    stylus.line([(-0.16, 0.32), (0, 0.32 + smile), (0.16, 0.32)], 0.04, (168, 70, 66))


def _button(stylus: Stylus, rng: Generator) -> None:
    colour = _varied(rng, (180, 44, 50), (50, 90, 160), (236, 226, 200), (70, 60, 56))
    dark, pale = (tuple(min(255, int(level * by)) for level in colour) for by in (0.6, 1.25))
    stylus.disc((0.03, 0.05), 0.62, (40, 38, 36))
    for radius, fill in ((0.6, colour), (0.54, pale), (0.47, dark), (0.45, colour)):
        stylus.disc((0, 0), radius, (fill[0], fill[1], fill[2]))
    holes: list[Point] = [(-0.13, -0.13), (0.13, 0.13), (-0.13, 0.13), (0.13, -0.13)]
    for hole in holes:
        stylus.disc(hole, 0.075, (30, 28, 28))
    thread = _varied(rng, (240, 240, 236), (30, 30, 40))
    stylus.line(holes[:2], 0.05, thread)
    stylus.line(holes[2:], 0.05, thread)


def _note(stylus: Stylus, rng: Generator) -> None:
    lean = rng.uniform(-0.12, 0.12)
    corners: list[Point] = [(-0.7, -0.8 + lean), (0.7, -0.8 - lean), (0.7 + lean, 0.8 - lean), (-0.7 + lean, 0.8 + lean)]
    stylus.polygon([(x + 0.03, y + 0.04) for x, y in corners], (40, 36, 32))
    stylus.polygon(corners, _varied(rng, (252, 244, 170), (246, 244, 238), (200, 226, 246)))
    words = ("tray 4 is missing", "call the museum", "buy more film", "lens 50 mm", "back at three", "see page 112", "ask Ines")
    for row, word in enumerate(rng.permutation(words)[:5].tolist()):
        stylus.text((0, -0.5 + 0.24 * row), word, 0.17, (44, 48, 90))


OFF_TOPIC: dict[str, Callable[[Stylus, Generator], None]] = {
    "landscape": _landscape,
    "house": _house,
    "face": _face,
    "button": _button,
    "note": _note,
}

SAMPLES = {
    "coins": SampleKind(tuple(METALS), draw_coin),
    "shapes": SampleKind(("circle", "square", "triangle"), draw_shape),
}
