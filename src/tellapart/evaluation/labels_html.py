"""What the page of a `LabelsReport` shows beside what every report's page does."""

from __future__ import annotations

from itertools import chain
from typing import Any

from tellapart.evaluation.labels_report import LabelMistake, LabelsReport
from tellapart.evaluation.metrics import LabelScore

N_OF_LABEL = 8  # wrong pictures of each label that are shown


def labels_worth_embedding(report: LabelsReport, n_shown: int, n_max: int) -> list[str]:
    """Paths without repetition: what the three lists show, then each label's mistakes, the weakest label's first."""
    lists = report.most_wrong(n_shown), report.least_certain(n_shown), report.most_right(n_shown)
    mistakes = (one.path for _, _, wrong, _ in weakest_first(report) for one in wrong[:N_OF_LABEL])
    return list(dict.fromkeys(chain((one.path for one in chain(*lists)), mistakes)))[:n_max]


def labels_values(report: LabelsReport, n_shown: int) -> dict[str, Any]:
    """The template's values, lists of pictures with at most `n_shown`."""
    return {
        "commonest_share": report.commonest[1] if report.commonest else None,
        "rows": weakest_first(report),
        "most_wrong": report.most_wrong(n_shown),
        "most_right": report.most_right(n_shown),
        "least_certain": report.least_certain(n_shown),
        "n_of_label": N_OF_LABEL,
        "mean_probability": report.probabilities.mean() if report.n else None,
        "mean_reached": report.has_label.mean() if report.n else None,
    }


def weakest_first(report: LabelsReport) -> list[tuple[str, LabelScore, tuple[LabelMistake, ...], str]]:
    """(label, its scores, its mistakes, the id of their section) by F1, labels without pictures last."""
    rows = [
        (label, score, report.mistakes(label), f"label-{place}") for place, (label, score) in enumerate(report.per_class.items())
    ]
    return sorted(rows, key=lambda row: (row[1].n == 0, row[1].f1 or 0.0))
