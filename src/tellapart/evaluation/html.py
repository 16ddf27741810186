"""A report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

A cell of the confusion matrix is a link to its pictures, shown through `:target`, so the page works without a script, by
keyboard, and where scripts are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from jinja2 import Environment

from tellapart.evaluation.labels_html import labels_values, labels_worth_embedding
from tellapart.evaluation.labels_report import LabelsReport
from tellapart.evaluation.metrics import ClassScore
from tellapart.evaluation.report import Judged, Report, percent, percent_range
from tellapart.files import write_atomically
from tellapart.pages import DENSITY, Thumbnails, open_thumbnails, page_environment
from tellapart.progress import Progress, silent

N_SHOWN = 24  # pictures in each list ("most certain mistakes" and its like); fills rows of 2, 3, 4, 6 and 8
MATRIX_MAX_CLASSES = 30  # more cells than a page is wide; then the confused pairs are listed instead
N_PAIRS = 40  # pairs in that list
N_CLASS_ROWS = 40  # classes on open display; the rest unfold
N_FAILURES = 200


@dataclass(frozen=True)
class Tile:
    """A judged picture as the page shows it; `css_class` is "" where there is a `reason` instead of a thumbnail."""

    judged: Judged
    css_class: str
    reason: str


@dataclass(frozen=True)
class Panel:
    """The pictures of one true and one predicted class; `n_hidden` of its `n` pictures are not embedded."""

    id: str
    label: str
    predicted: str
    n: int
    share: float
    tiles: tuple[Tile, ...]
    n_hidden: int
    opens_first: bool


def write_html(
    report: Report | LabelsReport,
    path: str | Path,
    *,
    thumbnail_px: int = 112,
    max_thumbnails: int = 300,
    progress: Progress = silent,
) -> None:
    """Write the report to `path` as one page that can be mailed, archived and printed.

    `thumbnail_px` is the longer side at which a thumbnail is shown. At most `max_thumbnails` pictures are embedded: mistakes
    and close calls before the others. A picture that has vanished since is shown as a placeholder with the reason.
    Raises StorageError where the page cannot be written.
    """
    paths = _worth_embedding(report, max_thumbnails)
    thumbnails = open_thumbnails(paths, round(thumbnail_px * DENSITY), progress=progress)
    page = render(report, thumbnails, thumbnail_px=thumbnail_px)
    write_atomically(Path(path), page.encode("utf-8", "backslashreplace"))  # a file name need not be valid Unicode


def render(report: Report | LabelsReport, thumbnails: Thumbnails, *, thumbnail_px: int = 112) -> str:
    """The page as text."""
    several = isinstance(report, LabelsReport)
    values = labels_values(report, N_SHOWN) if isinstance(report, LabelsReport) else _class_values(report, thumbnails)
    return (
        _template_environment()
        .get_template("labels.html.j2" if several else "report.html.j2")
        .render(
            report=report, thumbnails=thumbnails, thumbnail_px=thumbnail_px, n_class_rows=N_CLASS_ROWS, n_failures=N_FAILURES,
            **values,
        )
    )  # fmt: skip


def _class_values(report: Report, thumbnails: Thumbnails) -> dict[str, Any]:
    """The template's values for one label a picture."""
    panels = _panels(report, thumbnails)
    return {
        "panels": panels,
        "panel_ids": {(panel.label, panel.predicted): panel.id for panel in panels},
        "has_matrix": len(report.classes) <= MATRIX_MAX_CLASSES,
        "pairs": report.confused_pairs(N_PAIRS),
        "most_wrong": [_tile(one, thumbnails) for one in report.most_wrong(N_SHOWN)],
        "most_right": [_tile(one, thumbnails) for one in report.most_right(N_SHOWN)],
        "least_certain": [_tile(one, thumbnails) for one in report.least_certain(N_SHOWN)],
        "weakest_first": _weakest_first(report),
        "commonest_share": report.commonest_share,
        "mean_probability": sum(one.probability for one in report.judged) / report.n if report.n else None,
        "random_log_loss": math.log(len(report.classes)) if report.classes else 0.0,
    }


@cache
def _template_environment() -> Environment:
    environment = page_environment(Path(__file__).parent / "templates")
    environment.filters |= {"percent": _unbroken_percent, "range": percent_range}
    return environment


def _unbroken_percent(share: float | None) -> str:
    return percent(share).replace(" ", "\N{NO-BREAK SPACE}")


def _weakest_first(report: Report) -> list[tuple[str, ClassScore]]:
    """Classes by F1, those without pictures last."""
    return sorted(report.per_class.items(), key=lambda item: (item[1].n == 0, item[1].f1 or 0.0))


def _worth_embedding(report: Report | LabelsReport, n_max: int) -> list[str]:
    """Paths without repetition: what the three lists show, then the other mistakes, then right answers, each pair in turn."""
    if isinstance(report, LabelsReport):
        return labels_worth_embedding(report, N_SHOWN, n_max)
    cells = _by_cell(report)
    wrong = _in_turn(pictures for (label, predicted), pictures in cells.items() if label != predicted)
    right = _in_turn(pictures for (label, predicted), pictures in cells.items() if label == predicted)
    ordered = chain(report.most_wrong(N_SHOWN), report.least_certain(N_SHOWN), report.most_right(N_SHOWN), wrong, right)
    return list(dict.fromkeys(one.path for one in ordered))[:n_max]


def _by_cell(report: Report) -> dict[tuple[str, str], list[Judged]]:
    """The pictures of each true and predicted class: mistakes most certain first, right answers least certain first."""
    cells: dict[tuple[str, str], list[Judged]] = {}
    for one in sorted(report.judged, key=lambda one: one.probability if one.right else -one.probability):
        cells.setdefault((one.label, one.predicted), []).append(one)
    return cells


def _in_turn(lists: Iterable[Sequence[Judged]]) -> Iterator[Judged]:
    return (one for turn in zip_longest(*lists) for one in turn if one is not None)


def _panels(report: Report, thumbnails: Thumbnails) -> list[Panel]:
    """A panel for every cell of the matrix that has pictures, or for every pair of the list that stands in its place."""
    cells = _by_cell(report)
    pairs = [(pair.label, pair.predicted) for pair in report.confused_pairs(N_PAIRS)]
    chosen = cells if len(report.classes) <= MATRIX_MAX_CLASSES else pairs
    return [_panel(report, cells[pair], thumbnails, opens_first=pairs[:1] == [pair]) for pair in chosen]


def _panel(report: Report, pictures: Sequence[Judged], thumbnails: Thumbnails, *, opens_first: bool) -> Panel:
    label, predicted = pictures[0].label, pictures[0].predicted
    tiles = tuple(_tile(one, thumbnails) for one in pictures if one.path in thumbnails)
    return Panel(
        id=f"c{report.classes.index(label)}-{report.classes.index(predicted)}",
        label=label,
        predicted=predicted,
        n=len(pictures),
        share=len(pictures) / report.per_class[label].n,
        tiles=tiles,
        n_hidden=len(pictures) - len(tiles),
        opens_first=opens_first,
    )


def _tile(judged: Judged, thumbnails: Thumbnails) -> Tile:
    return Tile(judged, thumbnails.css_class(judged.path), thumbnails.reason(judged.path))
