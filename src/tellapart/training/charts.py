"""Lines on two axes as an SVG that needs nothing else: no script, no font, no style from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tellapart.pages import page_environment

TEMPLATES = Path(__file__).parent / "templates"
LEFT, RIGHT, TOP, BOTTOM = 58.0, 464.0, 56.0, 262.0  # of the plot within the 480 x 308 units of the drawing
N_TICKS = 5  # about so many; more crowd the axis at a phone's width
SMALLEST = 1e-100  # on a log scale: no rate is smaller, and quotients of what is do not overflow
MAX_DOTS = 40  # points of a line that are shown as dots as well

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Points in the order of x, in units of the axes; what is not a finite number is left out. `kind` is a CSS class."""

    name: str
    kind: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Mark:
    """A place that is pointed out, with its name."""

    name: str
    at: Point


@dataclass(frozen=True)
class Axis:
    """What one side of a chart shows: from `lo` to `hi`, which differ; on a log scale both are above 0."""

    name: str
    lo: float
    hi: float
    is_log: bool = False
    is_percent: bool = False
    is_whole: bool = False  # counts, which have no halves

    def place(self, value: float, start: float, end: float) -> float:
        """Where a value lies between `start` and `end`, or beyond them."""
        lo, hi, at = (math.log(number) for number in (self.lo, self.hi, value)) if self.is_log else (self.lo, self.hi, value)
        return start + (at - lo) / (hi - lo) * (end - start)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Round values within the axis, and how they are written."""
        values = log_ticks(self.lo, self.hi) if self.is_log else round_ticks(self.lo, self.hi, least=1 if self.is_whole else 0)
        return tuple((value, self.text(value)) for value in values)

    def text(self, value: float) -> str:
        """A value as the axis writes it."""
        return f"{100 * value:.4g} %" if self.is_percent else f"{value:.4g}"


@dataclass(frozen=True)
class Chart:
    """Lines and marks on two axes; `text` says in a sentence what they show, for who cannot see them."""

    id: str  # unique on its page
    title: str
    text: str
    across: Axis
    up: Axis
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...] = ()


def svg(chart: Chart) -> str:
    """The drawing as text, to be put into a page or a file of its own; light or dark as its reader's screen is."""
    lines = [(line, [_on_paper(chart, point) for point in line.points if _is_drawable(chart, point)]) for line in chart.lines]
    marks = [(mark, _on_paper(chart, mark.at)) for mark in chart.marks if _is_drawable(chart, mark.at)]
    xs = [x for _, (x, _) in marks] or [LEFT]
    is_left = min(xs) - LEFT > RIGHT - max(xs)  # the names of all marks stand on the side that has more room
    template = page_environment(TEMPLATES).get_template("chart.svg.j2")
    return template.render(
        chart=chart,
        lines=lines,
        marks=marks,
        label_x=min(xs) - 7 if is_left else max(xs) + 7,
        label_anchor="end" if is_left else "start",
        across=[(chart.across.place(value, LEFT, RIGHT), text) for value, text in chart.across.ticks],
        up=[(chart.up.place(value, BOTTOM, TOP), text) for value, text in chart.up.ticks],
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        max_dots=MAX_DOTS,
    )


def spanning(values: Sequence[float], *, name: str, is_log: bool = False, is_percent: bool = False, margin: float = 0.05) -> Axis:
    """The axis that holds these values with a margin of its length; on a log scale those above 0 (`SMALLEST`) alone.

    Where all are one, or there is none, the axis lies around that or around 1.
    """
    finite = [value for value in values if math.isfinite(value) and (value >= SMALLEST or not is_log)]
    lo, hi = (min(finite), max(finite)) if finite else (1.0, 1.0)
    if is_log:
        around = (hi / lo) ** margin if hi > lo else 2.0
        return Axis(name, lo / around, hi * around, is_log, is_percent)
    around = (hi - lo) * margin if hi > lo else max(abs(hi) * 0.1, 1e-3)
    return Axis(name, lo - around, hi + around, is_log, is_percent)


def round_ticks(lo: float, hi: float, *, least: float = 0) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten within lo to hi, about `N_TICKS`, at `least` so far apart."""
    rough = max((hi - lo) / N_TICKS, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return tuple(round(number * step, 12) for number in range(math.ceil(lo / step), math.floor(hi / step) + 1))


def log_ticks(lo: float, hi: float) -> tuple[float, ...]:
    """Powers of ten within lo to hi; where these are fewer than two, 2 and 5 times these as well."""
    powers = range(math.floor(math.log10(lo)), math.ceil(math.log10(hi)) + 1)
    stride = max(1, math.ceil(len(powers) / (N_TICKS + 2)))
    whole = tuple(10.0**power for power in powers[::stride] if lo <= 10.0**power <= hi)
    return (
        whole if len(whole) > 1 else tuple(f * 10.0**power for power in powers for f in (1, 2, 5) if lo <= f * 10.0**power <= hi)
    )


def _is_drawable(chart: Chart, point: Point) -> bool:
    pairs = zip((chart.across, chart.up), point, strict=True)
    return all(math.isfinite(value) and (value >= SMALLEST or not axis.is_log) for axis, value in pairs)


def _on_paper(chart: Chart, point: Point) -> Point:
    return round(chart.across.place(point[0], LEFT, RIGHT), 2), round(chart.up.place(point[1], BOTTOM, TOP), 2)
