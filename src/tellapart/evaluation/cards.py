"""A report as a card for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from tellapart.evaluation.judged import Judgement, percent
from tellapart.evaluation.metrics import ClassScore
from tellapart.words import counted

N_CARD_ROWS = 12  # classes in the table; the weakest come first
FIGURE_STYLE = "text-align:right;padding:0 .5em;white-space:nowrap"


def card(report: Judgement, summary: str, scores: Mapping[str, ClassScore]) -> str:
    """A report for a notebook: the result, its interval as a bar, the scores of the classes.

    Inline styles and no colours for text, so that it reads on a notebook's light and dark page alike.
    """
    weakest = sorted(scores.items(), key=lambda item: (item[1].f1 is None, item[1].f1 or 0.0))
    rows = "".join(_row(name, score) for name, score in weakest[:N_CARD_ROWS])
    n_more = len(weakest) - N_CARD_ROWS
    more = f"<div style='opacity:.7'>and {counted(n_more, 'more class', 'more classes')}</div>" if n_more > 0 else ""
    head = "".join(f"<th style='{FIGURE_STYLE}'>{name}</th>" for name in ("precision", "recall", "F1", "n"))
    return (
        "<div style='max-width:36em;line-height:1.4'>"
        f"<div style='opacity:.7'>{escape(report.title)} · {escape(report.subject)}</div>"
        f"<div style='font-size:1.3em;font-weight:600'>{escape(summary)}</div>{_bar(report)}"
        f"<table style='margin:.6em 0;color:inherit'><thead><tr><th style='text-align:left'>class</th>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>{more}<div style='opacity:.7'>{escape(report.counts)}</div></div>"
    )


def _row(name: str, score: ClassScore) -> str:
    figures = (percent(score.precision), percent(score.recall), percent(score.f1), str(score.n))
    cells = "".join(f"<td style='{FIGURE_STYLE}'>{figure}</td>" for figure in figures)
    return f"<tr><th style='text-align:left;font-weight:400'><bdi>{escape(name)}</bdi></th>{cells}</tr>"


def _bar(report: Judgement) -> str:
    """The accuracy as a bar from 0 to 100 %, its interval as a darker stretch on it."""
    if report.accuracy is None or report.interval is None:
        return ""
    lo, hi = report.interval
    return (
        "<div style='position:relative;height:10px;margin:.4em 0;border-radius:5px;background:rgba(128,128,128,.25)'>"
        f"<div style='position:absolute;inset:0 auto 0 0;width:{report.accuracy:.2%};border-radius:5px;background:#3b8f7d'></div>"
        f"<div style='position:absolute;top:-2px;bottom:-2px;left:{lo:.2%};width:{hi - lo:.2%};border-radius:3px;"
        "background:rgba(20,70,60,.45);border:1px solid currentColor'></div></div>"
    )
